//! Each Lambda's binary, as Lambda runs it: a process that asks the runtime API for events and posts answers.
//! Beside it the local stack, whose data it works on and whose gateway must answer alike.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a broken assumption is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use local::stack::{ExternalEndpoints, Options, Stack};
use local::zoom::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Mutex, Notify, mpsc};

const CREATE: &str = env!("CARGO_BIN_EXE_create-credential");
const LIST: &str = env!("CARGO_BIN_EXE_list-credentials");
const GET: &str = env!("CARGO_BIN_EXE_get-credential");
const UPDATE: &str = env!("CARGO_BIN_EXE_update-credential");
const DELETE: &str = env!("CARGO_BIN_EXE_delete-credential");
const LIST_EVENTS: &str = env!("CARGO_BIN_EXE_list-events");
const CHECK: &str = env!("CARGO_BIN_EXE_check-credential");
const KEEP_ALIVE: &str = env!("CARGO_BIN_EXE_keep-alive");
const CREATE_URL: &str = env!("CARGO_BIN_EXE_create-token-url");
const LIST_URLS: &str = env!("CARGO_BIN_EXE_list-token-urls");
const DELETE_URL: &str = env!("CARGO_BIN_EXE_delete-token-url");
const TOKEN_URL: &str = env!("CARGO_BIN_EXE_token-url");
const PUT_APP: &str = env!("CARGO_BIN_EXE_put-zoom-app");
const GET_APP: &str = env!("CARGO_BIN_EXE_get-zoom-app");
const DELETE_APP: &str = env!("CARGO_BIN_EXE_delete-zoom-app");
const ROTATE: &str = env!("CARGO_BIN_EXE_rotate-secret");
const WEBHOOK: &str = env!("CARGO_BIN_EXE_zoom-webhook");
const RESTORE: &str = env!("CARGO_BIN_EXE_restore-credential");
const PURGE: &str = env!("CARGO_BIN_EXE_purge");
const CREATE_SESSION: &str = env!("CARGO_BIN_EXE_create-connect-session");
const GET_SESSION: &str = env!("CARGO_BIN_EXE_get-connect-session");
const CONNECT: &str = env!("CARGO_BIN_EXE_connect");
const CALLBACK: &str = env!("CARGO_BIN_EXE_connect-callback");

/// What API Gateway invokes.
const ALL: [&str; 7] = [CREATE, LIST, GET, UPDATE, DELETE, LIST_EVENTS, CHECK];

/// What Lambda itself sets.
const EVERYWHERE: [&str; 3] = ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// What a function does not start without: its powers, and no more.
fn required(binary: &str) -> Vec<&'static str> {
    let more: &[&str] = match binary {
        LIST | GET => &["KEYS_TABLE"],
        DELETE => &["KEYS_TABLE", "REQUESTS_TABLE"],
        LIST_EVENTS => &["KEYS_TABLE", "EVENTS_TABLE"],
        WEBHOOK => &["SECRETS_TABLE", "EVENTS_TABLE", "ENVELOPE_KEY_ID"],
        KEEP_ALIVE => &[
            "KEYS_TABLE",
            "SECRETS_TABLE",
            "EVENTS_TABLE",
            "ENVELOPE_KEY_ID",
        ],
        RESTORE => &[
            "KEYS_TABLE",
            "REQUESTS_TABLE",
            "SECRETS_TABLE",
            "EVENTS_TABLE",
        ],
        PURGE => &["SECRETS_TABLE", "TOKEN_URLS_TABLE"],
        CREATE | UPDATE | CHECK => &[
            "KEYS_TABLE",
            "REQUESTS_TABLE",
            "SECRETS_TABLE",
            "EVENTS_TABLE",
            "ENVELOPE_KEY_ID",
        ],
        CREATE_URL => &["KEYS_TABLE", "REQUESTS_TABLE", "TOKEN_URLS_TABLE"],
        LIST_URLS => &["KEYS_TABLE", "TOKEN_URLS_TABLE"],
        DELETE_URL => {
            return [
                &EVERYWHERE,
                &["KEYS_TABLE", "REQUESTS_TABLE", "TOKEN_URLS_TABLE"][..],
            ]
            .concat();
        }
        GET_APP => return [&EVERYWHERE, &["KEYS_TABLE", "SECRETS_TABLE"][..]].concat(),
        DELETE_APP => {
            let tables = ["KEYS_TABLE", "REQUESTS_TABLE", "SECRETS_TABLE"];
            return [&EVERYWHERE, &tables[..]].concat();
        }
        PUT_APP => {
            let tables = ["KEYS_TABLE", "REQUESTS_TABLE", "SECRETS_TABLE"];
            return [&EVERYWHERE, &tables[..], &["ENVELOPE_KEY_ID"]].concat();
        }
        GET_SESSION => return [&EVERYWHERE, &["KEYS_TABLE", "REQUESTS_TABLE"][..]].concat(),
        CONNECT => return [&EVERYWHERE, &["REQUESTS_TABLE"][..]].concat(),
        CALLBACK => &[
            "REQUESTS_TABLE",
            "SECRETS_TABLE",
            "EVENTS_TABLE",
            "ENVELOPE_KEY_ID",
        ],
        TOKEN_URL => &[
            "KEYS_TABLE",
            "REQUESTS_TABLE",
            "TOKEN_URLS_TABLE",
            "SECRETS_TABLE",
            "EVENTS_TABLE",
            "ENVELOPE_KEY_ID",
        ],
        _ => &[
            "KEYS_TABLE",
            "REQUESTS_TABLE",
            "SECRETS_TABLE",
            "ENVELOPE_KEY_ID",
        ],
    };
    [&EVERYWHERE, &["CREDENTIALS_TABLE"][..], more].concat()
}

