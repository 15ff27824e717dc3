//! How the purge reads the stream of deleted credentials: batches, time-outs and retries.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;

use super::{crash_at_call, dump, given_deleted, sealed_secrets, spawn_purge};
use crate::proxy::{Fault, Service};
use crate::world::World;

#[tokio::test]
async fn after_a_crash_at_any_call_of_a_purge_the_retry_finishes_it() {
    let mut calls = 0;
    for n in 1.. {
        let world = World::new().await;
        let id = world.add_user_credential("bot").await;
        world
            .given_url(&id, json!({ "name": "vendor", "type": "zak" }))
            .await;
        world.acme.delete(&id).await.expect(200);
        assert!(world.drain_stream().await);
        world.expire_deleted().await;
        let crash = crash_at_call(&world, n, || spawn_purge(&world));
        if crash.await.is_some() {
            break;
        }
        assert!(world.drain_stream().await);
        assert_eq!(dump(&world).await, "");
        calls = n;
    }
    // The calls: read the grant, query the credentials that use the grant, delete the grant, delete the app's secret,
    // query the token URLs, delete the token URL.
    assert_eq!(calls, 6);
}

/// The query reads rows that mints read, too, so a batch must not repeat it for each record.
#[tokio::test]
async fn a_batch_queries_the_credentials_of_a_team_once() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(
            world
                .add_credential_for_user(&format!("user-{number}"))
                .await,
        );
    }
    for id in &ids {
        world.acme.delete(id).await.expect(200);
    }
    world.wire.reset();
    assert!(world.drain_stream().await);
    let calls = world.wire.operations(Service::DynamoDb);
    let count = |name| calls.iter().filter(|call| **call == name).count();
    assert_eq!(
        (count("Query"), count("UpdateItem"), calls.len()),
        (1, 10, 11)
    );

    world.expire_deleted().await;
    world.wire.reset();
    assert!(world.drain_stream().await);
    // One query finds the credentials of the team. For each purged credential one query finds its token URLs.
    let calls = world.wire.operations(Service::DynamoDb);
    let count = |name| calls.iter().filter(|call| **call == name).count();
    assert_eq!(
        (count("Query"), count("GetItem"), count("DeleteItem")),
        (11, 10, 20)
    );
    assert_eq!(dump(&world).await, "");
}

#[tokio::test]
async fn a_batch_that_does_not_fit_into_the_time_out_is_retried() {
    let world = World::new().await;
    given_deleted(&world, "bot").await;
    assert!(world.drain_stream().await);
    world.expire_deleted().await;
    let held = world.wire.hold(Service::DynamoDb, "DeleteItem");
    let batch = world.next_stream_batch().unwrap();
    let gateway = &world.gateway;
    let time_out = Duration::from_millis(2_500);
    assert!(!gateway.purge_within(batch, time_out).await.unwrap());
    held.notify_one();
    assert!(world.drain_stream().await);
    assert_eq!(dump(&world).await, "");
}

#[tokio::test]
async fn a_failed_record_is_retried_together_with_the_records_after_it() {
    let world = World::new().await;
    given_deleted(&world, "one").await;
    given_deleted(&world, "other").await;
    assert!(world.drain_stream().await);
    world.expire_deleted().await;
    let refused = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ValidationException"}"#;
    let fault = Fault::Answer(StatusCode::BAD_REQUEST, refused.to_owned());
    world
        .wire
        .inject_once(Service::DynamoDb, "DeleteItem", fault);

    assert!(!world.drain_stream().await);
    assert_eq!(sealed_secrets(&world).await.len(), 4);
    assert!(world.drain_stream().await);
    assert_eq!(dump(&world).await, "");
}
