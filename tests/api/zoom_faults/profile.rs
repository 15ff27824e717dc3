//! The profile of the Zoom user: what is shown of it, and what happens if it cannot be read.

use local::zoom::{Endpoint, Fault, FaultKind, User};
use serde_json::{Map, Value, json};

use super::{
    LONG_DELAY, SHORT_TIME_OUT, create_while_profiles_fail, create_with_profile_fault, reply,
};
use crate::minting::mint_onbehalf;
use crate::world::{REDIRECT_URI, World, ada, attribute, user_body};

#[tokio::test]
async fn a_silent_profile_call_keeps_the_grant() {
    let world = World::with_zoom_time_out(SHORT_TIME_OUT).await;
    let data = create_with_profile_fault(&world, FaultKind::DelayAnswer(LONG_DELAY)).await;
    assert_grant_without_profile(&world, &data, "Zoom did not answer in time").await;
}

async fn assert_grant_without_profile(world: &World, data: &Value, reason: &str) {
    for field in [
        "zoom_user_id",
        "zoom_account_id",
        "zoom_email",
        "zoom_display_name",
    ] {
        assert_eq!(data[field], Value::Null, "{field}");
    }
    assert_eq!(data["credential_type"], "user");
    assert_eq!(data["state"], "active");
    let message = data["last_error_message"].as_str().unwrap();
    let (start, end) = message.split_once(reason).unwrap();
    assert!(start.starts_with("profile unknown: "), "{message}");
    assert!(
        end.ends_with(". The next mint asks Zoom again."),
        "{message}"
    );
    assert!(data["last_error_at"].is_string());
    let id = data["credential_id"].as_str().unwrap();
    assert_eq!(world.acme.get(id).await.expect(200), *data);
    let grant = format!("grant#{}", attribute(&world.row(id).await, "grant_id"));
    let secrets = world.items("secrets").await;
    assert!(
        secrets
            .iter()
            .any(|row| attribute(row, "secret_id") == grant)
    );
}

#[tokio::test]
async fn a_profile_that_cannot_be_read_keeps_the_grant_and_the_reason_is_stored() {
    let world = World::new().await;
    let gone = json!({ "code": 1001, "message": "User does not exist" });
    let unknown_token = json!({ "code": 124, "message": "Invalid access token." });
    let denied = json!({ "code": 200, "message": "No permission." });
    let faults = [
        (reply(500, "{}"), "status 500"),
        (reply(404, &gone), "User does not exist (1001)"),
        (
            reply(401, &unknown_token),
            "Zoom refused the access token: Invalid access token. (124)",
        ),
        (reply(403, "{}"), "status 403"),
        (reply(200, &denied), "No permission. (200)"),
        (reply(429, "{}"), "Zoom's rate limit is reached"),
        (reply(204, ""), "the answer is malformed"),
        (FaultKind::Garbage, "the answer is malformed"),
        (FaultKind::Truncate, "the connection broke"),
        (FaultKind::DropBefore, "the connection broke"),
        (FaultKind::DropAfter, "the connection broke"),
        (FaultKind::Huge { megabytes: 10 }, "the answer is too long"),
        (reply(200, "[]"), "the answer is malformed"),
        (reply(200, "null"), "the answer is malformed"),
        (reply(200, "{}"), "the answer is malformed"),
        (reply(200, "{\"id\":\"\"}"), "the answer is malformed"),
        (reply(200, "{\"id\":7}"), "the answer is malformed"),
    ];
    for (fault, reason) in faults {
        let data = create_while_profiles_fail(&world, fault).await;
        assert_grant_without_profile(&world, &data, reason).await;
    }
}

/// A moment after an authorization, one server of Zoom may not know the new access token yet.
#[tokio::test]
async fn a_profile_is_asked_for_once_more_after_a_failure_that_may_pass() {
    let world = World::new().await;
    for fault in [
        reply(500, "{}"),
        reply(
            404,
            &json!({ "code": 1001, "message": "User does not exist" }),
        ),
        reply(
            401,
            &json!({ "code": 124, "message": "Invalid access token." }),
        ),
        FaultKind::Garbage,
        FaultKind::Truncate,
        FaultKind::DropBefore,
        FaultKind::DropAfter,
        reply(200, "{}"),
    ] {
        let data = create_with_profile_fault(&world, fault.clone()).await;
        assert_eq!(data["zoom_user_id"], "ada", "{fault:?}");
        assert_eq!(data["last_error_message"], Value::Null, "{fault:?}");
    }
}