/// What it reads and can do without.
const OPTIONAL: [&str; 8] = [
    "EVENTS_RETENTION_DAYS",
    "RESTORABLE_DAYS",
    "KEEP_ALIVE_AFTER_DAYS",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_KMS",
    "ZOOM_OAUTH_BASE_URL",
    "ZOOM_API_BASE_URL",
    "ZOOM_TIMEOUT_MS",
];

/// Where connections are opened to before the first event.
const SERVICES: [&str; 3] = [
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_KMS",
    "ZOOM_API_BASE_URL",
];

/// A running local stack.
struct World {
    api: String,
    key: String,
    /// The file that points a Lambda's binary at it.
    env: BTreeMap<String, String>,
    http: reqwest::Client,
    _data: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        // Fails where it is installed already.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let data = tempfile::tempdir().unwrap();
        let stack = Stack::start(Options {
            data_dir: data.path().to_owned(),
            port: 0,
            zoom_port: 0,
            external: ExternalEndpoints::default(),
            envelope_key: None,
        });
        let stack = stack.await.unwrap();
        let api = stack.api().as_str().trim_end_matches('/').to_owned();
        tokio::spawn(stack.serve(std::future::pending()));
        let read = |file: &str| std::fs::read_to_string(data.path().join(file)).unwrap();
        let env = read("env")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self {
            api,
            key: read("api-key"),
            env,
            http: reqwest::Client::new(),
            _data: data,
        }
    }

    /// What the gateway answers: status and body.
    async fn gateway(&self, method: &str, path: &str, body: Option<&Value>) -> (u64, Value) {
        let url = format!("{}{path}", self.api);
        let request = self.http.request(method.parse().unwrap(), url);
        let request = request.header("x-meeting-baas-api-key", &self.key);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        (
            answer.status().as_u16().into(),
            answer.json().await.unwrap(),
        )
    }

    async fn given_credential(&self) -> String {
        let (status, body) = self
            .gateway("POST", "/v2/zoom-credentials", Some(&app_body()))
            .await;
        assert_eq!(status, 201, "{body}");
        body["data"]["credential_id"].as_str().unwrap().to_owned()
    }

    /// The event of a REST API's proxy integration, as AWS documents it.
    fn event(&self, method: &str, id: Option<&str>, body: Option<&Value>) -> Value {
        let path = id.map_or_else(
            || "/v2/zoom-credentials".to_owned(),
            |id| format!("/v2/zoom-credentials/{id}"),
        );
        let headers = json!({
            "Accept": "*/*",
            "CloudFront-Viewer-Country": "DE",
            "Content-Type": "application/json",
            "Host": "abcdefghij.execute-api.eu-central-1.amazonaws.com",
            "X-Amzn-Trace-Id": "Root=1-5e66d96f-7491f09xmpl79d18acf3d050",
            "X-Forwarded-For": "203.0.113.7, 130.176.0.1",
            "X-Forwarded-Port": "443",
            "X-Forwarded-Proto": "https",
            "x-meeting-baas-api-key": self.key,
        });
        let multi: BTreeMap<_, _> = headers
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name, json!([value])))
            .collect();
        json!({
            "resource": if id.is_some() { "/v2/zoom-credentials/{id}" } else { "/v2/zoom-credentials" },
            "path": path,
            "httpMethod": method,
            "headers": headers,
            "multiValueHeaders": multi,
            "queryStringParameters": null,
            "multiValueQueryStringParameters": null,
            "pathParameters": id.map(|id| json!({ "id": id })),
            "stageVariables": null,
            "requestContext": {
                "resourceId": "2gxmpl",
                "resourcePath": "/v2/zoom-credentials",
                "httpMethod": method,
                "extendedRequestId": "JJbxmplHYosFVYQ=",
                "requestTime": "10/Mar/2020:00:03:59 +0000",
                "path": format!("/prod{path}"),
                "accountId": "123456789012",
                "protocol": "HTTP/1.1",
                "stage": "prod",
                "domainPrefix": "abcdefghij",
                "requestTimeEpoch": 1_583_798_639_428_i64,
                "requestId": "77375676-xmpl-4b79-853a-f982474efe18",
                "identity": {
                    "cognitoIdentityPoolId": null,
                    "accountId": null,
                    "sourceIp": "203.0.113.7",
                    "userAgent": "curl/8.5.0",
                    "user": null
                },
                "domainName": "abcdefghij.execute-api.eu-central-1.amazonaws.com",
                "apiId": "abcdefghij"
            },
            "body": body.map(ToString::to_string),
            "isBase64Encoded": false
        })
    }

    /// What creates a user credential, once: the demo app's user has just consented.
    async fn user_body(&self) -> Value {
        let redirect_uri = "http://localhost:3000/callback";
        let consent = json!({
            "client_id": DEMO_CLIENT_ID,
            "redirect_uri": redirect_uri,
            "user_id": "ada",
        });
        let mut answer = Value::Null;
        for (path, body) in [("users", json!({ "id": "ada" })), ("codes", consent)] {
            let url = format!("{}/sandbox/{path}", self.env["ZOOM_OAUTH_BASE_URL"]);
            let arranged = self.http.post(url).json(&body).send().await.unwrap();
            answer = arranged.json().await.unwrap_or_default();
        }
        let mut body = app_body();
        body["authorization_code"] = answer["code"].clone();
        body["redirect_uri"] = json!(redirect_uri);
        body
    }

    async fn lambda(&self, binary: &str) -> Lambda {
        Lambda::start(binary, &self.env).await
    }
}

