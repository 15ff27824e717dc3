//! Revoking the grant of deleted credentials at Zoom.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use hyper::StatusCode;
use local::zoom::{Endpoint, Fault as ZoomFault, FaultKind, Reply};
use shared::keep_alive::Report;
use shared::timestamp::Timestamp;

use super::{
    DAY, HOUR, authorize_again, crash_at_call, enable_revocation, expect_invalid, expect_reconnect,
    given_deleted, grant_secret_id, let_revoke, revocations, sealed_secrets, settle,
    spawn_keep_alive,
};
use crate::minting::mint_onbehalf;
use crate::proxy::Service;
use crate::world::{World, attribute};

// assures 41
#[tokio::test]
async fn deleting_the_last_credential_of_a_grant_revokes_the_grant() {
    let world = World::new().await;
    enable_revocation(&world).await;
    let (id, other) = (
        world.add_user_credential("bot").await,
        world.add_user_credential("other").await,
    );
    // The mint moves the older credential to the grant of the newer one.
    mint_onbehalf(&world.acme, &id).await.expect(200);
    world.expire_access_tokens().await;
    mint_onbehalf(&world.acme, &id).await.expect(200);

    world.wire.reset();
    world.acme.delete(&other).await.expect(200);
    assert_eq!(
        (
            world.wire.count(Service::Kms),
            world.wire.count(Service::Zoom)
        ),
        (0, 0)
    );
    let_revoke(&world).await;
    // The older credential has left its own grant, which Zoom refuses.
    let destroyed = Report {
        unwanted: 1,
        destroyed: 1,
        ..Report::default()
    };
    assert_eq!(world.keep_alive().await, destroyed);
    mint_onbehalf(&world.acme, &id).await.expect(200);

    world.acme.delete(&id).await.expect(200);
    let_revoke(&world).await;
    let revoked = Report {
        unwanted: 1,
        revoked: 1,
        ..Report::default()
    };
    assert_eq!(world.keep_alive().await, revoked);
    assert_eq!(revocations(&world), 1);
    assert!(world.zoom.grants().iter().all(|grant| !grant.alive));
    let grant = grant_secret_id(&world, &id).await;
    assert!(!sealed_secrets(&world).await.contains(&grant));

    for id in [&id, &other] {
        let restored = world.acme.restore(id).await.expect(200);
        expect_invalid(&restored, "revoked");
        expect_reconnect(&mint_onbehalf(&world.acme, id).await, "revoked");
        let events = world.acme.events(id, "").await.expect(200);
        let kinds: Vec<&str> = events
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["kind"].as_str().unwrap())
            .collect();
        assert!(kinds.contains(&"revoke"), "{kinds:?}");
    }
    // After a new authorization the credential mints again.
    authorize_again(&world, &id).await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_grant_with_an_expired_access_token_is_refreshed_and_then_revoked() {
    let world = World::new().await;
    enable_revocation(&world).await;
    given_deleted(&world, "bot").await;
    world.expire_access_tokens().await;
    let_revoke(&world).await;

    assert_eq!(world.keep_alive().await.revoked, 1);
    assert_eq!((world.refresh_calls(), revocations(&world)), (1, 1));
    // An access token that has not expired by the vault's clock, but that Zoom refuses.
    let world = World::new().await;
    enable_revocation(&world).await;
    given_deleted(&world, "bot").await;
    world.zoom.advance(Duration::from_hours(1));
    world.age_access_tokens().await;
    let_revoke(&world).await;
    assert_eq!(world.keep_alive().await.revoked, 1);
    assert_eq!((world.refresh_calls(), revocations(&world)), (1, 1));
}

#[tokio::test]
async fn a_new_access_token_that_zoom_refuses_to_revoke_costs_no_refresh() {
    let world = World::new().await;
    enable_revocation(&world).await;
    let id = given_deleted(&world, "bot").await;
    world.zoom.advance(Duration::from_hours(1));
    let_revoke(&world).await;
    let now = AttributeValue::N(Timestamp::now().as_millis().to_string());
    world.set_in_grant(&id, "committed_at", now).await;

    assert_eq!(world.keep_alive().await.failed, 1);
    assert_eq!((world.refresh_calls(), revocations(&world)), (0, 0));
}

