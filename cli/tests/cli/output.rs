//! The two kinds of output: one JSON document for scripts, columns for people.

use serde_json::json;

use crate::TestStack;

#[tokio::test]
async fn json_output_is_one_document_per_command() {
    let stack = TestStack::start().await;
    let team = stack.json("teams create acme --rate 7").await;
    assert_eq!((&team["team"], &team["rate"]), (&json!("acme"), &json!(7)));
    let set = stack.json("teams set acme --rate 8").await;
    assert_eq!(set["rate"], 8);
    assert_eq!(set["created_at"], team["created_at"]);
    let teams = stack.json("teams list").await;
    let local = json!("local");
    assert_eq!(teams[0], set);
    assert_eq!(
        (teams.as_array().unwrap().len(), &teams[1]["team"]),
        (2, &local)
    );

    let created = stack
        .json("keys create --team acme --permission read")
        .await;
    let key = created["key"].as_str().unwrap();
    assert_eq!(stack.list_credentials(key).await, 200);
    let keys = stack.json("keys list --team acme").await;
    assert_eq!(
        keys,
        json!([{
            "key_id": created["key_id"],
            "team": "acme",
            "permission": "read",
            "created_at": created["created_at"],
            "replaced_by": null,
            "last_change_or_mint_at": null,
            "revoked_at": null,
        }])
    );

    let id = created["key_id"].as_str().unwrap();
    let line = format!("keys revoke --team acme {id}");
    let revoked = stack.json(&line).await;
    assert!(revoked["revoked_at"].is_string());
    // A second revocation changes nothing.
    assert_eq!(stack.json(&line).await, revoked);
    assert_eq!(stack.json("keys list --team acme").await, json!([revoked]));
}

#[tokio::test]
async fn text_output_is_aligned_columns() {
    let stack = TestStack::start().await;
    stack.ok("teams create a-longer-name --rate 7").await;
    let teams = stack.ok("teams list").await;
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

    let result = stack.cli("keys list --team a-longer-name").await;
    assert_eq!((result.code, result.stdout.as_str()), (0, ""));
    assert!(result.stderr.contains("no keys yet"));
    let key = stack.create_key("a-longer-name", "full").await;
    let keys = stack.ok("keys list --team a-longer-name").await;
    assert!(keys.starts_with("KEY ID"), "{keys}");
    assert_eq!(keys.lines().count(), 2);
    assert!(keys.ends_with("  -\n"));
    assert!(!keys.contains(key.get(20..).unwrap()));
}
