//! Unusual answers to a refresh: old forms of a refusal, no refresh token, and very long tokens.

use std::time::Duration;

use local::zoom::{Endpoint, Fault, FaultKind, GrantType, RefreshBehaviour, Reply};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use shared::grants::capsule::Capsule;
use shared::secret::TokenPair;
use shared::stores::PairWrite;
use shared::timestamp::Timestamp;
use tracing::Level;

use super::{Peer, invoke};
use crate::minting::mint_onbehalf;
use crate::proxy::Service;
use crate::secrecy::log::Log;
use crate::world::{World, attribute};

/// The endpoint that refreshes a grant.
const REFRESH: Endpoint = Endpoint::Grant(GrantType::RefreshToken);

fn reply(status: StatusCode, body: &Value) -> FaultKind {
    FaultKind::ReplyBefore(Reply {
        body: Some(body.to_string()),
        ..Reply::status(status)
    })
}

/// A refresh token that is not accepted any more, in Zoom's old words.
fn refused_in_the_old_form(status: StatusCode) -> Fault {
    let body = json!({ "reason": "Invalid Token!", "error": "invalid_request" });
    Fault::once(REFRESH, reply(status, &body))
}

/// The real answer to a refresh, with these tokens.
fn with_tokens(access: &str, refresh: &str) -> FaultKind {
    let set = [("access_token", access), ("refresh_token", refresh)];
    let set = set.map(|(name, token)| (name.to_owned(), json!(token)));
    FaultKind::Override {
        set: Map::from_iter(set),
        remove: Vec::new(),
    }
}

