//! Starting, stopping and restarting.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use local::stack::{ExternalEndpoints, Options, Stack};
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{RunningStack, credential_body, names, variables};

#[tokio::test]
async fn credentials_survive_a_restart_and_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let stack = RunningStack::start(data).await;
    assert_eq!(stack.list().await, json!([]));
    let first = stack.create(&credential_body("first")).await;
    let user = stack.create(&stack.user_credential_body().await).await;
    let key = stack.key.clone();
    stack.interrupt().await;

    let stack = RunningStack::start(data).await;
    assert_eq!(stack.list().await, json!([user, first]));
    assert_eq!(stack.key, key);
    // The vault can still decrypt the stored client secret, so the KMS key survived too.
    let mut again = stack.user_credential_body().await;
    for field in ["name", "client_id", "client_secret"] {
        again.as_object_mut().unwrap().remove(field);
    }
    let path = format!(
        "/v2/zoom-credentials/{}",
        user["credential_id"].as_str().unwrap()
    );
    let answer = stack
        .request(Method::PATCH, &path)
        .json(&again)
        .send()
        .await;
    assert_eq!(answer.unwrap().status(), 200);
    stack.create(&credential_body("last")).await;
    let before = stack.list().await;
    stack.signal("-KILL").await;
    assert_eq!(stack.wait_for_end().await.0.code(), None);

    let stack = RunningStack::start(data).await;
    assert_eq!(stack.list().await, before);
    assert_eq!(names(&before), ["last", "user", "first"]);
}

/// The program must not need the settings of Cargo, such as the size of a thread's stack.
#[tokio::test]
async fn outside_cargo_every_kind_of_mint_has_enough_stack() {
    let data = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(data.path()).await;
    let user = stack.create(&stack.user_credential_body().await).await;
    let id = user["credential_id"].as_str().unwrap();
    let create = async |path: &str, body: Value| {
        let answer = stack.request(Method::POST, path).json(&body).send().await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        answer["data"].clone()
    };
    let minted = json!({ "credential_id": id, "type": "onbehalf" });
    assert_eq!(create("/v2/zoom-tokens", minted).await["type"], "onbehalf");
    let of_credential = format!("/v2/zoom-credentials/{id}/token-urls");
    let of_credential = create(&of_credential, json!({ "type": "onbehalf" })).await;
    let types = ["onbehalf", "zak"];
    let choosing = json!({ "types": types, "credentials": [id], "unverified": true });
    let choosing = create("/v2/token-urls", choosing).await;

    for url in [of_credential, choosing] {
        let answer = stack.http.post(url["url"].as_str().unwrap()).send().await;
        assert_eq!(answer.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn start_writes_the_files_before_it_serves() {
    let data = tempfile::tempdir().unwrap();
    let dir = data.path().join("nested/data/directory");
    let stack = Stack::start(Options {
        data_dir: dir.clone(),
        port: 0,
        zoom_port: 0,
        external: ExternalEndpoints::default(),
        envelope_key: None,
        allowed_hosts: Vec::new(),
    });
    let stack = stack.await.unwrap();

    // The stack does not serve yet.
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("api-key")), 0o600);
    assert_eq!(mode(&dir.join("kms-keys.json")), 0o600);
    let key = std::fs::read_to_string(dir.join("api-key")).unwrap();
    assert!(key.starts_with("zcv_local_"));
    let env = variables(&dir);
    let names: Vec<&str> = env.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "API_URL",
            "AWS_ACCESS_KEY_ID",
            "AWS_DEFAULT_REGION",
            "AWS_ENDPOINT_URL_DYNAMODB",
            "AWS_ENDPOINT_URL_KMS",
            "AWS_ENDPOINT_URL_SQS",
            "AWS_REGION",
            "AWS_SECRET_ACCESS_KEY",
            "CREDENTIALS_TABLE",
            "ENVELOPE_KEY_ID",
            "EVENTS_TABLE",
            "KEYS_TABLE",
            "LOST_NOTIFICATIONS_ARN",
            "NOTIFICATION_QUEUE_URL",
            "NOTIFY_LOOPBACK",
            "PAIRS_TABLE",
            "REQUESTS_TABLE",
            "SECRETS_TABLE",
            "TOKEN_URLS_TABLE",
            "ZOOM_API_BASE_URL",
            "ZOOM_OAUTH_BASE_URL",
        ]
    );
    assert_eq!(
        env["ZOOM_API_BASE_URL"],
        stack.zoom().as_str().trim_end_matches('/')
    );
    drop(stack);
}

#[tokio::test]
async fn two_stacks_run_side_by_side_with_separate_data() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = RunningStack::start(one.path()).await;
    let other = RunningStack::start(other.path()).await;
    one.create(&credential_body("one's")).await;
    other.create(&credential_body("other's")).await;

    assert_eq!(names(&one.list().await), ["one's"]);
    assert_eq!(names(&other.list().await), ["other's"]);
    // The API key of one stack does not work at the other.
    let request = other.http.get(format!("{}/v2/zoom-credentials", other.api));
    let request = request.header("x-meeting-baas-api-key", &one.key);
    assert_eq!(request.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn an_interrupt_waits_for_a_running_invocation() {
    let data = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(data.path()).await;
    let slow = json!({ "endpoint": "token", "kind": "delay_answer", "answer_delay_ms": 700 });
    stack.control_zoom("faults", &slow).await;
    let request = stack.request(Method::POST, "/v2/zoom-credentials");
    let request = request.json(&stack.user_credential_body().await);
    let request_task = tokio::spawn(request.send());
    wait_for_zoom_call(&stack).await;
    assert!(!request_task.is_finished());

    let output = stack.interrupt().await;

    assert!(
        output.contains("stopping after the running requests"),
        "{output}"
    );
    assert_eq!(request_task.await.unwrap().unwrap().status(), 201);
    let stack = RunningStack::start(data.path()).await;
    assert_eq!(names(&stack.list().await), ["user"]);
}

#[tokio::test]
async fn an_invocation_completes_after_its_client_disconnects_and_an_interrupt() {
    let data = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(data.path()).await;
    let slow = json!({ "endpoint": "token", "kind": "delay_answer", "answer_delay_ms": 700 });
    stack.control_zoom("faults", &slow).await;
    let request = stack.request(Method::POST, "/v2/zoom-credentials");
    let request = request.json(&stack.user_credential_body().await);
    let request_task = tokio::spawn(request.send());
    wait_for_zoom_call(&stack).await;
    request_task.abort();
    assert!(request_task.await.is_err());
    stack.interrupt().await;

    let stack = RunningStack::start(data.path()).await;
    assert_eq!(names(&stack.list().await), ["user"]);
}

/// Waits until the sandbox has received a call.
async fn wait_for_zoom_call(stack: &RunningStack) {
    let ledger = format!("{}/sandbox/ledger", stack.zoom);
    loop {
        let answer = stack.http.get(&ledger).send().await.unwrap();
        let ledger: Value = answer.json().await.unwrap();
        if ledger["calls"] != json!([]) {
            break;
        }
    }
}

#[tokio::test]
async fn sigterm_stops_the_stack_with_exit_code_0() {
    let data = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(data.path()).await;
    stack.signal("-TERM").await;
    let (status, output) = stack.wait_for_end().await;
    assert_eq!(status.code(), Some(0), "{output}");
}
