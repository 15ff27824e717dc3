//! KMS fails.

use std::time::Duration;

use axum::http::StatusCode;
use local::kms::Failure;
use serde_json::{Value, json};
use tracing::Level;

use super::ApiRequest::{
    self, CreateApp, CreateUser, Delete, Get, List, ReAuthorize, Rename, ReplaceSecret,
};
use super::{assert_unavailable, stored, world_with_credential};
use crate::notifications::receiver::{Behaviour, Receiver};
use crate::proxy::{Fault, Service};
use crate::secrecy::log::Log;
use crate::world::{World, app_body};

/// The requests that seal a secret.
const SEALING: [ApiRequest; 4] = [CreateApp, CreateUser, ReplaceSecret, ReAuthorize];

// assures 39
#[tokio::test]
async fn while_kms_fails_nothing_is_sealed_stored_or_spent() {
    let failures = [
        Failure::Throttling,
        Failure::AccessDenied,
        Failure::Disabled,
        Failure::Internal,
        Failure::KeyUnavailable,
        Failure::DependencyTimeout,
        Failure::NotFound,
    ];
    let (world, id) = world_with_credential().await;
    let code = world.code();
    let before = stored(&world).await;
    for failure in failures {
        world.kms.fail_next(usize::MAX, failure);
        for request in SEALING {
            let answer = request.of(&world, &id, &code).await;
            assert_unavailable(&answer, "kms", &format!("{request:?} {failure:?}"));
        }
    }
    assert_eq!(stored(&world).await, before);
    assert_eq!(world.wire.count(Service::Zoom), 0);

    world.kms.stop_failing();
    CreateUser.of(&world, &id, &code).await.expect(201);
}

#[tokio::test]
async fn while_kms_cannot_be_reached_nothing_is_sealed_stored_or_spent() {
    let (world, id) = world_with_credential().await;
    let code = world.code();
    let before = stored(&world).await;
    for fault in [Fault::DropBefore, Fault::DropAfter] {
        world.wire.heal();
        world.wire.break_service(Service::Kms, fault);
        for request in SEALING {
            assert_unavailable(
                &request.of(&world, &id, &code).await,
                "kms",
                &format!("{request:?}"),
            );
        }
    }
    assert_eq!(stored(&world).await, before);
    assert_eq!(world.wire.count(Service::Zoom), 0);

    world.wire.heal();
    ReAuthorize.of(&world, &id, &code).await.expect(200);
}

#[tokio::test]
async fn a_disabled_key_stops_only_the_calls_that_seal() {
    let (world, id) = world_with_credential().await;
    let key = world.kms.default_key();
    world.kms.set_enabled(&key, false).unwrap();
    let code = world.code();
    for request in SEALING {
        assert_unavailable(
            &request.of(&world, &id, &code).await,
            "kms",
            &format!("{request:?}"),
        );
    }
    for request in [Get, List, Rename, Delete] {
        request.of(&world, &id, &code).await.expect(200);
    }

    world.kms.set_enabled(&key, true).unwrap();
    CreateUser.of(&world, &id, &code).await.expect(201);
}

#[tokio::test]
async fn a_kms_call_that_is_throttled_once_is_retried() {
    for request in SEALING {
        let (world, id) = world_with_credential().await;
        let code = world.code();
        world.kms.fail_next(1, Failure::Throttling);
        request
            .of(&world, &id, &code)
            .await
            .expect(request.status());
    }
}

/// The causes in the log lines that count a failure of KMS.
async fn counted_failures(work: impl Future<Output = ()>) -> Vec<String> {
    let log = Log::default();
    let recording = log.record(Level::INFO);
    work.await;
    drop(recording);
    let text = String::from_utf8(log.bytes()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["kms_failed"] == 1)
        .map(|line| line["cause"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn keep_alive_counts_each_failure_of_kms() {
    let world = World::new().await;
    world.add_user_credential("bot").await;
    world.age_grants_by(Duration::from_hours(60 * 24)).await;
    world.kms.fail_next(usize::MAX, Failure::Disabled);
    let counted = counted_failures(async {
        world.keep_alive().await;
    })
    .await;
    assert_eq!(counted.len(), 1);
    assert!(counted[0].contains("KMS GenerateDataKey"), "{counted:?}");
}

#[tokio::test]
async fn the_delivery_of_a_notification_counts_each_failure_of_kms() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::Fails(StatusCode::BAD_GATEWAY)).await;
    let body = json!({ "url": receiver.url() });
    world.acme.put_endpoint(body).await.expect(200);
    world.acme.create(app_body("desk")).await.expect(201);
    world.kms.fail_next(usize::MAX, Failure::Disabled);
    let counted = counted_failures(world.notify()).await;
    assert_eq!(counted.len(), 1);
    assert!(counted[0].contains("KMS Decrypt"), "{counted:?}");
    assert_eq!(receiver.calls().len(), 0);
}
