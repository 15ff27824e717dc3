//! Siblings: credentials of one app and Zoom user. Zoom keeps only the newest grant alive, so all siblings move to it.

use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use local::zoom::{Consent, User};
use serde_json::{Value, json};
use shared::api_key::Permission;
use shared::timestamp::Timestamp;
use uuid::Uuid;

use hyper::StatusCode;

use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Service};
use crate::world::{Caller, Item, REDIRECT_URI, World, ada, attribute, id_of, user_body};

const OTHER_APP: &str = "other-app";
const OTHER_SECRET: &str = "other-app-secret";

fn grant(row: &Item) -> &str {
    attribute(row, "grant_id")
}

fn version(row: &Item) -> u64 {
    attribute(row, "version").parse().unwrap()
}

/// Creates a credential. Answers its id.
async fn create(caller: &Caller, body: Value) -> String {
    id_of(&caller.create(body).await.expect(201))
}

/// Makes a credential invalid, as a mint does when Zoom refuses the grant.
async fn invalidate(world: &World, id: &str) {
    let mut row = world.row(id).await;
    for (name, value) in [
        ("state", "invalid"),
        (
            "last_error_message",
            "revoked: the user must authorize again",
        ),
        ("last_error_at", "2026-01-01T00:00:00.000Z"),
    ] {
        row.insert(name.to_owned(), AttributeValue::S(value.to_owned()));
    }
    world.put("credentials", row).await;
}

#[track_caller]
fn expect_active_without_error(credential: &Value) {
    assert_eq!(credential["state"], "active");
    assert_eq!(credential["last_error_message"], Value::Null);
    assert_eq!(credential["last_error_at"], Value::Null);
}

/// A DynamoDB that refuses a call, and that the SDK does not retry.
fn validation_error() -> Fault {
    let body = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ValidationException"}"#;
    Fault::Answer(StatusCode::BAD_REQUEST, body.to_owned())
}

#[tokio::test]
async fn older_siblings_move_to_the_grant_of_a_new_credential() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    world.backdate_authorization(&older).await;
    let before = world.row(&older).await;
    let shown = world.acme.get(&older).await.expect(200);

    let newest = world.add_user_credential("newest").await;
    let (after, newest) = (world.row(&older).await, world.row(&newest).await);
    assert_eq!(grant(&after), grant(&newest));
    assert_eq!(
        attribute(&after, "grant_authorized_at"),
        attribute(&newest, "grant_authorized_at")
    );
    assert_eq!(attribute(&after, "change"), "active");
    assert_eq!(version(&after), version(&before) + 1);

    let mut moved = world.acme.get(&older).await.expect(200);
    assert!(moved["updated_at"].as_str() >= shown["updated_at"].as_str());
    moved["updated_at"] = shown["updated_at"].clone();
    assert_eq!(moved, shown, "no other field changes");
}

#[tokio::test]
async fn older_siblings_move_to_the_grant_of_a_re_authorization() {
    let world = World::new().await;
    let (a, b) = (
        world.add_user_credential("a").await,
        world.add_user_credential("b").await,
    );
    world.backdate_authorization(&a).await;
    world.backdate_authorization(&b).await;

    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    world.acme.update(&a, body).await.expect(200);
    assert_eq!(grant(&world.row(&a).await), grant(&world.row(&b).await));
}

#[tokio::test]
async fn an_invalid_sibling_becomes_active_and_its_error_is_cleared() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    world.backdate_authorization(&older).await;
    invalidate(&world, &older).await;
    assert_eq!(world.acme.get(&older).await.expect(200)["state"], "invalid");

    world.add_user_credential("newest").await;
    expect_active_without_error(&world.acme.get(&older).await.expect(200));
}

/// The events of a credential must contain every change of its state, whichever request caused the change.
#[tokio::test]
async fn each_invalid_credential_that_an_authorization_makes_active_gets_an_event() {
    let world = World::new().await;
    let (a, b) = (
        world.add_user_credential("a").await,
        world.add_user_credential("b").await,
    );
    let active = world.add_user_credential("active").await;
    for id in [&a, &b, &active] {
        world.backdate_authorization(id).await;
    }
    for id in [&a, &b] {
        invalidate(&world, id).await;
    }

    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    world.acme.update(&a, body).await.expect(200);

    assert_eq!(world.state_changes(&a).await, ["active"]);
    assert_eq!(world.state_changes(&b).await, ["active"]);
    assert_eq!(world.state_changes(&active).await, [""; 0]);
}

