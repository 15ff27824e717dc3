//! Error messages name the resource and the next step, in text and in JSON.

use axum::Router;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::TestStack;
use crate::harness::serve;

#[tokio::test]
async fn message_names_the_missing_or_existing_resource() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
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
            "there is no team globex",
        ),
        (
            "teams list --keys-table elsewhere",
            "there is no table elsewhere in us-east-1",
        ),
    ] {
        let text = stack.fails(1, line).await;
        assert!(
            text.starts_with(&format!("error: {words}")),
            "{line}: {text}"
        );
        let text = stack.fails(1, &format!("{line} --json")).await;
        let document: Value = serde_json::from_str(&text).unwrap();
        assert!(
            document["error"].as_str().unwrap().starts_with(words),
            "{text}"
        );
    }
}

#[tokio::test]
async fn api_key_pasted_instead_of_its_id_is_not_repeated() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;

    let text = stack
        .fails(1, &format!("keys revoke --team acme {key}"))
        .await;

    assert!(
        text.contains("not the id of a key") && !text.contains(&key),
        "{text}"
    );
    assert_eq!(stack.list_credentials(&key).await, 200);
}

/// A fake DynamoDB denies the call: the local stack has no policies.
#[tokio::test]
async fn message_about_a_missing_right_names_the_policies() {
    let mut stack = TestStack::start().await;
    let denial = json!({
        "__type": "com.amazon.coral.service#AccessDeniedException",
        "Message": "User: arn:aws:iam::123456789012:user/eve is not authorized to perform: dynamodb:Scan",
    });
    let url = serve(Router::new().fallback((StatusCode::BAD_REQUEST, denial.to_string()))).await;
    stack
        .env
        .retain(|(name, _)| name != "AWS_ENDPOINT_URL_DYNAMODB");
    stack
        .env
        .push(("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), url));

    let text = stack.fails(1, "teams list").await;

    for words in [
        "not authorized to perform: dynamodb:Scan",
        "OperatorPolicy",
        "DoctorPolicy",
        "RewrapRole",
    ] {
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn wrong_command_line_ends_with_2_and_changes_nothing() {
    let stack = TestStack::start().await;
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
        "teams set acme --return-origin https://*.x",
        "teams set acme --return-origin https://*",
        "credentials list",
        "credentials list --team acme --all-teams",
        "credentials list --team acme --state deleted",
        "credentials list --team acme --watch 0",
        "completions powershell",
    ] {
        let text = stack.fails(2, line).await;
        assert!(!text.is_empty(), "{line}");
    }
    assert_eq!(stack.json("teams list").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn message_names_the_missing_environment_variable() {
    let stack = TestStack::start().await;
    let result = stack.cli_without("teams list", "KEYS_TABLE").await;
    assert_eq!((result.code, result.stdout.as_str()), (2, ""));
    assert!(result.stderr.contains("KEYS_TABLE"), "{result:?}");
    assert!(result.stderr.contains("--stack NAME"), "{result:?}");

    let no_metadata = [("AWS_EC2_METADATA_DISABLED", "true")];
    let result = stack
        .cli_with("teams list", &["AWS_ACCESS_KEY_ID"], &no_metadata)
        .await;
    assert_eq!((result.code, result.stdout.as_str()), (1, ""));
    assert!(
        result
            .stderr
            .starts_with("error: no AWS credentials: log in"),
        "{result:?}"
    );
}

#[tokio::test]
async fn message_about_a_wrong_table_or_row_says_what_to_check() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let text = stack
        .fails(1, "teams set acme --rate 5 --keys-table requests")
        .await;
    assert!(
        text.starts_with("error: requests is another table: the key of its rows is request_id, but should be team_id and record. Check the name in --keys-table"),
        "{text}"
    );

    let unknown_settings = [
        ("team_id", "acme"),
        ("record", "settings"),
        ("pace", "slow"),
    ];
    stack.put_row("KEYS_TABLE", &unknown_settings).await;
    for line in [
        "keys list --team acme",
        "keys create --team acme --permission full",
    ] {
        let text = stack.fails(1, line).await;
        assert!(
            text.starts_with("error: a row has an unknown shape: missing field `rate`"),
            "{line}: {text}"
        );
    }
}

#[tokio::test]
async fn list_shows_every_row_that_can_be_read_and_names_the_others() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    stack.ok("teams create globex").await;
    let key = stack.create_key("acme", "full").await;
    let created = stack.create_credential(&key, "good").await;
    assert_eq!(created.status(), 201);
    let unknown_permission = [
        ("team_id", "acme"),
        ("record", "key#0123456789abcdef0123456789abcdef"),
        ("permission", "owner"),
        ("created_at", "2026-01-02T03:04:05.678Z"),
    ];
    stack.put_row("KEYS_TABLE", &unknown_permission).await;
    let unknown_settings = [
        ("team_id", "initech"),
        ("record", "settings"),
        ("pace", "slow"),
    ];
    stack.put_row("KEYS_TABLE", &unknown_settings).await;
    let bad = "01a20d6c-8830-7053-9037-e291033ddc44";
    let unknown_credential = [("team_id", "acme"), ("credential_id", bad)];
    stack.put_deleted_row(&unknown_credential, false).await;

    for (line, field, good, missing) in [
        (
            "teams list",
            "team",
            vec!["acme", "globex", "local"],
            "initech",
        ),
        (
            "keys list --team acme",
            "permission",
            vec!["full"],
            "0123456789ab",
        ),
        ("credentials list --team acme", "name", vec!["good"], bad),
    ] {
        let result = stack.cli(&format!("{line} --json")).await;
        let listed: Value = serde_json::from_str(&result.stdout).unwrap();
        let listed = listed.as_array().unwrap().iter();
        let listed: Vec<&str> = listed.map(|it| it[field].as_str().unwrap()).collect();
        assert_eq!((result.code, listed), (1, good), "{line}");
        let error: Value = serde_json::from_str(&result.stderr).unwrap();
        let error = error["error"].as_str().unwrap();
        let expected = format!("1 rows of unknown shape are missing from the list: {missing}. ");
        assert!(error.starts_with(&expected), "{error}");
        assert!(!error.contains("owner"), "{error}");
    }
    // The row itself cannot be changed.
    let text = stack.fails(1, "keys revoke --team acme 0123456789ab").await;
    assert!(
        text.starts_with("error: a row has an unknown shape: ")
            && text.contains("Use the program of the version that is deployed"),
        "{text}"
    );
}

#[tokio::test]
async fn a_malformed_address_of_a_service_is_one_plain_sentence() {
    let stack = TestStack::start().await;
    for address in ["foo", "localhost:8000", "ftp://127.0.0.1", "http://"] {
        let variable = "AWS_ENDPOINT_URL_DYNAMODB";
        let result = stack
            .cli_with("teams list", &[variable], &[(variable, address)])
            .await;
        assert_eq!((result.code, result.stdout.as_str()), (1, ""));
        assert_eq!(
            result.stderr,
            "error: AWS_ENDPOINT_URL_DYNAMODB is not the address of a service: set it to a URL such as \
             http://127.0.0.1:8000, or unset it to use AWS\n"
        );
    }
}
