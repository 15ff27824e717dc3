//! The age of a released access token, and what is answered when the grant cannot be refreshed.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use hyper::Response;
use hyper::body::Bytes;
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::grants::capsule::Replayed;

use crate::bots::expect_text;
use crate::proxy::{Call, Fault, Rule, Service};
use crate::refreshing::Peer;
use crate::token_urls::Url;
use crate::world::{CLIENT_ID, World, attribute};

const REFRESH: &str = "/oauth/token";

/// A world with a URL whose access token lives for so many seconds, and is in no memory.
async fn world_with_token_of(seconds: u64) -> (World, String, Url) {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_release(&id).await;
    world.let_access_token_live(&id, seconds).await;
    world.wire.reset();
    (world, id, url)
}

fn fail(world: &World, service: Service, operation: Option<&'static str>, fault: Fault) {
    world.wire.inject(Rule {
        service: Some(service),
        operation,
        nth: None,
        fault,
    });
}

impl World {
    /// The kinds, outcomes and codes of a credential's last events, the newest first.
    async fn last_events(&self, id: &str, count: usize) -> Vec<Value> {
        let events = self.acme.events(id, &format!("?limit={count}")).await;
        let events = events.expect(200);
        let events = events.as_array().unwrap().iter();
        events
            .map(|event| json!([event["kind"], event["outcome"], event["code"]]))
            .collect()
    }
}

// assures 70. Seen to fail: the margin was 3 minutes
#[tokio::test]
async fn an_access_token_is_refreshed_when_it_lives_for_less_than_five_minutes() {
    for (seconds, refreshes) in [(310, 0), (290, 1), (0, 1)] {
        let (world, id, url) = world_with_token_of(seconds).await;
        let answer = world.recall_asks(&url).await;
        world.expect_access_token(&answer);
        assert_eq!(world.refresh_calls(), refreshes, "{seconds}");
        let again = world.recall_asks(&url).await;
        expect_text(&again, &answer.text);
        assert_eq!(world.refresh_calls(), refreshes, "{seconds}");
        assert_eq!(world.outcomes(&id).await, ["succeeded"; 2]);
        let grant = &world.zoom.grants()[0];
        assert_eq!(grant.generation, 1 + u64::try_from(refreshes).unwrap());
    }
}

/// How the refresh can fail for the moment, and the status of the answer.
fn passing_failures() -> [(&'static str, Service, Option<&'static str>, Fault, u16); 6] {
    let answer = |status, body: &str| Fault::Answer(status, body.to_owned());
    let (zoom, kms) = (Service::Zoom, Service::Kms);
    [
        ("Zoom is unreachable", zoom, None, Fault::DropBefore, 502),
        (
            "Zoom fails",
            zoom,
            Some(REFRESH),
            answer(StatusCode::BAD_GATEWAY, "<html>"),
            502,
        ),
        (
            "Zoom limits the calls",
            zoom,
            Some(REFRESH),
            answer(StatusCode::TOO_MANY_REQUESTS, "{}"),
            503,
        ),
        (
            "KMS makes no key",
            kms,
            Some("GenerateDataKey"),
            answer(StatusCode::INTERNAL_SERVER_ERROR, "{}"),
            503,
        ),
        (
            "KMS drops the new key",
            kms,
            Some("GenerateDataKey"),
            Fault::DropAfter,
            503,
        ),
        (
            "DynamoDB takes no lease",
            Service::DynamoDb,
            None,
            answer(StatusCode::INTERNAL_SERVER_ERROR, "{}"),
            503,
        ),
    ]
}

/// Lets the refresh fail. Of DynamoDB's calls, only those for the lease fail.
fn inject(world: &World, service: Service, operation: Option<&'static str>, fault: Fault) {
    if service == Service::DynamoDb {
        world
            .wire
            .break_calls_with(service, "lease_until".to_owned(), fault);
    } else {
        fail(world, service, operation, fault);
    }
}

