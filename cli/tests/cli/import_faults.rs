//! Faults during an import: of Zoom, of DynamoDB, of the app, and signals to the program.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::harness::{CliResult, serve};
use crate::import::{APP, Importing, SECRET, export};

/// What a proxy does with a call.
pub(crate) enum Fault {
    /// The call goes on to the service.
    None,
    /// The service does not get the call.
    Instead(Response),
    /// The service gets the call, and this is the answer.
    Hide(Response),
}

impl Importing {
    /// Starts a proxy in front of the service that this variable names. `fault` gets the path and the body of each
    /// call. Returns the URL.
    pub(crate) async fn proxy(
        &self,
        variable: &str,
        fault: impl Fn(&str, &str) -> Fault + Clone + Send + Sync + 'static,
    ) -> String {
        let upstream = self
            .stack
            .variable(variable)
            .trim_end_matches('/')
            .to_owned();
        let http = self.stack.http.clone();
        let router = Router::new().fallback(
            async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let fault = fault(uri.path(), &String::from_utf8_lossy(&body));
                if let Fault::Instead(answer) = fault {
                    return answer;
                }
                let request = http.request(method, format!("{upstream}{uri}"));
                let answer = request.headers(headers).body(body).send().await.unwrap();
                if let Fault::Hide(answer) = fault {
                    return answer;
                }
                let kind = answer.headers().get("content-type").cloned();
                let status = answer.status();
                let mut answer = (status, answer.bytes().await.unwrap()).into_response();
                answer
                    .headers_mut()
                    .extend(kind.map(|kind| (axum::http::header::CONTENT_TYPE, kind)));
                answer
            },
        );
        serve(router).await
    }

    /// A proxy in front of Zoom that hides the answer to the first refresh. The program sends the token once more, and
    /// Zoom refuses it.
    pub(crate) async fn zoom_that_loses_an_answer(&self) -> String {
        let refreshes = Arc::new(AtomicUsize::new(0));
        self.proxy("ZOOM_OAUTH_BASE_URL", move |_, body| {
            let is_refresh = body.contains("grant_type=refresh_token");
            if is_refresh && refreshes.fetch_add(1, Ordering::SeqCst) == 0 {
                Fault::Hide(StatusCode::INTERNAL_SERVER_ERROR.into_response())
            } else {
                Fault::None
            }
        })
        .await
    }

    /// A proxy in front of Zoom's API that does not show the profile of a user, and asks to wait.
    async fn zoom_that_shows_nobody(&self, seconds: &'static str) -> String {
        self.proxy("ZOOM_API_BASE_URL", move |path, _| {
            if path == "/v2/users/me" {
                let wait = [("retry-after", seconds)];
                Fault::Instead((StatusCode::TOO_MANY_REQUESTS, wait, "{}").into_response())
            } else {
                Fault::None
            }
        })
        .await
    }

    /// Runs the program with another address of a service.
    pub(crate) async fn cli_at(&self, line: &str, variable: &str, url: &str) -> CliResult {
        self.stack
            .cli_with(line, &[variable], &[(variable, url)])
            .await
    }

    /// Starts the program with another address of a service.
    fn spawn_at(&self, line: &str, variable: &str, url: &str) -> Child {
        let env = self.stack.env.iter().filter(|(name, _)| name != variable);
        Command::new(env!("CARGO_BIN_EXE_zoom-vault"))
            .args(line.split_whitespace())
            .env_clear()
            .envs(env.map(|(name, value)| (name, value)))
            .env(variable, url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Gives the sandbox's app another client secret.
    async fn rotate_secret(&self, secret: &str) {
        let app = json!({
            "client_id": APP, "client_secret": secret, "redirect_uris": ["http://localhost:3000/callback"],
            "scopes": ["user:read:user", "user:read:token", "user:read:zak"],
        });
        let url = format!(
            "{}/sandbox/apps",
            self.stack.variable("ZOOM_OAUTH_BASE_URL")
        );
        let made = self.stack.http.post(url).json(&app).send().await.unwrap();
        assert!(made.status().is_success(), "{made:?}");
    }
}

/// The rows of a report in JSON.
fn rows(result: &CliResult) -> Vec<Value> {
    let document: Value =
        serde_json::from_str(&result.stdout).unwrap_or_else(|_| panic!("{result:?}"));
    document["rows"].as_array().unwrap().clone()
}

// Seen to fail: Ctrl-C did not end the wait.
#[tokio::test]
async fn a_signal_ends_the_wait_before_a_repetition_and_all_lines_are_reported() {
    let importing = Importing::start().await;
    let tokens = [
        importing.token_of("ada").await,
        importing.token_of("grace").await,
    ];
    let lines = [
        export("generic", "ada", &tokens[0]),
        "not json".to_owned(),
        export("generic", "grace", &tokens[1]),
    ];
    importing.write("export", &lines.join("\n"));
    let zoom = importing.zoom_that_shows_nobody("60").await;
    let (first, next) = ("the new tokens are stored", "This run spent no token");
    for (signal, sent) in [("INT", first), ("TERM", next), ("HUP", next)] {
        let report = importing.path(signal);
        let options = format!("--yes --report {}", report.display());
        let line = importing.line("export", "generic", &options);
        let mut child = importing.spawn_at(&line, "ZOOM_API_BASE_URL", &zoom);
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        loop {
            let line = stderr.next_line().await.unwrap().unwrap();
            if line.contains("are tried again in 60 s") {
                break;
            }
        }
        let began = Instant::now();
        let id = child.id().unwrap().to_string();
        let told = Command::new("kill")
            .args([&format!("-{signal}"), &id])
            .status()
            .await;
        assert!(told.unwrap().success());

        let ended = tokio::time::timeout(Duration::from_secs(20), child.wait()).await;

        let ended = ended.unwrap_or_else(|_| panic!("{signal} does not end the wait"));
        assert_eq!(ended.unwrap().code(), Some(1), "{signal}");
        assert!(began.elapsed() < Duration::from_secs(15));
        let rows = importing.report(signal);
        let outcomes: Vec<_> = rows
            .values()
            .map(|row| row["outcome"].as_str().unwrap())
            .collect();
        assert_eq!(outcomes, ["retry", "malformed", "retry"], "{signal}");
        // What the first try found is not forgotten.
        for line in [1, 3] {
            let reason = rows[&line]["reason"].as_str().unwrap();
            assert!(reason.ends_with(sent), "{signal}: {reason}");
        }
    }
    assert_eq!(importing.sent().await, 2);
}

// Seen to fail: every line was `app_refused`, also those that an earlier run had imported or found dead.
#[tokio::test]
async fn a_refused_app_hides_no_outcome_of_an_earlier_run() {
    let importing = Importing::start().await;
    let [ada, gone, grace, new] = ["ada", "gone", "grace", "new"];
    let dead = importing.token_of(gone).await;
    // A new authorization ends the grant before it.
    importing.token_of(gone).await;
    let lives = export("generic", ada, &importing.token_of(ada).await);
    let dead = export("generic", gone, &dead);
    importing.write("export", &[lives.clone(), dead.clone()].join("\n"));
    let line = importing.line("export", "generic", "--yes --json");
    importing.stack.cli(&line).await;
    let begun = export("generic", grace, &importing.token_of(grace).await);
    importing.write("export", &begun);
    let zoom = importing.zoom_that_shows_nobody("1").await;
    let open = importing.cli_at(&line, "ZOOM_API_BASE_URL", &zoom).await;
    assert_eq!(rows(&open)[0]["outcome"], "retry");
    let new = export("generic", new, &importing.token_of(new).await);
    importing.write("export", &[lives, begun, new, dead].join("\n"));
    let sent = importing.sent().await;
    importing.rotate_secret("another-secret").await;

    let again = importing.stack.cli(&line).await;

    let rows = rows(&again);
    let outcomes: Vec<_> = rows
        .iter()
        .map(|row| row["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        ["imported", "app_refused", "app_refused", "dead"],
        "{again:?}"
    );
    let reason = |row: usize| rows[row]["reason"].as_str().unwrap();
    assert!(reason(2).ends_with("No token was sent"), "{}", reason(2));
    assert!(
        reason(1).ends_with("An earlier run has stored new tokens of this grant, and did not end"),
        "{}",
        reason(1)
    );
    assert_eq!(
        (&rows[0]["earlier"], &rows[3]["earlier"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(importing.sent().await, sent);
}

/// DynamoDB takes everything but new tokens, in the quickest way in which it can refuse them for good.
fn refuses_new_tokens(_: &str, body: &str) -> Fault {
    if body.contains("UpdateExpression")
        && body.contains("refreshed_at")
        && !body.contains("TransactItems")
    {
        let refusal = json!({
            "__type": "com.amazon.coral.validate#ValidationException",
            "message": "Item size to update has exceeded the maximum allowed size",
        });
        Fault::Instead((StatusCode::BAD_REQUEST, refusal.to_string()).into_response())
    } else {
        Fault::None
    }
}

// Seen to fail: the same run went on for more than 30 s, because it waited to try the token again.
#[tokio::test]
async fn tokens_that_are_only_in_a_capsule_are_not_sent_again_and_a_replay_completes_the_import() {
    let importing = Importing::start().await;
    let token = importing.token_of("ada").await;
    importing.write("export", &export("generic", "ada", &token));
    let dynamodb = importing
        .proxy("AWS_ENDPOINT_URL_DYNAMODB", refuses_new_tokens)
        .await;
    let line = importing.line("export", "generic", "--yes --json");

    let began = Instant::now();
    let result = importing
        .cli_at(&line, "AWS_ENDPOINT_URL_DYNAMODB", &dynamodb)
        .await;

    assert_eq!(result.code, 1, "{result:?}");
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "the program waits to send it again"
    );
    let row = rows(&result).remove(0);
    assert_eq!(row["outcome"], "retry");
    let reason = row["reason"].as_str().unwrap();
    assert!(reason.contains("zoom-vault capsule replay"), "{reason}");
    assert_eq!(importing.sent().await, 1);
    let log = &result.stderr;
    assert!(log.contains("zcvcap1_") && !log.contains(&token), "{log}");

    let replayed = importing.stack.cli_with_stdin("capsule replay", log).await;
    assert_eq!(replayed.code, 0, "{replayed:?}");
    let again = importing.stack.cli(&line).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(rows(&again)[0]["outcome"], "imported");
    assert_eq!(importing.sent().await, 1);
    let key = importing.stack.create_key("acme", "full").await;
    let body = json!({ "credential_id": rows(&again)[0]["credential_id"], "type": "zak" });
    let (status, body) = importing
        .stack
        .post_json("/v2/zoom-tokens", &key, &body)
        .await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn an_import_keeps_to_its_rate() {
    let importing = Importing::start().await;
    let mut lines = Vec::new();
    for user in ["a", "b", "c", "d", "e"] {
        lines.push(export("generic", user, &importing.token_of(user).await));
    }
    importing.write("export", &lines.join("\n"));
    let line = importing.line("export", "generic", "--yes --rate 2");
    let document = importing.stack.json(&line).await;
    assert_eq!(document["counts"], json!({ "imported": 5 }));
    // The first begins at once.
    assert!(document["seconds"].as_f64().unwrap() >= 2.0, "{document}");
    assert!(!document.to_string().contains(SECRET));
}
