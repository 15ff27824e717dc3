//! `doctor` reports each problem with its solution, and reports a healthy vault as healthy.

use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::{Value, json};

use crate::TestStack;
use crate::harness::serve;

impl TestStack {
    /// Returns the exit code and each problem: the check, and its text with the solution.
    async fn doctor(&self, options: &str) -> (i32, Vec<(String, String)>) {
        let result = self.cli(&format!("doctor --json {options}")).await;
        let findings: Vec<Value> = serde_json::from_str(&result.stdout).unwrap();
        let bad = findings.iter().filter(|it| it["verdict"] == "bad");
        let bad = bad.map(|it| {
            let text = |name: &str| it[name].as_str().unwrap().to_owned();
            assert!(!text("to_do").is_empty());
            (
                text("check"),
                format!("{} -> {}", text("found"), text("to_do")),
            )
        });
        (result.code, bad.collect())
    }

    /// Asserts that the doctor finds exactly one problem, and that its text contains these words.
    async fn doctor_finds(&self, options: &str, check: &str, words: &[&str]) {
        let (code, bad) = self.doctor(options).await;
        let [(found_check, found)] = bad.as_slice() else {
            panic!("{bad:?}")
        };
        assert_eq!((code, found_check.as_str()), (1, check), "{found}");
        for word in words {
            assert!(found.contains(word), "{word}: {found}");
        }
    }

    /// Connects a user of a new team. Returns the credential's id.
    async fn connect_first_user(&self) -> String {
        self.ok("teams create acme").await;
        let key = self.create_key("acme", "full").await;
        self.connect_user(&key, "ada-sandbox-user").await
    }
}

/// A fake API that gives every request the same answer.
async fn fake_api(status: StatusCode, headers: &'static [(HeaderName, &'static str)]) -> String {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.clone(), value.parse().unwrap()))
        .collect();
    serve(Router::new().fallback(move || std::future::ready((status, headers.clone())))).await
}

#[tokio::test]
async fn healthy_vault_passes_every_check() {
    let stack = TestStack::start().await;
    stack.connect_first_user().await;

    let document = stack.json("doctor").await;

    let mut checks: Vec<&str> = Vec::new();
    for finding in document.as_array().unwrap() {
        assert_eq!(finding["verdict"], "good", "{finding}");
        checks.push(finding["check"].as_str().unwrap());
    }
    let expected = [
        "table",
        "table",
        "table",
        "table",
        "table",
        "table",
        "table",
        "envelope key",
        "envelope",
        "wrapping key",
        "orphans",
        "dangling",
        "counts",
        "keep-alive",
        "attention",
        "clock",
        "api",
        "webhooks",
    ];
    assert_eq!(checks, expected);
    let columns = stack.ok("doctor").await;
    assert!(
        columns.lines().skip(1).all(|line| line.starts_with("ok")),
        "{columns}"
    );
}

#[tokio::test]
async fn orphaned_and_missing_secrets_are_reported() {
    let stack = TestStack::start().await;
    let id = stack.connect_first_user().await;
    let filled = stack.seal_rows(7).await;
    let words = [
        "secrets that belong to no credential",
        "and 2 more",
        "credentials sweep --destroy",
    ];
    stack.doctor_finds("", "orphans", &words).await;
    stack.ok("credentials sweep --destroy --yes").await;
    assert_eq!(filled.len(), 7);
    assert_eq!(stack.doctor("").await, (0, Vec::new()));

    let grant = stack.delete_secret("grant#").await;
    let first_missing = format!("acme/{grant}");
    let words = [first_missing.as_str(), "authorize again"];
    stack.doctor_finds("", "dangling", &words).await;
    stack.delete_secret("app#").await;
    let second_missing = format!("acme/app#{id}");
    let words = [second_missing.as_str(), grant.as_str()];
    stack.doctor_finds("", "dangling", &words).await;
}

