//! Grants that keep-alive must come back to, and grants that it must leave alone.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use hyper::StatusCode;
use local::zoom::{Endpoint, Fault as ZoomFault, FaultKind, Reply};
use serde_json::json;
use shared::keep_alive::Report;
use shared::stores::DUE_AT_ONCE;

use super::{
    DAY, IDLE_TIME, authorize_again, enable_revocation, expect_invalid, expect_reconnect,
    given_deleted, grant_secret_id, let_revoke, revocations, sealed_secrets, settle,
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
    assert_eq!(sealed_secrets(&world).await, [grant]);

    world.age_grants_by(LONGER_THAN_ZOOM).await;
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
async fn a_grant_that_is_due_at_once_stays_due_when_the_answer_to_its_commit_is_lost() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    let grant = format!("grant#{}", attribute(&world.row(&id).await, "grant_id"));
    let mut row = secret(&world, &grant).await.unwrap();
    let at_once = AttributeValue::S(DUE_AT_ONCE.to_string());
    row.insert("idle_since".to_owned(), at_once.clone());
    world.put("secrets", row).await;
    world.expire_access_tokens().await;
    world.wire.reset();
    // The updates are the rate, the acquire and the commit.
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("UpdateItem"),
        nth: Some(3),
        fault: Fault::DropAfter,
    });

    mint_onbehalf(&world.acme, &id).await.expect(200);

    let row = secret(&world, &grant).await.unwrap();
    assert_eq!(attribute(&row, "generation"), "2");
    assert_eq!(row.get("idle_since"), Some(&at_once));
}
