//! Events that Zoom delivers again after a failure or a crash.

use local::kms::Failure;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{
    PATH, SECRET_TOKEN, app_deauthorized, deliver, expect_destroyed, expect_state, headers,
    now_in_seconds, post, register_app, state_changes, webhook,
};
use crate::life::crash_at_call;
use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Service};
use crate::world::{CLIENT_ID, World};

/// Delivers an event in a task that can be aborted, as a crash does. The task returns the status.
fn spawn_delivery(world: &World, event: &[u8]) -> JoinHandle<u16> {
    let mut request = axum::http::Request::builder()
        .method(Method::POST)
        .uri(PATH);
    for (name, value) in headers(SECRET_TOKEN, now_in_seconds(), event) {
        request = request.header(name, value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let (gateway, body) = (world.gateway.clone(), event.to_vec());
    tokio::spawn(async move { gateway.answer(parts, body).await.status().as_u16() })
}

#[tokio::test]
async fn an_event_that_failed_is_processed_when_zoom_delivers_it_again() {
    let world = World::new().await;
    register_app(&world).await;
    let id = world.add_user_credential("desk").await;
    let event = app_deauthorized("ada");

    world.kms.fail_next(usize::MAX, Failure::Throttling);
    deliver(&world, &event)
        .await
        .expect_code(503, "FST_ERR_UNAVAILABLE");
    world.kms.stop_failing();
    let down = Fault::Answer(StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned());
    world.wire.break_service(Service::DynamoDb, down);
    deliver(&world, &event)
        .await
        .expect_code(503, "FST_ERR_UNAVAILABLE");
    world.wire.heal();
    expect_state(&world, &id, "active").await;

    // Zoom delivers the event again until the vault answers 2xx.
    world
        .zoom
        .set_webhook(CLIENT_ID, webhook(&world, SECRET_TOKEN));
    for operation in ["Query", "PutItem"] {
        // The SDK tries each call three times.
        for _ in 0..3 {
            let down = Fault::Answer(StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned());
            world.wire.inject_once(Service::DynamoDb, operation, down);
        }
    }
    let delivery = world.zoom.deauthorize(CLIENT_ID, "ada").await.unwrap();
    assert!(
        delivery.heard && delivery.attempts.len() > 1,
        "{delivery:?}"
    );
    expect_destroyed(&world, &id).await;
    assert_eq!(
        state_changes(&world.acme, &id).await,
        [json!(["invalid", "deauthorized"])]
    );
}

#[tokio::test]
async fn after_a_crash_at_any_call_of_a_removal_the_next_delivery_finishes_it() {
    for n in 1.. {
        let world = World::new().await;
        register_app(&world).await;
        let ids = [
            world.add_user_credential("first").await,
            world.add_user_credential("second").await,
        ];
        // If Zoom refuses an access token that is new, the vault does not refresh, and answers 502.
        world.expire_access_tokens().await;
        world.zoom.remove_app(CLIENT_ID, "ada");
        let event = app_deauthorized("ada").to_string().into_bytes();
        let crash = crash_at_call(&world, n, || spawn_delivery(&world, &event));
        if let Some(status) = crash.await {
            assert_eq!(status, 204);
            assert!(n > 10, "{n}");
            break;
        }
        // Before the retry a mint is refused, by Zoom or because of the row.
        world.age_access_tokens().await;
        let minted = mint_onbehalf(&world.acme, &ids[0]).await;
        minted.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");

        let retry = headers(SECRET_TOKEN, now_in_seconds(), &event);
        assert_eq!(post(&world, PATH, &retry, event).await.status, 204);
        for id in &ids {
            expect_destroyed(&world, id).await;
            let changes = state_changes(&world.acme, id).await;
            let deauthorized = changes.iter().filter(|change| change[1] == "deauthorized");
            assert!((1..=2).contains(&deauthorized.count()), "{changes:?}");
            assert!(
                changes.iter().all(|change| change[0] == "invalid"),
                "{changes:?}"
            );
            let refused = mint_onbehalf(&world.acme, id).await;
            assert_eq!(
                refused.json()["details"],
                "deauthorized",
                "{}",
                refused.text
            );
        }
    }
}
