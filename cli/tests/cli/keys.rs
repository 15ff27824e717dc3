//! `keys create` and `keys revoke`.

use crate::TestStack;

#[tokio::test]
async fn new_key_is_printed_alone_and_has_its_permission() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;

    let result = stack.cli("keys create --team acme --permission full").await;
    let key = result.stdout.strip_suffix('\n').unwrap();
    assert!(key.starts_with("zcv_acme_") && !key.contains(char::is_whitespace));
    assert!(result.stderr.contains("it is shown only once") && !result.stderr.contains(key));
    assert_eq!(stack.list_credentials(key).await, 200);
    assert_eq!(stack.create_credential(key, "n").await.status(), 201);

    let read = stack.create_key("acme", "read").await;
    assert_eq!(stack.list_credentials(&read).await, 200);
    assert_eq!(stack.create_credential(&read, "n").await.status(), 403);
    let mint = stack.create_key("acme", "mint").await;
    assert_eq!(stack.list_credentials(&mint).await, 403);
    assert_eq!(stack.create_credential(&mint, "n").await.status(), 403);
}

#[tokio::test]
async fn revoked_key_gets_401_with_the_next_request() {
    let stack = TestStack::start().await;
    stack.ok("teams create acme").await;
    let created = stack
        .json("keys create --team acme --permission full")
        .await;
    let key = created["key"].as_str().unwrap();
    let other = stack.create_key("acme", "full").await;
    assert_eq!(stack.list_credentials(key).await, 200);

    let id = created["key_id"].as_str().unwrap();
    stack.ok(&format!("keys revoke --team acme {id}")).await;

    assert_eq!(stack.list_credentials(key).await, 401);
    let refused = stack.create_credential(key, "n").await;
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.headers().get("x-ratelimit-limit"), None);
    assert_eq!(stack.list_credentials(&other).await, 200);
}
