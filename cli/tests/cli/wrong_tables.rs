//! A command that is pointed at the wrong table says so. It does not report that nothing is there.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::TestStack;
use crate::harness::serve;

#[tokio::test]
async fn a_wrong_table_is_an_error_and_not_an_empty_list() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    for (line, table, problem) in [
        (
            "teams list --keys-table credentials",
            "credentials",
            "team_id and credential_id, but should be team_id and record. Check the name in --keys-table",
        ),
        (
            "rewrap --dry-run --secrets-table requests",
            "requests",
            "request_id, but should be secret_id. Check the name in --secrets-table",
        ),
        (
            "credentials sweep --secrets-table pairs",
            "pairs",
            "pair_id, but should be secret_id. Check the name in --secrets-table",
        ),
        (
            "credentials sweep --token-urls-table events",
            "events",
            "credential_id and event_id, but should be credential_id and url_id. Check the name in --token-urls-table",
        ),
        (
            "credentials list --team acme --credentials-table keys",
            "keys",
            "team_id and record, but should be team_id and credential_id. Check the name in --credentials-table",
        ),
        (
            "events --team acme --events-table requests",
            "requests",
            "request_id, but should be credential_id and event_id. Check the name in --events-table",
        ),
    ] {
        let text = stack.fails(1, line).await;
        let start = format!("error: {table} is another table: the key of its rows is {problem}");
        assert!(text.starts_with(&start), "{line}: {text}");
        let (option, name) = (line.rsplit(' ').nth(1).unwrap(), "nowhere");
        let missing = line.replace(&format!("{option} {table}"), &format!("{option} {name}"));
        let text = stack.fails(1, &missing).await;
        assert!(
            text.starts_with("error: there is no table nowhere in us-east-1"),
            "{text}"
        );
    }
}

/// Starts a proxy in front of the stack's DynamoDB that denies one operation. Returns its URL.
async fn dynamodb_that_denies(stack: &TestStack, operation: &'static str) -> String {
    let upstream = stack.variable("AWS_ENDPOINT_URL_DYNAMODB").to_owned();
    let http = stack.http.clone();
    let router = Router::new().fallback(async move |headers: HeaderMap, body: Bytes| {
        if headers["x-amz-target"]
            .to_str()
            .unwrap()
            .ends_with(operation)
        {
            let denial = json!({ "__type": "AccessDeniedException", "message": "by a policy" });
            return (StatusCode::BAD_REQUEST, Bytes::from(denial.to_string()));
        }
        let request = http.post(&upstream).headers(headers).body(body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.bytes().await.unwrap())
    });
    serve(router).await
}

// Seen to fail: a table whose backups the doctor may not look at was good
#[tokio::test]
async fn doctor_names_a_table_whose_backups_it_may_not_look_at() {
    let stack = TestStack::start().await;
    let proxy = dynamodb_that_denies(&stack, "DescribeContinuousBackups").await;
    let proxied = [("AWS_ENDPOINT_URL_DYNAMODB", proxy.as_str())];
    let doctor = stack
        .cli_with("doctor --json", &["AWS_ENDPOINT_URL_DYNAMODB"], &proxied)
        .await;
    let findings: Vec<Value> = serde_json::from_str(&doctor.stdout).unwrap();
    let tables = findings.iter().filter(|it| it["check"] == "table");
    let tables: Vec<&Value> = tables.collect();
    assert_eq!((doctor.code, tables.is_empty()), (1, false), "{findings:?}");
    for table in tables {
        assert_eq!(table["verdict"], "bad", "{table}");
        let found = table["found"].as_str().unwrap();
        assert!(found.contains("DescribeContinuousBackups"), "{found}");
    }
}

#[tokio::test]
async fn doctor_goes_on_when_dynamodb_is_down() {
    let stack = TestStack::start().await;
    let down = [("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")];
    let doctor = stack
        .cli_with("doctor --json", &["AWS_ENDPOINT_URL_DYNAMODB"], &down)
        .await;
    let findings: Vec<Value> = serde_json::from_str(&doctor.stdout).unwrap();
    let found: Vec<(&str, &str)> = findings
        .iter()
        .map(|it| {
            (
                it["check"].as_str().unwrap(),
                it["verdict"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        (doctor.code, found),
        (
            1,
            vec![
                ("table", "bad"),
                ("envelope key", "good"),
                ("rows", "note"),
                ("clock", "good"),
                ("api", "good"),
                ("webhooks", "good"),
            ]
        )
    );
    let text = findings[0]["found"].as_str().unwrap();
    assert!(text.starts_with("DynamoDB does not answer"), "{text}");
}
