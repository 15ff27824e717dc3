//! A local stack for one test, and ways to use it: the program itself, HTTP, and direct access to the tables.

use std::path::Path;
use std::process::{Output, Stdio};

use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use local::stack::{ExternalEndpoints, Options, Stack};
use serde_json::{Value, json};
use shared::config::Aws;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) struct TestStack {
    pub(crate) api: String,
    /// The variables in the stack's file `env`.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) http: reqwest::Client,
    /// The stack's own database and KMS.
    pub(crate) aws: Aws,
    server: Server,
    data: tempfile::TempDir,
}

/// A stack that serves until it gets the signal to stop.
struct Server {
    api: String,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Server {
    async fn start(data: &Path, envelope_key: Option<String>) -> Self {
        let stack = loop {
            let started = Stack::start(Options {
                data_dir: data.to_owned(),
                port: 0,
                zoom_port: 0,
                external: ExternalEndpoints::default(),
                envelope_key: envelope_key.clone(),
                allowed_hosts: Vec::new(),
            });
            match started.await {
                // A child process that another test is starting inherits the lock file until its own program runs.
                Err(local::stack::Error::DirectoryInUse(_)) => tokio::task::yield_now().await,
                started => break started.unwrap(),
            }
        };
        let api = stack.api().as_str().trim_end_matches('/').to_owned();
        let (stop, stopped) = oneshot::channel();
        let served = stack.serve(async { stopped.await.unwrap_or(()) });
        Self {
            api,
            stop,
            served: tokio::spawn(served),
        }
    }
}

/// Reads the file `env` that a stack writes into its data directory.
fn read_env(data: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(data.join("env")).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn variable<'a>(env: &'a [(String, String)], name: &str) -> &'a str {
    &env.iter().find(|(it, _)| it == name).unwrap().1
}

fn aws(env: &[(String, String)]) -> Aws {
    let url = |name| Some(variable(env, name).to_owned());
    let (dynamodb, kms) = (
        url("AWS_ENDPOINT_URL_DYNAMODB"),
        url("AWS_ENDPOINT_URL_KMS"),
    );
    let credentials = Credentials::new(
        variable(env, "AWS_ACCESS_KEY_ID"),
        variable(env, "AWS_SECRET_ACCESS_KEY"),
        None,
        None,
        "test",
    );
    Aws::new("us-east-1".to_owned(), credentials, dynamodb, kms).unwrap()
}

/// The result of one run of the program.
#[derive(Debug)]
pub(crate) struct CliResult {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for CliResult {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Starts an HTTP server on a free port and returns its URL.
pub(crate) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Starting and stopping the stack.
impl TestStack {
    pub(crate) async fn start() -> Self {
        // Fails if a provider is installed already.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), None).await;
        let env = read_env(data.path());
        Self {
            api: server.api.clone(),
            aws: aws(&env),
            env,
            http: reqwest::Client::new(),
            server,
            data,
        }
    }

    /// Creates another KMS key and restarts the stack with it. Rows that are sealed already stay under the first key.
    pub(crate) async fn change_envelope_key(mut self) -> Self {
        let created = self.aws.kms().create_key().send().await.unwrap();
        let new = created.key_metadata.and_then(|key| key.arn).unwrap();
        self.server.stop.send(()).unwrap();
        self.server.served.await.unwrap();
        self.server = Server::start(self.data.path(), Some(new.clone())).await;
        self.api.clone_from(&self.server.api);
        self.env = read_env(self.data.path());
        self.aws = aws(&self.env);
        assert_eq!(self.variable("ENVELOPE_KEY_ID"), new);
        self
    }
}

/// Running the program.
impl TestStack {
    pub(crate) async fn cli(&self, line: &str) -> CliResult {
        self.cli_without(line, "").await
    }

    /// Leaves variables out of the program's environment.
    pub(crate) async fn cli_without(&self, line: &str, variable: &str) -> CliResult {
        self.cli_with(line, &[variable], &[]).await
    }

    /// Leaves variables out of the program's environment, and adds others.
    pub(crate) async fn cli_with(
        &self,
        line: &str,
        without: &[&str],
        with: &[(&str, &str)],
    ) -> CliResult {
        let env = self
            .env
            .iter()
            .filter(|(name, _)| !without.contains(&name.as_str()));
        let output = Command::new(env!("CARGO_BIN_EXE_zoom-vault"))
            .args(line.split_whitespace())
            .env_clear()
            .envs(env.map(|(name, value)| (name, value)))
            .envs(with.iter().copied())
            .stdin(Stdio::null())
            .output()
            .await;
        output.unwrap().into()
    }

