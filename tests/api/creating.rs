//! Creating: what a credential is made of, what is refused, and what a refusal leaves behind.

use serde_json::{Value, json};

use crate::world::{CLIENT_ID, REDIRECT_URI, World, an_app, user_body, with};

/// What the clock put into a credential is taken out, and looked at.
#[track_caller]
pub(crate) fn without_times(mut credential: Value) -> Value {
    for name in ["created_at", "updated_at"] {
        let taken = credential.as_object_mut().unwrap().remove(name).unwrap();
        let text = taken.as_str().unwrap();
        assert_eq!((text.len(), text.ends_with('Z')), (24, true), "{text}");
    }
    credential
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

#[tokio::test]
async fn an_app_is_one_secret_and_a_user_another() {
    let world = World::new().await;
    let stored = async || {
        let credentials = world.count("credentials").await;
        (credentials, world.count("secrets").await)
    };
    let app = world.given_app("bot").await;
    assert_eq!(stored().await, (1, 1));
    assert_eq!(world.zoom.ledger(), []);
    world.given_user("bot").await;
    assert_eq!(stored().await, (2, 3));

    // A user's app is the app it was.
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    world.acme.update(&app, body).await.expect(200);
    assert_eq!(stored().await, (2, 4));
}

#[tokio::test]
async fn a_refused_body_asks_nothing_and_leaves_nothing() {
    let world = World::new().await;
    let body = with(user_body("bot", "code"), json!({ "extra": [1] }));
    let answer = world.acme.create(body).await;
    answer.expect_code(400, "FST_ERR_VALIDATION");
    world.expect_untouched("a refused body").await;
}
