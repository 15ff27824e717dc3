//! Deactivated and deleted users, and events that the vault ignores.

use std::time::Duration;

use serde_json::{Value, json};
use shared::timestamp::Timestamp;

use super::{
    PATH, SECRET_TOKEN, app_deauthorized, deliver, deliver_accepted, expect_state,
    expect_unauthorized, grant_of, has_tokens, headers, now_in_seconds, post, register_app,
    state_changes, tell_at, user_event,
};
use crate::minting::mint_onbehalf;
use crate::world::{World, with};

#[tokio::test]
async fn a_deactivated_or_deleted_user_makes_the_credential_invalid_until_the_next_mint() {
    for (event, verb) in [
        ("user.deactivated", "deactivated"),
        ("user.deleted", "deleted"),
    ] {
        let world = World::new().await;
        register_app(&world).await;
        let id = world.add_user_credential("desk").await;
        let early = Timestamp::now().minus(Duration::from_hours(1));

        // The event is older than the authorization.
        assert_eq!(
            deliver(&world, &user_event(event, "ada", early))
                .await
                .status,
            204
        );
        expect_state(&world, &id, "active").await;
        let other = user_event(event, "somebody", Timestamp::now());
        deliver_accepted(&world, &other).await;
        expect_state(&world, &id, "active").await;

        let current = user_event(event, "ada", Timestamp::now());
        for _ in 0..2 {
            deliver_accepted(&world, &current).await;
        }
        let credential = world.acme.get(&id).await.expect(200);
        assert_eq!(
            json!([
                credential["state"],
                credential["last_error_message"],
                credential["zoom_email"]
            ]),
            json!([
                "invalid",
                format!("user_gone: Zoom says that the user was {verb}"),
                "ada@example.test"
            ])
        );
        assert!(has_tokens(&world, &grant_of(&world, &id).await).await);
        assert_eq!(
            state_changes(&world.acme, &id).await,
            [json!(["invalid", "user_gone"])]
        );

        mint_onbehalf(&world.acme, &id).await.expect(200);
        expect_state(&world, &id, "active").await;
    }
}

/// The events of streams, as Zoom's reference has them (flat) and as Zoom's other text has them (in an object).
fn rtms_events() -> Vec<Value> {
    let mut events = Vec::new();
    for kind in ["meeting", "webinar", "session"] {
        for name in ["rtms_started", "rtms_stopped", "rtms_interrupted"] {
            let stream = json!({
                "account_id": "analytical", "operator_id": "ada", "user_id": "ada",
                "meeting_id": "98765432101", "meeting_uuid": "4444AAAiAAAAAiAiAiiAii==",
                "rtms_stream_id": "609340fb2a7946909659956c8aa9250c", "stop_reason": 8,
                "server_urls": "wss://127.0.0.1:443,wss://127.0.0.2:443", "is_original_host": true,
            });
            let event = format!("{kind}.{name}");
            for payload in [
                stream.clone(),
                json!({ "account_id": "analytical", "object": with(stream, json!({ "id": "ada" })) }),
            ] {
                let at = Timestamp::now().as_millis();
                events.push(json!({ "event": event, "event_ts": at, "payload": payload }));
            }
        }
    }
    for name in ["concurrency_near_limit", "concurrency_limited"] {
        events.push(json!({ "event": format!("rtms.{name}"), "payload": { "account_id": "a" } }));
    }
    events
}

#[tokio::test]
async fn unknown_events_and_unknown_users_are_accepted_and_change_nothing() {
    let world = World::new().await;
    register_app(&world).await;
    world.add_user_credential("desk").await;
    let tables = async || {
        [
            world.sorted_rows("credentials").await,
            world.sorted_rows("secrets").await,
            world.sorted_rows("events").await,
        ]
    };
    let before = tables().await;

    for event in rtms_events() {
        assert_eq!(deliver(&world, &event).await.status, 204, "{event}");
    }
    for event in [
        json!({ "event": "meeting.started", "event_ts": 1, "payload": { "object": { "id": "ada" } } }),
        json!({ "event": "user.activated", "payload": { "object": { "id": "ada" } } }),
        json!({ "event": "", "payload": null }),
        json!({ "event": "no payload" }),
        app_deauthorized("somebody"),
    ] {
        assert_eq!(deliver(&world, &event).await.status, 204, "{event}");
    }

    let deeply_nested = format!(
        r#"{{"event":"x","payload":{}1{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let headers = headers(SECRET_TOKEN, now_in_seconds(), deeply_nested.as_bytes());
    assert_eq!(
        post(&world, PATH, &headers, deeply_nested.into())
            .await
            .status,
        204
    );

    assert_eq!(tables().await, before);
    // The vault answers 401 to the same events if the signature is wrong.
    let event = json!({ "event": "meeting.started" });
    let answer = tell_at(&world, PATH, "another", &event).await;
    expect_unauthorized(&answer);
}
