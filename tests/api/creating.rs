//! Creating: what a credential is made of, what is refused, and what a refusal leaves behind.

use local::zoom::User;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{CLIENT_ID, REDIRECT_URI, World, ada, an_app, id_of, user_body, with};

/// What the clock put into a credential is taken out, and looked at.
#[track_caller]
fn without_times(mut credential: Value) -> Value {
    for name in ["created_at", "updated_at"] {
        let taken = credential.as_object_mut().unwrap().remove(name).unwrap();
        let text = taken.as_str().unwrap();
        assert_eq!((text.len(), text.ends_with('Z')), (24, true), "{text}");
    }
    credential
}

#[tokio::test]
async fn an_app_credential_is_what_it_was_given_and_null_otherwise() {
    let world = World::new().await;
    let created = world.acme.create(an_app("bot")).await.expect(201);
    let id = id_of(&created);

    assert_eq!(Uuid::parse_str(&id).unwrap().get_version_num(), 7);
    assert_eq!(created["created_at"], created["updated_at"]);
    let expected = json!({
        "credential_id": id,
        "name": "bot",
        "credential_type": "app",
        "zoom_user_id": null,
        "zoom_account_id": null,
        "zoom_email": null,
        "zoom_display_name": null,
        "scopes": null,
        "state": "active",
        "last_error_message": null,
        "last_error_at": null,
        "extra": null,
    });
    assert_eq!(without_times(created), expected);
    let stored = (
        world.count("credentials").await,
        world.count("secrets").await,
    );
    assert_eq!(stored, (1, 1));
    assert_eq!(world.zoom.ledger(), []);
}

#[tokio::test]
async fn a_user_credential_shows_who_authorized_and_what() {
    let world = World::new().await;
    let body = with(
        user_body("bot", &world.code()),
        json!({ "extra": { "a": 1 } }),
    );
    let created = world.acme.create(body).await.expect(201);

    let expected = json!({
        "credential_id": id_of(&created),
        "name": "bot",
        "credential_type": "user",
        "zoom_user_id": "ada",
        "zoom_account_id": "analytical",
        "zoom_email": "ada@example.test",
        "zoom_display_name": "Ada Lovelace",
        "scopes": "user:read:user,user:read:token,user:read:zak,meeting:read:local_recording_token",
        "state": "active",
        "last_error_message": null,
        "last_error_at": null,
        "extra": { "a": 1 },
    });
    assert_eq!(without_times(created), expected);
    let stored = (
        world.count("credentials").await,
        world.count("secrets").await,
    );
    assert_eq!(stored, (1, 2));
}

#[tokio::test]
async fn a_display_name_is_put_together_where_zoom_has_none() {
    let world = World::new().await;
    for (first, last, expected) in [
        (Some("Ada"), Some("Lovelace"), json!("Ada Lovelace")),
        (Some("Ada"), None, json!("Ada")),
        (None, Some("Lovelace"), json!("Lovelace")),
        (Some(""), Some("Lovelace"), json!("Lovelace")),
        (None, None, Value::Null),
    ] {
        world.zoom.register_user(User {
            display_name: None,
            first_name: first.map(str::to_owned),
            last_name: last.map(str::to_owned),
            ..ada()
        });
        let created = world.acme.create(user_body("bot", &world.code())).await;
        assert_eq!(created.expect(201)["zoom_display_name"], expected);
    }
}

#[tokio::test]
async fn a_profile_that_zoom_leaves_empty_is_null() {
    let world = World::new().await;
    world.zoom.register_user(User {
        id: "nobody".to_owned(),
        ..User::default()
    });
    let code = world.code_of("nobody", None);
    let created = world.acme.create(user_body("bot", &code)).await.expect(201);

    assert_eq!(created["zoom_user_id"], "nobody");
    for name in ["zoom_account_id", "zoom_email", "zoom_display_name"] {
        assert_eq!(created[name], Value::Null, "{name}");
    }
}

#[tokio::test]
async fn a_missing_profile_scope_keeps_the_grant_and_says_so() {
    let world = World::new().await;
    let code = world.code_of("ada", Some(&["user:read:token"]));
    let created = world.acme.create(user_body("bot", &code)).await.expect(201);

    assert_eq!(created["credential_type"], "user");
    assert_eq!(created["state"], "active");
    assert_eq!(created["zoom_user_id"], Value::Null);
    assert_eq!(created["scopes"], "user:read:token");
    assert_eq!(
        created["last_error_message"],
        "missing scope user:read:user: the Zoom user's profile cannot be read"
    );
    assert!(created["last_error_at"].is_string());
    assert!(world.zoom.grants().iter().all(|grant| grant.alive));
}

#[tokio::test]
async fn names_need_not_be_unique_and_unknown_keys_are_ignored() {
    let world = World::new().await;
    let body = with(
        an_app("bot"),
        json!({ "state": "invalid", "credential_id": 7, "": [], "zoom_email": {} }),
    );
    let first = world.acme.create(body.clone()).await.expect(201);
    let second = world.acme.create(body).await.expect(201);

    assert_eq!(first["name"], second["name"]);
    assert_eq!(first["state"], "active");
    assert_ne!(id_of(&first), id_of(&second));
}