#[tokio::test]
async fn rows_under_an_old_key_and_a_disabled_key_are_reported() {
    let stack = TestStack::start().await;
    stack.connect_first_user().await;
    let old = stack.variable("ENVELOPE_KEY_ID").to_owned();
    let stack = stack.change_envelope_key().await;
    stack
        .doctor_finds("", "wrapping key", &["2 rows", &old, "rewrap"])
        .await;
    stack.ok("rewrap").await;
    assert_eq!(stack.doctor("").await, (0, Vec::new()));

    let new = stack.variable("ENVELOPE_KEY_ID").to_owned();
    stack.disable_kms_key(&new).await;
    stack
        .doctor_finds("", "envelope key", &[&new, "is Disabled", "enable-key"])
        .await;
}

#[tokio::test]
async fn missing_or_wrong_table_is_reported() {
    let stack = TestStack::start().await;
    let words = ["nowhere does not exist", "--events-table"];
    stack
        .doctor_finds("--events-table nowhere", "table", &words)
        .await;
    let words = [
        "keys is another table: the key of its rows is team_id and record, but should be credential_id and event_id",
        "--events-table",
    ];
    stack
        .doctor_finds("--events-table keys", "table", &words)
        .await;
}

#[tokio::test]
async fn unreachable_or_wrong_api_and_a_wrong_clock_are_reported() {
    let stack = TestStack::start().await;
    stack
        .doctor_finds(
            "--api-url http://127.0.0.1:1",
            "api",
            &["error sending request"],
        )
        .await;
    let accepts_all = fake_api(StatusCode::OK, &[]).await;
    let (code, bad) = stack.doctor(&format!("--api-url {accepts_all}")).await;
    let checks: Vec<&str> = bad.iter().map(|(check, _)| check.as_str()).collect();
    assert_eq!((code, checks), (1, vec!["api", "webhooks"]));
    assert!(
        bad[0]
            .1
            .contains("answers 200 OK to a request without an API key"),
        "{bad:?}"
    );

    let in_the_past = fake_api(
        StatusCode::UNAUTHORIZED,
        &[(header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT")],
    )
    .await;
    let option = format!("--api-url {in_the_past}");
    let words = ["differ by", "NTP"];
    stack.doctor_finds(&option, "clock", &words).await;
    assert_eq!(json!(stack.doctor("").await.0), json!(0));
}

#[tokio::test]
async fn wrong_counts_and_lost_rows_of_pairs_are_reported() {
    let stack = TestStack::start().await;
    stack.connect_first_user().await;
    let pair = stack.pair().await;
    stack.change_pair(&pair, "SET live = :value", 2).await;
    let words = [
        pair.id.as_str(),
        "its row counts 1 credentials (2 live), but there are 1 (1 live)",
        "credentials sweep --repair",
    ];
    stack.doctor_finds("", "counts", &words).await;
    assert_eq!(stack.pair().await.live, 2);

    stack.delete_pair(&pair).await;
    let words = [pair.id.as_str(), "it has no row, but 1 credentials"];
    stack.doctor_finds("", "counts", &words).await;
    stack.ok("credentials sweep --repair").await;
    assert_eq!(stack.doctor("").await, (0, Vec::new()));
}

// assures 47
#[tokio::test]
async fn rows_of_an_older_format_are_refused() {
    let stack = TestStack::start().await;
    let id = stack.connect_first_user().await;
    let pair = stack.pair().await;
    stack.delete_pair(&pair).await;
    let remove = |table: &str, attribute: &str| {
        let update = stack.aws.dynamodb().update_item();
        let update = update.table_name(stack.variable(table));
        update.update_expression(format!("REMOVE {attribute}"))
    };
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let update = remove("CREDENTIALS_TABLE", "pair_id")
        .key("team_id", text("acme"))
        .key("credential_id", text(&id));
    update.send().await.unwrap();
    let words = [
        "credentials whose user is known, but that no pair counts",
        id.as_str(),
        "an older version of the vault wrote these rows",
        "authorize again",
    ];
    stack.doctor_finds("", "format", &words).await;
    let grant = stack.secret_id("grant#").await;
    let update = remove("SECRETS_TABLE", "client_id").key("secret_id", text(&grant));
    update.send().await.unwrap();

    let (code, bad) = stack.doctor("").await;
    let checks: Vec<&str> = bad.iter().map(|(check, _)| check.as_str()).collect();
    assert_eq!((code, checks), (1, vec!["format", "format"]));
    let words = format!("grants whose row names no app: {grant}");
    assert!(bad[0].1.contains(&words), "{bad:?}");
}
