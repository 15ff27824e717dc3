//! Commands that read a table of more than one page. DynamoDB ends a page at 1 MB.

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::TestStack;

/// This many rows of `LARGE` bytes are more than one page.
const ROWS: usize = 60;
const LARGE: usize = 20_000;

impl TestStack {
    /// Writes `ROWS` large rows into the table that a variable names. `row` makes the attributes of each.
    async fn put_large_rows(
        &self,
        table: &str,
        row: impl Fn(usize) -> Vec<(&'static str, String)>,
    ) {
        let filler = "x".repeat(LARGE);
        for number in 0..ROWS {
            let row = row(number);
            let row = row.iter().map(|(name, text)| (*name, text.as_str()));
            let row: Vec<_> = row.chain([("filler", filler.as_str())]).collect();
            self.put_row(table, &row).await;
        }
    }
}

#[tokio::test]
async fn lists_of_teams_keys_and_credentials_are_complete() {
    let stack = TestStack::start().await;
    let mut teams = vec!["local".to_owned()];
    for number in 10..20 {
        let team = format!("team-{number}");
        stack.ok(&format!("teams create {team} --rate 10000")).await;
        teams.push(team);
    }
    let key = stack.create_key("team-10", "full").await;
    let row = |number| {
        vec![
            ("team_id", "team-10".to_owned()),
            ("record", format!("key#{number:064}")),
            ("permission", "read".to_owned()),
            ("created_at", "2026-01-02T03:04:05.678Z".to_owned()),
        ]
    };
    stack.put_large_rows("KEYS_TABLE", row).await;
    let listed = stack.json("teams list").await;
    let listed = listed.as_array().unwrap().iter();
    let listed: Vec<&str> = listed.map(|it| it["team"].as_str().unwrap()).collect();
    assert_eq!(listed, teams);
    let listed = stack.json("keys list --team team-10").await;
    assert_eq!(listed.as_array().unwrap().len(), ROWS + 1);

    let extra = json!({ "filler": "x".repeat(16_000) });
    let names: Vec<String> = (0..80).map(|number| number.to_string()).collect();
    for name in &names {
        let body = json!({ "name": name, "client_id": "c", "client_secret": "s", "extra": extra });
        let created = stack.post("/v2/zoom-credentials", &key, &body).await;
        assert_eq!(created.status(), 201);
    }
    let listed = stack.json("credentials list --team team-10").await;
    let listed = listed.as_array().unwrap().iter().rev();
    let listed: Vec<&str> = listed.map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(listed, names);
}

#[tokio::test]
async fn doctor_sweep_and_rewrap_find_the_rows_of_every_page() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    stack.connect_user(&key, "ada-sandbox-user").await;
    let sealed = stack.seal_rows(ROWS).await;
    let filler = AttributeValue::S("x".repeat(LARGE));
    let large = sealed.iter().map(|binding| {
        let (stack, filler) = (&stack, filler.clone());
        let id = binding.secret.to_string();
        async move { stack.set_secret_attribute(&id, "filler", filler).await }
    });
    stream::iter(large)
        .buffer_unordered(8)
        .collect::<()>()
        .await;
    // Credentials without their secrets.
    let row = |number| {
        vec![
            ("team_id", "lost".to_owned()),
            (
                "credential_id",
                format!("01a20d6c-8830-7053-9037-{number:012}"),
            ),
        ]
    };
    stack.put_large_rows("CREDENTIALS_TABLE", row).await;
    // Token URLs without their credentials.
    let row = |number| {
        vec![
            ("team_id", "gone".to_owned()),
            (
                "credential_id",
                format!("01a20d6c-8830-7053-9038-{number:012}"),
            ),
            ("url_id", format!("01a20d6c-8830-7053-9039-{number:012}")),
        ]
    };
    stack.put_large_rows("TOKEN_URLS_TABLE", row).await;

    let doctor = stack.cli("doctor --json").await;
    let findings: Vec<Value> = serde_json::from_str(&doctor.stdout).unwrap();
    let found = |check: &str| {
        let mut findings = findings.iter().filter(|it| it["check"] == check);
        findings.next().unwrap()["found"].as_str().unwrap()
    };
    // Five ids are listed.
    assert!(found("orphans").ends_with("and 55 more"), "{findings:?}");
    assert!(found("dangling").ends_with("and 55 more"), "{findings:?}");
    assert_eq!(found("envelope"), "62 ciphertexts of version 1, suite 1");

    let sweep = stack.cli("credentials sweep --json").await;
    let orphans: Value = serde_json::from_str(&sweep.stdout).unwrap();
    assert_eq!(orphans.as_array().unwrap().len(), 2 * ROWS);

    let stack = stack.change_envelope_key().await;
    let kms = stack.variable("AWS_ENDPOINT_URL_KMS").to_owned();
    let (_, document, _) = stack.rewrap(&kms, "--dry-run").await;
    assert_eq!(document["rows"], 62);
    let (code, document, _) = stack.rewrap(&kms, "").await;
    assert_eq!(
        (code, &document["moved"], &document["left"]),
        (0, &json!(62), &json!(0))
    );
}

#[tokio::test]
async fn doctor_names_rows_of_unknown_shape_and_checks_the_others() {
    let stack = TestStack::start().await;
    let filled = stack.seal_rows(3).await;
    let unknown = filled[1].secret.to_string();
    let text = AttributeValue::S("text".to_owned());
    stack.set_secret_attribute(&unknown, "sealed", text).await;

    let doctor = stack.cli("doctor --json").await;
    let findings: Vec<Value> = serde_json::from_str(&doctor.stdout).unwrap();
    let found = |check: &str| {
        let mut findings = findings.iter().filter(|it| it["check"] == check);
        findings.next().unwrap()["found"].as_str().unwrap()
    };
    let rows = format!("1 rows of unknown shape in secrets: {unknown}");
    assert_eq!((doctor.code, found("rows")), (1, rows.as_str()));
    assert_eq!(found("envelope"), "2 ciphertexts of version 1, suite 1");
    assert!(!found("orphans").contains(&unknown), "{findings:?}");

    // A credential of unknown shape may own every secret that looks like an orphan.
    let row = [("team_id", "filled"), ("credential_id", "not-an-id")];
    stack.put_row("CREDENTIALS_TABLE", &row).await;
    let doctor = stack.cli("doctor --json").await;
    let findings: Vec<Value> = serde_json::from_str(&doctor.stdout).unwrap();
    let mut orphans = findings.iter().filter(|it| it["check"] == "orphans");
    assert_eq!(orphans.next().unwrap()["verdict"], "note");
    let mut rows = findings.iter().filter(|it| it["check"] == "rows");
    let rows = rows.nth(1).unwrap()["found"].as_str().unwrap();
    assert_eq!(rows, "1 rows of unknown shape in credentials: not-an-id");
}
