//! The profile of the Zoom user: what is shown of it, and what happens if it cannot be read.

use local::zoom::{FaultKind, User};
use serde_json::{Map, Value, json};

use super::{LONG_DELAY, SHORT_TIME_OUT, create_with_profile_fault, reply};
use crate::world::{REDIRECT_URI, World, ada, attribute, user_body};

#[tokio::test]
async fn a_silent_profile_call_keeps_the_grant() {
    let world = World::with_zoom_time_out(SHORT_TIME_OUT).await;
    let data = create_with_profile_fault(&world, FaultKind::DelayAnswer(LONG_DELAY)).await;
    assert_grant_without_profile(&world, &data).await;
}

async fn assert_grant_without_profile(world: &World, data: &Value) {
    for field in [
        "zoom_user_id",
        "zoom_account_id",
        "zoom_email",
        "zoom_display_name",
        "last_error_message",
        "last_error_at",
    ] {
        assert_eq!(data[field], Value::Null, "{field}");
    }
    assert_eq!(data["credential_type"], "user");
    assert_eq!(data["state"], "active");
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
async fn a_profile_that_cannot_be_read_keeps_the_grant() {
    let world = World::new().await;
    let faults = [
        reply(500, "{}"),
        reply(
            404,
            &json!({ "code": 1001, "message": "User does not exist" }),
        ),
        reply(
            401,
            &json!({ "code": 124, "message": "Invalid access token." }),
        ),
        reply(429, "{}"),
        reply(204, ""),
        FaultKind::Garbage,
        FaultKind::Truncate,
        FaultKind::DropBefore,
        FaultKind::DropAfter,
        FaultKind::Huge { megabytes: 10 },
        reply(200, "[]"),
        reply(200, "null"),
        reply(200, "{}"),
    ];
    for fault in faults {
        let data = create_with_profile_fault(&world, fault).await;
        assert_grant_without_profile(&world, &data).await;
    }
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
