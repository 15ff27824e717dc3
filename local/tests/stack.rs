//! The local stack as the process that `cargo run` starts.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a broken assumption is a failed test"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local::stack::{Elsewhere, Options, Stack};
use local::zoom::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};

type Env = BTreeMap<String, String>;

/// A stack in a process of its own.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it said until it was up.
    greeting: String,
    api: String,
    zoom: String,
    key: String,
    env: Env,
    http: Client,
}

fn command(data: &Path, arguments: &[&str], env: &Env) -> Command {
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

impl Running {
    async fn start(data: &Path) -> Self {
        Self::start_with(data, &Env::new()).await
    }

    /// On any port, until it says that it is up.
    async fn start_with(data: &Path, env: &Env) -> Self {
        let mut child = command(data, &["--port", "0"], env).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("Ctrl-C stops it") {
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
        // Fails where it is installed already.
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

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.api));
        request.header("x-meeting-baas-api-key", &self.key)
    }

    async fn create(&self, body: &Value) -> Value {
        let request = self
            .request(Method::POST, "/v2/zoom-credentials")
            .json(body);
        let answer = request.send().await.unwrap();
        let (status, body): (_, Value) = (answer.status(), answer.json().await.unwrap());
        assert_eq!(status, 201, "{body}");
        body["data"].clone()
    }

    async fn list(&self) -> Value {
        let request = self.request(Method::GET, "/v2/zoom-credentials");
        let answer = request.send().await.unwrap();
        let (status, body): (_, Value) = (answer.status(), answer.json().await.unwrap());
        assert_eq!(status, 200, "{body}");
        body["data"].clone()
    }

    /// Arranges something at the Zoom sandbox.
    async fn arrange(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/sandbox/{path}", self.zoom);
        let answer = self.http.post(url).json(body).send().await.unwrap();
        assert!(answer.status().is_success());
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
    }

    /// The demo user clicks Allow; the body that uses the code.
    async fn user_body(&self) -> Value {
        let url = "http://localhost:3000/callback";
        let consent = json!({ "client_id": DEMO_CLIENT_ID, "redirect_uri": url, "user_id": "ada" });
        self.arrange("users", &json!({ "id": "ada" })).await;
        let code = self.arrange("codes", &consent).await["code"].clone();
        json!({
            "name": "user",
            "client_id": DEMO_CLIENT_ID,
            "client_secret": DEMO_CLIENT_SECRET,
            "authorization_code": code,
            "redirect_uri": url,
        })
    }

    async fn signal(&self, signal: &str) {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await;
        assert!(sent.unwrap().success());
    }

    /// How it ended, and everything that it said.
    async fn ended(mut self) -> (ExitStatus, String) {
        let mut said = self.greeting;
        self.stdout.read_to_string(&mut said).await.unwrap();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).await.unwrap();
        (self.child.wait().await.unwrap(), said)
    }

    async fn interrupted(self) -> String {
        self.signal("-INT").await;
        let (status, said) = self.ended().await;
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }
}