/// Zoom may have ended the old access token with the refresh that failed.
// assures 70. Seen to fail: the margin was 2 minutes
#[tokio::test]
async fn if_the_refresh_fails_for_the_moment_nothing_is_released_and_the_next_call_refreshes() {
    for (case, service, operation, fault, status) in passing_failures() {
        let (world, id, url) = world_with_token_of(200).await;
        inject(&world, service, operation, fault);

        let answer = world.recall_asks(&url).await;

        assert_eq!(answer.status, status, "{case}: {}", answer.text);
        assert!(answer.header("retry-after").is_some(), "{case}");
        world.wire.heal();
        let releases = world.releases(&id).await;
        assert_eq!(releases.len(), 1, "{case}");
        assert_eq!(releases[0]["outcome"], "failed", "{case}");
        assert_eq!(releases[0]["target"]["id"], "recall", "{case}");
        assert_eq!(world.uses(&url.id).await, "0", "{case}");
        world.expect_access_token(&world.recall_asks(&url).await);
    }
}

// assures 70. Seen to fail: the old token was also released if Zoom refused the grant
#[tokio::test]
async fn a_dead_grant_is_answered_as_by_a_mint_although_its_old_token_still_lives() {
    let (world, id, url) = world_with_token_of(200).await;
    world.zoom.remove_app(CLIENT_ID, "ada");
    for _ in 0..2 {
        let answer = world.recall_asks(&url).await;
        assert_eq!(answer.status, 409);
        assert!(answer.text.contains("(revoked)"), "{}", answer.text);
    }
    let dead = "FST_ERR_ZOOM_RECONNECT_REQUIRED";
    assert_eq!(world.outcomes(&id).await, [dead, dead]);
    assert_eq!(world.uses(&url.id).await, "0");
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["state"], "invalid");
    assert_eq!(world.state_changes(&id).await, ["invalid revoked"]);
}

#[tokio::test]
async fn an_app_that_zoom_refuses_is_answered_although_the_old_token_still_lives() {
    let (world, id, url) = world_with_token_of(200).await;
    let refusal =
        json!({ "reason": "Invalid client_id or client_secret", "error": "invalid_client" });
    let refusal = Fault::Answer(StatusCode::UNAUTHORIZED, refusal.to_string());
    fail(&world, Service::Zoom, Some(REFRESH), refusal);
    assert_eq!(world.recall_asks(&url).await.status, 409);
    let credential = world.acme.get(&id).await.expect(200);
    let message = credential["last_error_message"].as_str().unwrap();
    assert!(message.starts_with("app refused: "), "{message}");

    world.wire.heal();
    world.expect_access_token(&world.recall_asks(&url).await);
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(credential["last_error_message"], json!(null));
}

/// Lets Zoom's new access token live for so many seconds.
fn lives_for<const SECONDS: u64>(answer: &mut Response<Bytes>) {
    let mut body: Value = serde_json::from_slice(answer.body()).unwrap();
    body["expires_in"] = json!(SECONDS);
    *answer.body_mut() = Bytes::from(body.to_string());
}

// assures 70. Seen to fail: the new token's life was not looked at
#[tokio::test]
async fn a_new_access_token_that_lives_too_short_is_not_released() {
    let unavailable = "FST_ERR_UNAVAILABLE";
    for (lifetime, status, outcome, uses) in [
        (Fault::Rewrite(lives_for::<100>), 503, unavailable, "0"),
        (Fault::Rewrite(lives_for::<125>), 503, unavailable, "0"),
        (Fault::Rewrite(lives_for::<140>), 200, "succeeded", "1"),
    ] {
        let (world, id, url) = world_with_token_of(60).await;
        fail(&world, Service::Zoom, Some(REFRESH), lifetime);
        let answer = world.recall_asks(&url).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(world.outcomes(&id).await, [outcome]);
        // The refresh itself is stored, and its event says so.
        let events = world.last_events(&id, 2).await;
        assert!(
            events.contains(&json!(["refresh", "succeeded", null])),
            "{events:?}"
        );
        assert_eq!(world.uses(&url.id).await, uses);
    }
}

