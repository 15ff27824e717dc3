//! The grant of a deleted credential, used by another credential of the same app and Zoom user.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{
    end_retention, expect_invalid, expect_reconnect, given_deleted, grant_secret_id,
    sealed_secrets, spawn_mint, spawn_purge,
};
use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Rule, Service};
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

/// A mint of the older credential finds the deleted credential's grant, and moves to it while the deleted credential is
/// purged. The move comes after the purge has queried which credentials use the grant.
#[tokio::test]
async fn a_grant_that_another_credential_moves_to_during_the_purge_is_kept() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    let newer = given_deleted(&world, "newer").await;
    let grant = grant_secret_id(&world, &newer).await;
    assert!(world.drain_stream().await);
    world.age_access_tokens().await;
    let held_mint = Arc::new(Notify::new());
    // Zoom's third call tries the deleted credential's access token. The first two calls try the older credential's
    // access token and refresh token.
    world.wire.inject(Rule {
        service: Some(Service::Zoom),
        operation: None,
        nth: Some(3),
        fault: Fault::Hold(held_mint.clone()),
    });
    let mint = spawn_mint(&world, &older);
    world.wire.stalled().await;

    world.expire_deleted().await;
    let held_purge = world.wire.hold(Service::DynamoDb, "Query");
    let purge = spawn_purge(&world);
    world.wire.stalled().await;
    held_mint.notify_one();
    mint.await.unwrap().expect(200);
    held_purge.notify_one();
    assert!(!purge.await.unwrap(), "the purge asks for a retry");

    assert!(world.drain_stream().await);
    assert!(sealed_secrets(&world).await.contains(&grant));
    world.expire_access_tokens().await;
    mint_onbehalf(&world.acme, &older).await.expect(200);
}

/// The retention of the deleted credential is over, but DynamoDB's TTL has not deleted the row yet.
#[tokio::test]
async fn no_credential_moves_to_the_grant_of_a_credential_whose_retention_is_over() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    let newer = given_deleted(&world, "newer").await;
    end_retention(&world, &newer).await;
    world.age_access_tokens().await;
    expect_reconnect(&mint_onbehalf(&world.acme, &older).await, "revoked");
}
