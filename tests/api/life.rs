//! The life of a credential after its deletion: restored, or purged; and its grant revoked, where the team wants that.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use hyper::StatusCode;
use local::zoom::{Endpoint, Fault as ZoomFault, Kind, Reply};
use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::Permission;
use shared::config::KEEP_ALIVE_AFTER;
use shared::keep_alive::Report;
use shared::stores::Settings;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::deleting::expect_gone;
use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{Answer, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, World, attribute};

/// Longer than grants are left alone.
const LONG: Duration = Duration::from_hours(30 * 24);
const DAY: Duration = Duration::from_hours(24);

impl World {
    /// A user credential of `acme`, deleted; its id.
    async fn given_deleted(&self, name: &str) -> String {
        let id = self.given_user(name).await;
        self.acme.delete(&id).await.expect(200);
        id
    }

    /// `acme` wants grants revoked.
    async fn wants_revocation(&self) {
        let acme = self.team("acme");
        let set = self
            .operator
            .set(
                &acme,
                Settings {
                    revoke_on_delete: Some(true),
                    ..Settings::default()
                },
            )
            .await;
        assert!(set.unwrap().revoke_on_delete);
    }

    /// How often Zoom was asked to revoke, and did.
    fn revocations(&self) -> usize {
        let ledger = self.zoom.ledger();
        let revokes = ledger
            .iter()
            .filter(|call| call.path == "/oauth/revoke" && call.status == Some(200));
        revokes.count()
    }

    /// The ids of the secrets' rows that hold anything sealed.
    pub(crate) async fn sealed(&self) -> Vec<String> {
        let rows = self.items("secrets").await.into_iter();
        let rows = rows.filter(|row| {
            row.keys()
                .any(|name| name.contains("sealed") || name.contains("dek"))
        });
        let mut ids: Vec<String> = rows
            .map(|row| attribute(&row, "secret_id").to_owned())
            .collect();
        ids.sort();
        ids
    }

    /// Everything in all tables but the events, which have a time of their own.
    async fn dump(&self) -> String {
        let mut dump = String::new();
        for table in ["credentials", "secrets", "token-urls"] {
            dump += &self.contents(table).await.join("\n");
        }
        dump
    }

    /// The schedule's run, as a task that can be aborted: a crash.
    fn begin_keep_alive(&self) -> JoinHandle<()> {
        let gateway = self.gateway.clone();
        tokio::spawn(async move {
            let run = gateway.keep_alive(KEEP_ALIVE_AFTER, Duration::from_mins(5));
            run.await.unwrap();
        })
    }
}

#[track_caller]
fn expect_reconnect(answer: &Answer, reason: &str) {
    answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
    assert_eq!(answer.json()["details"], reason);
}

#[track_caller]
fn expect_invalid(restored: &Value, reason: &str) {
    assert_eq!(restored["state"], "invalid");
    let message = restored["last_error_message"].as_str().unwrap();
    assert!(message.starts_with(&format!("{reason}: ")), "{message}");
}

#[tokio::test]
async fn what_is_restored_is_as_it_was_and_mints_at_once() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let (before, row) = (world.acme.get(&id).await.expect(200), world.row(&id).await);
    let secrets = world.sealed().await;
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
    assert_eq!(names, [""; 0], "nothing of the deletion is left");
    assert_eq!(
        world.acme.list("?deleted=true").await.expect(200),
        json!([])
    );
    assert_eq!(world.sealed().await, secrets);
    mint_onbehalf(&world.acme, &id).await.expect(200);

    // And again.
    world.acme.delete(&id).await.expect(200);
    world.acme.restore(&id).await.expect(200);
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn an_app_credential_is_restored_without_a_grant() {
    let world = World::new().await;
    let id = world.given_app("app").await;
    world.acme.delete(&id).await.expect(200);
    let restored = world.acme.restore(&id).await.expect(200);
    assert_eq!(
        (&restored["state"], &restored["credential_type"]),
        (&json!("active"), &json!("app"))
    );
    let body = json!({ "credential_id": id, "type": "sdk_jwt" });
    crate::minting::mint(&world.acme, body).await.expect(200);
}