#[tokio::test]
async fn a_credential_restored_before_the_next_run_of_the_schedule_is_not_revoked() {
    let world = World::new().await;
    enable_revocation(&world).await;
    let id = given_deleted(&world, "bot").await;
    assert!(world.drain_stream().await);
    world.acme.restore(&id).await.expect(200);

    assert_eq!(world.keep_alive().await, Report::default());
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_credential_restored_while_its_grant_is_refreshed_for_the_revocation_is_not_revoked() {
    let world = World::new().await;
    enable_revocation(&world).await;
    let id = given_deleted(&world, "bot").await;
    world.expire_access_tokens().await;
    let_revoke(&world).await;
    let held = world.wire.hold(Service::Zoom, "/oauth/token");
    let run = spawn_keep_alive(&world);
    world.wire.stalled().await;
    // The grant is given up for the revocation.
    expect_invalid(&world.acme.restore(&id).await.expect(200), "revoked");
    expect_reconnect(&mint_onbehalf(&world.acme, &id).await, "revoked");
    held.notify_one();
    run.await.unwrap();

    assert_eq!(revocations(&world), 0);
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
}

#[tokio::test]
async fn a_failed_revocation_is_recorded_as_an_event_and_retried_a_day_later() {
    for kind in [
        FaultKind::ReplyBefore(Reply::status(StatusCode::BAD_GATEWAY)),
        FaultKind::DropBefore,
        FaultKind::DropAfter,
    ] {
        let zoom_revoked = matches!(kind, FaultKind::DropAfter);
        let world = World::new().await;
        enable_revocation(&world).await;
        let id = given_deleted(&world, "bot").await;
        world.expire_access_tokens().await;
        let_revoke(&world).await;
        world.zoom.inject(ZoomFault::once(Endpoint::Revoke, kind));
        let failed = Report {
            failed: 1,
            ..Report::default()
        };
        assert_eq!(world.keep_alive().await, failed);
        let mut events = world.items("events").await.into_iter();
        let event = events.find(|event| attribute(event, "kind") == "revoke");
        let event = event.unwrap();
        assert_eq!(attribute(&event, "credential_id"), id);
        assert_eq!(attribute(&event, "outcome"), "failed");
        assert_eq!(attribute(&event, "code"), "FST_ERR_ZOOM_UNAVAILABLE");

        // The next run does not retry before a day has passed.
        assert_eq!(world.keep_alive().await, Report::default());
        world.age_grants_by(DAY).await;
        world.expire_leases().await;
        world.backdate_deletions().await;
        assert_eq!(world.keep_alive().await.revoked, 1);
        assert_eq!(revocations(&world), usize::from(!zoom_revoked));
        assert_eq!(sealed_secrets(&world).await, [format!("app#{id}")]);
        expect_invalid(&world.acme.restore(&id).await.expect(200), "revoked");
    }
}

/// The two authorizations are moments apart. Nobody knows which of them replaced the other at Zoom, so the older
/// credential stays on its own grant.
#[tokio::test]
async fn a_grant_that_a_credential_of_the_same_user_may_need_is_not_revoked() {
    let world = World::new().await;
    enable_revocation(&world).await;
    let older = world.add_user_credential("older").await;
    let newer = world.add_user_credential("newer").await;
    let grant = attribute(&world.row(&newer).await, "grant_id").to_owned();
    assert_ne!(attribute(&world.row(&older).await, "grant_id"), grant);
    world.acme.delete(&newer).await.expect(200);
    let_revoke(&world).await;
    assert_eq!(world.keep_alive().await, Report::default());
    assert_eq!(revocations(&world), 0);

    mint_onbehalf(&world.acme, &older).await.expect(200);
    assert_eq!(attribute(&world.row(&older).await, "grant_id"), grant);
    // The schedule keeps the grant alive again, and revokes it when its last credential is deleted.
    let mut secrets = world.items("secrets").await.into_iter();
    let row = secrets.find(|row| attribute(row, "secret_id") == format!("grant#{grant}"));
    assert!(row.unwrap().contains_key("due_shard"));
    world.acme.delete(&older).await.expect(200);
    let_revoke(&world).await;
    assert_eq!(world.keep_alive().await.revoked, 1);
    assert_eq!(revocations(&world), 1);
}

#[tokio::test]
async fn a_grant_is_not_revoked_while_it_is_young_or_before_the_time_to_change_ones_mind_is_over() {
    let world = World::new().await;
    enable_revocation(&world).await;
    let id = given_deleted(&world, "bot").await;
    assert!(world.drain_stream().await);
    let left = Report {
        left: 1,
        ..Report::default()
    };
    // The credential was deleted just now.
    world.backdate_grants().await;
    assert_eq!(world.keep_alive().await, left);
    assert_eq!(world.keep_alive().await, Report::default());
    world.age_grants_by(DAY + HOUR).await;
    world.backdate_deletions().await;
    // Somebody has just authorized the app, and may be about to create a credential.
    let now = Timestamp::now().as_millis().to_string();
    world
        .set_in_grant(&id, "authorized_at", AttributeValue::N(now))
        .await;
    assert_eq!(world.keep_alive().await, left);
    assert_eq!(revocations(&world), 0);

    world.age_grants_by(DAY).await;
    world.backdate_grants().await;
    assert_eq!(world.keep_alive().await.revoked, 1);
    assert_eq!(revocations(&world), 1);
}

#[tokio::test]
async fn after_a_crash_at_any_call_of_a_revocation_the_next_run_finishes_it() {
    let mut revocations_seen = Vec::new();
    for n in 1.. {
        let world = World::new().await;
        enable_revocation(&world).await;
        let id = given_deleted(&world, "bot").await;
        world.expire_access_tokens().await;
        let_revoke(&world).await;
        let crash = crash_at_call(&world, n, || spawn_keep_alive(&world));
        if crash.await.is_some() {
            break;
        }
        let before_the_crash = revocations(&world);
        world.expire_leases().await;
        world.age_grants_by(DAY).await;
        world.backdate_deletions().await;
        world.keep_alive().await;
        assert_eq!(
            sealed_secrets(&world).await,
            [format!("app#{id}")],
            "at {n}"
        );
        assert!(
            world.zoom.grants().iter().all(|grant| !grant.alive) || world.refresh_calls() > 1,
            "at {n}"
        );
        let reason = if revocations(&world) == 1 {
            "revoked"
        } else {
            "refresh_outcome_lost"
        };
        expect_invalid(&world.acme.restore(&id).await.expect(200), reason);
        revocations_seen.push((before_the_crash, revocations(&world)));
    }
    assert!(revocations_seen.len() > 20, "{revocations_seen:?}");
    assert!(
        revocations_seen.contains(&(0, 1)) && revocations_seen.contains(&(1, 1)),
        "{revocations_seen:?}"
    );
}

/// Makes the grants that are in the schedule due, whatever was done to them.
async fn make_due(world: &World) {
    for mut row in world.items("secrets").await {
        if row.contains_key("due_shard") {
            let long_ago = AttributeValue::S("2000-01-01T00:00:00.000Z".to_owned());
            row.insert("idle_since".to_owned(), long_ago);
            world.put("secrets", row).await;
        }
    }
}

#[tokio::test]
async fn the_row_of_a_revoked_stray_is_deleted_once_a_credential_of_its_pair_is_live_again() {
    let world = World::new().await;
    enable_revocation(&world).await;
    let first = world.add_user_credential("first").await;
    let stray = grant_secret_id(&world, &first).await;
    world.backdate_authorization(&first).await;
    // The first credential moves to the new grant.
    let second = world.add_user_credential("second").await;
    assert_ne!(grant_secret_id(&world, &first).await, stray);
    world.acme.delete(&first).await.expect(200);
    world.acme.delete(&second).await.expect(200);
    let_revoke(&world).await;
    world.keep_alive().await;
    assert_eq!(revocations(&world), 1);
    make_due(&world).await;
    world.keep_alive().await;

    world.acme.restore(&first).await.expect(200);
    authorize_again(&world, &first).await;
    make_due(&world).await;
    settle(&world).await;

    let secrets = world.items("secrets").await;
    let ids: Vec<&str> = secrets
        .iter()
        .map(|row| attribute(row, "secret_id"))
        .collect();
    assert!(!ids.contains(&stray.as_str()), "{ids:?}");
}
