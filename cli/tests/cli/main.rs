//! The operator's program against a running stack, as an operator types it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "test harness: a broken assumption is a failed test"
)]

mod capsule;
mod credentials;
mod doctor;
mod rewrap;

use std::path::Path;
use std::process::{Output, Stdio};

use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::http::StatusCode;
use local::stack::{Elsewhere, Options, Stack};
use serde_json::{Value, json};
use shared::config::Aws;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A stack, and what its file `env` says.
struct World {
    api: String,
    env: Vec<(String, String)>,
    http: reqwest::Client,
    running: Running,
    data: tempfile::TempDir,
}

/// A stack that serves until it is told to stop.
struct Running {
    api: String,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Running {
    /// On what is in a directory.
    async fn start(data: &Path, envelope_key: Option<String>) -> Self {
        let stack = loop {
            let started = Stack::start(Options {
                data_dir: data.to_owned(),
                port: 0,
                zoom_port: 0,
                elsewhere: Elsewhere::default(),
                envelope_key: envelope_key.clone(),
            });
            match started.await {
                // A program that another test is starting holds all that is open here, until it has started.
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
            served: tokio::spawn(async { served.await.unwrap() }),
        }
    }
}

/// What the file `env` of a stack says.
fn env(data: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(data.join("env")).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// What a command said, and how it ended.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl World {
    async fn new() -> Self {
        // Fails where it is installed already.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let data = tempfile::tempdir().unwrap();
        let running = Running::start(data.path(), None).await;
        Self {
            api: running.api.clone(),
            env: env(data.path()),
            http: reqwest::Client::new(),
            running,
            data,
        }
    }

    async fn cli(&self, line: &str) -> Said {
        self.cli_without(line, "").await
    }

    /// With one variable of the stack's environment left out.
    async fn cli_without(&self, line: &str, missing: &str) -> Said {
        self.cli_with(line, missing, &[]).await
    }

    /// With one variable of the stack's environment left out, and others added to it.
    async fn cli_with(&self, line: &str, missing: &str, more: &[(&str, &str)]) -> Said {
        let env = self.env.iter().filter(|(name, _)| name != missing);
        let output = Command::new(env!("CARGO_BIN_EXE_cli"))
            .args(line.split_whitespace())
            .env_clear()
            .envs(env.map(|(name, value)| (name, value)))
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .output()
            .await;
        output.unwrap().into()
    }

    /// With something to read on its standard input.
    async fn cli_fed(&self, line: &str, input: &str) -> Said {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cli"))
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

    /// What a command that works prints.
    async fn ok(&self, line: &str) -> String {
        let said = self.cli(line).await;
        assert_eq!(said.code, 0, "{line}: {said:?}");
        said.out
    }

    /// The one document that it prints for a script, and nothing else.
    async fn document(&self, line: &str) -> Value {
        let said = self.cli(&format!("{line} --json")).await;
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{line}");
        assert_eq!(said.out.lines().count(), 1);
        serde_json::from_str(&said.out).unwrap()
    }

    /// What a command that fails says; it prints nothing.
    async fn failed(&self, code: i32, line: &str) -> String {
        let said = self.cli(line).await;
        assert_eq!(
            (said.code, said.out.as_str()),
            (code, ""),
            "{line}: {said:?}"
        );
        said.err
    }

    /// With a stack to find instead of a table, where CloudFormation answers like this.
    async fn cli_in_aws(&self, line: &str, status: u16, answer: String) -> Said {
        let answer = (StatusCode::from_u16(status).unwrap(), answer);
        let router = Router::new().fallback(move || std::future::ready(answer.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let cloudformation = [("AWS_ENDPOINT_URL_CLOUDFORMATION", url.as_str())];
        self.cli_with(line, "KEYS_TABLE", &cloudformation).await
    }

    /// What `env` says.
    fn variable(&self, name: &str) -> &str {
        &self.env.iter().find(|(it, _)| it == name).unwrap().1
    }

    /// The stack's own database and KMS.
    fn aws(&self) -> Aws {
        let url = |name| Some(self.variable(name).to_owned());
        let (dynamodb, kms) = (
            url("AWS_ENDPOINT_URL_DYNAMODB"),
            url("AWS_ENDPOINT_URL_KMS"),
        );
        let credentials = Credentials::new("a", "b", None, None, "test");
        Aws::new("us-east-1".to_owned(), credentials, dynamodb, kms).unwrap()
    }

    /// Puts a row of the team `acme` into the keys table, past the program.
    async fn put(&self, record: &str, attributes: &[(&str, &str)]) {
        let mut row = vec![("team_id", "acme"), ("record", record)];
        row.extend(attributes);
        self.put_into("KEYS_TABLE", &row).await;
    }

    /// Puts a row into the table that a variable names, past the program.
    async fn put_into(&self, table: &str, row: &[(&str, &str)]) {
        let dynamodb = self.aws().dynamodb();
        let mut put = dynamodb.put_item().table_name(self.variable(table));
        for (name, text) in row {
            put = put.item(*name, AttributeValue::S((*text).to_owned()));
        }
        put.send().await.unwrap();
    }

    async fn key(&self, team: &str, permission: &str) -> String {
        let line = format!("keys create --team {team} --permission {permission}");
        self.ok(&line).await.trim_end().to_owned()
    }

    async fn list(&self, key: &str) -> u16 {
        let request = self.http.get(format!("{}/v2/zoom-credentials", self.api));
        let request = request.header("x-meeting-baas-api-key", key);
        request.send().await.unwrap().status().as_u16()
    }

    /// The answer to a mutating call, and the team's rate as it names it.
    async fn create(&self, key: &str) -> (u16, Option<String>) {
        let request = self.http.post(format!("{}/v2/zoom-credentials", self.api));
        let body = json!({ "name": "n", "client_id": "c", "client_secret": "s" });
        let request = request.header("x-meeting-baas-api-key", key).json(&body);
        let answer = request.send().await.unwrap();
        let limit = answer.headers().get("x-ratelimit-limit");
        let limit = limit.map(|limit| limit.to_str().unwrap().to_owned());
        (answer.status().as_u16(), limit)
    }
}

#[tokio::test]
async fn a_new_key_is_printed_alone_and_works_as_permitted() {
    let world = World::new().await;
    world.ok("teams create acme").await;

    let said = world.cli("keys create --team acme --permission full").await;
    let key = said.out.strip_suffix('\n').unwrap();
    assert!(key.starts_with("zcv_acme_") && !key.contains(char::is_whitespace));
    assert!(said.err.contains("it is shown once") && !said.err.contains(key));
    assert_eq!(world.list(key).await, 200);
    assert_eq!(world.create(key).await.0, 201);

    let read = world.key("acme", "read").await;
    assert_eq!(
        (world.list(&read).await, world.create(&read).await.0),
        (200, 403)
    );
    let mint = world.key("acme", "mint").await;
    assert_eq!(
        (world.list(&mint).await, world.create(&mint).await.0),
        (403, 403)
    );
}

#[tokio::test]
async fn a_team_says_where_its_users_may_be_sent_back_to() {
    let world = World::new().await;
    let made = world.document("teams create acme").await;
    assert_eq!(made["return_origins"], json!([]));
    let two = "teams set acme --return-origin https://app.example.com --return-origin http://localhost:8080";
    let expected = json!(["https://app.example.com", "http://localhost:8080"]);
    assert_eq!(world.document(two).await["return_origins"], expected);
    let set = world.document("teams set acme --rate 5").await;
    assert_eq!(
        (&set["rate"], &set["return_origins"]),
        (&json!(5), &expected)
    );
    let one = "teams set acme --return-origin https://other.example --mint-rate 7";
    let set = world.document(one).await;
    assert_eq!(set["return_origins"], json!(["https://other.example"]));
    assert_eq!(set["mint_rate"], 7);
    let none = world.document("teams set acme --no-return-origins").await;
    assert_eq!(none["return_origins"], json!([]));

    for wrong in [
        "teams set acme --return-origin https://app.example.com/path",
        "teams set acme --return-origin http://app.example.com",
        "teams set acme --return-origin https://app.example.com --no-return-origins",
    ] {
        assert_eq!(world.cli(wrong).await.code, 2, "{wrong}");
    }
}

#[tokio::test]
async fn scripts_get_one_document_each() {
    let world = World::new().await;
    let team = world.document("teams create acme --rate 7").await;
    assert_eq!((&team["team"], &team["rate"]), (&json!("acme"), &json!(7)));
    let set = world.document("teams set acme --rate 8").await;
    assert_eq!(set["rate"], 8);
    assert_eq!(set["created_at"], team["created_at"]);
    let teams = world.document("teams list").await;
    let local = json!("local");
    assert_eq!(teams[0], set);
    assert_eq!(
        (teams.as_array().unwrap().len(), &teams[1]["team"]),
        (2, &local)
    );

    let made = world
        .document("keys create --team acme --permission read")
        .await;
    assert_eq!(world.list(made["key"].as_str().unwrap()).await, 200);
    let keys = world.document("keys list --team acme").await;
    assert_eq!(
        keys,
        json!([{
            "key_id": made["key_id"],
            "team": "acme",
            "permission": "read",
            "created_at": made["created_at"],
            "revoked_at": null,
        }])
    );

    let id = made["key_id"].as_str().unwrap();
    let line = format!("keys revoke --team acme {id}");
    let revoked = world.document(&line).await;
    assert!(revoked["revoked_at"].is_string());
    // Once more changes nothing.
    assert_eq!(world.document(&line).await, revoked);
    assert_eq!(
        world.document("keys list --team acme").await,
        json!([revoked])
    );
}

#[tokio::test]
async fn people_get_columns() {
    let world = World::new().await;
    world.ok("teams create a-longer-name --rate 7").await;
    let teams = world.ok("teams list").await;
    let rows: Vec<Vec<&str>> = teams
        .lines()
        .map(|line| line.split_whitespace().take(2).collect())
        .collect();
    assert_eq!(
        rows,
        [
            vec!["TEAM", "RATE"],
            vec!["a-longer-name", "7"],
            vec!["local", "10000"]
        ]
    );

    let said = world.cli("keys list --team a-longer-name").await;
    assert_eq!((said.code, said.out.as_str()), (0, ""));
    assert!(said.err.contains("no keys yet"));
    let key = world.key("a-longer-name", "full").await;
    let keys = world.ok("keys list --team a-longer-name").await;
    assert!(keys.starts_with("KEY ID"), "{keys}");
    assert_eq!(keys.lines().count(), 2);
    assert!(keys.ends_with("  -\n"));
    assert!(!keys.contains(key.get(20..).unwrap()));
}

#[tokio::test]
async fn a_revoked_key_is_a_401_with_the_next_request() {
    let world = World::new().await;
    world.ok("teams create acme").await;
    let made = world
        .document("keys create --team acme --permission full")
        .await;
    let key = made["key"].as_str().unwrap();
    let other = world.key("acme", "full").await;
    assert_eq!(world.list(key).await, 200);

    let id = made["key_id"].as_str().unwrap();
    world.ok(&format!("keys revoke --team acme {id}")).await;

    assert_eq!(world.list(key).await, 401);
    assert_eq!(world.create(key).await, (401, None));
    assert_eq!(world.list(&other).await, 200);
}

#[tokio::test]
async fn a_rate_that_is_set_applies_to_the_next_request_of_that_team() {
    let world = World::new().await;
    world.ok("teams create acme").await;
    world.ok("teams create globex --rate 9").await;
    let (acme, globex) = (
        world.key("acme", "full").await,
        world.key("globex", "full").await,
    );
    let limit = |rate: &str| (201, Some(rate.to_owned()));
    assert_eq!(world.create(&acme).await, limit("20"));
    assert_eq!(world.create(&globex).await, limit("9"));

    world.ok("teams set acme --rate 100").await;

    assert_eq!(world.create(&acme).await, limit("100"));
    assert_eq!(world.create(&globex).await, limit("9"));
}

#[tokio::test]
async fn what_cannot_be_done_is_said_with_the_way_out() {
    let world = World::new().await;
    world.ok("teams create acme").await;
    let key = world.key("acme", "full").await;
    for (line, words) in [
        ("teams create acme", "team acme exists already"),
        ("teams set globex --rate 5", "there is no team globex"),
        (
            "keys create --team globex --permission full",
            "there is no team globex",
        ),
        ("keys list --team globex", "there is no team globex"),
        (
            "keys revoke --team acme 0123456789ab",
            "team acme has no key 0123456789ab",
        ),
        (
            "keys revoke --team globex 0123456789ab",
            "team globex has no key 0123456789ab",
        ),
        (
            "teams list --keys-table elsewhere",
            "there is no table elsewhere in us-east-1",
        ),
    ] {
        let said = world.failed(1, line).await;
        assert!(
            said.starts_with(&format!("error: {words}")),
            "{line}: {said}"
        );
        let said = world.failed(1, &format!("{line} --json")).await;
        let document: Value = serde_json::from_str(&said).unwrap();
        assert!(
            document["error"].as_str().unwrap().starts_with(words),
            "{said}"
        );
    }
    // The key itself, pasted where its id belongs, is not repeated.
    let said = world
        .failed(1, &format!("keys revoke --team acme {key}"))
        .await;
    assert!(
        said.contains("not the id of a key") && !said.contains(&key),
        "{said}"
    );
    assert_eq!(world.list(&key).await, 200);
}

/// As DynamoDB says it; here no policy denies anything.
#[tokio::test]
async fn a_right_that_the_operator_lacks_is_named_with_the_policy_that_gives_it() {
    let mut world = World::new().await;
    let denial = json!({
        "__type": "com.amazon.coral.service#AccessDeniedException",
        "Message": "User: arn:aws:iam::123456789012:user/eve is not authorized to perform: dynamodb:Scan",
    });
    let denying = Router::new().fallback((StatusCode::BAD_REQUEST, denial.to_string()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, denying).await });
    world
        .env
        .retain(|(name, _)| name != "AWS_ENDPOINT_URL_DYNAMODB");
    world
        .env
        .push(("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), url));

    let said = world.failed(1, "teams list").await;

    for words in [
        "not authorized to perform: dynamodb:Scan",
        "OperatorPolicy",
        "DoctorPolicy",
        "RewrapRole",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn a_wrong_command_line_ends_with_2_and_changes_nothing() {
    let world = World::new().await;
    for line in [
        "",
        "teams",
        "teams create",
        "teams create Acme",
        "teams create a-name-that-is-longer-than-32-characters",
        "teams create acme --rate 0",
        "teams set acme",
        "keys create --team acme",
        "keys create --team acme --permission owner",
        "keys revoke --team acme",
    ] {
        let said = world.failed(2, line).await;
        assert!(!said.is_empty(), "{line}");
    }
    assert_eq!(
        world.document("teams list").await.as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn what_is_missing_in_the_environment_is_named() {
    let world = World::new().await;
    let said = world.cli_without("teams list", "KEYS_TABLE").await;
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(said.err.contains("KEYS_TABLE"), "{said:?}");
    assert!(said.err.contains("--stack NAME"), "{said:?}");

    let none = [("AWS_EC2_METADATA_DISABLED", "true")];
    let said = world
        .cli_with("teams list", "AWS_ACCESS_KEY_ID", &none)
        .await;
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(
        said.err.starts_with("error: no AWS credentials: log in"),
        "{said:?}"
    );
}

/// As CloudFormation answers for a stack.
fn described(outputs: &[(&str, &str)]) -> String {
    let outputs = outputs.iter().map(|(key, value)| {
        format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>")
    });
    let outputs = outputs.collect::<Vec<_>>().concat();
    format!(
        "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult>\
         <Stacks><member><StackName>vault</StackName><StackStatus>CREATE_COMPLETE</StackStatus>\
         <CreationTime>2026-01-02T03:04:05.678Z</CreationTime><Outputs>{outputs}</Outputs></member></Stacks>\
         </DescribeStacksResult></DescribeStacksResponse>"
    )
}

/// As CloudFormation refuses.
fn refused(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    )
}

#[tokio::test]
async fn a_stacks_outputs_say_where_its_teams_and_keys_are() {
    let world = World::new().await;
    let (_, table) = world
        .env
        .iter()
        .find(|(name, _)| name == "KEYS_TABLE")
        .unwrap();
    let outputs = described(&[("ApiUrl", "https://a.test"), ("KeysTable", table)]);

    let line = "--stack vault teams create acme";
    let said = world.cli_in_aws(line, 200, outputs.clone()).await;
    assert_eq!(said.code, 0, "{said:?}");
    let line = "keys create --team acme --permission full --stack vault";
    let said = world.cli_in_aws(line, 200, outputs).await;
    assert_eq!(world.list(said.out.trim_end()).await, 200);
    // A table that the stack has lost.
    let lost = described(&[("KeysTable", "lost")]);
    let said = world
        .cli_in_aws("teams list --stack vault", 200, lost)
        .await;
    assert!(
        said.err
            .starts_with("error: there is no table lost in us-east-1"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_stack_that_does_not_help_is_said_with_the_way_out() {
    let world = World::new().await;
    for (status, answer, words) in [
        (
            400,
            refused("ValidationError", "Stack with id vault does not exist"),
            "there is no stack vault in us-east-1: check the name (--stack, STACK), the region (AWS_REGION)",
        ),
        (
            200,
            described(&[("BucketName", "b")]),
            "stack vault (CREATE_COMPLETE) has no output KeysTable: it is of another template or version",
        ),
        (
            403,
            refused(
                "AccessDenied",
                "User: u is not authorized to perform: cloudformation:DescribeStacks",
            ),
            "looking at stack vault was denied: you need the policy in its output OperatorPolicy",
        ),
        (
            403,
            refused(
                "ExpiredToken",
                "The security token included in the request is expired",
            ),
            "looking at stack vault was refused: The security token included in the request is expired",
        ),
    ] {
        let said = world
            .cli_in_aws("--stack vault teams list", status, answer)
            .await;
        assert_eq!((said.code, said.out.as_str()), (1, ""));
        assert!(said.err.starts_with(&format!("error: {words}")), "{said:?}");
        assert_eq!(said.err.lines().count(), 1);
        // AWS's own words are in it once, and no struct's.
        assert!(
            !said.err.contains('{') && said.err.matches("DescribeStacks").count() < 2,
            "{said:?}"
        );
    }
    let nobody = [("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://127.0.0.1:1")];
    let said = world
        .cli_with("--stack vault teams list", "KEYS_TABLE", &nobody)
        .await;
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(
        said.err
            .starts_with("error: CloudFormation does not answer: "),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_stack_and_a_table_exclude_each_other() {
    let world = World::new().await;
    for (line, env) in [
        ("--stack vault teams list", None),
        ("--stack vault teams list --keys-table keys", None),
        ("teams list", Some(("STACK", "vault"))),
    ] {
        let said = world.cli_with(line, "", env.as_slice()).await;
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{line}");
        assert!(said.err.contains("only one can be meant"), "{said:?}");
    }
    let said = world.cli_with("teams list", "", &[("STACK", "")]).await;
    assert_eq!(said.code, 0, "{said:?}");
}

#[tokio::test]
async fn a_table_of_another_kind_or_version_is_said_to_be_one() {
    let world = World::new().await;
    world.ok("teams create acme").await;
    let other_table = world
        .failed(1, "teams set acme --rate 5 --keys-table requests")
        .await;
    assert!(
        other_table.contains("is it the right table that the option names?"),
        "{other_table}"
    );

    world
        .put(
            "key#0123456789ab",
            &[
                ("permission", "owner"),
                ("created_at", "2026-01-02T03:04:05.678Z"),
            ],
        )
        .await;
    let said = world.failed(1, "keys list --team acme").await;
    assert!(
        said.starts_with("error: a row has an unknown shape: "),
        "{said}"
    );
    assert!(
        said.contains("owner") && said.contains("use the program of the version that is deployed"),
        "{said}"
    );

    world.put("settings", &[("pace", "slow")]).await;
    for line in [
        "teams list",
        "keys list --team acme",
        "keys create --team acme --permission full",
    ] {
        let said = world.failed(1, line).await;
        assert!(
            said.starts_with("error: a row has an unknown shape: missing field `rate`"),
            "{line}: {said}"
        );
    }
}
