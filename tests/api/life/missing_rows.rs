//! Secrets that somebody deleted by hand.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;

use super::{expect_invalid, expect_reconnect, grant_secret_id};
use crate::minting::{mint, mint_onbehalf};
use crate::updating::authorization;
use crate::world::{CLIENT_ID, CLIENT_SECRET, World};

async fn delete_secret(world: &World, id: &str) {
    let delete = world.dynamodb.delete_item().table_name("secrets");
    let delete = delete.key("secret_id", AttributeValue::S(id.to_owned()));
    delete.send().await.unwrap();
}

#[tokio::test]
async fn a_missing_grant_row_is_treated_like_a_revoked_grant() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let grant = grant_secret_id(&world, &id).await;
    delete_secret(&world, &grant).await;

    for _ in 0..2 {
        expect_reconnect(&mint_onbehalf(&world.acme, &id).await, "revoked");
        expect_invalid(&world.acme.get(&id).await.expect(200), "revoked");
    }
    // Another credential of the same user has a live grant, so the mint moves to that grant.
    world.add_user_credential("other").await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
}

#[tokio::test]
async fn a_missing_client_secret_is_an_error_that_sending_the_secret_repairs() {
    let world = World::new().await;
    let (user, app) = (
        world.add_user_credential("bot").await,
        world.add_app_credential("app").await,
    );
    for id in [&user, &app] {
        delete_secret(&world, &format!("app#{id}")).await;
        let token_type = if *id == user { "onbehalf" } else { "sdk_jwt" };
        let body = json!({ "credential_id": id, "type": token_type });
        let refused = mint(&world.acme, body.clone()).await;
        let message = refused.expect_code(409, "FST_ERR_ZOOM_APP_MISCONFIGURED");
        assert!(
            message.contains("the client secret is not stored"),
            "{message}"
        );
        assert_eq!(world.acme.get(id).await.expect(200)["state"], "active");

        let secret = json!({ "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET });
        world.acme.update(id, secret).await.expect(200);
        mint(&world.acme, body).await.expect(200);
    }
}

// Seen to fail: the answer was a 404, although the credential exists
#[tokio::test]
async fn a_code_without_the_missing_client_secret_is_refused_and_not_spent() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    delete_secret(&world, &format!("app#{id}")).await;
    let code = world.code();

    let refused = world.acme.update(&id, authorization(&code)).await;

    let message = refused.expect_code(409, "FST_ERR_ZOOM_APP_MISCONFIGURED");
    assert!(
        message.contains("PATCH the credential with client_id and client_secret"),
        "{message}"
    );
    let mut both = authorization(&code);
    both["client_id"] = json!(CLIENT_ID);
    both["client_secret"] = json!(CLIENT_SECRET);
    world.acme.update(&id, both).await.expect(200);
}
