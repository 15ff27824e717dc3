//! KMS fails.

use local::kms::Failure;

use super::ApiRequest::{
    self, CreateApp, CreateUser, Delete, Get, List, ReAuthorize, Rename, ReplaceSecret,
};
use super::{assert_unavailable, stored, world_with_credential};
use crate::proxy::{Fault, Service};

/// The requests that seal a secret.
const SEALING: [ApiRequest; 4] = [CreateApp, CreateUser, ReplaceSecret, ReAuthorize];

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