fn app_body() -> Value {
    json!({ "name": "bot", "client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET })
}

/// A service that has one answer to everything.
async fn service(status: StatusCode, answer: impl Into<String>) -> String {
    let answer = answer.into();
    serve(Router::new().fallback(async move || (status, answer))).await
}

/// A service that takes every call and answers none.
async fn silence() -> String {
    serve(Router::new().fallback(std::future::pending::<StatusCode>)).await
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// What AWS answers where a role lacks a right.
fn denial(action: &str) -> String {
    let message = format!(
        "User: arn:aws:sts::123456789012:assumed-role/role/f is not authorized to perform: {action} on resource: \
         arn:aws:aws:us-east-1:123456789012:it because no identity-based policy allows the {action} action"
    );
    json!({ "__type": "com.amazon.coral.service#AccessDeniedException", "Message": message })
        .to_string()
}

/// Takes the metrics out of a line, by name, and leaves what else it says. CloudWatch drops a line whose
/// directive is not as it is here.
#[track_caller]
fn take_metrics(line: &mut Value) -> BTreeMap<String, (u64, String)> {
    let fields = line.as_object_mut().unwrap();
    let directive = fields.remove("_aws").unwrap();
    let time = fields.remove("timestamp").unwrap();
    let time: shared::timestamp::Timestamp = serde_json::from_value(time).unwrap();
    let metrics = directive["CloudWatchMetrics"][0]["Metrics"].clone();
    assert_eq!(
        directive,
        json!({
            "Timestamp": time.as_millis(),
            "CloudWatchMetrics": [{
                "Namespace": "ZoomCredentials",
                "Dimensions": [["function"]],
                "Metrics": metrics,
            }],
        })
    );
    assert_eq!(fields.remove("function"), Some(json!("f")));
    let taken: BTreeMap<_, _> = metrics
        .as_array()
        .unwrap()
        .iter()
        .map(|metric| {
            let name = metric["Name"].as_str().unwrap().to_owned();
            let unit = metric["Unit"].as_str().unwrap().to_owned();
            let value = fields.remove(&name).and_then(|value| value.as_u64());
            (name, (value.unwrap(), unit))
        })
        .collect();
    assert_eq!(taken.len(), metrics.as_array().unwrap().len());
    taken
}

/// As [`take_metrics`], and those that every request has are as said.
#[track_caller]
fn assert_metrics(line: &mut Value, counts: &Value) {
    let mut taken = take_metrics(line);
    let (latency, unit) = taken.remove("latency_ms").unwrap();
    assert!(latency < 30_000);
    assert_eq!(unit, "Milliseconds");
    let taken = taken.into_iter().map(|(name, (value, unit))| {
        assert_eq!(unit, "Count");
        (name, json!(value))
    });
    assert_eq!(&Value::Object(taken.collect()), counts);
}

/// Lambda's side of the runtime API: events out, answers in.
struct RuntimeApi {
    asked: Arc<Notify>,
    events: Mutex<mpsc::Receiver<Value>>,
    answers: mpsc::Sender<Posted>,
    number: AtomicU64,
}

/// A way to a service that counts the connections made to it.
struct Front {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Front {
    async fn of(service: &str) -> Self {
        let service = service.strip_prefix("http://").unwrap();
        let service = service.trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let mut far = TcpStream::connect(&service).await.unwrap();
                tokio::spawn(async move {
                    // It ends as either side wants.
                    tokio::io::copy_bidirectional(&mut near, &mut far)
                        .await
                        .ok();
                });
            }
        });
        Self { url, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// What a function posted.
#[derive(Debug)]
enum Posted {
    Answer(String, Value),
    /// What makes API Gateway answer a 502 without a body.
    Failure(String),
}

async fn next(State(api): State<Arc<RuntimeApi>>) -> impl IntoResponse {
    api.asked.notify_one();
    let event = api.events.lock().await.recv().await;
    // No event any more: the sandbox is frozen.
    let event = match event {
        Some(event) => event,
        None => std::future::pending().await,
    };
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(29);
    let number = api.number.fetch_add(1, Ordering::SeqCst);
    let headers = [
        (
            "lambda-runtime-aws-request-id",
            format!("invocation-{number}"),
        ),
        (
            "lambda-runtime-deadline-ms",
            deadline.as_millis().to_string(),
        ),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:123456789012:function:f".to_owned(),
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-5e66d96f-7491f09xmpl79d18acf3d050".to_owned(),
        ),
    ];
    (headers, Json(event))
}

async fn answered(
    State(api): State<Arc<RuntimeApi>>,
    Path(id): Path<String>,
    answer: String,
) -> StatusCode {
    let answer = serde_json::from_str(&answer).unwrap();
    api.answers.send(Posted::Answer(id, answer)).await.unwrap();
    StatusCode::ACCEPTED
}

async fn failed(State(api): State<Arc<RuntimeApi>>, error: String) -> StatusCode {
    api.answers.send(Posted::Failure(error)).await.unwrap();
    StatusCode::ACCEPTED
}

/// A function's process.
struct Lambda {
    /// It has asked for an event.
    asked: Arc<Notify>,
    events: mpsc::Sender<Value>,
    answers: mpsc::Receiver<Posted>,
    invoked: u64,
    child: Child,
    log: Lines<BufReader<ChildStdout>>,
}

/// The process that Lambda would start: nothing in its environment but what Lambda and the template put there.
fn process(binary: &str, env: impl IntoIterator<Item = (String, String)>) -> Command {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .envs(env)
        .env("AWS_LAMBDA_FUNCTION_NAME", "f")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "2020/03/10/[$LATEST]0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Lambda {
    /// With what it requires and nothing more, but the endpoints that lead it to the stack.
    async fn start(binary: &str, env: &BTreeMap<String, String>) -> Self {
        let (events, receiver) = mpsc::channel(1);
        let (sender, answers) = mpsc::channel(1);
        let asked = Arc::new(Notify::new());
        let api = Arc::new(RuntimeApi {
            asked: asked.clone(),
            events: Mutex::new(receiver),
            answers: sender,
            number: AtomicU64::new(0),
        });
        let invocation = "/2018-06-01/runtime/invocation";
        let router = Router::new()
            .route(&format!("{invocation}/next"), get(next))
            .route(&format!("{invocation}/{{id}}/response"), post(answered))
            .route(&format!("{invocation}/{{id}}/error"), post(failed))
            .with_state(api);
        let address = serve(router).await.replace("http://", "");

        let names: BTreeSet<&str> = required(binary).into_iter().chain(OPTIONAL).collect();
        let env = env
            .iter()
            .filter(|(name, _)| names.contains(name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()));
        let mut child = process(binary, env)
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            asked,
            events,
            answers,
            invoked: 0,
            child,
            log,
        }
    }

    /// What the function answers to an event: API Gateway's proxy response.
    async fn invoke(&mut self, event: Value) -> Value {
        self.events.send(event).await.unwrap();
        let patience = Duration::from_secs(30);
        let posted = tokio::time::timeout(patience, self.answers.recv()).await;
        match posted.unwrap().unwrap() {
            Posted::Answer(id, answer) => {
                assert_eq!(id, format!("invocation-{}", self.invoked));
                self.invoked += 1;
                answer
            }
            Posted::Failure(error) => panic!("a 502 without a body: {error}"),
        }
    }

    /// The status and body of the answer, which is an envelope.
    async fn call(&mut self, event: Value) -> (u64, Value) {
        let answer = self.invoke(event).await;
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        let status = answer["statusCode"].as_u64().unwrap();
        assert_eq!(body["success"], status < 400, "{body}");
        let headers = &answer["multiValueHeaders"];
        for (name, value) in [
            ("content-type", "application/json; charset=utf-8"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(headers[name], json!([value]));
        }
        assert!(!headers["x-request-id"][0].as_str().unwrap().is_empty());
        (status, body)
    }

    /// The next line on standard output.
    async fn logged(&mut self) -> Value {
        let line = self.log.next_line().await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"))
    }

    /// Ends the process; whatever it still has to say on standard output and standard error.
    async fn rest(mut self) -> (Vec<String>, String) {
        self.child.start_kill().unwrap();
        let mut lines = Vec::new();
        while let Some(line) = self.log.next_line().await.unwrap() {
            lines.push(line);
        }
        let mut errors = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut errors).await.unwrap();
        (lines, errors)
    }
}

#[tokio::test]
async fn each_binary_answers_its_event_as_the_gateway_does() {
    let world = World::new().await;
    let list = "/v2/zoom-credentials";

    let mut create = world.lambda(CREATE).await;
    let (status, created) = create
        .call(world.event("POST", None, Some(&app_body())))
        .await;
    assert_eq!(status, 201);
    let id = created["data"]["credential_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("{list}/{id}");
    assert_eq!(
        world.gateway("GET", &path, None).await,
        (200, created.clone())
    );

    let mut get = world.lambda(GET).await;
    let got = get.call(world.event("GET", Some(&id), None)).await;
    assert_eq!(got, (200, created));

    let mut update = world.lambda(UPDATE).await;
    let body = json!({ "name": "renamed", "extra": { "é": [1.0, null] } });
    let updated = update
        .call(world.event("PATCH", Some(&id), Some(&body)))
        .await;
    assert_eq!(updated, world.gateway("GET", &path, None).await);
    assert_eq!(updated.1["data"]["name"], "renamed");

    let other = world.given_credential().await;
    let mut lister = world.lambda(LIST).await;
    let whole = lister.call(world.event("GET", None, None)).await;
    assert_eq!(whole, world.gateway("GET", list, None).await);
    assert_eq!(whole.1["data"].as_array().unwrap().len(), 2);
    let mut filtered = world.event("GET", None, None);
    filtered["queryStringParameters"] = json!({ "name": "RENAMED" });
    filtered["multiValueQueryStringParameters"] = json!({ "name": ["RENAMED"] });
    let found = lister.call(filtered).await;
    assert_eq!(found.1["data"], json!([updated.1["data"]]));

    let mut delete = world.lambda(DELETE).await;
    let deleted = delete.call(world.event("DELETE", Some(&id), None)).await;
    let likewise = world
        .gateway("DELETE", &format!("{list}/{other}"), None)
        .await;
    assert_eq!(deleted, likewise);
    assert_eq!(world.gateway("GET", &path, None).await.0, 404);

    // And where they refuse.
    let empty = json!({});
    let gone = world.gateway("GET", &path, None).await;
    assert_eq!(get.call(world.event("GET", Some(&id), None)).await, gone);
    let gone = world.gateway("PATCH", &path, Some(&empty)).await;
    let event = world.event("PATCH", Some(&id), Some(&empty));
    assert_eq!(update.call(event).await, gone);
    let gone = world.gateway("DELETE", &path, None).await;
    let event = world.event("DELETE", Some(&id), None);
    assert_eq!(delete.call(event).await, gone);
    let invalid = world.gateway("POST", list, Some(&empty)).await;
    let event = world.event("POST", None, Some(&empty));
    assert_eq!(create.call(event).await, invalid);
    let invalid = world.gateway("GET", &format!("{list}?limit=0"), None).await;
    let mut event = world.event("GET", None, None);
    event["queryStringParameters"] = json!({ "limit": "0" });
    assert_eq!(lister.call(event).await, invalid);
}

#[tokio::test]
async fn the_scheduled_binary_answers_what_it_did_whatever_the_event() {
    let world = World::new().await;
    let mut keep_alive = world.lambda(KEEP_ALIVE).await;
    for event in [
        json!({}),
        json!({ "detail-type": "Scheduled Event" }),
        json!("now"),
    ] {
        let report = keep_alive.invoke(event).await;
        let nothing = json!({
            "refreshed": 0, "dead": 0, "unwanted": 0, "revoked": 0, "failed": 0, "left": 0,
        });
        assert_eq!(report, nothing);

        let mut line = keep_alive.logged().await;
        let metrics = take_metrics(&mut line);
        assert_eq!(metrics["kept_alive"], (0, "Count".to_owned()));
        assert_eq!(line["message"], "kept alive");
    }
}

/// As AWS documents the records of a stream, a TTL's deletion among them.
#[tokio::test]
async fn the_binary_on_the_stream_says_from_which_record_on_it_is_to_be_asked_again() {
    let world = World::new().await;
    let mut purge = world.lambda(PURGE).await;
    let id = world.given_credential().await;
    let record = |number: &str, image: Value| {
        json!({
            "eventID": "1", "eventName": "REMOVE", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1", "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/c/stream/t",
            "userIdentity": { "type": "Service", "principalId": "dynamodb.amazonaws.com" },
            "dynamodb": {
                "ApproximateCreationDateTime": 1_479_499_740, "SequenceNumber": number, "SizeBytes": 59,
                "StreamViewType": "NEW_AND_OLD_IMAGES", "Keys": { "team_id": { "S": "local" } }, "OldImage": image,
            },
        })
    };
    let deleted = json!({
        "team_id": { "S": "local" }, "credential_id": { "S": id }, "deleted": { "BOOL": true },
        "version": { "N": "2" }, "name": { "S": "bot" },
    });
    let unreadable = json!({ "team_id": { "S": "local" } });
    let records = [
        record("111", deleted.clone()),
        record("222", unreadable),
        record("333", deleted),
    ];

    let report = purge.invoke(json!({ "Records": records[..1] })).await;
    assert_eq!(report, json!({ "batchItemFailures": [] }));
    assert_eq!(purge.logged().await["message"], "purged");
    let report = purge.invoke(json!({ "Records": records })).await;
    assert_eq!(
        report,
        json!({ "batchItemFailures": [{ "itemIdentifier": "222" }] })
    );
}

/// Two to DynamoDB and two to KMS, as many as a request uses at once, and one to Zoom's REST host.
#[tokio::test]
async fn a_request_finds_its_connections_open() {
    let world = World::new().await;
    let id = world.given_credential().await;
    let [one, other] = [world.user_body().await, world.user_body().await];
    let create = world.event("POST", None, Some(&one));
    let update = world.event("PATCH", Some(&id), Some(&other));
    let list = world.event("GET", None, None);
    let get = world.event("GET", Some(&id), None);
    let delete = world.event("DELETE", Some(&id), None);
    for (binary, event, well, opened) in [
        (CREATE, create, 201, [2, 2, 1]),
        (UPDATE, update, 200, [2, 2, 1]),
        (LIST, list, 200, [2, 0, 0]),
        (GET, get, 200, [2, 0, 0]),
        (DELETE, delete, 200, [2, 0, 0]),
    ] {
        let mut env = world.env.clone();
        let mut fronts = Vec::new();
        for service in SERVICES {
            let front = Front::of(&env[service]).await;
            env.insert(service.to_owned(), front.url.clone());
            fronts.push(front);
        }
        let connections = || fronts.iter().map(Front::connections).collect::<Vec<_>>();

        let mut lambda = Lambda::start(binary, &env).await;
        lambda.asked.notified().await;
        assert_eq!(connections(), opened, "{binary}, before its first event");

        let (status, body) = lambda.call(event).await;
        assert_eq!(status, well, "{body}");
        assert_eq!(connections(), opened, "{binary}, after its first event");
        let line = lambda.logged().await;
        let called = ["dynamodb_calls", "kms_calls", "zoom_calls"];
        let called = called.map(|calls| line[calls].as_u64().unwrap() > 0);
        assert_eq!(called, opened.map(|opened| opened > 0), "{line}");
    }
}

#[tokio::test]
async fn a_dead_or_silent_service_does_not_keep_a_function_from_starting() {
    let world = World::new().await;
    let id = world.given_credential().await;
    let bound = || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket
    };
    // One refuses connections; the other takes them, and leaves it at that.
    let (dead, silent) = (bound(), bound().listen(1024).unwrap());
    for address in [dead.local_addr(), silent.local_addr()] {
        let url = format!("http://{}", address.unwrap());
        let mut env = world.env.clone();
        for service in SERVICES {
            env.insert(service.to_owned(), url.clone());
        }
        let started = ALL.map(async |binary| {
            let lambda = Lambda::start(binary, &env).await;
            // A second is allowed for it. The SDK's own patience is three, and Zoom's client has none.
            let asked = tokio::time::timeout(Duration::from_millis(2900), lambda.asked.notified());
            asked.await.unwrap_or_else(|_| panic!("{binary}"));
        });
        futures_util::future::join_all(started).await;
    }

    let mut env = world.env.clone();
    let dead = format!("http://{}", dead.local_addr().unwrap());
    env.insert(SERVICES[0].to_owned(), dead);
    let mut get = Lambda::start(GET, &env).await;
    let (status, body) = get.call(world.event("GET", Some(&id), None)).await;
    assert_eq!(
        (status, &body["code"]),
        (503, &json!("FST_ERR_UNAVAILABLE"))
    );
}

#[tokio::test]
async fn a_body_in_base64_is_the_same_body() {
    let world = World::new().await;
    let mut create = world.lambda(CREATE).await;
    let mut event = world.event("POST", None, Some(&app_body()));
    // {"name":"b","client_id":"c","client_secret":"d"}
    event["body"] = json!("eyJuYW1lIjoiYiIsImNsaWVudF9pZCI6ImMiLCJjbGllbnRfc2VjcmV0IjoiZCJ9");
    event["isBase64Encoded"] = json!(true);

    let (status, created) = create.call(event).await;

    assert_eq!(status, 201, "{created}");
    assert_eq!(created["data"]["name"], "b");
}

/// What may be put into an event: a header, or (after a dot) a field of its own.
fn hostile() -> Vec<(&'static str, Value)> {
    vec![
        ("Host", json!("h:99999")),
        ("Host", json!("a b")),
        ("Host", json!("")),
        ("X-Forwarded-Proto", json!("1x")),
        ("X-Forwarded-Proto", json!("")),
        ("X-Forwarded-Port", json!("many")),
        ("X-Näme", json!("wért\u{0}\n")),
        ("", json!("a header without a name")),
        (".multiValueHeaders", Value::Null),
        (".queryStringParameters", Value::Null),
        (".queryStringParameters", json!({ "é%": "%ff&=" })),
        (".path", json!("//[::1")),
        (".path", Value::Null),
        (".httpMethod", json!("B R E W")),
        (".stageVariables", Value::Null),
        (".requestContext", Value::Null),
        (".requestContext", json!({})),
        (".requestContext", json!({ "requestId": "a\nb: c" })),
        (".isBase64Encoded", Value::Null),
    ]
}

/// The runtime's own request type panics or gives up on most of these, and the caller gets a 502 without a body.
#[tokio::test]
async fn no_hostile_event_gets_anything_but_what_it_asks_for() {
    const ABSENT: &str = "00000000-0000-7000-8000-000000000000";
    let world = World::new().await;
    let id = world.given_credential().await;
    let id = Some(id.as_str());
    for (binary, method, id, body, well) in [
        (GET, "GET", id, None, 200),
        (LIST, "GET", None, None, 200),
        (LIST_EVENTS, "GET", id, None, 200),
        (CHECK, "POST", id, None, 200),
        (UPDATE, "PATCH", id, Some(json!({ "name": "a" })), 200),
        (CREATE, "POST", None, Some(app_body()), 201),
        (DELETE, "DELETE", Some(ABSENT), None, 404),
    ] {
        let mut lambda = world.lambda(binary).await;
        for (place, value) in hostile() {
            let mut event = world.event(method, id, body.as_ref());
            if let Some(field) = place.strip_prefix('.') {
                event[field] = value.clone();
            } else {
                event["headers"][place] = value.clone();
                event["multiValueHeaders"][place] = json!([value]);
            }
            let (status, answer) = lambda.call(event).await;
            assert_eq!(status, well, "{method} {place} {value}: {answer}");
        }
        assert_eq!(lambda.child.try_wait().unwrap(), None, "{binary} died");
    }
}

#[tokio::test]
async fn an_event_without_what_is_needed_is_refused_in_the_envelope() {
    let world = World::new().await;
    for binary in ALL {
        let mut lambda = world.lambda(binary).await;
        let mut without_headers = world.event("GET", None, None);
        without_headers["headers"] = Value::Null;
        let mut beyond_ascii = world.event("GET", None, None);
        beyond_ascii["headers"]["x-meeting-baas-api-key"] = json!("zcv_é");
        for event in [json!({}), without_headers, beyond_ascii] {
            let (status, body) = lambda.call(event).await;
            assert_eq!(
                (status, &body["code"]),
                (401, &json!("FST_ERR_UNAUTHORIZED"))
            );
        }
    }

    // Of a body that does not decode nothing is left.
    let mut create = world.lambda(CREATE).await;
    let mut event = world.event("POST", None, None);
    event["body"] = json!("no base64!");
    event["isBase64Encoded"] = json!(true);
    let (status, body) = create.call(event).await;
    assert_eq!((status, &body["code"]), (400, &json!("FST_ERR_VALIDATION")));
    let mut get = world.lambda(GET).await;
    for parameters in [Value::Null, json!({}), json!({ "id": "é\u{0}" })] {
        let mut event = world.event("GET", Some(""), None);
        event["pathParameters"] = parameters;
        let (status, body) = get.call(event).await;
        assert_eq!((status, &body["code"]), (400, &json!("FST_ERR_VALIDATION")));
    }
}

#[tokio::test]
async fn each_binary_names_the_variable_that_is_missing_and_does_not_start() {
    let others = [
        KEEP_ALIVE, CREATE_URL, LIST_URLS, DELETE_URL, TOKEN_URL, RESTORE, PURGE,
    ];
    let apps = [PUT_APP, GET_APP, DELETE_APP, ROTATE, WEBHOOK];
    let connecting = [CREATE_SESSION, GET_SESSION, CONNECT, CALLBACK];
    for binary in ALL.into_iter().chain(others).chain(apps).chain(connecting) {
        let required = required(binary);
        for missing in &required {
            for set in [None, Some("")] {
                let others = required.iter().filter(|name| *name != missing);
                let env = others.map(|name| ((*name).to_owned(), "value".to_owned()));
                let mut command = process(binary, env);
                command.env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9");
                if let Some(empty) = set {
                    command.env(missing, empty);
                }
                let output = command.output().await.unwrap();
                let said = String::from_utf8(output.stderr).unwrap();
                assert_eq!(output.status.code(), Some(1), "{binary}: {said}");
                assert_eq!(
                    said,
                    format!("Error: environment variable {missing} is not set\n"),
                    "{binary}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_zoom_base_url_that_is_none_is_named_at_start() {
    for binary in [CREATE, UPDATE] {
        for name in ["ZOOM_OAUTH_BASE_URL", "ZOOM_API_BASE_URL"] {
            for (url, why) in [
                ("zoom.us", "is not a URL"),
                ("ftp://zoom.us", "is not an HTTP URL"),
            ] {
                let env = required(binary)
                    .into_iter()
                    .map(|name| (name.to_owned(), "value".to_owned()));
                let output = process(binary, env).env(name, url).output().await.unwrap();
                let said = String::from_utf8(output.stderr).unwrap();
                assert_eq!(said, format!("Error: environment variable {name} {why}\n"));
                assert_eq!(output.status.code(), Some(1));
            }
        }
    }
}

#[tokio::test]
async fn each_request_is_one_line_of_json_with_its_metrics_and_nothing_secret() {
    let world = World::new().await;
    let mut create = world.lambda(CREATE).await;
    let event = world.event("POST", None, Some(&app_body()));
    let (_, created) = create.call(event).await;

    let mut line = create.logged().await;
    assert_metrics(
        &mut line,
        &json!({ "dynamodb_calls": 4, "kms_calls": 1, "zoom_calls": 0 }),
    );
    assert_eq!(
        line,
        json!({
            "level": "INFO",
            "message": "request",
            "request_id": "77375676-xmpl-4b79-853a-f982474efe18",
            "route": "POST /v2/zoom-credentials",
            "team": "local",
            "credential_id": created["data"]["credential_id"],
            "status": 201,
        })
    );

    // A refusal is one line too; a stranger's team is a claim, and not said.
    let mut event = world.event("POST", None, Some(&app_body()));
    event["headers"]["x-meeting-baas-api-key"] = json!("zcv_local_unknown");
    create.call(event).await;
    let mut line = create.logged().await;
    assert_metrics(
        &mut line,
        &json!({ "dynamodb_calls": 0, "kms_calls": 0, "zoom_calls": 0 }),
    );
    assert_eq!(
        line,
        json!({
            "level": "INFO",
            "message": "request",
            "request_id": "77375676-xmpl-4b79-853a-f982474efe18",
            "route": "POST /v2/zoom-credentials",
            "status": 401,
            "code": "FST_ERR_UNAUTHORIZED",
        })
    );

    let (lines, errors) = create.rest().await;
    assert_eq!(lines, Vec::<String>::new());
    assert_eq!(errors, "");
}

#[tokio::test]
async fn a_failure_is_logged_with_its_cause() {
    let world = World::new().await;
    let mut env = world.env.clone();
    env.insert("CREDENTIALS_TABLE".to_owned(), "missing".to_owned());
    let mut get = Lambda::start(GET, &env).await;
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";

    let (status, body) = get.call(world.event("GET", Some(id), None)).await;

    assert_eq!((status, &body["code"]), (500, &json!("FST_ERR_INTERNAL")));
    let line = get.logged().await;
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["message"], "request failed");
    assert_eq!(line["credential_id"], id);
    let cause = line["cause"].as_str().unwrap();
    assert!(
        cause.contains("DynamoDB GetItem found no such table"),
        "{cause}"
    );
    assert!(cause.contains("ResourceNotFoundException"), "{cause}");
    let what_to_do = "check the names of tables in the environment against the stack's outputs";
    assert!(cause.contains(what_to_do), "{cause}");
    let (lines, errors) = get.rest().await;
    assert_eq!((lines, errors), (Vec::new(), String::new()));
}

#[tokio::test]
async fn a_function_whose_role_lacks_a_right_is_unavailable_and_logs_which() {
    let world = World::new().await;
    for (service_of, action) in [
        ("AWS_ENDPOINT_URL_DYNAMODB", "dynamodb:GetItem"),
        ("AWS_ENDPOINT_URL_KMS", "kms:GenerateDataKey"),
    ] {
        let mut env = world.env.clone();
        let denying = service(StatusCode::BAD_REQUEST, denial(action)).await;
        env.insert(service_of.to_owned(), denying);
        let mut create = Lambda::start(CREATE, &env).await;

        let (status, body) = create
            .call(world.event("POST", None, Some(&app_body())))
            .await;

        assert_eq!(
            (status, &body["code"]),
            (503, &json!("FST_ERR_UNAVAILABLE"))
        );
        assert!(!body.to_string().contains(action));
        let line = create.logged().await;
        assert_eq!(line["level"], "ERROR");
        let cause = line["cause"].as_str().unwrap();
        assert!(cause.contains(action), "{cause}");
        let (lines, errors) = create.rest().await;
        assert_eq!((lines, errors), (Vec::new(), String::new()));
    }
}

/// Every request has its line, and a failure of KMS or Zoom one more metric.
#[tokio::test]
async fn each_way_in_which_kms_and_zoom_fail_is_a_metric_of_its_own() {
    const ZOOM: &str = "ZOOM_OAUTH_BASE_URL";
    let world = World::new().await;
    let refuse = |status: u16, answer: Value| {
        service(StatusCode::from_u16(status).unwrap(), answer.to_string())
    };
    let kms = refuse(400, json!({ "__type": "DisabledException" })).await;
    let down = refuse(500, json!({})).await;
    let limiting = refuse(429, json!({})).await;
    let invalid_client = refuse(401, json!({ "error": "invalid_client" })).await;
    let invalid_grant = refuse(400, json!({ "error": "invalid_grant" })).await;
    let body = json!({
        "name": "bot",
        "client_id": DEMO_CLIENT_ID,
        "client_secret": DEMO_CLIENT_SECRET,
        "authorization_code": "code",
        "redirect_uri": "https://example.com/callback",
    });
    for (variable, url, status, metric) in [
        ("AWS_ENDPOINT_URL_KMS", kms, 503, "kms_failed"),
        (ZOOM, down, 502, "zoom_failed"),
        (ZOOM, silence().await, 504, "zoom_silent"),
        (ZOOM, limiting, 503, "zoom_limited"),
        (ZOOM, invalid_client, 400, "zoom_app_refused"),
        (ZOOM, invalid_grant, 400, "zoom_grant_refused"),
    ] {
        let mut env = world.env.clone();
        env.insert(variable.to_owned(), url);
        if metric == "zoom_silent" {
            env.insert("ZOOM_TIMEOUT_MS".to_owned(), "100".to_owned());
        }
        let mut create = Lambda::start(CREATE, &env).await;

        let answer = create.call(world.event("POST", None, Some(&body))).await;

        assert_eq!(answer.0, status, "{}", answer.1);
        let mut metrics = take_metrics(&mut create.logged().await);
        for name in ["latency_ms", "dynamodb_calls", "kms_calls", "zoom_calls"] {
            assert!(metrics.remove(name).is_some());
        }
        let one = (1, "Count".to_owned());
        assert_eq!(metrics, BTreeMap::from([(metric.to_owned(), one)]));
    }
}

#[tokio::test]
async fn what_is_no_request_has_no_metrics() {
    let world = World::new().await;
    let mut env = world.env.clone();
    let down = service(StatusCode::INTERNAL_SERVER_ERROR, "").await;
    env.insert("ZOOM_API_BASE_URL".to_owned(), down);
    let mut create = Lambda::start(CREATE, &env).await;
    let redirect_uri = "http://localhost:3000/callback";
    let consent = json!({
        "client_id": DEMO_CLIENT_ID,
        "redirect_uri": redirect_uri,
        "user_id": "ada-sandbox-user",
    });
    let codes = format!("{}/sandbox/codes", env["ZOOM_OAUTH_BASE_URL"]);
    let code = world.http.post(codes).json(&consent).send().await.unwrap();
    let code: Value = code.json().await.unwrap();
    let mut body = app_body();
    body["authorization_code"] = code["code"].clone();
    body["redirect_uri"] = json!(redirect_uri);

    let (status, created) = create.call(world.event("POST", None, Some(&body))).await;

    assert_eq!(status, 201, "{created}");
    let warning = create.logged().await;
    assert_eq!(warning["level"], "WARN");
    assert_eq!(warning["message"], "the profile is not known yet");
    assert_eq!(warning.get("_aws"), None);
    assert_eq!(create.logged().await["message"], "request");
}

/// Below `INFO`, Lambda's own runtime logs events whole.
#[tokio::test]
async fn no_log_level_makes_a_function_log_what_it_was_sent() {
    let world = World::new().await;
    for level in ["DEBUG", "TRACE"] {
        for format in ["JSON", "Text"] {
            let mut env = world.env.clone();
            env.insert("AWS_LAMBDA_LOG_LEVEL".to_owned(), level.to_owned());
            env.insert("AWS_LAMBDA_LOG_FORMAT".to_owned(), format.to_owned());
            let mut create = Lambda::start(CREATE, &env).await;
            let event = world.event("POST", None, Some(&app_body()));
            let sent = event["headers"]["x-meeting-baas-api-key"]
                .as_str()
                .unwrap()
                .to_owned();
            let (status, _) = create.call(event).await;
            assert_eq!(status, 201);

            let (lines, errors) = create.rest().await;
            let said = lines.join("\n") + &errors;
            assert!(said.contains("POST /v2/zoom-credentials"), "{said}");
            for secret in [sent.as_str(), app_body()["client_secret"].as_str().unwrap()] {
                assert!(!said.contains(secret), "{level} {format}");
            }
        }
    }
}

/// The name of KMS's protocol stands in every binary that can speak it.
#[test]
fn the_binaries_that_seal_and_open_nothing_hold_no_kms() {
    let speaks_kms = |binary: &str| {
        let bytes = std::fs::read(binary).unwrap();
        bytes
            .windows(b"TrentService".len())
            .any(|window| window == b"TrentService")
    };
    assert!(speaks_kms(CREATE) && speaks_kms(UPDATE));
    for binary in [
        LIST,
        GET,
        DELETE,
        LIST_EVENTS,
        GET_APP,
        DELETE_APP,
        RESTORE,
        PURGE,
        GET_SESSION,
        CONNECT,
    ] {
        assert!(!speaks_kms(binary), "{binary}");
    }
}