#[tokio::test]
async fn lengths_are_counted_in_characters_and_the_longest_fits() {
    let world = World::new().await;
    let name = "🦀".repeat(100);
    let body = json!({
        "name": name,
        "client_id": "é".repeat(256),
        "client_secret": "€".repeat(256),
    });
    assert_eq!(world.acme.create(body).await.expect(201)["name"], name);

    for name in ["x", " ", "\u{7f}", "\t", "null", "\u{10ffff}\u{feff}", "{}"] {
        let created = world.acme.create(an_app(name)).await.expect(201);
        assert_eq!(created["name"], name);
        let got = world.acme.get(&id_of(&created)).await.expect(200);
        assert_eq!(got["name"], name);
    }
}

#[tokio::test]
async fn every_field_has_its_rule() {
    let world = World::new().await;
    let user = user_body("bot", "code");
    let long = |count: usize| "é".repeat(count);
    for (changes, message) in [
        (json!({ "name": null }), "body/name is required"),
        (json!({ "client_id": null }), "body/client_id is required"),
        (
            json!({ "client_secret": null }),
            "body/client_secret is required",
        ),
        (
            json!({ "redirect_uri": null }),
            "body/redirect_uri is required with authorization_code",
        ),
        (
            json!({ "name": "" }),
            "body/name must NOT have fewer than 1 characters",
        ),
        (
            json!({ "client_id": "" }),
            "body/client_id must NOT have fewer than 1 characters",
        ),
        (
            json!({ "client_secret": "" }),
            "body/client_secret must NOT have fewer than 1 characters",
        ),
        (
            json!({ "authorization_code": "" }),
            "body/authorization_code must NOT have fewer than 1 characters",
        ),
        (
            json!({ "name": long(101) }),
            "body/name must NOT have more than 100 characters",
        ),
        (
            json!({ "client_id": long(257) }),
            "body/client_id must NOT have more than 256 characters",
        ),
        (
            json!({ "client_secret": long(257) }),
            "body/client_secret must NOT have more than 256 characters",
        ),
        (
            json!({ "authorization_code": long(2001) }),
            "body/authorization_code must NOT have more than 2000 characters",
        ),
        (json!({ "extra": [1] }), "body/extra must be object"),
    ] {
        let answer = world.acme.create(with(user.clone(), changes)).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", message);
    }
    for uri in [
        "",
        "callback",
        "/callback",
        "https://",
        "https://a b/",
        " https://a.test",
        "http://[::1/",
    ] {
        let answer = world
            .acme
            .create(with(user.clone(), json!({ "redirect_uri": uri })))
            .await;
        answer.expect_error(
            400,
            "FST_ERR_VALIDATION",
            "body/redirect_uri must match format \"uri\"",
        );
    }
    world.expect_untouched("a refused body").await;
}

#[tokio::test]
async fn a_redirect_uri_without_a_code_is_checked_and_otherwise_means_nothing() {
    let world = World::new().await;
    let body = with(an_app("bot"), json!({ "redirect_uri": REDIRECT_URI }));
    let created = world.acme.create(body).await.expect(201);
    assert_eq!(created["credential_type"], "app");

    let body = with(an_app("bot"), json!({ "redirect_uri": "nowhere" }));
    world.acme.create(body).await.expect_error(
        400,
        "FST_ERR_VALIDATION",
        "body/redirect_uri must match format \"uri\"",
    );
}

#[tokio::test]
async fn what_zoom_refuses_is_told_in_zooms_words_and_stores_nothing() {
    let world = World::new().await;
    let good = user_body("bot", &world.code());
    for (changes, reason) in [
        (
            json!({ "authorization_code": "made-up" }),
            "invalid_grant: Invalid authorization code (4734)",
        ),
        (
            json!({ "client_secret": "not-the-secret" }),
            "invalid_client: Invalid client_id or client_secret",
        ),
        (
            json!({ "client_id": "no-app" }),
            "invalid_client: Invalid client_id or client_secret",
        ),
        (
            json!({ "redirect_uri": "https://example.test/callback/" }),
            "invalid_request: Invalid request : Redirect URI mismatch. (4709)",
        ),
    ] {
        let answer = world.acme.create(with(good.clone(), changes)).await;
        let message = crate::world::refused_code(reason);
        answer.expect_error(400, "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED", &message);
    }
    assert_eq!(world.count("credentials").await, 0);
    assert_eq!(world.count("secrets").await, 0);
    assert!(world.zoom.grants().is_empty());

    // No refusal spent the code or left a claim on it.
    world.acme.create(good).await.expect(201);
    assert_eq!(world.count("credentials").await, 1);
}

#[tokio::test]
async fn an_app_is_not_asked_of_zoom() {
    let world = World::new().await;
    let body = json!({ "name": "bot", "client_id": "no-such-app", "client_secret": "x" });
    world.acme.create(body).await.expect(201);
    assert_eq!(world.zoom.ledger(), []);
}

#[tokio::test]
async fn the_stored_row_names_the_app_and_never_its_secret() {
    let world = World::new().await;
    let marker = "marker-of-a-client-secret";
    let body = with(an_app("bot"), json!({ "client_secret": marker }));
    let answer = world.acme.create(body).await;
    answer.expect(201);

    assert!(!answer.text.contains(marker));
    for table in ["credentials", "secrets", "requests", "keys"] {
        let rows = world.rows(table).await.join("\n");
        assert!(!rows.contains(marker), "{table}");
    }
    assert!(world.rows("credentials").await[0].contains(CLIENT_ID));
}
