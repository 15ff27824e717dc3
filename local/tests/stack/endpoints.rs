//! External endpoints instead of built-in services.

use serde_json::json;

use crate::process::{Env, RunningStack, command, credential_body, names, start_error};

#[tokio::test]
async fn external_services_are_used_and_their_built_in_counterparts_are_not_started() {
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let there = RunningStack::start(there.path()).await;
    let mut env = Env::new();
    for name in [
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_ENDPOINT_URL_KMS",
        "ZOOM_OAUTH_BASE_URL",
        "ZOOM_API_BASE_URL",
    ] {
        env.insert(name.to_owned(), there.env[name].clone());
    }
    for name in [
        "CREDENTIALS_TABLE",
        "SECRETS_TABLE",
        "KEYS_TABLE",
        "REQUESTS_TABLE",
    ] {
        env.insert(name.to_owned(), format!("staging-{}", there.env[name]));
    }

    // The DynamoDB and the KMS of the other stack need its credentials.
    let credentials = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let credentials = credentials.map(|name| (name.to_owned(), there.env[name].clone()));
    let with_credentials: Env = env.clone().into_iter().chain(credentials).collect();

    let stack = RunningStack::start_with(here.path(), &with_credentials).await;

    for (name, value) in &env {
        assert_eq!(&stack.env[name], value);
    }
    assert_ne!(stack.env["ENVELOPE_KEY_ID"], there.env["ENVELOPE_KEY_ID"]);
    let mut files: Vec<String> = std::fs::read_dir(here.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["api-key", "env", "lock"]);
    assert_eq!(stack.zoom, there.zoom);
    // The other stack's services got new tables and a new key. The code comes from the other stack's sandbox.
    let mut made = stack.user_credential_body().await;
    made["name"] = json!("external");
    stack.create(&made).await;
    let key = stack.env["ENVELOPE_KEY_ID"].clone();
    assert_eq!(there.list().await, json!([]));
    stack.interrupt().await;

    let again = RunningStack::start_with(here.path(), &with_credentials).await;
    assert_eq!(names(&again.list().await), ["external"]);
    assert_eq!(again.env["ENVELOPE_KEY_ID"], key);
}

#[tokio::test]
async fn only_one_zoom_url_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let env = Env::from([(
        "ZOOM_API_BASE_URL".to_owned(),
        "http://127.0.0.1:1".to_owned(),
    )]);
    assert_eq!(
        start_error(data.path(), &["--port", "0"], &env).await,
        "error: set both ZOOM_OAUTH_BASE_URL and ZOOM_API_BASE_URL, or neither\n"
    );
}

/// A developer sources `.local/env` once, and then starts the stack several times in the same shell.
#[tokio::test]
async fn a_shell_that_sourced_env_still_gets_built_in_services() {
    let data = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(data.path()).await;
    stack.create(&credential_body("kept")).await;
    let (sourced, kms_key) = (stack.env.clone(), stack.env["ENVELOPE_KEY_ID"].clone());
    stack.interrupt().await;

    for run in 2..5 {
        let stack = RunningStack::start_with(data.path(), &sourced).await;
        assert_eq!(names(&stack.list().await), ["kept"], "run {run}");
        assert_eq!(stack.env["ENVELOPE_KEY_ID"], kms_key);
        assert!(
            stack.greeting.contains("in a browser"),
            "the sandbox is built in"
        );
        stack.interrupt().await;
    }
}

#[tokio::test]
async fn an_empty_endpoint_counts_as_unset_and_a_malformed_endpoint_is_named() {
    let data = tempfile::tempdir().unwrap();
    let names = [
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_ENDPOINT_URL_KMS",
        "ZOOM_OAUTH_BASE_URL",
        "ZOOM_API_BASE_URL",
    ];
    let empty: Env = names
        .iter()
        .map(|name| ((*name).to_owned(), String::new()))
        .collect();
    RunningStack::start_with(data.path(), &empty).await;

    for flag in ["--dynamodb", "--kms", "--zoom-oauth", "--zoom-api"] {
        let ended = command(data.path(), &["--port", "0", flag, "nonsense"], &Env::new()).output();
        let ended = ended.await.unwrap();
        let output = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{output}");
        assert!(
            output.contains(flag) && output.contains("not an http or https URL"),
            "{output}"
        );
    }
}

#[tokio::test]
async fn an_unreachable_endpoint_is_named_with_its_flag_and_variable() {
    let data = tempfile::tempdir().unwrap();
    let unreachable = Env::from([(
        "AWS_ENDPOINT_URL_DYNAMODB".to_owned(),
        "http://127.0.0.1:9".to_owned(),
    )]);
    let output = start_error(data.path(), &["--port", "0"], &unreachable).await;
    let first = "error: cannot use the DynamoDB at http://127.0.0.1:9 (--dynamodb, AWS_ENDPOINT_URL_DYNAMODB): ";
    assert!(output.starts_with(first), "{output}");
    assert!(output.contains("Connection refused"), "{output}");
    assert!(!output.contains("DispatchFailure"), "{output}");
}
