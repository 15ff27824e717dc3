//! PKCE for callers: the `code_verifier` of an authorization that the caller began with a challenge (RFC 7636).

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use local::zoom::Consent;
use serde_json::{Value, json};

use crate::idempotency::REFUSED;
use crate::world::{
    Answer, CLIENT_ID, REDIRECT_URI, World, app_body, code_refused, user_body, with,
};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const OTHER_VERIFIER: &str = "~.another-secret_of.a-different-authorization";
const MISMATCH: &str = "invalid_grant: Invalid code verifier";
const INVALID: &str = "FST_ERR_VALIDATION";

/// The Zoom user `ada` allows the app, with the challenge of `verifier`. Returns the code.
fn code_with_challenge(world: &World, verifier: &str) -> String {
    let consent = Consent {
        client_id: CLIENT_ID.to_owned(),
        redirect_uri: REDIRECT_URI.to_owned(),
        user_id: "ada".to_owned(),
        scopes: None,
        code_challenge: Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))),
    };
    world.zoom.authorize(consent).unwrap()
}

fn with_verifier(body: Value, verifier: &str) -> Value {
    with(body, json!({ "code_verifier": verifier }))
}

fn authorization(code: &str) -> Value {
    json!({ "authorization_code": code, "redirect_uri": REDIRECT_URI })
}

#[track_caller]
fn expect_mismatch(answer: &Answer) {
    answer.expect_error(400, REFUSED, &code_refused(MISMATCH));
}

#[tokio::test]
async fn a_credential_is_created_from_a_code_with_a_challenge_only_with_its_verifier() {
    let world = World::new().await;
    let body = user_body("bot", &code_with_challenge(&world, VERIFIER));

    expect_mismatch(&world.acme.create(body.clone()).await);
    let wrong = with_verifier(body.clone(), OTHER_VERIFIER);
    expect_mismatch(&world.acme.create(wrong).await);
    assert_eq!(world.count("credentials").await, 0);
    // The refusals did not use up the code, at Zoom or here.
    let created = world.acme.create(with_verifier(body, VERIFIER)).await;
    assert_eq!(created.expect(201)["zoom_user_id"], "ada");
}

#[tokio::test]
async fn a_credential_is_authorized_again_from_a_code_with_a_challenge_only_with_its_verifier() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    let body = authorization(&code_with_challenge(&world, VERIFIER));

    expect_mismatch(&world.acme.update(&id, body.clone()).await);
    let wrong = with_verifier(body.clone(), OTHER_VERIFIER);
    expect_mismatch(&world.acme.update(&id, wrong).await);
    let updated = world.acme.update(&id, with_verifier(body, VERIFIER)).await;
    assert_eq!(updated.expect(200)["credential_type"], "user");
}

#[tokio::test]
async fn a_verifier_for_a_code_without_a_challenge_is_a_mismatch() {
    let world = World::new().await;
    let body = user_body("bot", &world.code());
    let answer = world.acme.create(with_verifier(body, VERIFIER)).await;
    expect_mismatch(&answer);
}

#[tokio::test]
async fn a_verifier_needs_the_authorization_code() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    world.wire.reset();
    let message = "body/authorization_code is required with code_verifier";

    let created = world
        .acme
        .create(with_verifier(app_body("bot"), VERIFIER))
        .await;
    created.expect_error(400, INVALID, message);
    for body in [
        json!({}),
        json!({ "name": "new" }),
        json!({ "redirect_uri": REDIRECT_URI }),
    ] {
        let updated = world.acme.update(&id, with_verifier(body, VERIFIER)).await;
        updated.expect_error(400, INVALID, message);
    }
    assert_eq!(world.acme.get(&id).await.expect(200)["name"], "bot");
    assert_eq!(world.exchange_calls(), 0);
}

#[tokio::test]
async fn a_malformed_verifier_is_refused_before_the_code_is_sent() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    let body = authorization(&code_with_challenge(&world, VERIFIER));
    let rule = "must be 43 to 128 of A-Z, a-z, 0-9 and -._~";
    let cases = [
        (json!(""), rule),
        (json!("a".repeat(42)), rule),
        (json!("a".repeat(129)), rule),
        (json!(format!("{VERIFIER}\n")), rule),
        (json!(format!("{VERIFIER}+")), rule),
        (json!(1), "must be string"),
    ];
    for (verifier, rule) in cases {
        let more = json!({ "code_verifier": verifier });
        let message = format!("body/code_verifier {rule}");
        let updated = world.acme.update(&id, with(body.clone(), more.clone()));
        updated.await.expect_error(400, INVALID, &message);
        let created = world
            .acme
            .create(with(with(app_body("bot"), body.clone()), more));
        created.await.expect_error(400, INVALID, &message);
    }
    assert_eq!(world.exchange_calls(), 0);
}

#[tokio::test]
async fn a_repeated_request_with_another_verifier_is_another_request() {
    const REUSED: &str =
        "The Idempotency-Key was used before with another request body: use a new key";
    let world = World::new().await;
    let body = user_body("bot", &code_with_challenge(&world, VERIFIER));
    let right = with_verifier(body.clone(), VERIFIER);
    let created = world.acme.create_as("key", right.clone()).await.expect(201);

    let repeated = world.acme.create_as("key", right).await;
    assert_eq!(repeated.expect(201), created);
    for other in [body.clone(), with_verifier(body, OTHER_VERIFIER)] {
        let answer = world.acme.create_as("key", other).await;
        answer.expect_error(422, "FST_ERR_IDEMPOTENCY_KEY_REUSED", REUSED);
    }
    assert_eq!(world.exchange_calls(), 1);
}