/// Zoom may end the old access token with the refresh that is running. So the call waits for the new token.
#[tokio::test]
async fn calls_at_the_same_time_refresh_once_and_get_the_same_new_token() {
    let (world, id, url) = world_with_token_of(200).await;
    let told = world.wire.hold(Service::Zoom, REFRESH);
    let grant = attribute(&world.row(&id).await, "grant_id").to_owned();
    let reads_grant = |call: &Call| {
        let body = String::from_utf8_lossy(&call.body);
        call.operation == "GetItem" && body.contains(&grant)
    };
    let calls = async { tokio::join!(world.recall_asks(&url), world.recall_asks(&url)) };
    let release = async {
        let refresh_begins = tokio::time::timeout(Duration::from_secs(20), world.wire.stalled());
        refresh_begins.await.expect("no call refreshes");
        // A call reads the grant once. The second call reads it again and again while it waits.
        let reads = world
            .wire
            .calls()
            .iter()
            .filter(|it| reads_grant(it))
            .count();
        let waits = world.wire.reached(reads + 3, reads_grant);
        let waits = tokio::time::timeout(Duration::from_secs(20), waits);
        waits.await.expect("no call waits");
        told.notify_one();
    };
    let ((first, second), ()) = tokio::join!(calls, release);
    world.expect_access_token(&first);
    expect_text(&second, &first.text);
    assert_eq!(world.refresh_calls(), 1);
    assert_eq!(world.zoom.grants()[0].generation, 2);
    assert_eq!(world.outcomes(&id).await, ["succeeded"; 2]);
}

/// A function that crashed in a refresh holds its lease for a minute and a half.
#[tokio::test]
async fn while_a_lost_refresh_holds_the_lease_nothing_is_released() {
    let (world, id, url) = world_with_token_of(200).await;
    let until = shared::timestamp::Timestamp::now().plus(Duration::from_mins(1));
    let lease = [
        (
            "lease_id",
            AttributeValue::S(uuid::Uuid::new_v4().to_string()),
        ),
        (
            "lease_until",
            AttributeValue::N(until.as_millis().to_string()),
        ),
        ("lease_at", AttributeValue::N("1".to_owned())),
    ];
    for (name, value) in lease {
        world.set_in_grant(&id, name, value).await;
    }
    let answer = world.recall_asks(&url).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert_eq!(world.refresh_calls(), 0);
    assert_eq!(world.outcomes(&id).await, ["FST_ERR_UNAVAILABLE"]);

    world.expire_leases().await;
    world.expect_access_token(&world.recall_asks(&url).await);
}

/// A mint on another instance has refreshed the grant. Zoom may have ended the token that this instance has in memory.
// assures 70. Seen to fail: the token in memory was released
#[tokio::test]
async fn a_token_in_memory_that_another_instance_has_replaced_is_not_released() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world.given_release(&id).await;
    let first = world.recall_asks(&url).await;
    world.expect_access_token(&first);
    // The row as the other instance leaves it, with a pair that Zoom accepts.
    let peer = Peer::of(&world, &id).await;
    let capsule = peer.capsule(&world, &peer.refresh(&world).await);
    assert_eq!(peer.replay(&capsule).await, Replayed::Stored);

    let second = world.recall_asks(&url).await;

    world.expect_access_token(&second);
    assert_ne!(second.text, first.text);
    // A capsule does not say how long its access token lives. So the vault has refreshed the grant once more.
    assert_eq!(world.zoom.grants()[0].generation, 3);
}

/// Only a call that Zoom accepts may point a credential at another grant.
// assures 70. Seen to fail: Zoom was not asked about the other grant
#[tokio::test]
async fn a_token_of_another_grant_is_released_only_after_zoom_accepted_it() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    let newer = world.add_user_credential("newer").await;
    let url = world.given_release(&older).await;
    let grant_of = async |id: &str| attribute(&world.row(id).await, "grant_id").to_owned();
    let (own, works) = (grant_of(&older).await, grant_of(&newer).await);
    assert_ne!(own, works);
    world.let_access_token_live(&older, 60).await;
    world.wire.reset();
    let down = Fault::Answer(StatusCode::BAD_GATEWAY, "{}".to_owned());
    fail(&world, Service::Zoom, Some("/v2/users/me"), down);

    let refused = world.recall_asks(&url).await;
    assert_eq!(refused.status, 502, "{}", refused.text);
    assert_eq!(grant_of(&older).await, own);

    world.wire.heal();
    let answer = world.recall_asks(&url).await;
    world.expect_access_token(&answer);
    assert_eq!(grant_of(&older).await, works);
    let calls = world.zoom_api_calls();
    assert!(calls.iter().all(|call| call == "/v2/users/me"), "{calls:?}");
    assert_eq!(
        world.outcomes(&older).await,
        ["succeeded", "FST_ERR_ZOOM_UNAVAILABLE"]
    );
}
