//! Zoom's webhooks: which events the vault accepts, for which teams, and what it deletes after a user removed an app.

mod other_events;
mod removal;
mod retries;
mod robustness;
mod signatures;
mod teams;

use std::time::Duration;

use local::zoom::Webhook;
use serde_json::{Value, json};
use shared::timestamp::Timestamp;

use crate::contract;
use crate::world::{Answer, CLIENT_ID, CLIENT_SECRET, Caller, World, attribute};

/// The secret token that signs the test app's webhooks.
pub(crate) const SECRET_TOKEN: &str = "test-app-secret-token";
const PATH: &str = "/webhooks/zoom/test-app";
const OTHER_APP_PATH: &str = "/webhooks/zoom/other-app";
const UNAUTHORIZED: &str = "The request is not signed by Zoom for an app that is registered here";

/// The body that registers the test app.
pub(crate) fn registration(secret_token: &str) -> Value {
    json!({ "client_secret": CLIENT_SECRET, "webhook_secret_token": secret_token })
}

/// Registers the test app for `acme`.
pub(crate) async fn register_app(world: &World) {
    world
        .acme
        .register(registration(SECRET_TOKEN))
        .await
        .expect(200);
}

fn now_in_seconds() -> i64 {
    Timestamp::now().as_seconds()
}

/// The webhook that Zoom signs with this secret token and delivers to the vault.
fn webhook(world: &World, secret_token: &str) -> Webhook {
    Webhook {
        url: world.acme.address(PATH).parse().unwrap(),
        secret_token: secret_token.to_owned(),
    }
}

fn signature(secret_token: &str, timestamp: i64, body: &[u8]) -> String {
    let webhook = Webhook {
        url: "http://127.0.0.1".parse().unwrap(),
        secret_token: secret_token.to_owned(),
    };
    webhook.signature(timestamp, body)
}

/// The headers of a webhook that is signed with this secret token.
fn headers(secret_token: &str, timestamp: i64, body: &[u8]) -> [(&'static str, String); 3] {
    [
        ("content-type", "application/json; charset=utf-8".to_owned()),
        ("x-zm-signature", signature(secret_token, timestamp, body)),
        ("x-zm-request-timestamp", timestamp.to_string()),
    ]
}

/// The event of a user who removes the test app now.
fn app_deauthorized(user: &str) -> Value {
    let at = Timestamp::now();
    json!({
        "event": "app_deauthorized",
        "event_ts": at.as_millis(),
        "payload": {
            "account_id": "analytical",
            "user_id": user,
            "signature": "827edc3452044f0bc86bdd5684afb7d1e6becfa1a767f24df1b287853cf73000",
            "deauthorization_time": at.to_string(),
            "client_id": CLIENT_ID,
        },
    })
}

/// An event that Zoom sends when an account deactivates or deletes a user.
fn user_event(event: &str, user: &str, at: Timestamp) -> Value {
    json!({
        "event": event,
        "event_ts": at.as_millis(),
        "payload": { "account_id": "analytical", "object": { "id": user, "type": 1, "email": "a@b.c" } },
    })
}

/// Posts a body with these headers. Every answer must keep the published contract.
async fn post(world: &World, path: &str, headers: &[(&str, String)], body: Vec<u8>) -> Answer {
    let mut request = world.acme.http().post(world.acme.address(path)).body(body);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let response = request
        .timeout(Duration::from_mins(1))
        .send()
        .await
        .unwrap();
    let answer = Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    };
    match answer.status {
        204 => assert_eq!(answer.text, ""),
        // On an overloaded machine the local gateway answers before the function. This answer is not in the contract.
        504 => {}
        _ => contract::check("POST", path, &answer),
    }
    answer
}

/// Delivers an event as Zoom does, signed with this secret token.
pub(crate) async fn tell_at(
    world: &World,
    path: &str,
    secret_token: &str,
    event: &Value,
) -> Answer {
    let body = event.to_string().into_bytes();
    let headers = headers(secret_token, now_in_seconds(), &body);
    post(world, path, &headers, body).await
}

/// How often Zoom delivers an event.
const MAX_DELIVERIES: usize = 4;

/// Delivers an event to the test app. Repeats the delivery, as Zoom does, if an overloaded machine answers with a
/// time-out.
async fn deliver(world: &World, event: &Value) -> Answer {
    let mut answer = tell_at(world, PATH, SECRET_TOKEN, event).await;
    for _ in 1..MAX_DELIVERIES {
        if answer.status != 504 {
            break;
        }
        answer = tell_at(world, PATH, SECRET_TOKEN, event).await;
    }
    answer
}

/// Delivers an event until the answer is not 503, as Zoom does. An overloaded machine may answer 503.
async fn deliver_until_available(world: &World, event: &Value) -> Answer {
    let mut answer = deliver(world, event).await;
    for _ in 1..MAX_DELIVERIES {
        if answer.status != 503 {
            break;
        }
        answer = deliver(world, event).await;
    }
    answer
}

/// Delivers an event that the vault accepts.
async fn deliver_accepted(world: &World, event: &Value) {
    let answer = deliver(world, event).await;
    assert_eq!(answer.status, 204, "{event}");
}

#[track_caller]
fn expect_unauthorized(answer: &Answer) {
    answer.expect_error(401, "FST_ERR_UNAUTHORIZED", UNAUTHORIZED);
}

/// Whether the row of a grant has tokens. A row has all sealed attributes of a token pair, or none.
async fn has_tokens(world: &World, grant: &str) -> bool {
    let id = format!("grant#{grant}");
    let mut rows = world.items("secrets").await.into_iter();
    let row = rows.find(|row| attribute(row, "secret_id") == id).unwrap();
    let sealed = ["sealed", "dek", "kid", "alt_sealed", "alt_dek", "alt_kid"];
    let present: Vec<&str> = sealed
        .into_iter()
        .filter(|name| row.contains_key(*name))
        .collect();
    assert!(
        present.is_empty() || present.len() >= 3,
        "half of a pair: {present:?}"
    );
    !present.is_empty()
}

async fn grant_of(world: &World, id: &str) -> String {
    attribute(&world.row(id).await, "grant_id").to_owned()
}

async fn expect_state(world: &World, id: &str, state: &str) {
    assert_eq!(world.acme.get(id).await.expect(200)["state"], state);
}

/// The state changes among a credential's events, newest first.
async fn state_changes(caller: &Caller, id: &str) -> Vec<Value> {
    let events = caller.events(id, "").await.expect(200);
    let events = events.as_array().unwrap().iter();
    let changes = events.filter(|event| event["kind"] == "state_change");
    changes
        .map(|event| json!([event["state"], event["reason"]]))
        .collect()
}

/// Panics unless the credential has no tokens, no profile except the user id, and the error of a user who removed the
/// app.
async fn expect_destroyed(world: &World, id: &str) {
    let row = world.row(id).await;
    assert!(!has_tokens(world, attribute(&row, "grant_id")).await);
    assert!(!row.contains_key("zoom_email") && !row.contains_key("zoom_display_name"));
    assert_eq!(attribute(&row, "state"), "invalid");
    assert_eq!(attribute(&row, "zoom_user_id"), "ada");
    let message = attribute(&row, "last_error_message");
    assert!(message.starts_with("deauthorized: "), "{message}");
}
