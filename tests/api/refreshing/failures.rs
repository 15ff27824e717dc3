//! Failures around a refresh: DynamoDB, KMS, Zoom, and crashes.

use std::sync::Arc;
use std::time::Duration;

use local::kms::Failure;
use local::zoom::RefreshBehaviour;
use reqwest::StatusCode;
use serde_json::json;
use shared::stores::{AcquireOutcome, Lease};
use shared::timestamp::Timestamp;
use tokio::sync::Notify;

use super::{Peer, invoke};
use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{CLIENT_ID, World, retry_after};

#[tokio::test]
async fn a_lost_answer_to_the_commit_loses_nothing() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    world.wire.reset();
    // DynamoDB applies both updates of the grant's row, acquire and commit. The first answer to each is lost.
    for nth in [2, 4] {
        world.wire.inject(Rule {
            service: Some(Service::DynamoDb),
            operation: Some("UpdateItem"),
            nth: Some(nth),
            fault: Fault::DropAfter,
        });
    }

    mint_onbehalf(&world.acme, &id).await.expect(200);

    let grant = &world.zoom.grants()[0];
    assert_eq!(
        (grant.posts.as_slice(), grant.spent_posts),
        ([1, 0].as_slice(), 0)
    );
    assert_eq!(Peer::of(&world, &id).await.row().await.generation(), 2);
}

/// A transaction locks a grant's row for milliseconds, for example when another credential moves to the grant.
#[tokio::test]
async fn a_refresh_waits_for_a_transaction_that_locks_the_row() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let locked =
        json!({ "__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException" });
    // The first update counts the rate. The next two are the first tries of the acquire, or of the release.
    let lock = |first: u64| {
        for _ in 0..2 {
            world.wire.inject(Rule {
                service: Some(Service::DynamoDb),
                operation: Some("UpdateItem"),
                nth: Some(first),
                fault: Fault::Answer(StatusCode::BAD_REQUEST, locked.to_string()),
            });
        }
    };
    world.expire_access_tokens().await;
    world.wire.reset();
    lock(2);
    mint_onbehalf(&world.acme, &id).await.expect(200);

    world.expire_access_tokens().await;
    world.wire.reset();
    lock(3);
    world.wire.break_service(
        Service::Zoom,
        Fault::Answer(StatusCode::TOO_MANY_REQUESTS, String::new()),
    );
    let answer = mint_onbehalf(&world.acme, &id).await;
    answer.expect_code(503, "FST_ERR_UNAVAILABLE");
    let row = Peer::of(&world, &id).await.row().await;
    assert!(row.lease.is_none() && row.attempt.is_none());
}

#[tokio::test]
async fn a_crash_between_zoom_and_the_commit_is_reported_as_a_lost_outcome() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    world.wire.reset();
    world.wire.hold(Service::Zoom, "/oauth/token");
    let mint = invoke(&world, &id);
    world.wire.stalled().await;
    mint.abort();
    assert!(mint.await.is_err());
    world.wire.heal();
    let peer = Peer::of(&world, &id).await;
    assert!(peer.row().await.attempt.is_some());
    world.expire_leases().await;

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    assert_eq!(answer.json()["details"], "refresh_outcome_lost");
}

/// The lease of a slow function ends, and another one refreshes. Then the slow one's POST arrives, with a spent token,
/// and Zoom ends the grant for that. The user has done nothing.
#[tokio::test]
async fn a_grant_that_zoom_ends_because_a_spent_token_came_again_is_reported_as_a_lost_outcome() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world
        .zoom
        .set_refresh_behaviour(RefreshBehaviour::ReuseRevokesFamily);
    world.expire_access_tokens().await;
    let held = Arc::new(Notify::new());
    world.wire.inject(Rule {
        service: Some(Service::Zoom),
        operation: Some("/oauth/token"),
        nth: Some(1),
        fault: Fault::HoldBefore(held.clone()),
    });
    let slow = invoke(&world, &id);
    world.wire.stalled().await;
    world.expire_leases().await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    held.notify_one();
    assert_eq!(slow.await.unwrap(), 409);

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    assert_eq!(answer.json()["details"], "refresh_outcome_lost");
}

#[tokio::test]
async fn a_refresh_that_zoom_fails_is_tried_once_more_and_then_reported() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    world.wire.reset();
    world.wire.inject(Rule {
        service: Some(Service::Zoom),
        operation: Some("/oauth/token"),
        nth: None,
        fault: Fault::Answer(StatusCode::BAD_GATEWAY, "<html>".to_owned()),
    });

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
    assert_eq!(world.wire.count(Service::Zoom), 2);
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
    let row = Peer::of(&world, &id).await.row().await;
    assert!(row.lease.is_none(), "the lease is released");
    assert!(row.attempt.is_some(), "the refresh token may be spent");
    world.wire.heal();
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert!(Peer::of(&world, &id).await.row().await.attempt.is_none());
}

