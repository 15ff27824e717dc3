//! A command that is pointed at the wrong table says so. It does not report that nothing is there.

use serde_json::Value;

use crate::TestStack;

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
