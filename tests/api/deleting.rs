//! Deleting: gone from everything that is read, and kept.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use shared::timestamp::Timestamp;

use crate::world::{Answer, World, user_body};

const GONE: &str = "Zoom credential not found";

#[track_caller]
fn expect_gone(answer: &Answer) {
    answer.expect_error(404, "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID", GONE);
}

#[tokio::test]
async fn a_deleted_credential_is_invisible_everywhere() {
    let world = World::new().await;
    let kept = world.given_app("kept").await;
    let id = world.given_user("gone").await;

    let answer = world.acme.delete(&id).await;
    assert_eq!(
        answer.expect(200),
        json!({ "message": "Zoom credential deleted successfully" })
    );

    expect_gone(&world.acme.get(&id).await);
    expect_gone(&world.acme.get(&id.to_uppercase()).await);
    expect_gone(&world.acme.update(&id, json!({ "name": "back" })).await);
    expect_gone(&world.acme.update(&id, json!({})).await);
    let app = json!({ "client_id": "test-app", "client_secret": "another" });
    expect_gone(&world.acme.update(&id, app).await);
    expect_gone(&world.acme.delete(&id).await);
    for query in ["", "?limit=1", "?limit=1000", "?deleted=false", "?extra="] {
        let listed = world.acme.list(query).await.expect(200);
        assert_eq!(listed.as_array().unwrap().len(), 1, "{query}");
        assert_eq!(listed[0]["credential_id"], kept, "{query}");
    }
    assert_eq!(world.acme.list("?name=gone").await.expect(200), json!([]));
}

#[tokio::test]
async fn what_is_deleted_is_kept_and_marked_for_the_purge() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    let (before, secrets) = (world.stored_row(&id).await, world.contents("secrets").await);

    world.acme.delete(&id).await.expect(200);

    let mut after = world.stored_row(&id).await;
    assert_eq!(world.contents("secrets").await, secrets);
    assert_eq!(after.remove("deleted"), Some(AttributeValue::Bool(true)));
    let at = after.remove("deleted_at").unwrap();
    let at = Timestamp::try_from(at.as_s().unwrap().clone()).unwrap();
    let purge: i64 = after
        .remove("purge_at")
        .unwrap()
        .as_n()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(purge - at.as_seconds(), 30 * 24 * 3600);
    assert_eq!(
        after.get("change"),
        Some(&AttributeValue::S("deleted".to_owned()))
    );
    for (name, value) in before {
        let written = ["deleted", "change", "version", "updated_at", "writer"];
        if !written.contains(&name.as_str()) {
            assert_eq!(after.get(&name), Some(&value), "{name}");
        }
    }
}

#[tokio::test]
async fn deleting_twice_is_not_found_and_changes_nothing() {
    let world = World::new().await;
    let id = world.given_app("bot").await;
    world.acme.delete(&id).await.expect(200);
    let deleted = world.stored_row(&id).await;

    expect_gone(&world.acme.delete(&id).await);
    expect_gone(&world.acme.delete(&id).await);
    assert_eq!(world.stored_row(&id).await, deleted);
}

#[tokio::test]
async fn of_many_deletes_at_once_one_finds_it() {
    let world = World::new().await;
    let id = world.given_app("bot").await;
    let calls = (0..8).map(|_| {
        let (acme, id) = (world.acme.clone(), id.clone());
        tokio::spawn(async move { acme.delete(&id).await.status })
    });
    let mut statuses = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        statuses.push(call.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404, 404, 404, 404, 404, 404, 404]);
}

#[tokio::test]
async fn a_delete_takes_the_id_in_either_case_and_no_body() {
    let world = World::new().await;
    let id = world.given_app("bot").await;
    let path = format!("/v2/zoom-credentials/{}", id.to_uppercase());
    let answer = world
        .acme
        .send_text(reqwest::Method::DELETE, &path, "{not json")
        .await;
    answer.expect(200);
    expect_gone(&world.acme.get(&id).await);
}

#[tokio::test]
async fn deleting_calls_neither_zoom_nor_kms_and_leaves_the_grant_alive() {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    world.wire.reset();
    world.acme.delete(&id).await.expect(200);

    assert_eq!(world.wire.count(crate::proxy::Service::Zoom), 0);
    assert_eq!(world.wire.count(crate::proxy::Service::Kms), 0);
    assert!(world.zoom.grants()[0].alive);
}

#[tokio::test]
async fn the_code_of_a_deleted_credential_does_not_bring_it_back() {
    let world = World::new().await;
    let body = user_body("bot", &world.code());
    let created = world.acme.create(body.clone()).await.expect(201);
    let id = crate::world::id_of(&created);
    world.acme.delete(&id).await.expect(200);

    // The same request again is the one that was done; what it made is gone.
    expect_gone(&world.acme.create(body).await);
    assert_eq!(world.acme.list("").await.expect(200), json!([]));
}