#[tokio::test]
async fn an_app_that_zoom_refuses_is_for_the_operator_to_fix_with_a_new_secret() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    world.zoom.rotate_secret(CLIENT_ID, "another-secret");

    let answer = mint_onbehalf(&world.acme, &id).await;

    answer.expect_code(409, "FST_ERR_ZOOM_APP_MISCONFIGURED");
    let shown = world.acme.get(&id).await.expect(200);
    assert_eq!(shown["state"], "active");
    assert!(
        shown["last_error_message"]
            .as_str()
            .unwrap()
            .starts_with("app refused: ")
    );
    let row = Peer::of(&world, &id).await.row().await;
    assert!(row.lease.is_none() && row.attempt.is_none());

    let new_secret = json!({ "client_id": CLIENT_ID, "client_secret": "another-secret" });
    world.acme.update(&id, new_secret).await.expect(200);
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(
        world.acme.get(&id).await.expect(200)["last_error_message"],
        json!(null)
    );
}

/// Invariant I6 of the refresh protocol: the refresh token is spent, so no call may come between Zoom's answer and the
/// commit.
// assures 11
#[tokio::test]
async fn no_call_comes_between_the_answer_to_a_refresh_and_its_commit() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    world.wire.reset();

    mint_onbehalf(&world.acme, &id).await.expect(200);

    let calls = world.wire.calls();
    let calls: Vec<&str> = calls.iter().map(|call| call.operation.as_str()).collect();
    let refresh = calls.iter().position(|it| *it == "/oauth/token").unwrap();
    let around = &calls[refresh - 1..=refresh + 1];
    assert_eq!(around, ["UpdateItem", "/oauth/token", "UpdateItem"]);
}

// assures 39
#[tokio::test]
async fn while_kms_fails_no_refresh_token_is_spent_and_nothing_changes() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    world.wire.reset();
    let stored = async || {
        let tables = ["credentials", "secrets"];
        (
            world.sorted_rows(tables[0]).await,
            world.sorted_rows(tables[1]).await,
        )
    };
    let before = stored().await;
    for failure in [
        Failure::Disabled,
        Failure::Throttling,
        Failure::AccessDenied,
        Failure::KeyUnavailable,
    ] {
        world.kms.fail_next(usize::MAX, failure);
        let answer = mint_onbehalf(&world.acme, &id).await;
        answer.expect_code(503, "FST_ERR_UNAVAILABLE");
        assert!(retry_after(&answer) > 0, "{failure:?}");
    }
    assert_eq!(stored().await, before);
    assert_eq!(world.wire.count(Service::Zoom), 0);

    world.kms.stop_failing();
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(world.zoom.grants()[0].posts, [1, 0]);
}

// assures 40
#[tokio::test]
async fn no_token_is_returned_without_a_stored_event() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    for due in [false, true] {
        if due {
            world.expire_access_tokens().await;
        }
        world.wire.inject(Rule {
            service: Some(Service::DynamoDb),
            operation: Some("PutItem"),
            nth: None,
            fault: Fault::DropBefore,
        });
        let answer = mint_onbehalf(&world.acme, &id).await;
        answer.expect_code(503, "FST_ERR_UNAVAILABLE");
        assert_eq!(answer.json()["data"], serde_json::Value::Null);
        world.wire.heal();

        // The refreshed pair is kept.
        mint_onbehalf(&world.acme, &id).await.expect(200);
        let generation = world.zoom.grants()[0].generation;
        assert_eq!(generation, 1 + u64::from(due));
        assert_eq!(
            Peer::of(&world, &id).await.row().await.generation(),
            generation
        );
    }
}

/// A lease that begins now and lasts a minute.
fn new_lease() -> Lease {
    let now = Timestamp::now();
    Lease {
        id: uuid::Uuid::new_v4(),
        taken_at: now.as_millis(),
        until: now.plus(Duration::from_mins(1)).as_millis(),
    }
}

/// A function may acquire again after an attempt whose outcome it never learned. A late copy of its first release does
/// not end its second lease.
#[tokio::test]
async fn each_acquire_has_its_own_lease_and_an_earlier_attempt_stays_unfinished() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let peer = Peer::of(&world, &id).await;
    let (first, second) = (new_lease(), new_lease());
    let acquire = async |lease: Lease| {
        let acquired = peer
            .secrets
            .acquire_lease(peer.grant, 1, lease, false)
            .await;
        match acquired.unwrap() {
            AcquireOutcome::Acquired(lease) => lease.earlier_attempt,
            AcquireOutcome::Refused(row) => panic!("{row:?}"),
        }
    };
    let release_first = async || {
        let released = peer.secrets.release_lease(peer.grant, first.id, false);
        released.await.unwrap();
    };

    // The second call is a retry after a lost answer.
    assert!(!acquire(first).await);
    assert!(!acquire(first).await);
    release_first().await;
    assert_eq!(peer.row().await.lease, None);
    assert!(acquire(second).await);
    release_first().await;

    let row = peer.row().await;
    assert_eq!(row.lease, Some(second));
    let attempt = row.attempt.unwrap();
    assert_eq!((attempt.id, attempt.at), (first.id, first.taken_at));
}

/// Another mint refreshes the grant between the read of the row and the acquire.
#[tokio::test]
async fn a_mint_that_another_one_overtakes_before_its_lease_sends_no_spent_token() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    let held = Arc::new(Notify::new());
    // The updates are the rate and the acquire.
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("UpdateItem"),
        nth: Some(2),
        fault: Fault::HoldBefore(held.clone()),
    });
    let overtaken = invoke(&world, &id);
    world.wire.stalled().await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    held.notify_one();

    let status = overtaken.await.unwrap();
    assert_eq!((status, world.refresh_calls()), (200, 1));
}