    pub(crate) async fn cli_with_stdin(&self, line: &str, input: &str) -> CliResult {
        let mut child = Command::new(env!("CARGO_BIN_EXE_zoom-vault"))
            .args(line.split_whitespace())
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        child.wait_with_output().await.unwrap().into()
    }

    /// Runs a command that must succeed. Returns stdout.
    pub(crate) async fn ok(&self, line: &str) -> String {
        let result = self.cli(line).await;
        assert_eq!(result.code, 0, "{line}: {result:?}");
        result.stdout
    }

    /// Runs a command with `--json`, which must succeed and print one document and nothing else.
    pub(crate) async fn json(&self, line: &str) -> Value {
        let result = self.cli(&format!("{line} --json")).await;
        assert_eq!((result.code, result.stderr.as_str()), (0, ""), "{line}");
        assert_eq!(result.stdout.lines().count(), 1);
        serde_json::from_str(&result.stdout).unwrap()
    }

    /// Runs a command that must fail with this exit code and print nothing to stdout. Returns stderr.
    pub(crate) async fn fails(&self, code: i32, line: &str) -> String {
        let result = self.cli(line).await;
        assert_eq!(
            (result.code, result.stdout.as_str()),
            (code, ""),
            "{line}: {result:?}"
        );
        result.stderr
    }

    /// Creates an API key and returns it.
    pub(crate) async fn create_key(&self, team: &str, permission: &str) -> String {
        let line = format!("keys create --team {team} --permission {permission}");
        self.ok(&line).await.trim_end().to_owned()
    }
}

/// Calling the API.
impl TestStack {
    /// Lists credentials. Returns the status.
    pub(crate) async fn list_credentials(&self, key: &str) -> u16 {
        let request = self.http.get(format!("{}/v2/zoom-credentials", self.api));
        let request = request.header("x-meeting-baas-api-key", key);
        request.send().await.unwrap().status().as_u16()
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> reqwest::Response {
        let request = self.http.post(format!("{}{path}", self.api));
        let request = request.header("x-meeting-baas-api-key", key).json(body);
        request.send().await.unwrap()
    }

    /// Returns the status and the body.
    pub(crate) async fn post_json(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let answer = self.post(path, key, body).await;
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Creates an app credential.
    pub(crate) async fn create_credential(&self, key: &str, name: &str) -> reqwest::Response {
        let body = json!({ "name": name, "client_id": "c", "client_secret": "s" });
        self.post("/v2/zoom-credentials", key, &body).await
    }

    /// Connects a sandbox user. Returns the new credential's id.
    pub(crate) async fn connect_user(&self, key: &str, user: &str) -> String {
        let redirect_uri = "http://localhost:3000/callback";
        let consent =
            json!({ "client_id": "sandbox-app", "redirect_uri": redirect_uri, "user_id": user });
        let codes = format!("{}/sandbox/codes", self.variable("ZOOM_OAUTH_BASE_URL"));
        let code = self.http.post(codes).json(&consent).send().await.unwrap();
        let code: Value = code.json().await.unwrap();
        let body = json!({
            "name": user, "client_id": "sandbox-app", "client_secret": "sandbox-secret",
            "authorization_code": code["code"], "redirect_uri": redirect_uri,
        });
        let (status, body) = self.post_json("/v2/zoom-credentials", key, &body).await;
        assert_eq!(status, 201, "{body}");
        body["data"]["credential_id"].as_str().unwrap().to_owned()
    }
}

/// Using the stack's database and KMS directly.
impl TestStack {
    /// The value of a variable in the stack's file `env`.
    pub(crate) fn variable(&self, name: &str) -> &str {
        variable(&self.env, name)
    }

    /// Writes a row of `credentials` with text attributes, deleted or not.
    pub(crate) async fn put_deleted_row(&self, row: &[(&str, &str)], deleted: bool) {
        let dynamodb = self.aws.dynamodb();
        let put = dynamodb.put_item();
        let mut put = put
            .table_name(self.variable("CREDENTIALS_TABLE"))
            .item("deleted", AttributeValue::Bool(deleted));
        for (name, text) in row {
            put = put.item(*name, AttributeValue::S((*text).to_owned()));
        }
        put.send().await.unwrap();
    }

    /// Writes a row with text attributes into the table that a variable names.
    pub(crate) async fn put_row(&self, table: &str, row: &[(&str, &str)]) {
        let dynamodb = self.aws.dynamodb();
        let mut put = dynamodb.put_item().table_name(self.variable(table));
        for (name, text) in row {
            put = put.item(*name, AttributeValue::S((*text).to_owned()));
        }
        put.send().await.unwrap();
    }
}
