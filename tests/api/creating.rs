//! Creating a credential: what is stored, what is refused, and what a refusal leaves behind.

use serde_json::{Value, json};

use crate::world::{CLIENT_ID, REDIRECT_URI, World, app_body, user_body, with};

/// Removes the two times from a credential and checks their format.
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
async fn a_refusal_by_zoom_is_answered_in_zooms_words_and_stores_nothing() {
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
        let message = crate::world::code_refused(reason);
        answer.expect_error(400, "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED", &message);
    }
    assert_eq!(world.count("credentials").await, 0);
    assert_eq!(world.count("secrets").await, 0);
    assert!(world.zoom.grants().is_empty());

    // No refusal spent the code or left a claim on the code.
    world.acme.create(good).await.expect(201);
    assert_eq!(world.count("credentials").await, 1);
}

#[tokio::test]
async fn creating_an_app_credential_does_not_call_zoom() {
    let world = World::new().await;
    let body = json!({ "name": "bot", "client_id": "no-such-app", "client_secret": "x" });
    world.acme.create(body).await.expect(201);
    assert_eq!(world.zoom.ledger(), []);
}

#[tokio::test]
async fn the_stored_row_holds_the_client_id_but_never_the_client_secret() {
    let world = World::new().await;
    let marker = "marker-of-a-client-secret";
    let body = with(app_body("bot"), json!({ "client_secret": marker }));
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
async fn an_app_credential_stores_one_secret_and_a_user_credential_stores_two() {
    let world = World::new().await;
    let stored = async || {
        let credentials = world.count("credentials").await;
        (credentials, world.count("secrets").await)
    };
    let app = world.add_app_credential("bot").await;
    assert_eq!(stored().await, (1, 1));
    assert_eq!(world.zoom.ledger(), []);
    world.add_user_credential("bot").await;
    assert_eq!(stored().await, (2, 3));

    // The authorization adds a grant. The app's secret stays one row.
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    world.acme.update(&app, body).await.expect(200);
    assert_eq!(stored().await, (2, 4));
}

#[tokio::test]
async fn a_refused_body_makes_no_calls_and_stores_nothing() {
    let world = World::new().await;
    let body = with(user_body("bot", "code"), json!({ "extra": [1] }));
    let answer = world.acme.create(body).await;
    answer.expect_code(400, "FST_ERR_VALIDATION");
    world.expect_nothing_done("a refused body").await;
}
