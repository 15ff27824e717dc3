//! Which credentials need a person, in the API and in the console.

use serde_json::json;
use shared::attention::Attention;
use shared::credential::State;

use crate::minting::{mint, mint_onbehalf};
use crate::reading::{names, pages};
use crate::world::{CLIENT_ID, World, app_body, id_of, user_body};

const CONSOLE: &str = include_str!("../../functions/assets/console/attention.js");

/// The text of a property in a line of the console's table.
fn property<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!("{name}: \"")).unwrap();
    rest.split('"').next().unwrap()
}

/// From oldest to newest: fine, without a profile, without a scope, revoked, and three whose failures need nobody.
async fn world_with_broken_credentials() -> World {
    let world = World::new().await;
    world.register_grace();
    world.acme.create(app_body("fine")).await.expect(201);
    let code = world.code_of("ada", Some(&["user:read:token"]));
    let body = user_body("hidden", &code);
    world.acme.create(body).await.expect(201);
    let code = world.code_of("grace", Some(&["user:read:user", "user:read:token"]));
    let body = user_body("narrow", &code);
    let narrow = id_of(&world.acme.create(body).await.expect(201));
    let recording =
        json!({ "credential_id": narrow, "type": "local_recording", "meeting_id": "1" });
    let refused = mint(&world.acme, recording).await;
    refused.expect_code(400, "FST_ERR_ZOOM_MISSING_SCOPE");
    for (name, state, message) in [
        (
            "revoked",
            "invalid",
            "revoked: Zoom refuses the grant: it was revoked or replaced",
        ),
        (
            "gone",
            "invalid",
            "user_gone: Zoom does not know the user any more",
        ),
        ("unexplained", "invalid", "Zoom said no"),
        (
            "unknown",
            "active",
            "profile unknown: Zoom failed. The next mint asks Zoom again.",
        ),
        ("refused", "active", "access token refused: 124"),
        (
            "other",
            "active",
            "the scope is missing, or the app refused: x",
        ),
    ] {
        let id = id_of(&world.acme.create(app_body(name)).await.expect(201));
        world
            .set_texts(&id, &[("state", state), ("last_error_message", message)])
            .await;
    }
    world
}

// assures 59
#[tokio::test]
async fn the_list_shows_only_credentials_that_a_person_must_mend_or_only_the_others() {
    let world = world_with_broken_credentials().await;
    for (query, expected) in [
        (
            "?needs_attention=true",
            vec!["unexplained", "gone", "revoked", "narrow", "hidden"],
        ),
        (
            "?needs_attention=false",
            vec!["other", "refused", "unknown", "fine"],
        ),
        (
            "?needs_attention=true&state=active",
            vec!["narrow", "hidden"],
        ),
        (
            "?needs_attention=true&name=o",
            vec!["gone", "revoked", "narrow"],
        ),
        ("?needs_attention=false&state=invalid", vec![]),
        ("?needs_attention=true&deleted=true", vec![]),
    ] {
        let listed = world.acme.list(query).await.expect(200);
        assert_eq!(names(&listed), expected, "{query}");
        let paged = pages(&world.acme, &format!("{query}&limit=2")).await;
        let paged: Vec<&str> = paged.iter().flat_map(names).collect();
        assert_eq!(paged, expected, "{query}");
    }
    let all = world.acme.list("?needs_attention=").await.expect(200);
    assert_eq!(names(&all).len(), 9);
    // The answer has the keys of the published API, and no other.
    for credential in all.as_array().unwrap() {
        assert_eq!(credential.as_object().unwrap().len(), 14);
    }
}

#[tokio::test]
async fn a_credential_needs_attention_from_the_refusal_of_its_app_until_the_secret_is_right() {
    let world = World::new().await;
    let id = world.add_user_credential("desk").await;
    world.zoom.rotate_secret(CLIENT_ID, "next-secret");
    world.expire_access_tokens().await;
    let list = async || world.acme.list("?needs_attention=true").await.expect(200);
    assert_eq!(list().await, json!([]));

    let failed = mint_onbehalf(&world.acme, &id).await;
    failed.expect_code(409, "FST_ERR_ZOOM_APP_MISCONFIGURED");
    let listed = list().await;
    assert_eq!(
        (&listed[0]["credential_id"], &listed[0]["state"]),
        (&json!(id), &json!("active"))
    );

    let right = json!({ "client_id": CLIENT_ID, "client_secret": "next-secret" });
    world.acme.update(&id, right).await.expect(200);
    mint_onbehalf(&world.acme, &id).await.expect(200);
    assert_eq!(list().await, json!([]));
}

// assures 59
#[test]
fn the_console_names_the_same_causes_as_the_api() {
    let causes: Vec<&str> = CONSOLE
        .lines()
        .filter(|line| line.starts_with("  { start:"))
        .collect();
    let mut labels = Vec::new();
    for line in &causes {
        let message = format!("{}: Zoom says so", property(line, "start"));
        let class = Attention::of(State::Active, Some(&message));
        let expected = match property(line, "action") {
            "check" => None,
            _ => Some(property(line, "label")),
        };
        assert_eq!(class.map(Attention::label), expected, "{line}");
        labels.extend(expected);
        // The console takes the first cause that fits.
        let mut fits = causes.iter();
        let first = fits.find(|it| message.starts_with(property(it, "start")));
        assert_eq!(first, Some(line));
    }
    for class in Attention::ALL {
        assert!(labels.contains(&class.label()), "{class:?}");
    }
    assert_eq!(
        Attention::of(State::Invalid, None).map(Attention::label),
        Some("Reconnect")
    );
}
