//! Pairs that were not committed: capsules and stashes.

use serde_json::json;
use shared::grants::capsule::{Capsule, Replayed};
use shared::stores::PairWrite;

use super::{Peer, invoke};
use crate::minting::mint_onbehalf;
use crate::proxy::Service;
use crate::world::World;

#[tokio::test]
async fn a_replayed_capsule_stores_its_pair_and_the_credential_mints() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    let peer = Peer::of(&world, &id).await;
    let capsule = peer.capsule(&world, &peer.refresh(&world).await);

    // The text of a capsule is one word, which holds no readable token.
    let text = capsule.to_string();
    assert_eq!(text.parse::<Capsule>().unwrap().to_string(), text);
    assert_eq!(peer.replay(&capsule).await, Replayed::Stored);
    assert_eq!(peer.replay(&capsule).await, Replayed::Known);

    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(world.zoom.grants()[0].generation, 3);
    assert_eq!(world.zoom.grants()[0].spent_posts, 0);
    // The pair was replaced long ago. The replay stashes it, which does no harm.
    assert_eq!(peer.replay(&capsule).await, Replayed::Stashed);
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_capsule_that_is_replayed_after_the_credential_became_invalid_makes_it_active_again() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    let peer = Peer::of(&world, &id).await;
    let capsule = peer.capsule(&world, &peer.refresh(&world).await);
    // Without the capsule, the vault has only the spent token.
    let answer = mint_onbehalf(&world.acme, &id).await;
    answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "invalid");

    assert_eq!(peer.replay(&capsule).await, Replayed::Stored);

    mint_onbehalf(&world.acme, &id).await.expect(200);
    let shown = world.acme.get(&id).await.expect(200);
    assert_eq!(
        (&shown["state"], &shown["last_error_message"]),
        (&json!("active"), &json!(null))
    );
}

#[tokio::test]
async fn a_stashed_pair_is_used_when_zoom_refuses_the_pair_of_the_row() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    let peer = Peer::of(&world, &id).await;
    let lives = peer.refresh(&world).await;
    // Another function committed first, with a pair that Zoom does not know.
    let first = peer.made_up_pair().await;
    peer.commit(1, &first, false).await;
    peer.stash(&lives).await;

    mint_onbehalf(&world.acme, &id).await.expect(200);

    let row = peer.row().await;
    assert_eq!((row.generation(), row.stash), (3, None));
}

#[tokio::test]
async fn a_pair_that_is_stashed_during_a_refresh_survives_the_commit() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    let peer = Peer::of(&world, &id).await;
    let late = peer.made_up_pair().await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    world.expire_access_tokens().await;
    world.wire.reset();
    let answered = world.wire.hold(Service::Zoom, "/oauth/token");
    let mint = invoke(&world, &id);
    world.wire.stalled().await;

    // A pair arrives too late for generation 2, while generation 3 is on its way.
    peer.stash(&late).await;
    answered.notify_one();
    assert_eq!(mint.await.unwrap(), 200);

    let row = peer.row().await;
    assert_eq!((row.generation(), row.stash), (3, Some(late.sealed)));
}

/// Zoom refused the stashed pair, so the vault removes it. A later pair may be the valid one.
#[tokio::test]
async fn a_refused_stash_makes_room_for_a_later_pair() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let peer = Peer::of(&world, &id).await;
    let live = peer.refresh(&world).await;
    let capsule = peer.capsule(&world, &live);
    let (lost, dead) = (peer.made_up_pair().await, peer.made_up_pair().await);
    assert!(matches!(
        peer.commit(1, &lost, false).await,
        PairWrite::Written { .. }
    ));
    assert!(matches!(peer.stash(&dead).await, PairWrite::Written { .. }));
    mint_onbehalf(&world.acme, &id)
        .await
        .expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    assert_eq!(peer.row().await.stash, None);

    assert_eq!(peer.replay(&capsule).await, Replayed::Stashed);

    mint_onbehalf(&world.acme, &id).await.expect(200);
}
