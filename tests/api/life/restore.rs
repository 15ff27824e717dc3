//! Restoring a deleted credential.

use std::sync::Arc;

use serde_json::json;
use shared::api_key::Permission;
use shared::keep_alive::Report;
use tokio::sync::Notify;

use super::{
    IDLE_TIME, crash_at_call, end_retention, expect_invalid, expect_reconnect, given_deleted,
    revocations, sealed_secrets, spawn_keep_alive, spawn_restore,
};
use crate::deleting::expect_gone;
use crate::minting::{mint, mint_onbehalf};
use crate::proxy::{Fault, Rule, Service};
use crate::world::{CLIENT_ID, World, attribute};

#[tokio::test]
async fn a_restored_credential_is_as_before_its_deletion_and_mints_at_once() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let (before, row) = (world.acme.get(&id).await.expect(200), world.row(&id).await);
    let secrets = sealed_secrets(&world).await;
    world.acme.delete(&id).await.expect(200);
    assert_eq!(
        world.acme.list("?deleted=true").await.expect(200)[0]["credential_id"],
        id
    );

    let mut restored = world.acme.restore(&id).await.expect(200);
    assert_eq!(world.acme.get(&id).await.expect(200), restored);
    assert!(restored["updated_at"].as_str() >= before["updated_at"].as_str());
    restored["updated_at"] = before["updated_at"].clone();
    assert_eq!(restored, before);
    let after = world.row(&id).await;
    assert_eq!(attribute(&after, "change"), "restored");
    let mut names: Vec<&String> = after.keys().collect();
    names.retain(|name| !row.contains_key(*name));
    assert_eq!(names, [""; 0], "the row keeps no attribute of the deletion");
    assert_eq!(
        world.acme.list("?deleted=true").await.expect(200),
        json!([])
    );
    assert_eq!(sealed_secrets(&world).await, secrets);
    mint_onbehalf(&world.acme, &id).await.expect(200);

    // The credential can be deleted and restored a second time.
    world.acme.delete(&id).await.expect(200);
    world.acme.restore(&id).await.expect(200);
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn an_app_credential_is_restored_without_a_grant() {
    let world = World::new().await;
    let id = world.add_app_credential("app").await;
    world.acme.delete(&id).await.expect(200);
    let restored = world.acme.restore(&id).await.expect(200);
    assert_eq!(
        (&restored["state"], &restored["credential_type"]),
        (&json!("active"), &json!("app"))
    );
    let body = json!({ "credential_id": id, "type": "sdk_jwt" });
    mint(&world.acme, body).await.expect(200);
}

#[tokio::test]
async fn a_live_unknown_foreign_or_expired_credential_cannot_be_restored() {
    let world = World::new().await;
    let zeta = world.caller("zeta", Permission::Full).await;
    let (live, deleted) = (
        world.add_user_credential("live").await,
        given_deleted(&world, "deleted").await,
    );
    let unknown = uuid::Uuid::now_v7().to_string();
    for (caller, id) in [
        (&world.acme, &live),
        (&world.acme, &unknown),
        (&zeta, &deleted),
    ] {
        expect_gone(&caller.restore(id).await);
    }
    let reader = world.caller("acme", Permission::Read).await;
    reader
        .restore(&deleted)
        .await
        .expect_code(403, "FST_ERR_FORBIDDEN");

    // After the end of its retention, although DynamoDB's TTL has not deleted the row yet.
    let row = end_retention(&world, &deleted).await;
    expect_gone(&world.acme.restore(&deleted).await);
    assert_eq!(world.row(&deleted).await, row);
}

#[tokio::test]
async fn of_parallel_restores_one_succeeds() {
    let world = World::new().await;
    let id = given_deleted(&world, "bot").await;
    let calls = (0..8).map(|_| {
        let (acme, id) = (world.acme.clone(), id.clone());
        tokio::spawn(async move { acme.restore(&id).await.status })
    });
    let mut statuses = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        statuses.push(call.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404, 404, 404, 404, 404, 404, 404]);
    assert_eq!(attribute(&world.row(&id).await, "version"), "4");
}

