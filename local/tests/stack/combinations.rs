//! Each part of the stack can be replaced. The file `env` then has what other programs need to reach all parts.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::config::Credentials;
use axum::Router;
use local::{engine, kms, zoom};
use serde_json::json;
use shared::config::Aws;
use tokio::net::TcpListener;

use crate::process::{Env, RunningStack, start_error};

/// The variables that replace a part.
const PARTS: [&str; 4] = [
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_KMS",
    "ZOOM_OAUTH_BASE_URL",
    "ZOOM_API_BASE_URL",
];

/// Parts that run elsewhere. As DynamoDB Local does, DynamoDB and KMS take any credentials.
struct Elsewhere {
    urls: BTreeMap<&'static str, String>,
}

impl Elsewhere {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dynamodb = format!("http://{}", listener.local_addr().unwrap());
        let database = engine::open(None).unwrap();
        tokio::spawn(engine::serve(listener, database, std::future::pending()));
        let kms = serve(kms::Emulator::open(None).unwrap().router()).await;
        let sandbox = zoom::Sandbox::open(None).unwrap();
        let zoom = serve(sandbox.router()).await;
        sandbox.set_origin(zoom.parse().unwrap());
        let urls = [dynamodb, kms, zoom.clone(), zoom];
        Self {
            urls: PARTS.into_iter().zip(urls).collect(),
        }
    }

    /// Each set of replaced parts, as variables.
    fn combinations(&self) -> impl Iterator<Item = Env> {
        (0..16_u8).map(|set| {
            let chosen = PARTS.iter().enumerate();
            let chosen = chosen.filter(|(bit, _)| set & (1 << bit) != 0);
            chosen
                .map(|(_, name)| ((*name).to_owned(), self.urls[name].clone()))
                .collect()
        })
    }
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn replaces_aws(env: &Env) -> bool {
    PARTS[..2].iter().any(|name| env.contains_key(*name))
}

fn replaces_half_of_zoom(env: &Env) -> bool {
    env.contains_key(PARTS[2]) != env.contains_key(PARTS[3])
}

/// Uses every part with these variables alone, as this project's CLI and the AWS CLI do.
async fn expect_all_parts_usable(env: &Env, what: &str) {
    let variable = |name: &str| env.get(name).unwrap_or_else(|| panic!("{what}: no {name}"));
    let credentials = Credentials::new(
        variable("AWS_ACCESS_KEY_ID"),
        variable("AWS_SECRET_ACCESS_KEY"),
        None,
        None,
        "test",
    );
    let region = variable("AWS_REGION").clone();
    let url = |name| Some(variable(name).clone());
    let aws = Aws::new(region, credentials, url(PARTS[0]), url(PARTS[1])).unwrap();
    let scan = aws.dynamodb().scan().table_name(variable("KEYS_TABLE"));
    assert!(scan.send().await.unwrap().count() > 0, "{what}");
    let key = aws.kms().describe_key().key_id(variable("ENVELOPE_KEY_ID"));
    key.send().await.unwrap();
}

#[tokio::test]
async fn env_has_what_each_of_the_16_combinations_of_parts_needs() {
    let elsewhere = Elsewhere::start().await;
    for env in elsewhere.combinations() {
        let what = format!("{:?} replaced", env.keys());
        let data = tempfile::tempdir().unwrap();
        if replaces_half_of_zoom(&env) {
            assert_eq!(
                start_error(data.path(), &["--port", "0"], &env).await,
                "error: set both ZOOM_OAUTH_BASE_URL and ZOOM_API_BASE_URL, or neither\n"
            );
            continue;
        }
        let stack = RunningStack::start_with(data.path(), &env).await;
        for (name, url) in &elsewhere.urls {
            assert_eq!(env.contains_key(*name), &stack.env[*name] == url, "{what}");
        }
        expect_all_parts_usable(&stack.env, &what).await;
        stack.create(&stack.user_credential_body().await).await;
        stack.interrupt().await;
    }
}

/// The caller's own credentials are for the replaced part, so the built-in part must take them too. The stack does not
/// write them into a file.
#[tokio::test]
async fn the_callers_own_credentials_work_for_both_aws_services_and_are_not_written_to_env() {
    let elsewhere = Elsewhere::start().await;
    let own = [
        ("AWS_ACCESS_KEY_ID", "AKIAOWNKEY"),
        ("AWS_SECRET_ACCESS_KEY", "own-secret"),
    ];
    let own: Env = own
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    for env in elsewhere.combinations() {
        if replaces_half_of_zoom(&env) {
            continue;
        }
        let what = format!("{:?} replaced", env.keys());
        let data = tempfile::tempdir().unwrap();
        let with_own = env.clone().into_iter().chain(own.clone()).collect();
        let stack = RunningStack::start_with(data.path(), &with_own).await;

        let has_own_key = !stack.env.contains_key("AWS_ACCESS_KEY_ID");
        assert_eq!(has_own_key, replaces_aws(&env), "{what}");
        let file = std::fs::read_to_string(data.path().join("env")).unwrap();
        assert!(!file.contains("AKIAOWNKEY") && !file.contains("own-secret"));
        // A shell that has the credentials loads the file.
        let shell = own.clone().into_iter().chain(stack.env.clone()).collect();
        expect_all_parts_usable(&shell, &what).await;
        assert_eq!(stack.list().await, json!([]));
        stack.interrupt().await;
    }
}

/// A shell loaded `env`, and the stack starts again and takes its ports again.
#[tokio::test]
async fn a_shell_that_loaded_env_reaches_the_stack_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let stack = RunningStack::start(data.path()).await;
    let loaded = stack.env.clone();
    stack.interrupt().await;

    let stack = RunningStack::start(data.path()).await;
    let what = "after a restart";
    for name in &PARTS {
        assert_eq!(stack.env[*name], loaded[*name]);
    }
    expect_all_parts_usable(&loaded, what).await;
}