/// A mint does not clear the reason while the profile is still unknown, and does not store the reason again.
#[tokio::test]
async fn a_later_mint_reads_an_unknown_profile_and_clears_the_reason() {
    let world = World::new().await;
    let data = create_while_profiles_fail(&world, reply(500, "{}")).await;
    let id = data["credential_id"].as_str().unwrap();
    let message = data["last_error_message"].as_str().unwrap();
    assert!(message.starts_with("profile unknown: "), "{message}");

    world
        .zoom
        .inject(Fault::always(Endpoint::Profile, reply(503, "{}")));
    mint_onbehalf(&world.acme, id).await.expect(200);
    world.zoom.clear_faults();
    assert_eq!(world.acme.get(id).await.expect(200), data);

    mint_onbehalf(&world.acme, id).await.expect(200);
    let shown = world.acme.get(id).await.expect(200);
    assert_eq!(shown["zoom_user_id"], "ada");
    assert_eq!(shown["last_error_message"], Value::Null);
    assert_eq!(shown["last_error_at"], Value::Null);
}

#[tokio::test]
async fn a_missing_profile_scope_keeps_the_grant_and_is_named() {
    let world = World::new().await;
    let code = world.code_of("ada", Some(&["user:read:token"]));
    let data = world.acme.create(user_body("bot", &code)).await.expect(201);
    assert_eq!(data["zoom_user_id"], Value::Null);
    assert_eq!(data["scopes"], "user:read:token");
    assert_eq!(data["state"], "active");
    assert_eq!(
        data["last_error_message"],
        "missing scope user:read:user: the Zoom user's profile cannot be read"
    );
    assert!(data["last_error_at"].is_string());
    assert_eq!(data["credential_type"], "user");
    assert!(world.zoom.grants().iter().all(|grant| grant.alive));
    let id = data["credential_id"].as_str().unwrap();
    assert_eq!(world.acme.get(id).await.expect(200), data);

    // With the scope, the error is cleared.
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    let data = world.acme.update(id, body).await.expect(200);
    assert_eq!(data["zoom_user_id"], "ada");
    assert_eq!(data["last_error_message"], Value::Null);
    assert_eq!(data["last_error_at"], Value::Null);
}

#[tokio::test]
async fn a_display_name_is_zooms_or_composed_of_both_names() {
    let world = World::new().await;
    let name = |display: Option<&str>, first: Option<&str>, last: Option<&str>| User {
        display_name: display.map(str::to_owned),
        first_name: first.map(str::to_owned),
        last_name: last.map(str::to_owned),
        ..ada()
    };
    let cases = [
        (
            name(Some("Ada L."), Some("Ada"), Some("Lovelace")),
            json!("Ada L."),
        ),
        (
            name(None, Some("Ada"), Some("Lovelace")),
            json!("Ada Lovelace"),
        ),
        (
            name(Some(""), Some("Ada"), Some("Lovelace")),
            json!("Ada Lovelace"),
        ),
        (name(None, Some("Ada"), None), json!("Ada")),
        (name(None, Some(""), Some("Lovelace")), json!("Lovelace")),
        (name(None, None, None), Value::Null),
        (name(Some(""), Some(""), Some("")), Value::Null),
    ];
    for (user, shown) in cases {
        world.zoom.register_user(user);
        let body = user_body("bot", &world.code());
        let data = world.acme.create(body).await.expect(201);
        assert_eq!(data["zoom_display_name"], shown);
        assert_eq!(data["zoom_account_id"], "analytical");
        assert_eq!(data["zoom_email"], "ada@example.test");
    }
}

#[tokio::test]
async fn an_odd_profile_field_does_not_lose_the_other_fields() {
    let world = World::new().await;
    for (field, ours) in [
        ("email", "zoom_email"),
        ("account_id", "zoom_account_id"),
        ("display_name", "zoom_display_name"),
    ] {
        let odd = FaultKind::Override {
            set: Map::from_iter([(field.to_owned(), json!({ "a": 1 }))]),
            remove: vec!["first_name".to_owned(), "last_name".to_owned()],
        };
        let data = create_with_profile_fault(&world, odd).await;
        assert_eq!(data["zoom_user_id"], "ada", "{field}");
        assert_eq!(data[ours], Value::Null);
    }
}