#[tokio::test]
async fn re_authorizing_an_invalid_credential_makes_it_active_and_clears_its_error() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    invalidate(&world, &id).await;

    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    expect_active_without_error(&world.acme.update(&id, body).await.expect(200));
}

#[tokio::test]
async fn a_sibling_gets_the_scopes_of_the_grant_that_it_moved_to() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    world.backdate_authorization(&older).await;

    let fewer = world.code_of("ada", Some(&["user:read:user", "user:read:zak"]));
    create(&world.acme, user_body("newest", &fewer)).await;
    let scopes = world.acme.get(&older).await.expect(200)["scopes"].clone();
    assert_eq!(scopes, "user:read:user,user:read:zak");
}

/// The vault cannot know in which order Zoom processed two overlapping authorizations.
#[tokio::test]
async fn the_sibling_of_an_overlapping_authorization_does_not_move() {
    let world = World::new().await;
    let (old, recent) = (
        world.add_user_credential("old").await,
        world.add_user_credential("recent").await,
    );
    world.backdate_authorization(&old).await;
    let before = world.row(&recent).await;

    let newest = world.add_user_credential("newest").await;
    assert_eq!(world.row(&recent).await, before);
    let newest = world.row(&newest).await;
    assert_eq!(grant(&world.row(&old).await), grant(&newest));
}

#[tokio::test]
async fn credentials_of_another_user_app_or_team_and_deleted_credentials_do_not_move() {
    let world = World::new().await;
    world.register_app(OTHER_APP, OTHER_SECRET);
    world.zoom.register_user(User {
        id: "bob".to_owned(),
        ..ada()
    });
    let zeta = world.caller("zeta", Permission::Full).await;

    let other_user = user_body("user", &world.code_of("bob", None));
    let other_user = create(&world.acme, other_user).await;
    let code = world.zoom.authorize(Consent {
        client_id: OTHER_APP.to_owned(),
        redirect_uri: REDIRECT_URI.to_owned(),
        user_id: "ada".to_owned(),
        scopes: None,
        code_challenge: None,
    });
    let mut other_app = user_body("app", &code.unwrap());
    other_app["client_id"] = json!(OTHER_APP);
    other_app["client_secret"] = json!(OTHER_SECRET);
    let other_app = create(&world.acme, other_app).await;
    let other_team = create(&zeta, user_body("team", &world.code())).await;
    let deleted = world.add_user_credential("deleted").await;
    world.acme.delete(&deleted).await.expect(200);
    let alone = world.add_app_credential("app only").await;

    let others = [other_user, other_app, other_team, deleted];
    for id in &others {
        world.backdate_authorization(id).await;
    }
    let mut before = Vec::new();
    for id in others.iter().chain([&alone]) {
        before.push(world.row(id).await);
    }

    world.add_user_credential("newest").await;
    for (id, before) in others.iter().chain([&alone]).zip(before) {
        assert_eq!(world.row(id).await, before);
    }
}

/// Copies the row of a credential, with new ids and new grants. Answers the ids of the copies.
async fn given_siblings(world: &World, of: &str, count: usize) -> Vec<String> {
    let row = world.row(of).await;
    let mut ids = Vec::new();
    for _ in 0..count {
        let mut copy = row.clone();
        ids.push(Uuid::now_v7().to_string());
        let id = AttributeValue::S(ids[ids.len() - 1].clone());
        copy.insert("credential_id".to_owned(), id);
        let grant = AttributeValue::S(Uuid::new_v4().to_string());
        copy.insert("grant_id".to_owned(), grant);
        world.put("credentials", copy).await;
    }
    ids
}

#[tokio::test]
async fn forty_siblings_move_to_the_new_grant() {
    let world = World::new().await;
    let first = world.add_user_credential("first").await;
    world.backdate_authorization(&first).await;
    let mut siblings = given_siblings(&world, &first, 39).await;
    siblings.push(first);

    let newest = world.add_user_credential("newest").await;
    let newest = world.row(&newest).await;
    let rows = world.items("credentials").await;
    assert_eq!(rows.len(), 41);
    for row in rows {
        assert_eq!(grant(&row), grant(&newest));
    }
}