#[tokio::test]
async fn what_cannot_be_restored_is_not_found_whatever_it_is() {
    let world = World::new().await;
    let zeta = world.caller("zeta", Permission::Full).await;
    let (live, deleted) = (
        world.given_user("live").await,
        world.given_deleted("deleted").await,
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

    // Past its time, though the TTL has not come for it yet.
    let mut row = world.row(&deleted).await;
    let past = AttributeValue::N("1".to_owned());
    row.insert("purge_at".to_owned(), past);
    world.put("credentials", row.clone()).await;
    expect_gone(&world.acme.restore(&deleted).await);
    assert_eq!(world.row(&deleted).await, row);
}

#[tokio::test]
async fn of_many_restores_at_once_one_finds_it() {
    let world = World::new().await;
    let id = world.given_deleted("bot").await;
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
async fn deletes_and_restores_at_once_end_as_one_of_both() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
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
    let mut deleted = 0;
    for call in calls.collect::<Vec<_>>() {
        let (change, status) = call.await.unwrap();
        assert!(matches!(status, 200 | 404), "{status}");
        deleted += if status == 200 { change } else { 0 };
    }
    let status = world.acme.get(&id).await.status;
    assert_eq!(
        (deleted, status),
        if deleted == 0 { (0, 200) } else { (1, 404) }
    );
    world.acme.restore(&id).await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_grant_that_a_newer_authorization_killed_meanwhile_is_found_again() {
    let world = World::new().await;
    let id = world.given_deleted("older").await;
    let newer = world.given_user("newer").await;
    assert_eq!(world.acme.restore(&id).await.expect(200)["state"], "active");

    mint_onbehalf(&world.acme, &id).await.expect(200);
    let (older, newer) = (world.row(&id).await, world.row(&newer).await);
    assert_eq!(attribute(&older, "grant_id"), attribute(&newer, "grant_id"));
}

#[tokio::test]
async fn a_restored_credential_says_that_its_grant_was_lost_before() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    world.expire_access().await;
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
async fn a_grant_rests_while_its_credential_is_deleted_and_is_kept_alive_again_after() {
    let world = World::new().await;
    let id = world.given_deleted("bot").await;
    assert!(world.follow_stream().await);
    let unwanted = Report {
        unwanted: 1,
        ..Report::default()
    };
    assert_eq!(world.keep_alive().await, unwanted);
    assert_eq!((world.refreshes(), world.revocations()), (0, 0));
    world.idle(LONG).await;
    assert_eq!(world.keep_alive().await, Report::default());

    world.acme.restore(&id).await.expect(200);
    // As long idle as it is, it is due.
    assert_eq!(world.keep_alive().await.refreshed, 1);
    assert_eq!(world.keep_alive().await, Report::default());
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_grant_that_is_laid_to_rest_while_its_credential_is_restored_is_kept_alive() {
    let world = World::new().await;
    let id = world.given_deleted("bot").await;
    assert!(world.follow_stream().await);
    let bell = Arc::new(Notify::new());
    // Grant, credential │ whether to revoke: nobody had it then.
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("GetItem"),
        nth: Some(3),
        fault: Fault::Hold(bell.clone()),
    });
    let run = world.begin_keep_alive();
    world.wire.stalled().await;
    world.acme.restore(&id).await.expect(200);
    bell.notify_one();
    run.await.unwrap();

    world.idle(LONG).await;
    assert_eq!(world.keep_alive().await.refreshed, 1);
}

#[tokio::test]
async fn a_token_url_of_a_deleted_credential_is_dead_and_comes_back_with_it() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let url = world
        .given_url(&id, json!({ "name": "vendor", "type": "onbehalf" }))
        .await;
    let call = async || {
        let answer = world.acme.http().get(&url.url).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(call().await, 200);
    world.acme.delete(&id).await.expect(200);
    assert_eq!(call().await, 404);
    world.acme.restore(&id).await.expect(200);
    assert_eq!(call().await, 200);
}

// ---- revocation

#[tokio::test]
async fn the_last_credential_of_a_grant_takes_it_along_where_the_team_wants_that() {
    let world = World::new().await;
    world.wants_revocation().await;
    let (id, other) = (
        world.given_user("bot").await,
        world.given_user("other").await,
    );
    // Both have the newer's grant.
    mint_onbehalf(&world.acme, &id).await.expect(200);
    world.expire_access().await;
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
    assert!(world.follow_stream().await);
    assert_eq!(world.keep_alive().await, Report::default());
    mint_onbehalf(&world.acme, &id).await.expect(200);

    world.acme.delete(&id).await.expect(200);
    assert!(world.follow_stream().await);
    let revoked = Report {
        unwanted: 1,
        revoked: 1,
        ..Report::default()
    };
    assert_eq!(world.keep_alive().await, revoked);
    assert_eq!(world.revocations(), 1);
    assert!(world.zoom.grants().iter().all(|grant| !grant.alive));
    let grant = format!("grant#{}", attribute(&world.row(&id).await, "grant_id"));
    assert!(!world.sealed().await.contains(&grant));

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
    // And a new authorization mends it.
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    world.acme.update(&id, body).await.expect(200);
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_grant_with_a_dead_access_token_is_refreshed_to_be_revoked() {
    let world = World::new().await;
    world.wants_revocation().await;
    world.given_deleted("bot").await;
    world.expire_access().await;
    assert!(world.follow_stream().await);

    assert_eq!(world.keep_alive().await.revoked, 1);
    assert_eq!((world.refreshes(), world.revocations()), (1, 1));
    // One that is still good by the clock, and which Zoom does not take.
    let world = World::new().await;
    world.wants_revocation().await;
    world.given_deleted("bot").await;
    world.zoom.advance(Duration::from_hours(1));
    assert!(world.follow_stream().await);
    assert_eq!(world.keep_alive().await.revoked, 1);
    assert_eq!((world.refreshes(), world.revocations()), (1, 1));
}

#[tokio::test]
async fn what_is_restored_before_the_schedule_comes_is_not_revoked() {
    let world = World::new().await;
    world.wants_revocation().await;
    let id = world.given_deleted("bot").await;
    assert!(world.follow_stream().await);
    world.acme.restore(&id).await.expect(200);

    assert_eq!(world.keep_alive().await, Report::default());
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn what_is_restored_while_its_grant_is_refreshed_for_it_is_not_revoked() {
    let world = World::new().await;
    world.wants_revocation().await;
    let id = world.given_deleted("bot").await;
    world.expire_access().await;
    assert!(world.follow_stream().await);
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let run = world.begin_keep_alive();
    world.wire.stalled().await;
    world.acme.restore(&id).await.expect(200);
    bell.notify_one();
    run.await.unwrap();

    assert_eq!(world.revocations(), 0);
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_revocation_that_fails_is_on_record_and_tried_again_a_day_later() {
    for kind in [
        Kind::ReplyBefore(Reply::status(StatusCode::BAD_GATEWAY)),
        Kind::DropBefore,
        Kind::DropAfter,
    ] {
        let acted = matches!(kind, Kind::DropAfter);
        let world = World::new().await;
        world.wants_revocation().await;
        let id = world.given_deleted("bot").await;
        world.expire_access().await;
        assert!(world.follow_stream().await);
        world.zoom.inject(ZoomFault::once(Endpoint::Revoke, kind));
        let failed = Report {
            failed: 1,
            ..Report::default()
        };
        assert_eq!(world.keep_alive().await, failed);
        let recorded = world.items("events").await;
        let recorded = recorded
            .iter()
            .find(|event| attribute(event, "kind") == "revoke")
            .unwrap();
        assert_eq!(attribute(recorded, "credential_id"), id);
        assert_eq!(attribute(recorded, "outcome"), "failed");
        assert_eq!(attribute(recorded, "code"), "FST_ERR_ZOOM_UNAVAILABLE");

        // Not before.
        assert_eq!(world.keep_alive().await, Report::default());
        world.idle(DAY).await;
        world.end_leases().await;
        assert_eq!(world.keep_alive().await.revoked, 1);
        assert_eq!(world.revocations(), usize::from(!acted));
        assert_eq!(world.sealed().await, [format!("app#{id}")]);
        expect_invalid(&world.acme.restore(&id).await.expect(200), "revoked");
    }
}

/// Two authorizations moments apart: which of them killed the other at Zoom is not known, so nobody is re-pointed.
#[tokio::test]
async fn a_grant_that_a_credential_of_the_same_user_may_need_is_not_revoked() {
    let world = World::new().await;
    world.wants_revocation().await;
    let older = world.given_user("older").await;
    let newer = world.given_user("newer").await;
    let grant = attribute(&world.row(&newer).await, "grant_id").to_owned();
    assert_ne!(attribute(&world.row(&older).await, "grant_id"), grant);
    world.acme.delete(&newer).await.expect(200);
    assert!(world.follow_stream().await);
    let left = Report {
        unwanted: 1,
        ..Report::default()
    };
    assert_eq!(world.keep_alive().await, left);
    assert_eq!(world.revocations(), 0);

    mint_onbehalf(&world.acme, &older).await.expect(200);
    assert_eq!(attribute(&world.row(&older).await, "grant_id"), grant);
    // It is kept alive again, and revoked when the last goes.
    let mut secrets = world.items("secrets").await.into_iter();
    let row = secrets.find(|row| attribute(row, "secret_id") == format!("grant#{grant}"));
    assert!(row.unwrap().contains_key("due_shard"));
    world.acme.delete(&older).await.expect(200);
    assert!(world.follow_stream().await);
    assert_eq!(world.keep_alive().await.revoked, 1);
    assert_eq!(world.revocations(), 1);
}

#[tokio::test]
async fn the_grant_of_a_deleted_credential_heals_one_of_the_same_user() {
    let world = World::new().await;
    let older = world.given_user("older").await;
    let newer = world.given_user("newer").await;
    world.acme.delete(&newer).await.expect(200);
    assert!(world.follow_stream().await);
    world.expire_access().await;

    mint_onbehalf(&world.acme, &older).await.expect(200);
    assert_eq!(world.acme.get(&older).await.expect(200)["state"], "active");
    // It is its own now, whatever becomes of the other.
    world.outlive_the_deleted().await;
    assert!(world.follow_stream().await);
    world.expire_access().await;
    mint_onbehalf(&world.acme, &older).await.expect(200);
}

#[tokio::test]
async fn a_dead_grant_of_a_deleted_credential_is_tried_once() {
    let world = World::new().await;
    let older = world.given_user("older").await;
    let newer = world.given_user("newer").await;
    world.acme.delete(&newer).await.expect(200);
    world.expire_access().await;
    world.zoom.remove_app(CLIENT_ID, "ada");

    for _ in 0..2 {
        expect_reconnect(&mint_onbehalf(&world.acme, &older).await, "revoked");
        assert_eq!(world.refreshes(), 2);
    }
    expect_invalid(&world.acme.restore(&newer).await.expect(200), "revoked");
}

/// It has found the other as one that can be restored, and takes its grant over while that is purged: after the purge
/// has read who has the grant.
#[tokio::test]
async fn a_grant_that_is_adopted_while_it_is_purged_stays() {
    let world = World::new().await;
    let older = world.given_user("older").await;
    let newer = world.given_deleted("newer").await;
    let grant = format!("grant#{}", attribute(&world.row(&newer).await, "grant_id"));
    assert!(world.follow_stream().await);
    let minting = Arc::new(Notify::new());
    // Its own access token, its own refresh token │ the other's access token.
    world.wire.inject(Rule {
        service: Some(Service::Zoom),
        operation: None,
        nth: Some(3),
        fault: Fault::Hold(minting.clone()),
    });
    let mint = {
        let (acme, older) = (world.acme.clone(), older.clone());
        tokio::spawn(async move { mint_onbehalf(&acme, &older).await })
    };
    world.wire.stalled().await;

    world.outlive_the_deleted().await;
    let purging = world.wire.hold(Service::DynamoDb, "Query");
    let (gateway, batch) = (world.gateway.clone(), world.next_batch().unwrap());
    let purge = tokio::spawn(async move { gateway.purge(batch).await.unwrap() });
    world.wire.stalled().await;
    minting.notify_one();
    mint.await.unwrap().expect(200);
    purging.notify_one();
    assert!(!purge.await.unwrap(), "to be done again");

    assert!(world.follow_stream().await);
    assert!(world.sealed().await.contains(&grant));
    world.expire_access().await;
    mint_onbehalf(&world.acme, &older).await.expect(200);
}

/// Past its time it is as good as gone, though the TTL has not come for it yet.
#[tokio::test]
async fn the_grant_of_a_credential_that_cannot_be_restored_heals_nobody() {
    let world = World::new().await;
    let older = world.given_user("older").await;
    let newer = world.given_deleted("newer").await;
    let mut row = world.row(&newer).await;
    row.insert("purge_at".to_owned(), AttributeValue::N("1".to_owned()));
    world.put("credentials", row).await;
    expect_reconnect(&mint_onbehalf(&world.acme, &older).await, "revoked");
}

// ---- purge

#[tokio::test]
async fn after_its_time_nothing_of_a_credential_is_left() {
    let world = World::new().await;
    let kept = world.given_user_of("bob").await;
    let before = world.dump().await;
    let id = world.given_user("bot").await;
    world
        .given_url(&id, json!({ "name": "vendor", "type": "onbehalf" }))
        .await;
    let row = world.row(&id).await;
    world.acme.delete(&id).await.expect(200);
    assert!(world.follow_stream().await);

    world.outlive_the_deleted().await;
    // The row is gone, and what it pointed at is there until the stream is read.
    assert_eq!(world.sealed().await.len(), 4);
    assert!(world.follow_stream().await);

    let dump = world.dump().await;
    for gone in [id.as_str(), attribute(&row, "grant_id")] {
        assert!(!dump.contains(gone), "{gone}");
    }
    assert_eq!(dump, before);
    expect_gone(&world.acme.restore(&id).await);
    mint_onbehalf(&world.acme, &kept).await.expect(200);
}

#[tokio::test]
async fn a_grant_is_there_until_nothing_can_come_back_to_it() {
    let world = World::new().await;
    let older = world.given_user("older").await;
    world.age_grant(&older).await;
    let newer = world.given_user("newer").await;
    let grant = format!("grant#{}", attribute(&world.row(&newer).await, "grant_id"));
    assert_eq!(
        grant,
        format!("grant#{}", attribute(&world.row(&older).await, "grant_id"))
    );

    // The other can be restored; then it lives; then it is purged too.
    world.acme.delete(&newer).await.expect(200);
    world.outlive_the_deleted().await;
    world.acme.delete(&older).await.expect(200);
    assert!(world.follow_stream().await);
    assert!(world.sealed().await.contains(&grant));
    world.acme.restore(&older).await.expect(200);
    mint_onbehalf(&world.acme, &older).await.expect(200);
    world.acme.delete(&older).await.expect(200);
    world.outlive_the_deleted().await;
    assert!(world.follow_stream().await);
    assert_eq!(world.sealed().await, [""; 0]);
}

#[tokio::test]
async fn a_grant_that_its_last_credential_left_is_destroyed() {
    let world = World::new().await;
    let older = world.given_user("older").await;
    let left = format!("grant#{}", attribute(&world.row(&older).await, "grant_id"));
    world.age_grant(&older).await;
    // One that can be restored has it, too.
    let mut deleted = world.row(&older).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    deleted.insert(
        "credential_id".to_owned(),
        text(&uuid::Uuid::now_v7().to_string()),
    );
    world.put("credentials", deleted.clone()).await;
    world
        .acme
        .delete(attribute(&deleted, "credential_id"))
        .await
        .expect(200);
    let newer = world.given_user("newer").await;
    assert!(world.follow_stream().await);
    assert!(world.sealed().await.contains(&left));
    world.outlive_the_deleted().await;
    assert!(world.follow_stream().await);
    assert!(!world.sealed().await.contains(&left));

    // Another user's authorization of the same credential leaves it, too.
    let left = format!("grant#{}", attribute(&world.row(&newer).await, "grant_id"));
    world.acme.delete(&older).await.expect(200);
    world.outlive_the_deleted().await;
    world.given_user_of("bob").await;
    let body =
        json!({ "authorization_code": world.code_of("bob", None), "redirect_uri": REDIRECT_URI });
    world.acme.update(&newer, body).await.expect(200);
    assert!(world.sealed().await.contains(&left));
    assert!(world.follow_stream().await);
    assert!(!world.sealed().await.contains(&left));
    mint_onbehalf(&world.acme, &newer).await.expect(200);
}

/// It holds the credential as it was before, and the grant that was destroyed meanwhile: about to refresh it, or with
/// Zoom's answer on the way.
#[tokio::test]
async fn a_mint_that_a_re_authorization_overtakes_mints_with_the_new_grant() {
    for (service, operation) in [(Service::Kms, "Decrypt"), (Service::Zoom, "/oauth/token")] {
        let world = World::new().await;
        let id = world.given_user("bot").await;
        world.expire_access().await;
        // The mint has read the credential and its grant.
        let bell = world.wire.hold(service, operation);
        let mint = {
            let (acme, id) = (world.acme.clone(), id.clone());
            tokio::spawn(async move { mint_onbehalf(&acme, &id).await })
        };
        world.wire.stalled().await;
        let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
        world.acme.update(&id, body).await.expect(200);
        assert!(world.follow_stream().await);
        bell.notify_one();
        mint.await.unwrap().expect(200);
        assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
    }
}

/// Whoever can write a row of one team is not to destroy another's with it.
#[tokio::test]
async fn a_purge_takes_no_other_teams_grant() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let mut forged = world.row(&id).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    forged.insert("team_id".to_owned(), text("zeta"));
    forged.insert(
        "credential_id".to_owned(),
        text(&uuid::Uuid::now_v7().to_string()),
    );
    forged.insert("deleted".to_owned(), AttributeValue::Bool(true));
    forged.insert("purge_at".to_owned(), AttributeValue::N("1".to_owned()));
    world.put("credentials", forged).await;
    world.outlive_the_deleted().await;
    assert!(world.follow_stream().await);

    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(world.sealed().await.len(), 2);
}

#[tokio::test]
async fn what_a_forged_credential_leaves_or_deletes_is_no_other_teams_grant() {
    let world = World::new().await;
    world.wants_revocation().await;
    let (id, own) = (
        world.given_user("bot").await,
        world.given_user_of("bob").await,
    );
    let mut forged = world.row(&own).await;
    let mut other = world.row(&id).await;
    for row in [&mut forged, &mut other] {
        row.insert("team_id".to_owned(), AttributeValue::S("zeta".to_owned()));
    }
    // zeta's credential gets acme's grant, leaves it again, gets it again, and is deleted.
    let put = async |row: &crate::world::Item, version: u32, deleted: bool| {
        let mut row = row.clone();
        let text = |text: &str| AttributeValue::S(text.to_owned());
        row.insert("credential_id".to_owned(), text(&own));
        row.insert("version".to_owned(), AttributeValue::N(version.to_string()));
        row.insert("deleted".to_owned(), AttributeValue::Bool(deleted));
        let change = if deleted { "deleted" } else { "active" };
        row.insert("change".to_owned(), text(change));
        world.put("credentials", row).await;
    };
    put(&other, 5, false).await;
    put(&forged, 6, false).await;
    put(&other, 7, false).await;
    put(&other, 8, true).await;
    let before = world.contents("secrets").await;
    assert!(world.follow_stream().await);
    assert_eq!(world.contents("secrets").await, before);
    assert_eq!(world.keep_alive().await, Report::default());
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn an_older_row_that_is_copied_from_a_backup_destroys_nothing() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let backup = world.row(&id).await;
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    world.acme.update(&id, body).await.expect(200);
    assert!(world.follow_stream().await);
    let live = world.row(&id).await;
    let grant = format!("grant#{}", attribute(&live, "grant_id"));

    world.put("credentials", backup).await;
    assert!(world.follow_stream().await);
    assert!(world.sealed().await.contains(&grant));
    // And the mistake can be undone.
    world.put("credentials", live).await;
    assert!(world.follow_stream().await);
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_row_that_somebody_takes_by_hand_is_no_purge() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let row = world.row(&id).await;
    let mut delete = world.dynamodb.delete_item().table_name("credentials");
    for key in ["team_id", "credential_id"] {
        delete = delete.key(key, row[key].clone());
    }
    delete.send().await.unwrap();
    assert!(world.follow_stream().await);

    world.put("credentials", row).await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

// ---- rows that somebody took by hand

impl World {
    async fn take_secret(&self, id: &str) {
        let delete = self.dynamodb.delete_item().table_name("secrets");
        let delete = delete.key("secret_id", AttributeValue::S(id.to_owned()));
        delete.send().await.unwrap();
    }
}

#[tokio::test]
async fn a_grant_that_is_not_there_is_as_one_that_zoom_refuses() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let grant = format!("grant#{}", attribute(&world.row(&id).await, "grant_id"));
    world.take_secret(&grant).await;

    for _ in 0..2 {
        expect_reconnect(&mint_onbehalf(&world.acme, &id).await, "revoked");
        expect_invalid(&world.acme.get(&id).await.expect(200), "revoked");
    }
    // One of the same user is looked for first.
    world.given_user("other").await;
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
}

#[tokio::test]
async fn a_client_secret_that_is_not_there_is_asked_for() {
    let world = World::new().await;
    let (user, app) = (world.given_user("bot").await, world.given_app("app").await);
    for id in [&user, &app] {
        world.take_secret(&format!("app#{id}")).await;
        let token_type = if *id == user { "onbehalf" } else { "sdk_jwt" };
        let body = json!({ "credential_id": id, "type": token_type });
        let refused = crate::minting::mint(&world.acme, body.clone()).await;
        let message = refused.expect_code(409, "FST_ERR_ZOOM_APP_MISCONFIGURED");
        assert!(
            message.contains("the client secret is not stored"),
            "{message}"
        );
        assert_eq!(world.acme.get(id).await.expect(200)["state"], "active");

        let secret = json!({ "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET });
        world.acme.update(id, secret).await.expect(200);
        crate::minting::mint(&world.acme, body).await.expect(200);
    }
}

// ---- crashes

/// Runs `begin` with its `n`th call acted on and never answered, and kills it there. Whether there was such a call.
async fn crashes<T: Send + 'static>(
    world: &World,
    n: u64,
    begin: impl FnOnce() -> JoinHandle<T>,
) -> bool {
    world.wire.reset();
    world.wire.inject_nth(n, Fault::Stall);
    let mut task = begin();
    let crashed = tokio::select! {
        () = world.wire.stalled() => true,
        ended = &mut task => {
            assert!(ended.is_ok());
            false
        }
    };
    if crashed {
        task.abort();
        task.await.ok();
    }
    world.wire.heal();
    crashed
}

#[tokio::test]
async fn a_crash_anywhere_in_a_restore_leaves_it_done_or_undone() {
    let mut done = Vec::new();
    for n in 1.. {
        let world = World::new().await;
        let id = world.given_deleted("bot").await;
        let path = format!("/v2/zoom-credentials/{id}/restore");
        if !crashes(&world, n, || {
            world.invoke(Method::POST, &path, &Value::Null)
        })
        .await
        {
            break;
        }
        let is_there = world.acme.get(&id).await.status == 200;
        let again = world.acme.restore(&id).await.status;
        assert_eq!(again, if is_there { 404 } else { 200 });
        assert!(world.follow_stream().await);
        world.idle(LONG).await;
        assert_eq!(world.keep_alive().await.refreshed, 1);
        mint_onbehalf(&world.acme, &id).await.expect(200);
        done.push(is_there);
    }
    // Key │ rate, settings │ row │ grant │ transaction │ row.
    assert_eq!(done, [false, false, false, false, false, true, true]);
}

#[tokio::test]
async fn a_crash_anywhere_in_a_revocation_is_made_good_by_the_next_run() {
    let mut revoked = Vec::new();
    for n in 1.. {
        let world = World::new().await;
        world.wants_revocation().await;
        let id = world.given_deleted("bot").await;
        world.expire_access().await;
        assert!(world.follow_stream().await);
        if !crashes(&world, n, || world.begin_keep_alive()).await {
            break;
        }
        let early = world.revocations();
        world.end_leases().await;
        world.idle(DAY).await;
        world.keep_alive().await;
        assert_eq!(world.sealed().await, [format!("app#{id}")], "at {n}");
        assert!(
            world.zoom.grants().iter().all(|grant| !grant.alive) || world.refreshes() > 1,
            "at {n}"
        );
        let reason = if world.revocations() == 1 {
            "revoked"
        } else {
            "refresh_outcome_lost"
        };
        expect_invalid(&world.acme.restore(&id).await.expect(200), reason);
        revoked.push((early, world.revocations()));
    }
    assert!(revoked.len() > 20, "{revoked:?}");
    assert!(
        revoked.contains(&(0, 1)) && revoked.contains(&(1, 1)),
        "{revoked:?}"
    );
}

#[tokio::test]
async fn a_crash_anywhere_in_a_purge_is_made_good_when_the_record_comes_again() {
    let mut calls = 0;
    for n in 1.. {
        let world = World::new().await;
        let id = world.given_user("bot").await;
        world
            .given_url(&id, json!({ "name": "vendor", "type": "zak" }))
            .await;
        world.acme.delete(&id).await.expect(200);
        assert!(world.follow_stream().await);
        world.outlive_the_deleted().await;
        let batch = world.next_batch().unwrap();
        let gateway = world.gateway.clone();
        if !crashes(&world, n, || {
            tokio::spawn(async move { gateway.purge(batch).await.unwrap() })
        })
        .await
        {
            break;
        }
        assert!(world.follow_stream().await);
        assert_eq!(world.dump().await, "");
        calls = n;
    }
    // Grant │ who has it │ grant │ app │ URLs │ URL.
    assert_eq!(calls, 6);
}

/// Nothing of it: neither tokens nor the row.
#[tokio::test]
async fn a_grant_that_a_re_authorization_left_is_nowhere() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let left = attribute(&world.row(&id).await, "grant_id").to_owned();
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    world.acme.update(&id, body).await.expect(200);
    assert!(world.follow_stream().await);
    assert!(!world.dump().await.contains(&left));
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

/// Mints read the same rows.
#[tokio::test]
async fn a_team_is_read_once_for_all_that_a_batch_says_of_it() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(world.given_user_of(&format!("user-{number}")).await);
    }
    for id in &ids {
        world.acme.delete(id).await.expect(200);
    }
    world.wire.reset();
    assert!(world.follow_stream().await);
    let calls = world.wire.operations(Service::DynamoDb);
    let count = |name| calls.iter().filter(|call| **call == name).count();
    assert_eq!(
        (count("Query"), count("UpdateItem"), calls.len()),
        (1, 10, 11)
    );

    world.outlive_the_deleted().await;
    world.wire.reset();
    assert!(world.follow_stream().await);
    // And one for each credential's token URLs.
    let calls = world.wire.operations(Service::DynamoDb);
    let count = |name| calls.iter().filter(|call| **call == name).count();
    assert_eq!(
        (count("Query"), count("GetItem"), count("DeleteItem")),
        (11, 10, 20)
    );
    assert_eq!(world.dump().await, "");
}

#[tokio::test]
async fn a_batch_for_which_there_is_no_time_comes_again() {
    let world = World::new().await;
    world.given_deleted("bot").await;
    assert!(world.follow_stream().await);
    world.outlive_the_deleted().await;
    let bell = world.wire.hold(Service::DynamoDb, "DeleteItem");
    let batch = world.next_batch().unwrap();
    let gateway = &world.gateway;
    let time_out = Duration::from_millis(2_500);
    assert!(!gateway.purge_within(batch, time_out).await.unwrap());
    bell.notify_one();
    assert!(world.follow_stream().await);
    assert_eq!(world.dump().await, "");
}

#[tokio::test]
async fn a_record_that_cannot_be_seen_to_comes_again_with_those_after_it() {
    let world = World::new().await;
    world.given_deleted("one").await;
    world.given_deleted("other").await;
    assert!(world.follow_stream().await);
    world.outlive_the_deleted().await;
    let refused = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ValidationException"}"#;
    let fault = Fault::Answer(StatusCode::BAD_REQUEST, refused.to_owned());
    world
        .wire
        .inject_once(Service::DynamoDb, "DeleteItem", fault);

    assert!(!world.follow_stream().await);
    assert_eq!(world.sealed().await.len(), 4);
    assert!(world.follow_stream().await);
    assert_eq!(world.dump().await, "");
}
