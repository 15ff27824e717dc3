//! Receivers that fail: every notification arrives once the receiver is back, and nobody else waits.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use functions::powers::Environment;
use local::sqs::LOST_NOTIFICATIONS_ARN;
use serde_json::json;
use shared::api_key::Permission;
use shared::notification::AddressRule;
use shared::queue::LostNotifications;

use super::receiver::{Behaviour, Receiver};
use crate::world::{World, app_body, id_of};

const HOUR: Duration = Duration::from_hours(1);

// assures 60
#[tokio::test]
async fn a_receiver_that_was_down_for_an_hour_gets_everything_once_it_is_back() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::Fails(StatusCode::BAD_GATEWAY)).await;
    let body = json!({ "url": receiver.url() });
    world.acme.put_endpoint(body).await.expect(200);
    let mut expected = Vec::new();
    for name in ["a", "b", "c"] {
        expected.push(id_of(&world.acme.create(app_body(name)).await.expect(201)));
    }
    for _ in 0..60 {
        world.notify().await;
        world.queue.advance(Duration::from_mins(1));
    }
    let attempts = receiver.calls().len();
    // The pauses grow: six attempts in the first hour.
    assert!((3 * 5..=3 * 7).contains(&attempts), "{attempts}");
    assert_eq!(world.queue.waiting().len(), 3);

    receiver.behave(Behaviour::Accepts);
    world.queue.advance(2 * HOUR);
    world.notify().await;
    let calls = receiver.calls().split_off(attempts);
    let told: Vec<&str> = calls
        .iter()
        .map(|call| call.body["data"]["credential_id"].as_str().unwrap())
        .collect();
    assert_eq!(told.len(), 3);
    assert!(expected.iter().all(|id| told.contains(&id.as_str())));
    assert_eq!(world.queue.waiting(), [""; 0]);
}

#[tokio::test]
async fn after_a_day_a_notification_goes_to_the_dead_letter_queue_and_a_redrive_delivers_it() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::Fails(StatusCode::NOT_FOUND)).await;
    let body = json!({ "url": receiver.url() });
    world.acme.put_endpoint(body).await.expect(200);
    let id = id_of(&world.acme.create(app_body("desk")).await.expect(201));
    let mut hours = 0;
    while world.queue.dead().is_empty() {
        world.notify().await;
        world.queue.advance(HOUR);
        hours += 1;
        assert!(hours < 60, "the notification is tried for ever");
    }
    assert!(hours > 20, "{hours}");
    let calls = receiver.calls();
    assert_eq!(calls.len(), 11);
    // Every attempt has the same id and body, and its own time and signature.
    assert!(
        calls
            .iter()
            .all(|call| call.id == calls[0].id && call.text == calls[0].text)
    );
    let events = world.team_events("?kind=notification_failed").await;
    let events = events.expect(200);
    assert_eq!(events.as_array().unwrap().len(), 1);
    assert_eq!(events[0]["credential_id"], id);

    receiver.behave(Behaviour::Accepts);
    let sqs = world.services.environment("operator").aws().sqs();
    let wrong = LostNotifications::new(sqs.clone(), "arn:aws:sqs:us-east-1:0:other".to_owned());
    assert!(wrong.redrive().await.is_err());
    let lost = LostNotifications::new(sqs, LOST_NOTIFICATIONS_ARN.to_owned());
    assert_eq!(lost.redrive().await.unwrap(), Some(1));
    world.notify().await;
    assert_eq!(receiver.calls().len(), 12);
    assert_eq!(world.queue.waiting(), [""; 0]);
    assert_eq!(world.queue.dead(), [""; 0]);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let world = World::new().await;
    let target = Receiver::start(Behaviour::Accepts).await;
    let receiver = Receiver::start(Behaviour::Redirects(target.url())).await;
    let body = json!({ "url": receiver.url() });
    world.acme.put_endpoint(body).await.expect(200);
    world.acme.create(app_body("desk")).await.expect(201);
    world.notify().await;
    assert_eq!((receiver.calls().len(), target.calls().len()), (1, 0));
    assert_eq!(world.queue.waiting().len(), 1);
}

/// The endpoint of one team does not answer. The other team is told meanwhile, and not after the time-out.
// assures 60
#[tokio::test]
async fn a_slow_endpoint_delays_no_other_team() {
    let world = World::new().await;
    let slow = Receiver::start(Behaviour::Slow(Duration::from_mins(5))).await;
    let quick = Receiver::start(Behaviour::Accepts).await;
    let body = json!({ "url": slow.url() });
    world.acme.put_endpoint(body).await.expect(200);
    let body = json!({ "url": quick.url() });
    let other = world.caller("globex", Permission::Full).await;
    other.put_endpoint(body).await.expect(200);
    for name in ["a", "b", "c"] {
        world.acme.create(app_body(name)).await.expect(201);
    }
    other.create(app_body("d")).await.expect(201);
    assert!(world.enqueue_notifications().await);

    let gateway = world.gateway.clone();
    let began = Instant::now();
    let batch = tokio::spawn(async move { gateway.notify_deliver().await.unwrap() });
    while quick.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(
            !batch.is_finished(),
            "the other team waited for the slow endpoint"
        );
    }
    assert!(batch.await.unwrap());
    assert!(began.elapsed() < Duration::from_secs(29));
    assert_eq!(slow.calls().len(), 3);
    assert_eq!(world.queue.waiting().len(), 3);
    // Each team is told of its own credentials only.
    assert_eq!(quick.kinds(), ["credential.created"]);
}

/// The rule is checked again at each call: the URL may have been set when it was allowed.
// assures 60
#[tokio::test]
async fn nothing_is_sent_to_an_address_that_is_not_public() {
    let world = World::with_addresses(AddressRule::Public).await;
    let receiver = Receiver::start(Behaviour::Accepts).await;
    let refused = world.acme.put_endpoint(json!({ "url": receiver.url() }));
    assert_eq!(refused.await.status, 400);
    let body = json!({ "url": "https://example.com/" });
    world.acme.put_endpoint(body).await.expect(200);
    let by_name = format!("https://localhost:{}/", receiver.port);
    for url in [receiver.url(), by_name] {
        world.set_endpoint_url(&url).await;
        world.acme.test_endpoint().await.expect(200);
        world.notify().await;
        let events = world.team_events("?kind=notification_failed").await;
        assert_eq!(events.expect(200)[0]["code"], "ADDRESS_NOT_PUBLIC", "{url}");
    }
    assert_eq!(receiver.kinds(), [""; 0]);
}

#[tokio::test]
async fn an_endpoint_that_nobody_listens_at_is_unreachable() {
    let world = World::new().await;
    let body = json!({ "url": "http://127.0.0.1:9/" });
    world.acme.put_endpoint(body).await.expect(200);
    world.acme.test_endpoint().await.expect(200);
    world.notify().await;
    let events = world.team_events("?kind=notification_failed").await;
    assert_eq!(events.expect(200)[0]["code"], "UNREACHABLE");
}
