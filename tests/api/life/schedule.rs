//! Grants that keep-alive must come back to, and grants that it must leave alone.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use hyper::StatusCode;
use local::zoom::{Endpoint, Fault as ZoomFault, FaultKind, Reply};
use serde_json::json;
use shared::keep_alive::Report;
use shared::stores::DUE_AT_ONCE;
use shared::timestamp::Timestamp;

use super::{
    DAY, HOUR, IDLE_TIME, authorize_again, enable_revocation, expect_invalid, expect_reconnect,
    given_deleted, grant_secret_id, let_revoke, overtake, revocations, sealed_secrets, settle,
    spawn_keep_alive,
};
use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{CLIENT_ID, Item, REDIRECT_URI, World, attribute, id_of, user_body};

/// Longer than Zoom keeps an idle grant.
const LONGER_THAN_ZOOM: Duration = Duration::from_hours(100 * 24);

/// The row of a secret, if there is one.
async fn secret(world: &World, id: &str) -> Option<Item> {
    let mut rows = world.items("secrets").await.into_iter();
    rows.find(|row| attribute(row, "secret_id") == id)
}

/// Creates a credential whose user Zoom does not show, because a scope is missing.
async fn add_nameless(world: &World) -> String {
    let code = world.code_of("ada", Some(&["user:read:zak", "user:read:token"]));
    id_of(
        &world
            .acme
            .create(user_body("nameless", &code))
            .await
            .expect(201),
    )
}

/// The credential gets an authorization of the user `bob`. Its old grant belongs to no credential then.
async fn move_to_bob(world: &World, id: &str) {
    let code = world.code_of("bob", None);
    let body = json!({ "authorization_code": code, "redirect_uri": REDIRECT_URI });
    world.acme.update(id, body).await.expect(200);
    assert!(world.drain_stream().await);
}

async fn delete_row(world: &World, table: &str, key: &str, id: &str) {
    let delete = world.dynamodb.delete_item().table_name(table);
    let delete = delete.key(key, AttributeValue::S(id.to_owned()));
    delete.send().await.unwrap();
}

/// The grant is due at once when Zoom refuses it. It must still come back to the schedule when its credential is gone.
#[tokio::test]
async fn a_grant_that_was_declared_dead_while_it_was_due_is_destroyed_after_the_purge() {
    let world = World::new().await;
    let id = add_nameless(&world).await;
    world.expire_access_tokens().await;
    world.zoom.remove_app(CLIENT_ID, "ada");
    expect_reconnect(&mint_onbehalf(&world.acme, &id).await, "revoked");
    world.acme.delete(&id).await.expect(200);
    settle(&world).await;
    world.expire_deleted().await;
    settle(&world).await;
    assert_eq!(sealed_secrets(&world).await, [""; 0]);
}

#[tokio::test]
async fn a_stray_grant_that_a_search_declared_dead_is_deleted() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let leaver = world.add_user_credential("leaver").await;
    let stray = grant_secret_id(&world, &leaver).await;
    world.add_credential_for_user("bob").await;
    move_to_bob(&world, &leaver).await;
    world.expire_access_tokens().await;
    world.zoom.remove_app(CLIENT_ID, "ada");
    expect_reconnect(&mint_onbehalf(&world.acme, &id).await, "revoked");

    settle(&world).await;
    assert_eq!(secret(&world, &stray).await, None);
}

/// The stray was not due, and nobody else would look at it again.
#[tokio::test]
async fn a_stray_grant_that_a_search_declared_dead_is_due_at_once() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.postdate_authorization(&id).await;
    let leaver = world.add_user_credential("leaver").await;
    let stray = grant_secret_id(&world, &leaver).await;
    world.add_credential_for_user("bob").await;
    move_to_bob(&world, &leaver).await;
    let mut row = secret(&world, &stray).await.unwrap();
    let now = AttributeValue::S(Timestamp::now().to_string());
    row.insert("idle_since".to_owned(), now);
    row.remove("due_shard");
    world.put("secrets", row).await;
    world.expire_access_tokens().await;
    world.zoom.remove_app(CLIENT_ID, "ada");
    expect_reconnect(&mint_onbehalf(&world.acme, &id).await, "revoked");

    assert_eq!(world.keep_alive().await.destroyed, 1);
    assert_eq!(secret(&world, &stray).await, None);
}

