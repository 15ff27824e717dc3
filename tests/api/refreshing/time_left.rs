//! What a refresh does when the invocation has little time left, or another refresh is running.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use functions::{runtime, tokens};
use lambda_http::{Context, LambdaEvent};
use local::zoom::{Endpoint, Fault as ZoomFault, FaultKind, GrantType};
use serde_json::json;
use shared::envelope::Envelope;
use shared::grants::Grants;
use shared::stores::{Credentials, Events, Keys, PairWrite, Pairs, RETENTION, Requests, Secrets};
use shared::timestamp::Timestamp;
use shared::zoom::{ApiUrl, Zoom};
use tokio::net::TcpListener;

use super::{Peer, invoke};
use crate::minting::mint_onbehalf;
use crate::proxy::Service;
use crate::world::{World, retry_after};

/// A function begins no refresh if its invocation has less time left than this.
const MIN_REFRESH_TIME: Duration = Duration::from_secs(40);

/// Mints in a function whose invocation ends at `deadline`, and returns the status.
async fn mint_until(world: &World, id: &str, deadline: Timestamp) -> u16 {
    mint_with(world, id, deadline, world.zoom_client.clone()).await
}

/// As [`mint_until`], in a function that has this client for Zoom.
async fn mint_with(world: &World, id: &str, deadline: Timestamp, zoom: Zoom) -> u16 {
    let db = &world.dynamodb;
    let grants = Grants::new(
        Credentials::new(db.clone(), "credentials".to_owned()),
        Pairs::new(db.clone(), "pairs".to_owned()),
        Secrets::new(db.clone(), "secrets".to_owned()),
        Events::new(db.clone(), "events".to_owned(), RETENTION),
        Envelope::new(
            world.kms_client().await,
            world.kms.default_key(),
            Secrets::NAME,
        ),
        zoom,
        true,
    );
    let keys = Keys::new(db.clone(), "keys".to_owned());
    let requests = Requests::new(db.clone(), "requests".to_owned());
    let event = json!({
        "httpMethod": "POST",
        "headers": { "x-meeting-baas-api-key": world.acme.key(), "content-type": "application/json" },
        "body": json!({ "credential_id": id, "type": "onbehalf" }).to_string(),
    });
    let mut context = Context::default();
    context.deadline = deadline.as_millis().try_into().unwrap();
    let event = LambdaEvent::new(serde_json::from_value(event).unwrap(), context);
    let answer = runtime::invoke(tokens::mint::ROUTE, event, async |request| {
        tokens::mint::handle(&keys, &requests, &grants, &request).await
    });
    answer.await.status_code.try_into().unwrap()
}

/// The refresh protocol sends a token only if there is time to wait for the answer.
#[tokio::test]
async fn a_stashed_token_is_not_sent_if_too_little_time_is_left_for_the_answer() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let peer = Peer::of(&world, &id).await;
    let live = peer.refresh(&world).await;
    let lost = peer.made_up_pair().await;
    assert!(matches!(
        peer.commit(1, &lost, false).await,
        PairWrite::Written { .. }
    ));
    assert!(matches!(peer.stash(&live).await, PairWrite::Written { .. }));

    let mut spare = Duration::from_secs(2);
    let status = loop {
        world.wire.reset();
        let refusal = world.wire.hold(Service::Zoom, "/oauth/token");
        let deadline = Timestamp::now().plus(MIN_REFRESH_TIME + spare);
        let mint = mint_until(&world, &id, deadline);
        tokio::pin!(mint);
        tokio::select! {
            () = world.wire.stalled() => {}
            // The machine is too slow: the time was over before the function could send the pair of the row.
            status = &mut mint => {
                assert_eq!(status, 503);
                spare *= 2;
                assert!(spare < Duration::from_mins(5));
                continue;
            }
        }
        // Zoom's refusal of the first pair arrives when there is no time for the second.
        while Timestamp::now().until(deadline) >= MIN_REFRESH_TIME {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        refusal.notify_one();
        break mint.await;
    };

    assert_eq!(status, 503);
    let posts = world.zoom.ledger().into_iter();
    let posts = posts.filter(|call| call.path == "/oauth/token").count();
    // One to authorize, one by the peer, and the refused one.
    assert_eq!(posts, 3);
    assert_eq!(peer.row().await.stash, Some(live.sealed));
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

/// The lease outlives its holder by the difference between two clocks, and no longer.
#[tokio::test]
async fn a_lease_ends_two_seconds_after_the_invocation_of_its_holder() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    let peer = Peer::of(&world, &id).await;
    world.wire.reset();
    let answer = world.wire.hold(Service::Zoom, "/oauth/token");
    let before = Timestamp::now();
    let deadline = before.plus(Duration::from_secs(90));
    let mint = mint_until(&world, &id, deadline);
    tokio::pin!(mint);
    tokio::select! {
        () = world.wire.stalled() => {}
        status = &mut mint => panic!("{status}"),
    }

    let row = peer.row().await;
    let lease = row.lease.unwrap();
    assert_eq!(
        lease.until,
        deadline.plus(Duration::from_secs(2)).as_millis()
    );
    assert!((before.as_millis()..=Timestamp::now().as_millis()).contains(&lease.taken_at));
    let attempt = row.attempt.unwrap();
    assert_eq!((attempt.id, attempt.at), (lease.id, lease.taken_at));
    answer.notify_one();
    assert_eq!(mint.await, 200);
    assert_eq!(peer.row().await.lease, None);
}

