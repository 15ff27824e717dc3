//! The process of a function, and the runtime API that gives it events.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Mutex, Notify, mpsc};

use crate::binaries::{OPTIONAL_VARIABLES, required};
use crate::services::serve;

/// Lambda's side of the runtime API: it gives out events and takes answers.
struct RuntimeApi {
    asked: Arc<Notify>,
    events: Mutex<mpsc::Receiver<Value>>,
    answers: mpsc::Sender<Posted>,
    number: AtomicU64,
}

/// What a function posted to the runtime API.
#[derive(Debug)]
enum Posted {
    Answer(String, Value),
    /// API Gateway would answer a 502 without a body.
    Failure(String),
}

async fn next(State(api): State<Arc<RuntimeApi>>) -> impl IntoResponse {
    api.asked.notify_one();
    let event = api.events.lock().await.recv().await;
    // No more events: Lambda freezes the sandbox.
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

/// The process of a function.
pub(crate) struct Lambda {
    /// Notified when the function asks for an event.
    pub(crate) asked: Arc<Notify>,
    events: mpsc::Sender<Value>,
    answers: mpsc::Receiver<Posted>,
    invoked: u64,
    pub(crate) child: Child,
    log: Lines<BufReader<ChildStdout>>,
}

/// The process that Lambda would start. Its environment holds only what Lambda and the template set.
pub(crate) fn process(binary: &str, env: impl IntoIterator<Item = (String, String)>) -> Command {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .envs(env)
        .env("AWS_LAMBDA_FUNCTION_NAME", "f")
        .env("STACK_NAME", "a-stack")
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
    /// Starts a function with its required variables, and the endpoints of the stack.
    pub(crate) async fn start(binary: &str, env: &BTreeMap<String, String>) -> Self {
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

        let names: BTreeSet<&str> = required(binary)
            .into_iter()
            .chain(OPTIONAL_VARIABLES)
            .collect();
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

    /// Sends an event. Returns the function's answer, a proxy response for API Gateway.
    pub(crate) async fn invoke(&mut self, event: Value) -> Value {
        self.events.send(event).await.unwrap();
        let time_out = Duration::from_secs(30);
        let posted = tokio::time::timeout(time_out, self.answers.recv()).await;
        match posted.unwrap().unwrap() {
            Posted::Answer(id, answer) => {
                assert_eq!(id, format!("invocation-{}", self.invoked));
                self.invoked += 1;
                answer
            }
            Posted::Failure(error) => panic!("a 502 without a body: {error}"),
        }
    }

    /// Sends an event. Returns the status and the body, which is an envelope.
    pub(crate) async fn call(&mut self, event: Value) -> (u64, Value) {
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
            ("strict-transport-security", "max-age=63072000"),
        ] {
            assert_eq!(headers[name], json!([value]));
        }
        assert!(!headers["x-request-id"][0].as_str().unwrap().is_empty());
        (status, body)
    }

    /// The next line on standard output.
    pub(crate) async fn logged(&mut self) -> Value {
        let line = self.log.next_line().await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"))
    }

    /// Ends the process. Returns the rest of its standard output and its standard error.
    pub(crate) async fn stop(mut self) -> (Vec<String>, String) {
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
