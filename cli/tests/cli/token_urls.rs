//! `token-urls list`, `token-urls find` and `token-urls revoke`.

use serde_json::{Value, json};

use crate::TestStack;

impl TestStack {
    /// Creates a token URL of a new credential. Returns the API's answer and the credential.
    async fn new_url(&self, key: &str, url: &Value) -> (Value, String) {
        let id = self.connect_user(key, "ada-sandbox-user").await;
        let path = format!("/v2/zoom-credentials/{id}/token-urls");
        let (status, body) = self.post_json(&path, key, url).await;
        assert_eq!(status, 201, "{body}");
        (body["data"].clone(), id)
    }
}

#[tokio::test]
async fn a_leaked_url_is_found_by_its_text_on_standard_input_and_revoked_by_its_id() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let created = stack
        .json("keys create --team acme --permission full")
        .await;
    let (key, key_id) = (created["key"].as_str().unwrap(), &created["key_id"]);
    let body = json!({ "type": "onbehalf", "label": "lobby", "max_uses": 3 });
    let (url, id) = stack.new_url(key, &body).await;
    let text = url["url"].as_str().unwrap();
    let secret = text.rsplit_once('/').unwrap().1;
    assert_eq!(stack.http.get(text).send().await.unwrap().status(), 200);

    for input in [
        text.to_owned(),
        secret.to_owned(),
        format!("\"{text}?meeting_id=1\"\n"),
    ] {
        let found = stack.cli_with_stdin("token-urls find --json", &input).await;
        assert_eq!(found.code, 0, "{found:?}");
        let found: Value = serde_json::from_str(&found.stdout).unwrap();
        assert_eq!(found["team"], "acme");
        assert_eq!(found["credential_id"], id);
        assert_eq!(found["url_id"], url["url_id"]);
        assert_eq!(found["created_by"], *key_id);
        assert_eq!(
            (&found["label"], &found["uses"]),
            (&json!("lobby"), &json!(1))
        );
        assert_eq!(found["verify"], json!(null));
    }
    let table = stack.cli_with_stdin("token-urls find", text).await.stdout;
    let listed = stack.ok("token-urls list --team acme").await;
    assert_eq!(table.trim(), listed.trim());
    for word in ["lobby", "1 of 3", "VERIFY"] {
        assert!(table.contains(word), "{table}");
    }
    assert!(!table.contains(secret), "{table}");

    let url_id = url["url_id"].as_str().unwrap();
    let line = format!("token-urls revoke --team acme --yes --url {url_id}");
    let revoked = stack.cli(&line).await;
    assert!(
        revoked.stderr.contains("1 token URL revoked"),
        "{revoked:?}"
    );
    assert_eq!(stack.http.get(text).send().await.unwrap().status(), 404);
    assert_eq!(stack.json("token-urls list --team acme").await, json!([]));
    let found = stack.cli_with_stdin("token-urls find", text).await;
    assert!(
        found.stderr.contains("this URL was revoked at"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_text_that_is_no_url_and_an_unknown_url_are_errors_that_do_not_repeat_the_text() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let key = stack.create_key("acme", "full").await;
    let (url, _) = stack.new_url(&key, &json!({ "type": "zak" })).await;
    let mut cut = url["url"].as_str().unwrap().to_owned();
    cut.pop();
    for input in ["", "https://vault.example.com/t/", &cut, &key] {
        let refused = stack.cli_with_stdin("token-urls find", input).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains("is not a token URL"), "{refused:?}");
        assert!(
            input.is_empty() || !refused.stderr.contains(input),
            "{refused:?}"
        );
    }
    let other = TestStack::start().await;
    let refused = other
        .cli_with_stdin("token-urls find", url["url"].as_str().unwrap())
        .await;
    assert!(
        refused.stderr.contains("no token URL has this secret"),
        "{refused:?}"
    );
    let question = stack.fails(1, "token-urls revoke --team acme").await;
    assert!(question.contains("needs a confirmation"), "{question}");
}