/// A stray that Zoom refuses, because its credential was authorized again. It is due. Answers its id.
async fn given_dead_stray(world: &World) -> String {
    let id = world.add_user_credential("bot").await;
    let stray = grant_secret_id(world, &id).await;
    world.backdate_authorization(&id).await;
    authorize_again(world, &id).await;
    assert!(world.drain_stream().await);
    stray
}

/// A refresh of the stray is unfinished, and its tokens may be in a capsule.
#[tokio::test]
async fn a_refused_stray_grant_whose_tokens_may_be_in_a_capsule_is_kept_for_ninety_days() {
    let world = World::new().await;
    let stray = given_dead_stray(&world).await;
    let set_attempt = async |at: Timestamp| {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let number = |number: i64| AttributeValue::N(number.to_string());
        let attempt = [
            ("id".to_owned(), text(&uuid::Uuid::new_v4().to_string())),
            ("generation".to_owned(), number(1)),
            ("at".to_owned(), number(at.as_millis())),
        ];
        let mut row = secret(&world, &stray).await.unwrap();
        row.insert("attempt".to_owned(), AttributeValue::M(attempt.into()));
        world.put("secrets", row).await;
    };
    set_attempt(Timestamp::now()).await;
    let report = world.keep_alive().await;
    assert_eq!((report.dead, report.destroyed), (1, 0));
    world.age_grants_by(HOUR).await;
    assert_eq!(world.keep_alive().await, Report::default());
    let row = secret(&world, &stray).await.unwrap();
    assert_eq!(attribute(&row, "reason"), "refresh_outcome_lost");
    assert!(row.contains_key("sealed"));

    world.age_grants_by(LONGER_THAN_ZOOM).await;
    set_attempt(Timestamp::now().minus(LONGER_THAN_ZOOM)).await;
    world.keep_alive().await;
    assert_eq!(secret(&world, &stray).await, None);
}

/// New tokens arrive after the refusal and before the delete: as the grant's pair, or as its stash.
#[tokio::test]
async fn a_refused_stray_grant_that_gets_new_tokens_before_it_is_deleted_is_kept() {
    for is_stash in [false, true] {
        let world = World::new().await;
        let stray = given_dead_stray(&world).await;
        let store = async {
            let mut row = secret(&world, &stray).await.unwrap();
            if is_stash {
                for name in ["sealed", "dek", "kid", "generation"] {
                    let value = row[name].clone();
                    row.insert(format!("alt_{name}"), value);
                }
            } else {
                row.insert("generation".to_owned(), AttributeValue::N("2".to_owned()));
            }
            world.put("secrets", row).await;
        };
        overtake(&world, 1, || spawn_keep_alive(&world), store).await;

        let row = secret(&world, &stray).await.unwrap();
        assert_eq!(attribute(&row, "state"), "active", "{is_stash}");
    }
}

#[tokio::test]
async fn a_grant_whose_user_is_learnt_after_the_deletion_is_revoked() {
    let world = World::new().await;
    enable_revocation(&world).await;
    let fails = FaultKind::ReplyBefore(Reply::status(StatusCode::BAD_GATEWAY));
    world
        .zoom
        .inject(ZoomFault::always(Endpoint::Profile, fails));
    let id = given_deleted(&world, "bot").await;
    world.zoom.clear_faults();
    assert!(!world.row(&id).await.contains_key("pair_id"));
    let_revoke(&world).await;
    // Finds out who the user is.
    world.keep_alive().await;
    assert!(world.row(&id).await.contains_key("pair_id"));
    // The credential may have been deleted just now.
    world.keep_alive().await;
    assert_eq!(revocations(&world), 0);

    world.age_grants_by(DAY * 2).await;
    let_revoke(&world).await;
    assert_eq!(world.keep_alive().await.revoked, 1);
    assert_eq!(revocations(&world), 1);
}