fn variables(data: &Path) -> Env {
    let text = std::fs::read_to_string(data.join("env")).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn body(name: &str) -> Value {
    json!({ "name": name, "client_id": "an-app", "client_secret": "canary of the client secret" })
}

fn names(list: &Value) -> Vec<&str> {
    let all = list.as_array().unwrap().iter();
    all.map(|one| one["name"].as_str().unwrap()).collect()
}

/// A stack that does not come up.
async fn refused(data: &Path, arguments: &[&str], env: &Env) -> String {
    let output: Output = command(data, arguments, env).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(output.stdout, b"");
    said
}

#[tokio::test]
async fn it_starts_empty_and_what_was_created_survives_a_restart_and_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let stack = Running::start(data).await;
    assert_eq!(stack.list().await, json!([]));
    let first = stack.create(&body("first")).await;
    let user = stack.create(&stack.user_body().await).await;
    let key = stack.key.clone();
    stack.interrupted().await;

    let stack = Running::start(data).await;
    assert_eq!(stack.list().await, json!([user, first]));
    assert_eq!(stack.key, key);
    // The stored client secret still opens: the KMS key is there too.
    let mut again = stack.user_body().await;
    for sent in ["name", "client_id", "client_secret"] {
        again.as_object_mut().unwrap().remove(sent);
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
    stack.create(&body("last")).await;
    let before = stack.list().await;
    stack.signal("-KILL").await;
    assert_eq!(stack.ended().await.0.code(), None);

    let stack = Running::start(data).await;
    assert_eq!(stack.list().await, before);
    assert_eq!(names(&before), ["last", "user", "first"]);
}

#[tokio::test]
async fn key_and_environment_are_written_before_the_port_answers() {
    let data = tempfile::tempdir().unwrap();
    let dir = data.path().join("made/on/the/way");
    let stack = Stack::start(Options {
        data_dir: dir.clone(),
        port: 0,
        zoom_port: 0,
        elsewhere: Elsewhere::default(),
        envelope_key: None,
    });
    let stack = stack.await.unwrap();

    // Nothing is served yet.
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
            "AWS_REGION",
            "AWS_SECRET_ACCESS_KEY",
            "CREDENTIALS_TABLE",
            "ENVELOPE_KEY_ID",
            "EVENTS_TABLE",
            "KEYS_TABLE",
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
async fn two_run_side_by_side() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = Running::start(one.path()).await;
    let other = Running::start(other.path()).await;
    one.create(&body("one's")).await;
    other.create(&body("other's")).await;

    assert_eq!(names(&one.list().await), ["one's"]);
    assert_eq!(names(&other.list().await), ["other's"]);
    // Nor does the key of one open the other.
    let request = other.http.get(format!("{}/v2/zoom-credentials", other.api));
    let request = request.header("x-meeting-baas-api-key", &one.key);
    assert_eq!(request.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_way_out() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (arguments, flag) in [
        (vec!["--port", &port], "--port"),
        (vec!["--port", "0", "--zoom-port", &port], "--zoom-port"),
    ] {
        assert_eq!(
            refused(data.path(), &arguments, &Env::new()).await,
            format!(
                "error: port {port} is taken: stop what listens there, or choose another with {flag} (0 picks a free one)\n"
            )
        );
    }
}

#[tokio::test]
async fn a_data_directory_in_use_is_named_with_the_way_out() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let stack = Running::start(data).await;
    let said = refused(data, &["--port", "0"], &Env::new()).await;
    assert_eq!(
        said,
        format!(
            "error: {} is in use by another local stack: stop it, or choose another directory with --data-dir\n",
            data.display()
        )
    );
    // The one that runs is none the worse for it.
    assert_eq!(stack.list().await, json!([]));
}

#[tokio::test]
async fn an_interrupt_waits_for_the_invocation_under_way() {
    let data = tempfile::tempdir().unwrap();
    let stack = Running::start(data.path()).await;
    let slow = json!({ "endpoint": "token", "kind": "delay_answer", "answer_delay_ms": 700 });
    stack.arrange("faults", &slow).await;
    let request = stack.request(Method::POST, "/v2/zoom-credentials");
    let request = request.json(&stack.user_body().await);
    let under_way = tokio::spawn(request.send());
    let ledger = format!("{}/sandbox/ledger", stack.zoom);
    loop {
        let calls: Value = stack
            .http
            .get(&ledger)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        if calls["calls"] != json!([]) {
            break;
        }
    }
    assert!(!under_way.is_finished());

    let said = stack.interrupted().await;

    assert!(said.contains("finishing what is under way"), "{said}");
    assert_eq!(under_way.await.unwrap().unwrap().status(), 201);
    let stack = Running::start(data.path()).await;
    assert_eq!(names(&stack.list().await), ["user"]);
}

#[tokio::test]
async fn an_invocation_outlives_a_client_that_hangs_up_and_an_interrupt() {
    let data = tempfile::tempdir().unwrap();
    let stack = Running::start(data.path()).await;
    let slow = json!({ "endpoint": "token", "kind": "delay_answer", "answer_delay_ms": 700 });
    stack.arrange("faults", &slow).await;
    let request = stack.request(Method::POST, "/v2/zoom-credentials");
    let request = request.json(&stack.user_body().await);
    let under_way = tokio::spawn(request.send());
    let ledger = format!("{}/sandbox/ledger", stack.zoom);
    loop {
        let calls: Value = stack
            .http
            .get(&ledger)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        if calls["calls"] != json!([]) {
            break;
        }
    }
    under_way.abort();
    assert!(under_way.await.is_err());
    stack.interrupted().await;

    let stack = Running::start(data.path()).await;
    assert_eq!(names(&stack.list().await), ["user"]);
}

#[tokio::test]
async fn a_terminated_stack_ends_well_too() {
    let data = tempfile::tempdir().unwrap();
    let stack = Running::start(data.path()).await;
    stack.signal("-TERM").await;
    let (status, said) = stack.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
}

#[tokio::test]
async fn no_secret_is_printed_or_lies_in_any_file_but_the_keys_own() {
    const SECRET: &str = "canary of the client secret";
    let data = tempfile::tempdir().unwrap();
    let stack = Running::start(data.path()).await;
    let mut canaries = vec![SECRET.to_owned(), stack.key.clone()];
    stack.create(&body("app")).await;
    for fault in [None, Some("garbage"), Some("truncate"), Some("drop_after")] {
        if let Some(kind) = fault {
            stack
                .arrange("faults", &json!({ "endpoint": "token", "kind": kind }))
                .await;
        }
        let body = stack.user_body().await;
        canaries.push(body["authorization_code"].as_str().unwrap().to_owned());
        let request = stack.request(Method::POST, "/v2/zoom-credentials");
        let status = request.json(&body).send().await.unwrap().status();
        assert_eq!(status.as_u16(), if fault.is_some() { 502 } else { 201 });
    }
    let bad = stack.request(Method::POST, "/v2/zoom-credentials");
    let bad = bad.json(&json!({ "name": [SECRET], "client_secret": SECRET.repeat(50) }));
    assert_eq!(bad.send().await.unwrap().status(), 400);
    let said = stack.interrupted().await;
    assert!(said.contains("request failed"), "{said}");

    let mut places = vec![("the output".to_owned(), said.into_bytes())];
    for entry in std::fs::read_dir(data.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name != "api-key" {
            places.push((name, std::fs::read(entry.path()).unwrap()));
        }
    }
    assert!(places.iter().any(|(name, _)| name == "dynamodb.sqlite"));
    for (place, bytes) in places {
        let text = String::from_utf8_lossy(&bytes);
        for canary in &canaries {
            let hex: Vec<String> = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
            let base64 = STANDARD.encode(canary);
            for form in [
                canary.as_str(),
                &canary.chars().skip(canary.len() - 12).collect::<String>(),
                base64.get(..16).unwrap(),
                &hex.concat(),
                &canary.replace(' ', "+"),
                &canary.replace(' ', "%20"),
            ] {
                assert!(!text.contains(form), "{form} is in {place}");
            }
        }
    }
}

#[tokio::test]
async fn parts_that_run_elsewhere_are_used_and_not_started() {
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let there = Running::start(there.path()).await;
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

    let stack = Running::start_with(here.path(), &env).await;

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
    // The tables and the key were made there; the code is Zoom's there.
    let mut made = stack.user_body().await;
    made["name"] = json!("made elsewhere");
    stack.create(&made).await;
    let key = stack.env["ENVELOPE_KEY_ID"].clone();
    assert_eq!(there.list().await, json!([]));
    stack.interrupted().await;

    let again = Running::start_with(here.path(), &env).await;
    assert_eq!(names(&again.list().await), ["made elsewhere"]);
    assert_eq!(again.env["ENVELOPE_KEY_ID"], key);
}

#[tokio::test]
async fn half_of_zoom_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let env = Env::from([(
        "ZOOM_API_BASE_URL".to_owned(),
        "http://127.0.0.1:1".to_owned(),
    )]);
    assert_eq!(
        refused(data.path(), &["--port", "0"], &env).await,
        "error: set ZOOM_OAUTH_BASE_URL and ZOOM_API_BASE_URL both, or neither\n"
    );
}

