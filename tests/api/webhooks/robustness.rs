//! Arbitrary input makes no parser panic and no handler fail.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::json;
use shared::secret::WebhookSecret;
use shared::timestamp::Timestamp;
use shared::zoom::webhook::{SIGNATURE_WINDOW, Signature, WebhookEvent};

use super::{
    SECRET_TOKEN, app_deauthorized, deliver_accepted, deliver_until_available, register_app,
};
use crate::world::World;

// assures 8
#[test]
fn no_header_and_no_body_makes_a_parser_panic() {
    let secret = WebhookSecret::try_from(SECRET_TOKEN.to_owned()).unwrap();
    let config = Config {
        rng_seed: RngSeed::Fixed(25),
        failure_persistence: None,
        cases: 4096,
        ..Config::default()
    };
    // Texts that differ from a valid text in a few characters.
    let edited = |seed: &'static str| {
        let edits =
            proptest::collection::vec((any::<proptest::sample::Index>(), any::<char>()), 0..4);
        edits.prop_map(move |edits| {
            let mut text: Vec<char> = seed.chars().collect();
            for (at, character) in edits {
                let at = at.index(text.len());
                text[at] = character;
            }
            text.into_iter().collect::<String>()
        })
    };
    let signature = edited("v0=77b4b4c6bd9d66ee3b0e7d1ed1bfc1f5d3b0b0d2d5a1fb4de2f4d7ce3a1f1a90");
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        edited(
            r#"{"event":"app_deauthorized","event_ts":1,"payload":{"client_id":"a","user_id":"b"}}"#
        )
        .prop_map(String::into_bytes),
        edited(r#"{"event":"user.deleted","payload":{"object":{"id":"b"},"event_ts":9e99}}"#)
            .prop_map(String::into_bytes),
        edited(r#"{"event":"endpoint.url_validation","payload":{"plainToken":"x"}}"#)
            .prop_map(String::into_bytes),
    ];
    let inputs = (
        signature,
        prop_oneof![edited("1700000000"), any::<String>()],
        body,
    );
    let parsers_hold = |(signature, timestamp, body): (String, String, Vec<u8>)| {
        if let Some(signature) = Signature::parse(&signature, &timestamp) {
            prop_assert!(timestamp.bytes().all(|byte| byte.is_ascii_digit()));
            prop_assert!(!signature.verifies(&secret, &body));
            signature.is_fresh(Timestamp::now(), SIGNATURE_WINDOW);
            signature.is_fresh(Timestamp::from_millis(i64::MIN), Duration::MAX);
        }
        if let Ok(WebhookEvent::Deauthorized {
            client_id, user_id, ..
        }) = WebhookEvent::parse(&body)
        {
            prop_assert!(
                (1..=256).contains(&client_id.len()) && (1..=256).contains(&user_id.len())
            );
        }
        Ok(())
    };
    TestRunner::new(config).run(&inputs, parsers_hold).unwrap();
}

#[tokio::test]
async fn no_signed_event_is_answered_with_500() {
    let world = World::new().await;
    register_app(&world).await;
    world.add_user_credential("desk").await;
    let unusual_values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!("x".repeat(300)),
        json!("\u{0}\u{202e}"),
        json!([]),
        json!({ "id": {} }),
        json!(i64::MAX),
        json!(i64::MIN),
        json!("9999-12-31T23:59:59Z"),
        json!("0000-01-01T00:00:00Z"),
    ];
    let places = [
        "/event",
        "/event_ts",
        "/payload",
        "/payload/account_id",
        "/payload/user_id",
        "/payload/client_id",
        "/payload/deauthorization_time",
        "/payload/object",
        "/payload/object/id",
        "/payload/plainToken",
    ];
    for event in [
        "app_deauthorized",
        "user.deleted",
        "endpoint.url_validation",
    ] {
        for place in places {
            for value in &unusual_values {
                let mut changed = app_deauthorized("nobody");
                changed["event"] = json!(event);
                changed["payload"]["object"] = json!({ "id": "nobody" });
                changed["payload"]["plainToken"] = json!("plain");
                *changed.pointer_mut(place).unwrap() = value.clone();
                let status = deliver_until_available(&world, &changed).await.status;
                assert!(
                    matches!(status, 200 | 204 | 400),
                    "{status} for {place} {value}"
                );
            }
        }
    }
    // The vault accepts any `deauthorization_time` for a user whom it knows.
    for time in ["\u{0}\u{202e}", "9999-12-31T23:59:59Z"] {
        let mut event = app_deauthorized("ada");
        event["payload"]["deauthorization_time"] = json!(time);
        deliver_accepted(&world, &event).await;
    }
}
