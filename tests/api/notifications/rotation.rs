//! Secrets: rotation, and that a secret is nowhere but in the answer that shows it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};
use tracing::Level;

use super::receiver::{Behaviour, Receiver};
use crate::secrecy::log::Log;
use crate::world::{World, app_body};

fn secret(set: &Value) -> String {
    set["secret"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn during_a_rotation_two_secrets_sign_and_after_a_day_one() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::Accepts).await;
    let body = json!({ "url": receiver.url() });
    let first = secret(&world.acme.put_endpoint(body.clone()).await.expect(200));
    let rotate = json!({ "url": receiver.url(), "rotate": true });
    let second = secret(&world.acme.put_endpoint(rotate.clone()).await.expect(200));
    world.acme.create(app_body("bot")).await.expect(201);
    world.notify().await;
    let call = receiver.calls().pop().unwrap();
    assert_eq!(call.signatures.len(), 2);
    assert!(call.is_signed_with(&first) && call.is_signed_with(&second));

    // Another rotation forgets the first secret.
    let third = secret(&world.acme.put_endpoint(rotate).await.expect(200));
    world.acme.create(app_body("bot")).await.expect(201);
    world.notify().await;
    let call = receiver.calls().pop().unwrap();
    assert!(call.is_signed_with(&second) && call.is_signed_with(&third));
    assert!(!call.is_signed_with(&first));

    // The rotation began more than a day ago.
    world.end_endpoint_rotation().await;
    world.acme.create(app_body("bot")).await.expect(201);
    world.notify().await;
    let call = receiver.calls().pop().unwrap();
    assert_eq!(call.signatures.len(), 1);
    assert!(call.is_signed_with(&third));
}

#[tokio::test]
async fn a_secret_is_in_no_row_event_message_or_log_line() {
    let log = Log::default();
    let recording = log.record(Level::TRACE);
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::Accepts).await;
    let mut secrets = Vec::new();
    for rotate in [false, true] {
        let body = json!({ "url": receiver.url(), "rotate": rotate });
        secrets.push(secret(&world.acme.put_endpoint(body).await.expect(200)));
    }
    world.acme.create(app_body("desk")).await.expect(201);
    receiver.behave(Behaviour::Fails(axum::http::StatusCode::BAD_REQUEST));
    world.acme.create(app_body("bot")).await.expect(201);
    world.notify().await;

    let mut texts = world.queue.waiting();
    for table in [
        "credentials",
        "secrets",
        "keys",
        "requests",
        "events",
        "pairs",
    ] {
        texts.extend(world.rows(table).await);
    }
    texts.extend(receiver.calls().into_iter().map(|call| call.text));
    texts.push(world.acme.endpoint().await.text);
    texts.push(world.team_events("").await.text);
    drop(recording);
    texts.push(String::from_utf8(log.bytes()).unwrap());
    for secret in secrets {
        let key = secret.strip_prefix("whsec_").unwrap();
        let bytes = STANDARD.decode(key).unwrap();
        for form in [
            key.to_owned(),
            URL_SAFE.encode(&bytes),
            format!("{bytes:?}"),
        ] {
            let form = form.trim_matches(['[', ']', '=']);
            assert!(texts.iter().all(|text| !text.contains(form)));
        }
    }
}