impl Peer {
    /// The tokens in the grant's row.
    async fn opened(&self) -> TokenPair {
        let row = self.row().await;
        let sealed = row.sealed.as_ref().unwrap();
        let opened = self.envelope.open(&self.binding, sealed);
        opened.await.unwrap().try_into().unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests compare tokens")]
fn text_of(token: &SecretString) -> &str {
    token.expose_secret()
}

#[tokio::test]
async fn the_stash_is_sent_after_a_refusal_in_the_old_form() {
    for status in [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED] {
        let world = World::new().await;
        let id = world.add_user_credential("desk").await;
        world.expire_access_tokens().await;
        let peer = Peer::of(&world, &id).await;
        let lives = peer.refresh(&world).await;
        let first = peer.made_up_pair().await;
        peer.commit(1, &first, false).await;
        peer.stash(&lives).await;
        world.zoom.inject(refused_in_the_old_form(status));

        mint_onbehalf(&world.acme, &id).await.expect(200);

        let row = peer.row().await;
        assert_eq!((row.generation(), row.stash), (3, None));
    }
}

#[tokio::test]
async fn the_siblings_are_searched_after_a_refusal_in_the_old_form() {
    for status in [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED] {
        let world = World::new().await;
        let older = world.add_user_credential("older").await;
        let newer = world.add_user_credential("newer").await;
        world.expire_access_tokens().await;
        world.zoom.inject(refused_in_the_old_form(status));

        mint_onbehalf(&world.acme, &older).await.expect(200);

        assert_eq!(
            attribute(&world.row(&older).await, "grant_id"),
            attribute(&world.row(&newer).await, "grant_id")
        );
        assert_eq!(world.acme.get(&older).await.expect(200)["state"], "active");
    }
}

/// RFC 6749, section 6: without a new refresh token, the old one stays valid.
#[tokio::test]
async fn a_refresh_answered_without_a_refresh_token_keeps_the_old_one() {
    let without = FaultKind::Override {
        set: Map::new(),
        remove: vec!["refresh_token".to_owned()],
    };
    let set = |value: Value| FaultKind::Override {
        set: Map::from_iter([("refresh_token".to_owned(), value)]),
        remove: Vec::new(),
    };
    for kind in [without, set(Value::Null), set(json!("")), set(json!(7))] {
        let world = World::new().await;
        world
            .zoom
            .set_refresh_behaviour(RefreshBehaviour::OldTokenOnceMore);
        let id = world.add_user_credential("desk").await;
        let peer = Peer::of(&world, &id).await;
        let before = peer.opened().await;
        world.expire_access_tokens().await;
        world.zoom.inject(Fault::once(REFRESH, kind.clone()));

        let answer = mint_onbehalf(&world.acme, &id).await;

        assert_eq!(answer.status, 200, "{kind:?}: {}", answer.text);
        let row = peer.row().await;
        assert_eq!((row.generation(), row.lease, row.attempt), (2, None, None));
        let after = peer.opened().await;
        assert_eq!(text_of(&after.refresh), text_of(&before.refresh));
        assert_ne!(text_of(&after.access), text_of(&before.access));

        world.expire_access_tokens().await;
        mint_onbehalf(&world.acme, &id).await.expect(200);
        assert_eq!(peer.row().await.generation(), 3);
        let last = peer.opened().await;
        assert_ne!(text_of(&last.refresh), text_of(&before.refresh));
    }
}

#[tokio::test]
async fn long_tokens_of_a_refresh_are_stored() {
    // The last length almost fills the longest answer that is read.
    for length in [8_000, 60_000, 130_000] {
        let world = World::new().await;
        let id = world.add_user_credential("desk").await;
        let peer = Peer::of(&world, &id).await;
        world.expire_access_tokens().await;
        let (access, refresh) = ("a".repeat(length), "r".repeat(length));
        world
            .zoom
            .inject(Fault::once(REFRESH, with_tokens(&access, &refresh)));
        let minted = reply(StatusCode::OK, &json!({ "token": "a-bots-token" }));
        world.zoom.inject(Fault::once(Endpoint::Mint, minted));

        mint_onbehalf(&world.acme, &id).await.expect(200);

        assert_eq!(peer.row().await.generation(), 2);
        assert_eq!(text_of(&peer.opened().await.refresh), refresh);
    }
}

/// The tokens of another invocation were stored first, and a row in DynamoDB has at most 400 KB.
#[tokio::test]
async fn a_pair_for_which_the_row_has_no_room_goes_into_a_capsule_at_once() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let peer = Peer::of(&world, &id).await;
    world.expire_access_tokens().await;
    let token = |c: &str| SecretString::from(c.repeat(120_000));
    let first = TokenPair {
        access: token("b"),
        refresh: token("s"),
    };
    let first = peer.sealed(&peer.row().await, &first).await;
    let (access, refresh) = ("a".repeat(120_000), "r".repeat(120_000));
    world
        .zoom
        .inject(Fault::once(REFRESH, with_tokens(&access, &refresh)));
    world.wire.reset();
    let log = Log::default();
    let recording = log.record(Level::INFO);
    let answered = world.wire.hold(Service::Zoom, "/oauth/token");
    let mint = invoke(&world, &id);
    world.wire.stalled().await;
    let soon = Timestamp::now().plus(Duration::from_secs(10));
    let committed = peer
        .secrets
        .commit(peer.grant, 1, &first, peer.writer, false, soon);
    assert!(matches!(
        committed.await.unwrap(),
        PairWrite::Written { .. }
    ));

    answered.notify_one();
    let status = tokio::time::timeout(Duration::from_secs(20), mint).await;
    drop(recording);

    assert_eq!(status.unwrap().unwrap(), 500);
    let text = String::from_utf8(log.bytes()).unwrap();
    let (_, rest) = text.split_once(Capsule::PREFIX).unwrap();
    let (capsule, _) = rest.split_once('"').unwrap();
    let capsule: Capsule = format!("{}{capsule}", Capsule::PREFIX).parse().unwrap();
    let Capsule::Refresh(refreshed) = &capsule else {
        panic!("a refresh logs the capsule of a refresh");
    };
    let opened = peer.envelope.open(&peer.binding, &refreshed.pair.sealed);
    let opened: TokenPair = opened.await.unwrap().try_into().unwrap();
    assert_eq!(text_of(&opened.refresh), refresh);
    // The first pair is untouched, and a replay says why it stores nothing.
    let row = peer.row().await;
    assert_eq!((row.generation(), row.stash), (2, None));
    let replayed = capsule.replay(
        &peer.credentials,
        &peer.pairs,
        &peer.secrets,
        Timestamp::now(),
    );
    let error = replayed.await;
    assert!(error.unwrap_err().to_string().contains("400 KB"));
}