/// A shell in which `.local/env` was sourced once, and the stack is started again and again.
#[tokio::test]
async fn a_shell_that_sourced_its_environment_still_means_the_built_in_parts() {
    let data = tempfile::tempdir().unwrap();
    let stack = Running::start(data.path()).await;
    stack.create(&body("kept")).await;
    let (sourced, kms_key) = (stack.env.clone(), stack.env["ENVELOPE_KEY_ID"].clone());
    stack.interrupted().await;

    for run in 2..5 {
        let stack = Running::start_with(data.path(), &sourced).await;
        assert_eq!(names(&stack.list().await), ["kept"], "run {run}");
        assert_eq!(stack.env["ENVELOPE_KEY_ID"], kms_key);
        assert!(
            stack.greeting.contains("in a browser"),
            "the sandbox is built in"
        );
        stack.interrupted().await;
    }
}

#[tokio::test]
async fn a_key_file_that_holds_no_key_is_named_and_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("api-key");
    std::fs::write(&file, "not a key").unwrap();
    assert_eq!(
        refused(data.path(), &["--port", "0"], &Env::new()).await,
        format!(
            "error: {} holds no API key: delete it to have a new one made\n",
            file.display()
        )
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a key");

    std::fs::remove_file(&file).unwrap();
    let stack = Running::start(data.path()).await;
    assert_eq!(stack.list().await, json!([]));
}

