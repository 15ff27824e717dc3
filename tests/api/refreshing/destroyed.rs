//! Destroyed tokens stay destroyed.

use shared::credential::{GrantId, ReconnectReason};
use shared::grants::capsule::Replayed;
use shared::stores::PairWrite;

use super::{Peer, expect_reconnect};
use crate::minting::mint_onbehalf;
use crate::proxy::Service;
use crate::world::{World, attribute};

#[tokio::test]
async fn destroyed_tokens_stay_destroyed_and_a_mint_gives_the_reason_without_calling_kms() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let peer = Peer::of(&world, &id).await;

    peer.destroy(ReconnectReason::Deauthorized).await;
    peer.expect_destroyed(&world, "deauthorized").await;
    // A second destroy changes nothing, not even the reason. Without a row, a destroy makes no row.
    let destroyed = world.sorted_rows("secrets").await;
    peer.destroy(ReconnectReason::Revoked).await;
    let absent = GrantId::generate();
    let none = peer
        .secrets
        .destroy(&peer.binding.team, absent, ReconnectReason::Revoked)
        .await;
    none.unwrap();
    assert_eq!(world.sorted_rows("secrets").await, destroyed);

    world.wire.reset();
    expect_reconnect(&mint_onbehalf(&world.acme, &id).await, "deauthorized");
    assert_eq!(world.wire.count(Service::Kms), 0);
    assert_eq!(world.wire.count(Service::Zoom), 0);
    let shown = world.acme.get(&id).await.expect(200);
    let message = shown["last_error_message"].as_str().unwrap();
    assert!(message.starts_with("deauthorized: "), "{message}");
    peer.expect_destroyed(&world, "deauthorized").await;
}

#[tokio::test]
async fn a_refresh_that_is_running_does_not_restore_destroyed_tokens() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    let peer = Peer::of(&world, &id).await;
    let answers = world.wire.hold(Service::Zoom, "/oauth/token");
    let mint = {
        let (acme, id) = (world.acme.clone(), id.clone());
        tokio::spawn(async move { mint_onbehalf(&acme, &id).await })
    };
    world.wire.stalled().await;

    peer.destroy(ReconnectReason::Deauthorized).await;
    answers.notify_one();

    expect_reconnect(&mint.await.unwrap(), "deauthorized");
    peer.expect_destroyed(&world, "deauthorized").await;
}

#[tokio::test]
async fn no_late_commit_stash_or_capsule_restores_destroyed_tokens() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let peer = Peer::of(&world, &id).await;
    let (first, second) = (peer.made_up_pair().await, peer.made_up_pair().await);
    assert!(matches!(
        peer.commit(1, &first, false).await,
        PairWrite::Written { .. }
    ));
    assert!(matches!(
        peer.stash(&second).await,
        PairWrite::Written { .. }
    ));
    let (late, later) = (peer.made_up_pair().await, peer.capsule(&world, &second));

    peer.destroy(ReconnectReason::Revoked).await;

    // A retry of the last commit, whose answer was lost. The answer must not say that the tokens are stored.
    assert!(matches!(
        peer.commit(1, &first, false).await,
        PairWrite::Stale(_)
    ));
    assert!(matches!(peer.stash(&second).await, PairWrite::Stale(_)));
    assert!(matches!(
        peer.commit(2, &late, true).await,
        PairWrite::Stale(_)
    ));
    assert_eq!(peer.replay(&later).await, Replayed::Refused);
    peer.expect_destroyed(&world, "revoked").await;
}

#[tokio::test]
async fn after_its_tokens_are_destroyed_a_credential_moves_to_a_siblings_grant() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let peer = Peer::of(&world, &id).await;
    peer.destroy(ReconnectReason::Revoked).await;
    let newer = world.add_user_credential("newer").await;

    mint_onbehalf(&world.acme, &id).await.expect(200);

    let (row, newer) = (world.row(&id).await, world.row(&newer).await);
    assert_eq!(attribute(&row, "grant_id"), attribute(&newer, "grant_id"));
}
