//! How the purge reads the stream of deleted credentials: batches, time-outs and retries.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;

use super::{
    crash_at_call, dump_without_memory, given_deleted, sealed_secrets, settle, spawn_purge,
};
use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Service};
use crate::world::{World, attribute};

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
        assert_eq!(sealed_secrets(&world).await.len(), 1);
        settle(&world).await;
        assert_eq!(dump_without_memory(&world).await, "");
        calls = n;
    }
    // The calls: count the credential out, delete the app's secret, query the token URLs, delete the token URL, read
    // the pair, make its grant due.
    assert_eq!(calls, 6);
}

/// What it costs to delete and to purge a credential does not depend on the size of the team.
#[tokio::test]
async fn a_batch_reads_the_pair_of_each_credential_and_no_other_credential() {
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
        (count("GetItem"), count("UpdateItem"), calls.len()),
        (10, 10, 20)
    );

    world.expire_deleted().await;
    world.wire.reset();
    assert!(world.drain_stream().await);
    // Each credential is counted out in a transaction. Its client secret is deleted, its token URLs are looked up, and
    // its pair's grant is made due.
    let calls = world.wire.operations(Service::DynamoDb);
    for name in [
        "TransactWriteItems",
        "DeleteItem",
        "Query",
        "GetItem",
        "UpdateItem",
    ] {
        assert_eq!(calls.iter().filter(|call| **call == name).count(), 10);
    }
    assert_eq!(calls.len(), 50);
    settle(&world).await;
    assert_eq!(dump_without_memory(&world).await, "");
}

/// A record that comes again must not count a credential out twice.
#[tokio::test]
async fn a_record_that_comes_twice_counts_once() {
    let world = World::new().await;
    let kept = world.add_user_credential("kept").await;
    given_deleted(&world, "purged").await;
    assert!(world.drain_stream().await);
    world.expire_deleted().await;
    let batch = world.next_stream_batch().unwrap();
    for _ in 0..3 {
        assert!(world.gateway.purge(batch.clone()).await.unwrap());
    }
    let mut pairs = world.items("pairs").await.into_iter();
    let pair = pairs.find(|row| row.contains_key("members")).unwrap();
    assert_eq!(
        (attribute(&pair, "members"), attribute(&pair, "live")),
        ("1", "1")
    );
    settle(&world).await;
    mint_onbehalf(&world.acme, &kept).await.expect(200);
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
    settle(&world).await;
    assert_eq!(dump_without_memory(&world).await, "");
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
    settle(&world).await;
    assert_eq!(dump_without_memory(&world).await, "");
}