/// Runs the first bash of a page against a stack of its own: what it said.
async fn walked(page: &str) -> (String, Running, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let stack = Running::start(&home.path().join(".local")).await;
    let (_, walk) = page.split_once("```bash\n").unwrap();
    let (walk, _) = walk.split_once("```").unwrap();
    let walk = walk.replace("http://127.0.0.1:3000", &stack.api);
    assert!(walk.contains(&stack.api));

    let shell = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &walk])
        .current_dir(home.path())
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = shell.await.unwrap();

    let (said, complained) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    );
    assert!(status.success(), "{said}\n{complained}");
    (said, stack, home)
}

#[tokio::test]
async fn the_readme_s_tour_works_as_it_is_printed() {
    let (said, stack, _home) = walked(include_str!("../../README.md")).await;
    assert!(!said.contains("\"success\":false"), "{said}");
    assert_eq!(said.matches("\"success\":true").count(), 10, "{said}");
    assert!(
        said.contains("\"zoom_display_name\":\"Ada Lovelace\""),
        "{said}"
    );
    assert!(
        said.ends_with("\"message\":\"Zoom credential deleted successfully\"}}\n"),
        "{said}"
    );
    assert_eq!(stack.list().await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_walk_through_a_deauthorization_works_as_it_is_printed() {
    let (said, _stack, _home) = walked(include_str!("../../docs/apps.md")).await;
    let lines: Vec<&str> = said.lines().collect();
    let [
        _,
        validated,
        minted,
        sealed,
        named,
        told,
        destroyed,
        blanked,
        event,
        refused,
    ] = *lines
    else {
        panic!("{said}")
    };
    assert!(validated.contains("\"validated\":true"), "{validated}");
    assert!(minted.contains("\"success\":true"), "{minted}");
    let said_of = |dump: &str, what: &str| {
        let dump: Value = serde_json::from_str(dump).unwrap();
        let rows = dump["Items"].as_array().unwrap().clone().into_iter();
        rows.filter(|row| row.get(what).is_some()).count()
    };
    // The client secret and the app's secret token are sealed there too, and stay.
    assert_eq!(
        (said_of(sealed, "sealed"), said_of(destroyed, "sealed")),
        (3, 2)
    );
    assert_eq!((said_of(sealed, "dek"), said_of(destroyed, "dek")), (3, 2));
    for name in ["zoom_email", "zoom_display_name"] {
        assert_eq!((said_of(named, name), said_of(blanked, name)), (1, 0));
    }
    assert_eq!(
        told,
        r#"{"event":"app_deauthorized","attempts":[204],"heard":true}"#
    );
    assert!(event.contains("\"reason\":\"deauthorized\""), "{event}");
    assert!(
        refused.contains("\"details\":\"deauthorized\""),
        "{refused}"
    );
}

#[tokio::test]
async fn a_database_whose_keys_are_gone_is_not_taken_for_a_new_one() {
    let data = tempfile::tempdir().unwrap();
    let stack = Running::start(data.path()).await;
    stack.interrupted().await;
    let keys = data.path().join("kms-keys.json");
    let aside = data.path().join("aside");
    std::fs::rename(&keys, &aside).unwrap();

    let said = refused(data.path(), &["--port", "0"], &Env::new()).await;
    assert_eq!(
        said,
        format!(
            "error: {} is missing, but the database beside it holds secrets that were sealed with it: restore it, \
             or delete the directory to start afresh\n",
            keys.display()
        )
    );
    assert!(!keys.exists());
    std::fs::rename(&aside, &keys).unwrap();
    Running::start(data.path()).await;
}

#[tokio::test]
async fn an_empty_endpoint_is_none_and_a_malformed_one_is_named() {
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
    Running::start_with(data.path(), &empty).await;

    for flag in ["--dynamodb", "--kms", "--zoom-oauth", "--zoom-api"] {
        let output = command(data.path(), &["--port", "0", flag, "nonsense"], &Env::new()).output();
        let output = output.await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(flag) && said.contains("not an http or https URL"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_dead_endpoint_is_named_with_what_chose_it() {
    let data = tempfile::tempdir().unwrap();
    let dead = Env::from([(
        "AWS_ENDPOINT_URL_DYNAMODB".to_owned(),
        "http://127.0.0.1:9".to_owned(),
    )]);
    let said = refused(data.path(), &["--port", "0"], &dead).await;
    let first = "error: no tables at http://127.0.0.1:9 (--dynamodb, AWS_ENDPOINT_URL_DYNAMODB): ";
    assert!(said.starts_with(first), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
    assert!(!said.contains("DispatchFailure"), "{said}");
}
