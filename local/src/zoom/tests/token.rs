//! The token endpoint: who may use it, and codes.

use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::super::Error;
use super::*;

/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn spent_code() -> Value {
    json!({ "reason": "Code is expired", "error": "invalid_grant", "errorCode": 4733 })
}

fn invalid_request(reason: &str) -> Value {
    json!({ "reason": format!("Invalid request : {reason}"), "error": "invalid_request" })
}

#[tokio::test]
async fn a_code_becomes_a_pair_of_tokens() {
    let world = World::new().await;
    let body = ok(world.exchange(&world.code())).await;

    assert_eq!(body["token_type"], "bearer");
    assert_eq!(body["expires_in"], 3599);
    assert_eq!(body["scope"], ALL_SCOPES.join(" "));
    assert_eq!(body["api_url"], world.origin);
    assert_eq!(body.as_object().unwrap().len(), 6);
    let pair = Pair::from(body);
    assert!(pair.access.len() >= 600 && pair.refresh.len() >= 600);
    assert_ne!(pair.access, pair.refresh);
    assert!(world.sandbox.is_live_refresh_token(&pair.refresh));
    assert!(!world.sandbox.is_live_refresh_token(&pair.access));
}

#[tokio::test]
async fn api_url_is_absent_until_the_origin_is_known() {
    let sandbox = Sandbox::open(None).unwrap();
    let world = World::with(sandbox).await;
    world.sandbox.settings().origin = None;
    assert_eq!(ok(world.exchange(&world.code())).await.get("api_url"), None);
}

#[tokio::test]
async fn the_scopes_that_the_user_granted_are_the_tokens_scopes() {
    let world = World::new().await;
    let scopes = Some(vec![
        "user:read:zak".to_owned(),
        "user:read:token".to_owned(),
    ]);
    let code = world
        .sandbox
        .authorize(Consent {
            scopes,
            ..consent()
        })
        .unwrap();
    assert_eq!(
        ok(world.exchange(&code)).await["scope"],
        "user:read:zak user:read:token"
    );
}

#[tokio::test]
async fn a_code_works_once() {
    let world = World::new().await;
    let code = world.code();
    ok(world.exchange(&code)).await;
    expect(world.exchange(&code), 400, spent_code()).await;
}

#[tokio::test]
async fn a_code_works_for_five_minutes() {
    let world = World::new().await;
    let (first, second) = (world.code(), world.code());
    world.sandbox.advance(Duration::from_secs(299));
    ok(world.exchange(&first)).await;
    world.sandbox.advance(Duration::from_secs(2));
    expect(world.exchange(&second), 400, spent_code()).await;
}

#[tokio::test]
async fn of_many_exchanges_at_once_one_succeeds() {
    let world = World::new().await;
    let code = world.code();
    let tries = (0..8)
        .map(|_| tokio::spawn(send(world.exchange(&code))))
        .collect::<Vec<_>>();
    let mut statuses = Vec::new();
    for attempt in tries {
        statuses.push(attempt.await.unwrap().status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400, 400, 400, 400, 400, 400, 400]);
}

#[tokio::test]
async fn a_code_is_bound_to_its_redirect_uri_to_the_letter() {
    let world = World::new().await;
    let code = world.code();
    let mismatch = json!({
        "reason": "Invalid request : Redirect URI mismatch.", "error": "invalid_request", "errorCode": 4709,
    });
    for uri in [
        "https://app.example.com/other",
        &format!("{REDIRECT}/"),
        &REDIRECT.to_uppercase(),
    ] {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", uri),
        ];
        expect(world.post_token(&form), 400, mismatch.clone()).await;
    }
    ok(world.exchange(&code)).await;
}

#[tokio::test]
async fn a_code_is_bound_to_its_app() {
    let world = World::new().await;
    world.sandbox.register_app(app("thief"));
    let code = world.code();
    let unknown = json!({ "reason": "Invalid authorization code", "error": "invalid_grant", "errorCode": 4734 });
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
    ];
    expect(
        world.post_token_as("thief", SECRET, &form),
        400,
        unknown.clone(),
    )
    .await;
    for wrong in ["nonsense", &format!("{code}x")] {
        expect(world.exchange(wrong), 400, unknown.clone()).await;
    }
    ok(world.exchange(&code)).await;
}

#[tokio::test]
async fn a_challenged_code_needs_its_verifier() {
    let world = World::new().await;
    let code_challenge = Some(CHALLENGE.to_owned());
    let code = world
        .sandbox
        .authorize(Consent {
            code_challenge,
            ..consent()
        })
        .unwrap();
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
    ];
    let mismatch = json!({ "reason": "Invalid code verifier", "error": "invalid_grant" });

    expect(world.post_token(&form), 400, mismatch.clone()).await;
    form.push(("code_verifier", CHALLENGE));
    expect(world.post_token(&form), 400, mismatch).await;
    form.pop();
    form.push(("code_verifier", VERIFIER));
    ok(world.post_token(&form)).await;
}

