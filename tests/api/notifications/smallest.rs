//! A team sets its endpoint, and is told of what happens.

use serde_json::{Value, json};

use super::receiver::{Behaviour, Receiver};
use crate::world::{CLIENT_ID, World, app_body, id_of};

#[tokio::test]
async fn a_team_sets_its_endpoint_and_is_told_what_happens_to_a_credential() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::Accepts).await;
    let set = world.acme.put_endpoint(json!({ "url": receiver.url() }));
    let set = set.await.expect(200);
    let secret = set["secret"].as_str().unwrap();
    let id = id_of(&world.acme.create(app_body("desk")).await.expect(201));
    world.acme.delete(&id).await.expect(200);
    world.acme.restore(&id).await.expect(200);
    world.notify().await;

    let expected = [
        "credential.created",
        "credential.deleted",
        "credential.restored",
    ];
    assert_eq!(receiver.kinds(), expected);
    for call in receiver.calls() {
        assert!(call.is_signed_with(secret));
        assert_eq!(call.body["data"]["credential_id"], id);
        let fields: Vec<&String> = call.body.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["data", "timestamp", "type"]);
    }
    assert_eq!(world.queue.waiting(), [""; 0]);
}

#[tokio::test]
async fn a_team_is_told_that_a_credential_dies_and_works_again() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::Accepts).await;
    let kinds = json!(["credential.invalid", "credential.active"]);
    let body = json!({ "url": receiver.url(), "kinds": kinds });
    world.acme.put_endpoint(body).await.expect(200);
    let id = world.add_user_credential("desk").await;
    world.expire_access_tokens().await;
    world.zoom.remove_app(CLIENT_ID, "ada");
    world.acme.check(&id).await;
    world.notify().await;

    assert_eq!(receiver.kinds(), ["credential.invalid"]);
    let [call] = receiver.calls().try_into().unwrap();
    assert_eq!(call.body["data"]["reason"], "revoked");
    assert_eq!(call.body["data"]["credential_id"], id);

    let again =
        json!({ "authorization_code": world.code(), "redirect_uri": crate::world::REDIRECT_URI });
    world.acme.update(&id, again).await.expect(200);
    world.notify().await;
    assert_eq!(
        receiver.kinds(),
        ["credential.active", "credential.invalid"]
    );
}

#[tokio::test]
async fn a_team_tests_its_endpoint_and_learns_from_an_event_why_a_test_failed() {
    let world = World::new().await;
    assert_eq!(world.acme.test_endpoint().await.status, 404);
    let receiver = Receiver::start(Behaviour::Accepts).await;
    // A test comes even if its kind is not chosen.
    let body = json!({ "url": receiver.url(), "kinds": ["app.refused"] });
    world.acme.put_endpoint(body).await.expect(200);
    world.acme.test_endpoint().await.expect(200);
    world.notify().await;
    assert_eq!(receiver.kinds(), ["endpoint.test"]);

    receiver.behave(Behaviour::Fails(axum::http::StatusCode::UNAUTHORIZED));
    world.acme.test_endpoint().await.expect(200);
    world.notify().await;
    let events = world.team_events("?kind=notification_failed").await;
    let events = events.expect(200);
    let [event] = events.as_array().unwrap().as_slice() else {
        panic!("{events}")
    };
    assert_eq!(
        (&event["outcome"], &event["code"]),
        (&json!("failed"), &json!("STATUS"))
    );
    // A test is tried once.
    assert_eq!(world.queue.waiting(), [""; 0]);
    assert_eq!(world.queue.dead(), [""; 0]);
}

#[tokio::test]
async fn an_endpoint_is_shown_without_its_secret_and_can_be_deleted() {
    let world = World::new().await;
    assert_eq!(world.acme.endpoint().await.status, 404);
    assert_eq!(world.acme.delete_endpoint().await.status, 404);
    let receiver = Receiver::start(Behaviour::Accepts).await;
    let body = json!({ "url": receiver.url(), "kinds": ["credential.invalid"] });
    let set = world.acme.put_endpoint(body.clone()).await.expect(200);
    assert!(set["secret"].as_str().unwrap().starts_with("whsec_"));
    let mut shown = world.acme.endpoint().await.expect(200);
    assert_eq!(shown.as_object_mut().unwrap().remove("secret"), None);
    assert_eq!(
        (&shown["url"], &shown["kinds"]),
        (&body["url"], &body["kinds"])
    );

    // Another PUT keeps the secret, and without `kinds` all kinds are sent.
    let body = json!({ "url": receiver.url() });
    let set = world.acme.put_endpoint(body).await.expect(200);
    assert_eq!(set.get("secret"), None::<&Value>);
    assert_eq!(set["kinds"].as_array().unwrap().len(), 8);

    // A notification in the queue is dropped after the endpoint is deleted.
    world.acme.create(app_body("desk")).await.expect(201);
    assert!(world.enqueue_notifications().await);
    assert_eq!(world.queue.waiting().len(), 1);
    world.acme.delete_endpoint().await.expect(200);
    world.notify().await;
    assert_eq!(receiver.kinds(), [""; 0]);
    assert_eq!(world.queue.waiting(), [""; 0]);
    assert_eq!(world.acme.endpoint().await.status, 404);
    let events = world.team_events("?kind=endpoint_set").await;
    assert_eq!(events.expect(200).as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_malformed_endpoint_is_refused_with_the_field_and_the_rule() {
    let world = World::new().await;
    for (body, at) in [
        (json!({}), "body/url"),
        (json!({ "url": "http://example.com/" }), "body/url"),
        (
            json!({ "url": "https://user:password@example.com/" }),
            "body/url",
        ),
        (json!({ "url": "https://10.0.0.1/" }), "body/url"),
        (json!({ "url": "https://[::ffff:10.0.0.1]/" }), "body/url"),
        (
            json!({ "url": "https://example.com/", "kinds": [] }),
            "body/kinds",
        ),
        (
            json!({ "url": "https://example.com/", "kinds": ["all"] }),
            "body/kinds",
        ),
        (
            json!({ "url": "https://example.com/", "kinds": ["endpoint.test"] }),
            "body/kinds",
        ),
        (
            json!({ "url": "https://example.com/", "rotate": "yes" }),
            "body/rotate",
        ),
    ] {
        let answer = world.acme.put_endpoint(body.clone()).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text.contains(at), "{body}: {}", answer.text);
    }
    let path = "/v2/notification-endpoint";
    for (method, path) in [
        ("POST", path),
        ("PATCH", path),
        ("GET", &format!("{path}/test")),
    ] {
        let method = method.parse().unwrap();
        let answer = crate::world::send(world.acme.request(method, path)).await;
        assert_eq!(answer.status, 405);
    }
}