/// A run has closed the grant and crashed. Then the credential was restored.
#[tokio::test]
async fn a_grant_that_was_closed_before_a_restore_is_opened_again() {
    let world = World::new().await;
    enable_revocation(&world).await;
    let id = given_deleted(&world, "bot").await;
    let long_ago = AttributeValue::N("1".to_owned());
    world.set_in_grant(&id, "closed", long_ago).await;
    let_revoke(&world).await;
    expect_invalid(&world.acme.restore(&id).await.expect(200), "revoked");

    world.keep_alive().await;
    assert_eq!(revocations(&world), 0);
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "active");
}

#[tokio::test]
async fn the_grants_of_a_pair_whose_row_is_lost_are_kept() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    delete_row(&world, "pairs", "pair_id", &world.pair_id("ada")).await;
    world.age_grants_by(IDLE_TIME).await;
    world.backdate_grants().await;

    let failed = Report {
        failed: 1,
        ..Report::default()
    };
    assert_eq!(world.keep_alive().await.failed, failed.failed);
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

/// The row counts no live credential, although there is one.
#[tokio::test]
async fn a_wrong_count_closes_no_grant() {
    let world = World::new().await;
    enable_revocation(&world).await;
    let id = world.add_user_credential("bot").await;
    let mut pair = world.pair_of("ada").await;
    let number = |number: &str| AttributeValue::N(number.to_owned());
    pair.insert("live".to_owned(), number("0"));
    pair.insert("last_deleted_at".to_owned(), number("1"));
    world.put("pairs", pair).await;
    world.age_grants_by(IDLE_TIME).await;
    world.backdate_grants().await;

    assert_eq!(world.keep_alive().await.failed, 1);
    assert_eq!(revocations(&world), 0);
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

#[tokio::test]
async fn a_revoked_grant_whose_credential_is_deleted_again_rests() {
    let world = World::new().await;
    enable_revocation(&world).await;
    let id = given_deleted(&world, "bot").await;
    let_revoke(&world).await;
    assert_eq!(world.keep_alive().await.revoked, 1);
    world.acme.restore(&id).await.expect(200);
    world.acme.delete(&id).await.expect(200);
    let_revoke(&world).await;

    let rests = Report {
        unwanted: 1,
        ..Report::default()
    };
    assert_eq!(world.keep_alive().await, rests);
    let row = secret(&world, &grant_secret_id(&world, &id).await).await;
    assert!(!row.unwrap().contains_key("due_shard"));
}

/// The grant has been taken for 50 minutes when it fails, and must not come back after that time.
#[tokio::test]
async fn a_grant_that_fails_is_not_tried_again_before_a_day_has_passed() {
    let world = World::new().await;
    world.add_user_credential("bot").await;
    world.age_grants_by(IDLE_TIME).await;
    world.zoom.set_app_disabled(CLIENT_ID, true);
    assert_eq!(world.keep_alive().await.failed, 1);

    world.age_grants_by(HOUR).await;
    assert_eq!(world.keep_alive().await, Report::default());
    world.age_grants_by(DAY).await;
    assert_eq!(world.keep_alive().await.failed, 1);
}

/// Only the app of its credential could open the grant, and the app is purged.
#[tokio::test]
async fn a_grant_of_an_unknown_user_ends_when_zoom_has_ended_it() {
    let world = World::new().await;
    let id = add_nameless(&world).await;
    world.acme.delete(&id).await.expect(200);
    settle(&world).await;
    let grant = grant_secret_id(&world, &id).await;
    world.expire_deleted().await;
    settle(&world).await;
    assert_eq!(sealed_secrets(&world).await, [grant.as_str()]);

    world.age_grants_by(LONGER_THAN_ZOOM).await;
    // A capsule that is replayed meanwhile may say who the user is.
    let name = async {
        let mut row = secret(&world, &grant).await.unwrap();
        let pair = AttributeValue::S(world.pair_id("ada"));
        row.insert("pair_id".to_owned(), pair);
        world.put("secrets", row).await;
    };
    overtake(&world, 1, || spawn_keep_alive(&world), name).await;
    let mut row = secret(&world, &grant).await.unwrap();
    row.remove("pair_id");
    world.put("secrets", row).await;
    world.age_grants_by(HOUR).await;
    assert_eq!(world.keep_alive().await.destroyed, 1);
    assert_eq!(sealed_secrets(&world).await, [""; 0]);
}

#[tokio::test]
async fn a_stray_grant_is_tested_with_the_app_of_another_credential_if_one_has_none() {
    let world = World::new().await;
    let broken = world.add_user_credential("broken").await;
    let id = world.add_user_credential("bot").await;
    let leaver = world.add_user_credential("leaver").await;
    let stray = grant_secret_id(&world, &leaver).await;
    world.add_credential_for_user("bob").await;
    move_to_bob(&world, &leaver).await;
    delete_row(&world, "secrets", "secret_id", &format!("app#{broken}")).await;
    world.expire_access_tokens().await;

    world.keep_alive().await;
    assert_eq!(grant_secret_id(&world, &id).await, stray);
    mint_onbehalf(&world.acme, &id).await.expect(200);
}

/// Zoom may have handled two authorizations within seconds in either order. But of two that are further apart, only the
/// later one should work.
#[tokio::test]
async fn a_stray_grant_that_works_serves_credentials_that_were_not_authorized_clearly_later() {
    for (later_by, moves) in [(4_000, true), (6_000, false)] {
        let world = World::new().await;
        let id = world.add_user_credential("bot").await;
        world.postdate_authorization(&id).await;
        let leaver = world.add_user_credential("leaver").await;
        let stray = grant_secret_id(&world, &leaver).await;
        world.add_credential_for_user("bob").await;
        move_to_bob(&world, &leaver).await;
        let row = secret(&world, &stray).await.unwrap();
        let authorized_at: i64 = attribute(&row, "authorized_at").parse().unwrap();
        let mut row = world.row(&id).await;
        let later = AttributeValue::N((authorized_at + later_by).to_string());
        row.insert("grant_authorized_at".to_owned(), later);
        world.put("credentials", row).await;
        let own = grant_secret_id(&world, &id).await;

        world.keep_alive().await;
        let expected = if moves { &stray } else { &own };
        assert_eq!(grant_secret_id(&world, &id).await, *expected, "{later_by}");
        assert!(secret(&world, &stray).await.is_some(), "{later_by}");
    }
}

/// Nobody knows how long Zoom accepts the access token of a grant that a newer authorization has ended.
#[tokio::test]
async fn a_left_grant_is_tested_by_its_refresh_token_and_not_by_its_access_token() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let left = grant_secret_id(&world, &id).await;
    world.backdate_authorization(&id).await;
    authorize_again(&world, &id).await;
    let grant = grant_secret_id(&world, &id).await;
    assert!(world.drain_stream().await);
    let accepts = FaultKind::ReplyBefore(Reply {
        body: Some(json!({ "id": "ada" }).to_string()),
        ..Reply::status(StatusCode::OK)
    });
    world
        .zoom
        .inject(ZoomFault::always(Endpoint::Profile, accepts));
    assert_eq!(world.keep_alive().await.destroyed, 1);
    assert_eq!(secret(&world, &left).await, None);
    assert_eq!(grant_secret_id(&world, &id).await, grant);
}

/// Somebody wants keep-alive to look at the grant, and a mint must not make keep-alive forget that.
#[tokio::test]
async fn a_grant_that_is_due_at_once_stays_due_when_it_is_refreshed_even_if_the_answer_is_lost() {
    for is_lost in [false, true] {
        let world = World::new().await;
        let id = world.add_user_credential("desk").await;
        let grant = grant_secret_id(&world, &id).await;
        let mut row = secret(&world, &grant).await.unwrap();
        let at_once = AttributeValue::S(DUE_AT_ONCE.to_string());
        row.insert("idle_since".to_owned(), at_once.clone());
        world.put("secrets", row).await;
        world.expire_access_tokens().await;
        world.wire.reset();
        if is_lost {
            // The updates are the rate, the acquire and the commit.
            world.wire.inject(Rule {
                service: Some(Service::DynamoDb),
                operation: Some("UpdateItem"),
                nth: Some(3),
                fault: Fault::DropAfter,
            });
        }

        mint_onbehalf(&world.acme, &id).await.expect(200);

        let row = secret(&world, &grant).await.unwrap();
        assert_eq!(attribute(&row, "generation"), "2", "{is_lost}");
        assert_eq!(row.get("idle_since"), Some(&at_once), "{is_lost}");
    }
}
