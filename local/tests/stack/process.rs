//! Starts the stack in a process, and talks to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use local::zoom::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

pub(crate) type Env = BTreeMap<String, String>;

/// A stack in its own process. Dropping it kills the process.
pub(crate) struct RunningStack {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// The output until the stack is ready.
    pub(crate) greeting: String,
    pub(crate) api: String,
    pub(crate) zoom: String,
    /// The API key.
    pub(crate) key: String,
    /// The variables in the file `env`.
    pub(crate) env: Env,
    pub(crate) http: Client,
}

pub(crate) fn command(data: &Path, arguments: &[&str], env: &Env) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local"));
    command
        .arg("--data-dir")
        .arg(data)
        .args(arguments)
        .env_clear()
        .envs(env)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl RunningStack {
    pub(crate) async fn start(data: &Path) -> Self {
        Self::start_with(data, &Env::new()).await
    }

    /// Starts a stack on any free port, and waits until it is ready.
    pub(crate) async fn start_with(data: &Path, env: &Env) -> Self {
        Self::start_command(data, command(data, &["--port", "0"], env)).await
    }

    /// Starts a stack with this command and data directory, and waits until it is ready.
    pub(crate) async fn start_command(data: &Path, mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("Press Ctrl-C to stop") {
            if stdout.read_line(&mut greeting).await.unwrap() == 0 {
                let mut errors = String::new();
                let mut stderr = child.stderr.take().unwrap();
                stderr.read_to_string(&mut errors).await.unwrap();
                panic!("{greeting}{errors}");
            }
        }
        let after = |label: &str| {
            let line = greeting
                .lines()
                .find_map(|line| line.trim().strip_prefix(label));
            line.unwrap().split_whitespace().next().unwrap().to_owned()
        };
        // Fails if another test installed the provider already.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        Self {
            api: after("API"),
            zoom: after("Zoom"),
            key: std::fs::read_to_string(data.join("api-key")).unwrap(),
            env: variables(data),
            http: Client::new(),
            child,
            stdout,
            greeting,
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.api));
        request.header("x-meeting-baas-api-key", &self.key)
    }

    pub(crate) async fn create(&self, body: &Value) -> Value {
        let request = self
            .request(Method::POST, "/v2/zoom-credentials")
            .json(body);
        let answer = request.send().await.unwrap();
        let (status, body): (_, Value) = (answer.status(), answer.json().await.unwrap());
        assert_eq!(status, 201, "{body}");
        body["data"].clone()
    }

    pub(crate) async fn list(&self) -> Value {
        let request = self.request(Method::GET, "/v2/zoom-credentials");
        let answer = request.send().await.unwrap();
        let (status, body): (_, Value) = (answer.status(), answer.json().await.unwrap());
        assert_eq!(status, 200, "{body}");
        body["data"].clone()
    }

    /// Posts to a control endpoint of the Zoom sandbox.
    pub(crate) async fn control_zoom(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/sandbox/{path}", self.zoom);
        let answer = self.http.post(url).json(body).send().await.unwrap();
        assert!(answer.status().is_success());
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
    }

    /// Lets the demo user click Allow. Returns the body that creates a credential from the code.
    pub(crate) async fn user_credential_body(&self) -> Value {
        let url = "http://localhost:3000/callback";
        let consent = json!({ "client_id": DEMO_CLIENT_ID, "redirect_uri": url, "user_id": "ada" });
        self.control_zoom("users", &json!({ "id": "ada" })).await;
        let code = self.control_zoom("codes", &consent).await["code"].clone();
        json!({
            "name": "user",
            "client_id": DEMO_CLIENT_ID,
            "client_secret": DEMO_CLIENT_SECRET,
            "authorization_code": code,
            "redirect_uri": url,
        })
    }

    pub(crate) async fn signal(&self, signal: &str) {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await;
        assert!(sent.unwrap().success());
    }

    /// Waits for the end of the process. Returns its exit status and its whole output.
    pub(crate) async fn wait_for_end(mut self) -> (ExitStatus, String) {
        let mut output = self.greeting;
        self.stdout.read_to_string(&mut output).await.unwrap();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut output).await.unwrap();
        (self.child.wait().await.unwrap(), output)
    }

    /// Stops the stack as Ctrl-C does. Returns its whole output.
    pub(crate) async fn interrupt(self) -> String {
        self.signal("-INT").await;
        let (status, output) = self.wait_for_end().await;
        assert_eq!(status.code(), Some(0), "{output}");
        output
    }
}

/// The variables in the file `env`.
pub(crate) fn variables(data: &Path) -> Env {
    let text = std::fs::read_to_string(data.join("env")).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The body that creates a credential without a user.
pub(crate) fn credential_body(name: &str) -> Value {
    json!({ "name": name, "client_id": "an-app", "client_secret": "canary of the client secret" })
}

pub(crate) fn names(list: &Value) -> Vec<&str> {
    let all = list.as_array().unwrap().iter();
    all.map(|credential| credential["name"].as_str().unwrap())
        .collect()
}

/// Starts a stack that fails to start. Returns its error output.
pub(crate) async fn start_error(data: &Path, arguments: &[&str], env: &Env) -> String {
    let ended: Output = command(data, arguments, env).output().await.unwrap();
    let output = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{output}");
    assert_eq!(ended.stdout, b"");
    output
}