/// Lets a lease look as if it had been taken six seconds ago.
async fn age_lease(world: &World, id: &str) {
    let taken_at = Timestamp::now().minus(Duration::from_secs(6)).as_millis();
    let taken_at = AttributeValue::N(taken_at.to_string());
    world.set_in_grant(id, "lease_at", taken_at).await;
}

/// A function may crash after it has sent the refresh token. Nobody may send the token again before its lease ends.
#[tokio::test]
async fn after_a_crash_in_a_refresh_calls_are_answered_at_once_until_the_lease_ends() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    let peer = Peer::of(&world, &id).await;
    world.wire.reset();
    world.wire.hold(Service::Zoom, "/oauth/token");
    let crashes = invoke(&world, &id);
    world.wire.stalled().await;
    crashes.abort();
    age_lease(&world, &id).await;

    let began = Timestamp::now();
    let answer = mint_onbehalf(&world.acme, &id).await;
    assert!(began.until(Timestamp::now()) < Duration::from_secs(5));
    answer.expect_code(503, "FST_ERR_UNAVAILABLE");
    assert_eq!(answer.json()["details"], "refresh_running");
    let lease = peer.row().await.lease.unwrap();
    let rest = began.until(Timestamp::from_millis(lease.until)).as_secs();
    let told = retry_after(&answer);
    assert!(told > 60 && (rest - 5..=rest + 1).contains(&told), "{told}");
    assert_eq!(world.refresh_calls(), 1);
}

/// A crash before the refresh token is sent costs nothing while the function connects to Zoom, because no lease is
/// taken yet.
#[tokio::test]
async fn a_function_that_is_connecting_to_zoom_holds_no_lease() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    let peer = Peer::of(&world, &id).await;
    // Accepts connections and does not answer the TLS handshake.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let api = ApiUrl::configured(url.parse().unwrap());
    let zoom = Zoom::new(url.parse().unwrap(), api).unwrap();
    let deadline = Timestamp::now().plus(Duration::from_secs(90));

    let mint = mint_with(&world, &id, deadline, zoom);
    tokio::pin!(mint);
    let connection = tokio::select! {
        connection = silent.accept() => connection.unwrap(),
        status = &mut mint => panic!("{status}"),
    };
    let row = peer.row().await;
    assert_eq!((row.lease, row.attempt), (None, None));
    // Zoom closes the connection, also the second one.
    drop(connection);
    drop(silent);
    assert_eq!(mint.await, 502);
    let row = peer.row().await;
    assert_eq!((row.lease, row.attempt), (None, None));
}

/// While another function refreshes, a mint with the old access token opens it once and writes nothing.
#[tokio::test]
async fn a_mint_during_another_functions_refresh_opens_the_old_access_token_and_writes_nothing() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let soon = Timestamp::now().plus(Duration::from_mins(5)).as_millis();
    let soon = AttributeValue::N(soon.to_string());
    world.set_in_grant(&id, "access_expires_at", soon).await;
    world.wire.reset();
    let refresh = Endpoint::Grant(GrantType::RefreshToken);
    let slow = ZoomFault::once(refresh, FaultKind::Delay);
    world.zoom.inject(slow.delayed(Duration::from_mins(5)));
    let refreshing = invoke(&world, &id);
    world.wire.called("/oauth/token", 1).await;
    let updates = || {
        let operations = world.wire.operations(Service::DynamoDb);
        operations.iter().filter(|it| *it == "UpdateItem").count()
    };
    let before = (world.wire.count(Service::Kms), updates());

    for mint in 0..5 {
        // The age of the lease does not matter.
        if mint == 3 {
            age_lease(&world, &id).await;
        }
        mint_onbehalf(&world.acme, &id).await.expect(200);
    }

    // The only write of each mint counts the rate.
    let after = (world.wire.count(Service::Kms), updates());
    assert_eq!(after, (before.0 + 5, before.1 + 5));
    refreshing.abort();
}
