//! `keys create` with limits, `keys rotate`, `keys list` with the last use, `teams suspend` and `teams resume`.

use serde_json::json;

use crate::TestStack;

#[tokio::test]
async fn a_key_has_the_terms_of_its_options_and_the_list_shows_them() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let created = stack
        .json(
            "keys create --team acme --permission full --label backend --created-by ada --expires-in-days 2 \
             --rate 7 --token-types onbehalf,zak --extra tenant:a,stage:live",
        )
        .await;
    let listed = stack.json("keys list --team acme").await;
    for key in [&created, &listed[0]] {
        assert_eq!(key["permission"], "full");
        assert_eq!(key["label"], "backend");
        assert_eq!(key["created_by"], "ada");
        assert_eq!(key["rate"], 7);
        assert_eq!(key["token_types"], json!(["onbehalf", "zak"]));
        assert_eq!(key["extra"], "tenant:a,stage:live");
        assert!(key["expires_at"].as_str() > key["created_at"].as_str());
    }
    let table = stack.ok("keys list --team acme").await;
    for text in [
        "backend",
        "ada",
        "rate 7; onbehalf zak; tenant:a,stage:live",
    ] {
        assert!(table.contains(text), "{table}");
    }
}

#[tokio::test]
async fn the_list_shows_when_a_key_last_changed_something() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    let last_use =
        async || stack.json("keys list --team acme").await[0]["last_change_or_mint_at"].clone();
    assert_eq!(stack.list_credentials(&key).await, 200);
    assert_eq!(last_use().await, json!(null));
    let table = stack.ok("keys list --team acme").await;
    assert!(table.contains("LAST CHANGE OR MINT"), "{table}");
    assert_eq!(stack.create_credential(&key, "n").await.status(), 201);
    assert!(last_use().await.is_string());
}

#[tokio::test]
async fn both_keys_work_after_a_rotation_until_the_end_of_the_first() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let first = stack
        .json("keys create --team acme --permission full")
        .await;
    let (text, id) = (
        first["key"].as_str().unwrap(),
        first["key_id"].as_str().unwrap(),
    );
    let rotated = stack.cli(&format!("keys rotate --team acme {id}")).await;
    let second = rotated.stdout.trim();
    assert!(
        rotated
            .stderr
            .contains(&format!("key {id} stops working at"))
    );
    for key in [text, second] {
        assert_eq!(stack.list_credentials(key).await, 200);
    }

    assert!(
        rotated
            .stderr
            .contains("the new key works until it is revoked")
    );

    // The end of the first key is the rotation's now: a third key would inherit it.
    let listed = stack.json("keys list --team acme").await;
    let replacement = listed[1]["key_id"].as_str().unwrap();
    assert_eq!(listed[0]["replaced_by"], replacement);
    let line = format!("keys rotate --team acme {id}");
    let refused = stack.fails(1, &line).await;
    let words = format!("key {id} of team acme was rotated before: key {replacement} replaces it");
    assert!(refused.contains(&words), "{refused}");
    assert_eq!(stack.json("keys list --team acme").await, listed);

    let line = format!("keys rotate --team acme {replacement} --old-key-hours 0");
    let third = stack.ok(&line).await;
    for (key, status) in [(text, 200), (second, 401), (third.trim(), 200)] {
        assert_eq!(stack.list_credentials(key).await, status);
    }
    let line = format!("keys revoke --team acme {id}");
    stack.ok(&line).await;
    let unused = stack
        .json("keys create --team acme --permission read --expires-in-days 2")
        .await;
    let unused_id = unused["key_id"].as_str().unwrap();
    let rotated = stack
        .cli(&format!("keys rotate --team acme {unused_id}"))
        .await;
    let end = unused["expires_at"].as_str().unwrap();
    let words = format!("the new key stops working at {end}");
    assert!(rotated.stderr.contains(&words), "{rotated:?}");
}

#[tokio::test]
async fn a_revoked_key_cannot_be_rotated() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack
        .json("keys create --team acme --permission full")
        .await;
    let id = key["key_id"].as_str().unwrap();
    stack.ok(&format!("keys revoke --team acme {id}")).await;
    let refused = stack
        .fails(1, &format!("keys rotate --team acme {id}"))
        .await;
    assert!(refused.contains("is revoked or has expired"), "{refused}");
}

#[tokio::test]
async fn extra_of_a_key_must_be_pairs_and_not_json() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    for extra in [
        r#"{"customer":"acme"}"#,
        r#""customer":acme"#,
        "customer:",
        ":acme",
        "a:b,c:",
    ] {
        let line = format!("keys create --team acme --permission full --extra {extra}");
        let refused = stack.fails(2, &line).await;
        assert!(
            refused.contains("such as customer:acme"),
            "{extra}: {refused}"
        );
    }
    assert_eq!(stack.json("keys list --team acme").await, json!([]));
}

#[tokio::test]
async fn a_key_cannot_have_a_higher_rate_than_its_team() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme --rate 20 --mint-rate 10").await;
    for (permission, most) in [("full", 20), ("mint", 10)] {
        let line =
            |rate| format!("keys create --team acme --permission {permission} --rate {rate}");
        let refused = stack.fails(1, &line(most + 1)).await;
        let words = format!(
            "--rate {} is more than team acme may make: 20 changes and 10 mints a second. Choose at most {most}",
            most + 1
        );
        assert!(refused.contains(&words), "{refused}");
        stack.ok(&line(most)).await;
    }
}

#[tokio::test]
async fn the_keys_of_a_suspended_team_stop_and_work_again_after_its_return() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    assert!(stack.ok("teams suspend acme").await.contains("suspended"));
    assert_eq!(stack.list_credentials(&key).await, 401);
    assert!(!stack.ok("teams resume acme").await.contains("suspended"));
    assert_eq!(stack.list_credentials(&key).await, 200);
    let missing = stack.cli("teams suspend nobody").await;
    assert!(missing.stderr.contains("there is no team nobody"));
}

#[tokio::test]
async fn a_suspension_ends_the_connect_links_of_the_team() {
    let stack = TestStack::start().await;
    for team in ["acme", "other"] {
        stack.ok(&format!("teams create {team}")).await;
        let key = stack.create_key(team, "full").await;
        let body = json!({ "name": "desk", "client_id": "app", "client_secret": "secret" });
        let session = stack.post_json("/v2/zoom-connect-sessions", &key, &body);
        assert_eq!(session.await.0, 201);
    }
    let suspended = stack.cli("teams suspend acme").await;
    assert!(
        suspended.stderr.contains("1 connect session ended"),
        "{}",
        suspended.stderr
    );
    for (team, left) in [("acme", 0), ("other", 1)] {
        let open = stack
            .json(&format!("connect-sessions list --team {team}"))
            .await;
        assert_eq!(open.as_array().unwrap().len(), left, "{team}");
    }
}

#[tokio::test]
async fn the_limits_of_a_team_are_set_and_shown() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let set = stack
        .json("teams set acme --read-rate 50 --max-token-ttl 3600")
        .await;
    assert_eq!(
        (&set["read_rate"], &set["max_token_ttl"]),
        (&json!(50), &json!(3600))
    );
    let set = stack.json("teams set acme --no-read-rate").await;
    assert_eq!(
        (&set["read_rate"], &set["max_token_ttl"]),
        (&json!(null), &json!(3600))
    );
    for ttl in ["1799", "7776001"] {
        let refused = stack
            .cli(&format!("teams set acme --max-token-ttl {ttl}"))
            .await;
        assert_eq!(refused.code, 2);
    }
}