#[tokio::test]
async fn a_challenge_that_is_no_s256_is_refused_at_consent() {
    let world = World::new().await;
    for challenge in [
        "short",
        VERIFIER.trim_end_matches('k'),
        &BASE64_URL_SAFE_NO_PAD.encode([0; 33]),
        &"+".repeat(43),
    ] {
        let code_challenge = Some(challenge.to_owned());
        assert!(
            world
                .sandbox
                .authorize(Consent {
                    code_challenge,
                    ..consent()
                })
                .is_err()
        );
    }
}

#[tokio::test]
async fn only_the_right_client_pair_is_heard() {
    let world = World::new().await;
    let form = [("grant_type", "client_credentials")];
    let post = || world.http.post(world.url("/oauth/token")).form(&form);
    let wrong = [
        post(),
        post().basic_auth("app", Some("wrong")),
        post().basic_auth("nobody", Some(SECRET)),
        post().basic_auth("app", None::<&str>),
        post().bearer_auth("app"),
        post().header("authorization", "Basic ???"),
        world.http.post(world.url("/oauth/token")).form(&[
            ("grant_type", "client_credentials"),
            ("client_id", "app"),
            ("client_secret", SECRET),
        ]),
    ];
    for request in wrong {
        expect(request, 400, invalid_client()).await;
    }
}

#[tokio::test]
async fn client_credentials_check_the_pair_and_open_no_user() {
    let world = World::new().await;
    let body = ok(world.post_token(&[("grant_type", "client_credentials")])).await;
    assert_eq!(body.get("refresh_token"), None);
    let token = body["access_token"].as_str().unwrap();
    expect(
        world.get("/v2/users/me", token),
        401,
        expired_access_token(),
    )
    .await;
}

#[tokio::test]
async fn a_rotated_secret_replaces_the_old_one() {
    let world = World::new().await;
    let form = [("grant_type", "client_credentials")];
    world.sandbox.rotate_secret("app", "new");
    expect(world.post_token(&form), 400, invalid_client()).await;
    ok(world.post_token_as("app", "new", &form)).await;
}

#[tokio::test]
async fn a_disabled_app_is_refused_until_it_is_enabled() {
    let world = World::new().await;
    let pair = world.connect().await;
    world.sandbox.refuse_app("app", true);
    let disabled = json!({ "reason": "The app has been disabled", "error": "invalid_client", "errorCode": 4717 });
    expect(world.refresh(&pair.refresh), 400, disabled).await;
    assert!(matches!(
        world.sandbox.authorize(consent()),
        Err(Error::AppDisabled(_))
    ));
    world.sandbox.refuse_app("app", false);
    world.refreshed(&pair).await;
}

#[tokio::test]
async fn values_in_the_query_are_refused() {
    let world = World::new().await;
    let reason = "parameters belong in the body, not in the query";
    let form = [("grant_type", "client_credentials")];
    for path in [
        "/oauth/token?grant_type=client_credentials",
        "/oauth/revoke?token=x",
    ] {
        let request = world
            .http
            .post(world.url(path))
            .basic_auth("app", Some(SECRET))
            .form(&form);
        expect(request, 400, invalid_request(reason)).await;
    }
}

#[tokio::test]
async fn the_body_must_be_a_form_with_each_value_once() {
    let world = World::new().await;
    let post = || {
        world
            .http
            .post(world.url("/oauth/token"))
            .basic_auth("app", Some(SECRET))
    };
    let not_a_form = invalid_request("the body must be application/x-www-form-urlencoded");
    expect(
        post().json(&json!({ "grant_type": "client_credentials" })),
        400,
        not_a_form.clone(),
    )
    .await;
    expect(post(), 400, not_a_form).await;

    let code = world.code();
    for (form, reason) in [
        (vec![("code", "a"), ("code", "b")], "code is given twice"),
        (vec![("code", code.as_str())], "grant_type is missing"),
        (
            vec![("grant_type", "authorization_code")],
            "code is missing",
        ),
        (
            vec![("grant_type", "authorization_code"), ("code", &code)],
            "redirect_uri is missing",
        ),
        (
            vec![("grant_type", "refresh_token"), ("refresh_token", "")],
            "refresh_token is missing",
        ),
    ] {
        expect(post().form(&form), 400, invalid_request(reason)).await;
    }
}

#[tokio::test]
async fn an_unknown_grant_type_is_refused() {
    let world = World::new().await;
    let body = json!({ "reason": "unsupported grant type", "error": "unsupported_grant_type", "errorCode": 4705 });
    expect(world.post_token(&[("grant_type", "password")]), 400, body).await;
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let world = World::new().await;
    let (status, _) = answer(world.refresh(&"x".repeat(100_000))).await;
    assert_eq!(status, 413);
    let [call] = world.sandbox.ledger().try_into().unwrap();
    assert_eq!((call.grant_type, call.status), (None, Some(413)));
}
