//! Concurrent changes: none is lost, and if only one can succeed, exactly one does.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::proxy::{Fault, Rule, Service};
use crate::world::{Answer, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, World, attribute, user_body};

/// Makes all calls at the same time and returns their answers.
async fn at_once<F>(calls: impl IntoIterator<Item = F>) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let mut set = JoinSet::new();
    for call in calls {
        set.spawn(call);
    }
    set.join_all().await
}

fn statuses(answers: &[Answer]) -> HashMap<u16, usize> {
    let mut counts = HashMap::new();
    for answer in answers {
        *counts.entry(answer.status).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_changes_of_different_fields_are_all_kept() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;

    let answers = at_once((0..32).map(|n| {
        let (acme, id) = (world.acme.clone(), id.clone());
        let body = if n % 2 == 0 {
            json!({ "name": format!("name {n}") })
        } else {
            json!({ "extra": { "n": n } })
        };
        async move { acme.update(&id, body).await }
    }))
    .await;
    assert_eq!(statuses(&answers), HashMap::from([(200, 32)]));

    let data = world.acme.get(&id).await.expect(200);
    let name = data["name"].as_str().unwrap();
    let n: u32 = name.strip_prefix("name ").unwrap().parse().unwrap();
    assert!(n.is_multiple_of(2));
    assert!(!data["extra"]["n"].as_u64().unwrap().is_multiple_of(2));
    assert_eq!(attribute(&world.row(&id).await, "version"), "33");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_parallel_re_authorizations_of_one_credential_one_succeeds() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let body =
        |world: &World| json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let (acme, path, first) = (world.acme.clone(), id.clone(), body(&world));
    let winner = tokio::spawn(async move { acme.update(&path, first).await });
    world.wire.stalled().await;

    let losers = at_once((0..8).map(|_| {
        let (acme, id, body) = (world.acme.clone(), id.clone(), body(&world));
        async move { acme.update(&id, body).await }
    }))
    .await;
    for loser in losers {
        loser.expect_code(409, "FST_ERR_CONFLICT");
        assert!((1..=29).contains(&crate::world::retry_after(&loser)));
    }
    bell.notify_one();

    winner.await.unwrap().expect(200);
    assert_eq!(world.exchange_calls(), 2, "the other codes are not spent");
    world.acme.update(&id, body(&world)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_re_authorization_of_a_credential_that_is_deleted_meanwhile_is_not_found() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    let (acme, path) = (world.acme.clone(), id.clone());
    let authorizing = tokio::spawn(async move { acme.update(&path, body).await });
    world.wire.stalled().await;

    world.acme.delete(&id).await.expect(200);
    let deleted = world.row(&id).await;
    bell.notify_one();

    let answer = authorizing.await.unwrap();
    answer.expect_code(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID");
    assert_eq!(world.row(&id).await, deleted);
    assert!(!world.has_running_request().await);
}

/// While the authorization runs, a sibling's authorization moves this credential to the sibling's grant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_re_authorization_succeeds_even_if_a_sibling_moves_the_credential_meanwhile() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.backdate_authorization(&id).await;
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    let (acme, path) = (world.acme.clone(), id.clone());
    let authorizing = tokio::spawn(async move { acme.update(&path, body).await });
    world.wire.stalled().await;

    let sibling = world.add_user_credential("sibling").await;
    let moved = world.row(&id).await;
    let theirs = world.row(&sibling).await;
    assert_eq!(
        attribute(&moved, "grant_id"),
        attribute(&theirs, "grant_id")
    );
    bell.notify_one();

    authorizing.await.unwrap().expect(200);
    let now = world.row(&id).await;
    assert_ne!(attribute(&now, "grant_id"), attribute(&theirs, "grant_id"));
}

/// The tokens of the running authorization belong to the old app, and its code is spent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_app_waits_for_a_running_authorization() {
    let world = World::new().await;
    world.register_app("other-app", "other-app-secret");
    let id = world.add_app_credential("bot").await;
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    let (acme, path) = (world.acme.clone(), id.clone());
    let authorizing = tokio::spawn(async move { acme.update(&path, body).await });
    world.wire.stalled().await;

    let other = json!({ "client_id": "other-app", "client_secret": "other-app-secret" });
    let waits = world.acme.update(&id, other).await;
    waits.expect_code(409, "FST_ERR_CONFLICT");
    assert!((1..=2).contains(&crate::world::retry_after(&waits)));
    // A new secret of the same app does not disturb the authorization.
    let same = json!({ "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET });
    world.acme.update(&id, same).await.expect(200);
    bell.notify_one();

    let authorized = authorizing.await.unwrap().expect(200);
    assert_eq!(authorized["credential_type"], "user");
    assert_eq!(attribute(&world.row(&id).await, "client_id"), CLIENT_ID);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_parallel_deletes_one_succeeds() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;

    let answers = at_once((0..16).map(|_| {
        let (acme, id) = (world.acme.clone(), id.clone());
        async move { acme.delete(&id).await }
    }))
    .await;
    assert_eq!(statuses(&answers), HashMap::from([(200, 1), (404, 15)]));
    assert_eq!(attribute(&world.row(&id).await, "version"), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_creates_are_all_listed() {
    let world = World::new().await;

    let answers = at_once((0..32).map(|n| {
        let acme = world.acme.clone();
        async move { acme.create(crate::world::app_body(&format!("{n}"))).await }
    }))
    .await;
    assert_eq!(statuses(&answers), HashMap::from([(201, 32)]));
    let list = world.acme.list("").await.expect(200);
    assert_eq!(list.as_array().unwrap().len(), 32);
}

/// DynamoDB applies the `nth` call of this operation, but its answer is lost.
fn lose_the_answer(world: &World, operation: &'static str, nth: u64) {
    world.wire.reset();
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some(operation),
        nth: Some(nth),
        fault: Fault::DropAfter,
    });
}

#[tokio::test]
async fn a_delete_whose_answer_from_dynamodb_was_lost_succeeds() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    lose_the_answer(&world, "TransactWriteItems", 1);

    let deleted = world.acme.delete(&id).await.expect(200);
    assert_eq!(
        deleted,
        json!({ "message": "Zoom credential deleted successfully" })
    );
    let updates = world.wire.operations(Service::DynamoDb);
    let updates = updates.iter().filter(|it| *it == "TransactWriteItems");
    assert_eq!(updates.count(), 2);
    assert_eq!(attribute(&world.row(&id).await, "version"), "3");
    let pair = world.items("pairs").await.remove(0);
    assert_eq!(
        attribute(&pair, "live"),
        "0",
        "the deletion is counted once"
    );
}

#[tokio::test]
async fn a_rename_whose_answer_from_dynamodb_was_lost_succeeds() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    // The first `UpdateItem` counts the rate.
    lose_the_answer(&world, "UpdateItem", 2);

    let renamed = world.acme.update(&id, json!({ "name": "robot" })).await;
    assert_eq!(renamed.expect(200)["name"], "robot");
    assert_eq!(
        world.acme.get(&id).await.expect(200),
        renamed.expect(200),
        "the answer is what is stored"
    );
}

#[tokio::test]
async fn a_new_secret_whose_answer_from_dynamodb_was_lost_is_stored_once() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    world.wire.reset();
    world
        .wire
        .inject_once(Service::DynamoDb, "TransactWriteItems", Fault::DropAfter);

    let mut body = user_body("robot", "unused");
    let fields = body.as_object_mut().unwrap();
    fields.retain(|name, _: &mut Value| name.starts_with("client_") || name == "name");
    assert_eq!(
        world.acme.update(&id, body).await.expect(200)["name"],
        "robot"
    );
    assert_eq!(attribute(&world.row(&id).await, "version"), "2");
}