#[tokio::test]
async fn parallel_deletes_and_restores_end_in_the_state_that_their_answers_say() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let calls = (0..8).map(|number| {
        let (acme, id) = (world.acme.clone(), id.clone());
        tokio::spawn(async move {
            if number % 2 == 0 {
                (1, acme.delete(&id).await.status)
            } else {
                (-1, acme.restore(&id).await.status)
            }
        })
    });
    let mut deletions_minus_restores = 0;
    for call in calls.collect::<Vec<_>>() {
        let (change, status) = call.await.unwrap();
        assert!(matches!(status, 200 | 404), "{status}");
        deletions_minus_restores += if status == 200 { change } else { 0 };
    }
    let status = world.acme.get(&id).await.status;
    let expected = if deletions_minus_restores == 0 {
        (0, 200)
    } else {
        (1, 404)
    };
    assert_eq!((deletions_minus_restores, status), expected);
    world.acme.restore(&id).await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_restored_credential_moves_to_the_grant_of_a_newer_authorization() {
    let world = World::new().await;
    let id = given_deleted(&world, "older").await;
    let newer = world.add_user_credential("newer").await;
    assert_eq!(world.acme.restore(&id).await.expect(200)["state"], "active");

    mint_onbehalf(&world.acme, &id).await.expect(200);
    let (older, newer) = (world.row(&id).await, world.row(&newer).await);
    assert_eq!(attribute(&older, "grant_id"), attribute(&newer, "grant_id"));
}

#[tokio::test]
async fn a_credential_that_was_invalid_before_its_deletion_is_restored_as_invalid() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.expire_access_tokens().await;
    world.zoom.remove_app(CLIENT_ID, "ada");
    expect_reconnect(&mint_onbehalf(&world.acme, &id).await, "revoked");
    let before = world.acme.get(&id).await.expect(200);
    world.acme.delete(&id).await.expect(200);

    let restored = world.acme.restore(&id).await.expect(200);
    expect_invalid(&restored, "revoked");
    assert_eq!(restored["last_error_message"], before["last_error_message"]);
    expect_reconnect(&mint_onbehalf(&world.acme, &id).await, "revoked");
}

#[tokio::test]
async fn a_grant_is_refreshed_only_after_its_deleted_credential_is_restored() {
    let world = World::new().await;
    let id = given_deleted(&world, "bot").await;
    assert!(world.drain_stream().await);
    let unwanted = Report {
        unwanted: 1,
        ..Report::default()
    };
    assert_eq!(world.keep_alive().await, unwanted);
    assert_eq!((world.refresh_calls(), revocations(&world)), (0, 0));
    world.age_grants_by(IDLE_TIME).await;
    assert_eq!(world.keep_alive().await, Report::default());

    world.acme.restore(&id).await.expect(200);
    // The grant has been idle for long, so the schedule refreshes it at once.
    assert_eq!(world.keep_alive().await.refreshed, 1);
    assert_eq!(world.keep_alive().await, Report::default());
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_credential_restored_while_the_schedule_drops_its_grant_is_kept_alive() {
    let world = World::new().await;
    let id = given_deleted(&world, "bot").await;
    assert!(world.drain_stream().await);
    let held = Arc::new(Notify::new());
    // The run reads the grant, the credential and the team's settings. When it read the credential, that was deleted.
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("GetItem"),
        nth: Some(3),
        fault: Fault::Hold(held.clone()),
    });
    let run = spawn_keep_alive(&world);
    world.wire.stalled().await;
    world.acme.restore(&id).await.expect(200);
    held.notify_one();
    run.await.unwrap();

    world.age_grants_by(IDLE_TIME).await;
    assert_eq!(world.keep_alive().await.refreshed, 1);
}

#[tokio::test]
async fn a_token_url_stops_working_with_its_credential_and_works_again_after_the_restore() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let url = world
        .given_url(&id, json!({ "name": "vendor", "type": "onbehalf" }))
        .await;
    let status = async || {
        let answer = world.acme.http().get(&url.url).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(status().await, 200);
    world.acme.delete(&id).await.expect(200);
    assert_eq!(status().await, 404);
    world.acme.restore(&id).await.expect(200);
    assert_eq!(status().await, 200);
}

#[tokio::test]
async fn after_a_crash_at_any_call_of_a_restore_the_credential_is_restored_or_still_deleted() {
    let mut restored_after_crash = Vec::new();
    for n in 1.. {
        let world = World::new().await;
        let id = given_deleted(&world, "bot").await;
        let crash = crash_at_call(&world, n, || spawn_restore(&world, &id));
        if crash.await.is_some() {
            break;
        }
        let is_restored = world.acme.get(&id).await.status == 200;
        let again = world.acme.restore(&id).await.status;
        assert_eq!(again, if is_restored { 404 } else { 200 });
        assert!(world.drain_stream().await);
        world.age_grants_by(IDLE_TIME).await;
        assert_eq!(world.keep_alive().await.refreshed, 1);
        mint_onbehalf(&world.acme, &id).await.expect(200);
        restored_after_crash.push(is_restored);
    }
    // The calls: read the key, count the rate and read the settings, read the row, read the grant, write the
    // transaction, read the row.
    assert_eq!(
        restored_after_crash,
        [false, false, false, false, false, true, true]
    );
}