/// A batch leaves out a credential that has changed, and moves the others.
#[tokio::test]
async fn a_sibling_that_changes_meanwhile_does_not_stop_the_others() {
    let world = World::new().await;
    let first = world.add_user_credential("first").await;
    world.backdate_authorization(&first).await;
    let siblings = given_siblings(&world, &first, 39).await;
    let bell = world.wire.hold(Service::DynamoDb, "Query");
    let (acme, body) = (world.acme.clone(), user_body("newest", &world.code()));
    let creating = tokio::spawn(async move { create(&acme, body).await });
    world.wire.stalled().await;
    world.acme.delete(&siblings[3]).await.expect(200);
    world.postdate_authorization(&siblings[30]).await;
    bell.notify_one();

    let newest = creating.await.unwrap();
    let newest = world.row(&newest).await;
    let rows = world.items("credentials").await;
    let moved = rows.iter().filter(|row| grant(row) == grant(&newest));
    assert_eq!(moved.count(), 41 - 2);
}

/// One call moves 75 credentials. The others find the grant at their own next use.
#[tokio::test]
async fn an_authorization_moves_a_limited_number_of_siblings() {
    let world = World::new().await;
    let first = world.add_user_credential("first").await;
    world.backdate_authorization(&first).await;
    given_siblings(&world, &first, 99).await;

    let newest = world.add_user_credential("newest").await;
    let newest = world.row(&newest).await;
    let rows = world.items("credentials").await;
    let (moved, left): (Vec<_>, Vec<_>) = rows.iter().partition(|row| grant(row) == grant(&newest));
    assert_eq!((moved.len(), left.len()), (76, 25));
}

/// Tokens that were altered can never be opened. They must not keep the user from being told to authorize again.
#[tokio::test]
async fn a_grant_of_a_sibling_that_cannot_be_opened_is_passed_over() {
    let broken = [
        ("sealed", AttributeValue::B(Blob::new([1, 1, 2, 3]))),
        ("state", AttributeValue::S("odd".to_owned())),
    ];
    for (name, value) in broken {
        let world = World::new().await;
        let older = world.add_user_credential("older").await;
        let newer = world.add_user_credential("newer").await;
        world.set_in_grant(&newer, name, value).await;
        world.age_access_tokens().await;
        let refused = mint_onbehalf(&world.acme, &older).await;
        refused.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
        assert_eq!(world.acme.get(&older).await.expect(200)["state"], "invalid");
    }
}

/// They are not declared dead, so they are the first in each search.
#[tokio::test]
async fn a_grant_that_works_is_found_behind_many_that_cannot_be_opened() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(world.add_user_credential(&number.to_string()).await);
    }
    let grant_id = format!("grant#{}", grant(&world.row(&ids[0]).await));
    let mut rows = world.items("secrets").await.into_iter();
    let other = rows.find(|row| attribute(row, "secret_id") == grant_id);
    let foreign = other.unwrap()["sealed"].clone();
    world.age_access_tokens().await;
    let later = Timestamp::now().plus(Duration::from_mins(1)).as_millis();
    for id in &ids[1..9] {
        world.set_in_grant(id, "sealed", foreign.clone()).await;
        let later = AttributeValue::N(later.to_string());
        world.set_in_grant(id, "authorized_at", later).await;
    }

    mint_onbehalf(&world.acme, &ids[0]).await.expect(200);
    let used = world.row(&ids[0]).await;
    assert_eq!(grant(&used), grant(&world.row(&ids[9]).await));
}

#[tokio::test]
async fn an_authorization_succeeds_although_its_siblings_cannot_be_queried() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    world.backdate_authorization(&older).await;
    let before = world.row(&older).await;
    let body = user_body("newest", &world.code());
    world.wire.reset();
    world
        .wire
        .inject_once(Service::DynamoDb, "Query", validation_error());

    let newest = world.acme.create(body).await.expect(201);
    assert_eq!(newest["zoom_user_id"], "ada");
    assert_eq!(world.row(&older).await, before);
}

#[tokio::test]
async fn an_authorization_without_a_profile_moves_no_sibling() {
    let world = World::new().await;
    let older = world.add_user_credential("older").await;
    world.backdate_authorization(&older).await;
    let before = world.row(&older).await;

    let code = world.code_of("ada", Some(&["user:read:zak"]));
    create(&world.acme, user_body("without a profile", &code)).await;
    assert_eq!(world.row(&older).await, before);
}
