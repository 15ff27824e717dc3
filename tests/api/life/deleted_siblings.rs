//! The grant of a deleted credential, used by another credential of the same app and Zoom user.

use super::{end_retention, expect_invalid, expect_reconnect, given_deleted, settle};
use crate::minting::mint_onbehalf;
use crate::world::{CLIENT_ID, World};

#[tokio::test]
async fn a_credential_moves_to_the_grant_of_a_deleted_credential_of_the_same_user() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    let newer = world.add_user_credential("newer").await;
    world.acme.delete(&newer).await.expect(200);
    assert!(world.drain_stream().await);
    world.expire_access_tokens().await;

    mint_onbehalf(&world.acme, &older).await.expect(200);
    assert_eq!(world.acme.get(&older).await.expect(200)["state"], "active");
    // The older credential uses the grant now, so the purge of the newer credential keeps it.
    world.expire_deleted().await;
    assert!(world.drain_stream().await);
    world.expire_access_tokens().await;
    mint_onbehalf(&world.acme, &older).await.expect(200);
}

#[tokio::test]
async fn a_revoked_grant_of_a_deleted_credential_is_tried_once() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    let newer = world.add_user_credential("newer").await;
    world.acme.delete(&newer).await.expect(200);
    world.expire_access_tokens().await;
    world.zoom.remove_app(CLIENT_ID, "ada");

    for _ in 0..2 {
        expect_reconnect(&mint_onbehalf(&world.acme, &older).await, "revoked");
        assert_eq!(world.refresh_calls(), 2);
    }
    expect_invalid(&world.acme.restore(&newer).await.expect(200), "revoked");
}

/// The retention of the deleted credential is over, but DynamoDB's TTL has not deleted the row yet. The grant belongs
/// to the user, and not to the credential.
#[tokio::test]
async fn a_credential_moves_to_the_grant_of_a_credential_whose_retention_is_over() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    let newer = given_deleted(&world, "newer").await;
    end_retention(&world, &newer).await;
    mint_onbehalf(&world.acme, &older).await.expect(200);
    world.expire_deleted().await;
    settle(&world).await;
    mint_onbehalf(&world.acme, &older).await.expect(200);
}
