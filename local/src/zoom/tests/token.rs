//! The token endpoint: client authentication and authorization codes.

use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::super::Error;
use super::*;

/// The example in RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn expired_code() -> Value {
    json!({ "reason": "Code is expired", "error": "invalid_grant", "errorCode": 4733 })
}

fn invalid_request(reason: &str) -> Value {
    json!({ "reason": format!("Invalid request : {reason}"), "error": "invalid_request" })
}

#[tokio::test]
async fn a_code_is_exchanged_for_tokens() {
    let zoom = TestZoom::new().await;
    let body = expect_ok(zoom.exchange(&zoom.new_code())).await;

    assert_eq!(body["token_type"], "bearer");
    assert_eq!(body["expires_in"], 3599);
    assert_eq!(body["scope"], ALL_SCOPES.join(" "));
    assert_eq!(body["api_url"], zoom.origin);
    assert_eq!(body.as_object().unwrap().len(), 6);
    let tokens = Tokens::from(body);
    assert!(tokens.access.len() >= 600 && tokens.refresh.len() >= 600);
    assert_ne!(tokens.access, tokens.refresh);
    assert!(zoom.sandbox.is_live_refresh_token(&tokens.refresh));
    assert!(!zoom.sandbox.is_live_refresh_token(&tokens.access));
}

#[tokio::test]
async fn api_url_is_absent_until_the_origin_is_known() {
    let sandbox = Sandbox::open(None).unwrap();
    let zoom = TestZoom::with(sandbox).await;
    zoom.sandbox.settings().origin = None;
    assert_eq!(
        expect_ok(zoom.exchange(&zoom.new_code()))
            .await
            .get("api_url"),
        None
    );
}

#[tokio::test]
async fn the_answer_has_the_scopes_that_the_user_granted() {
    let zoom = TestZoom::new().await;
    let scopes = Some(vec![
        "user:read:zak".to_owned(),
        "user:read:token".to_owned(),
    ]);
    let code = zoom
        .sandbox
        .authorize(Consent {
            scopes,
            ..consent()
        })
        .unwrap();
    assert_eq!(
        expect_ok(zoom.exchange(&code)).await["scope"],
        "user:read:zak user:read:token"
    );
}

#[tokio::test]
async fn a_code_works_once() {
    let zoom = TestZoom::new().await;
    let code = zoom.new_code();
    expect_ok(zoom.exchange(&code)).await;
    expect_answer(zoom.exchange(&code), 400, expired_code()).await;
}

#[tokio::test]
async fn a_code_works_for_five_minutes() {
    let zoom = TestZoom::new().await;
    let (first, second) = (zoom.new_code(), zoom.new_code());
    zoom.sandbox.advance(Duration::from_secs(299));
    expect_ok(zoom.exchange(&first)).await;
    zoom.sandbox.advance(Duration::from_secs(2));
    expect_answer(zoom.exchange(&second), 400, expired_code()).await;
}

#[tokio::test]
async fn only_one_of_many_concurrent_exchanges_succeeds() {
    let zoom = TestZoom::new().await;
    let code = zoom.new_code();
    let tries = (0..8)
        .map(|_| tokio::spawn(send(zoom.exchange(&code))))
        .collect::<Vec<_>>();
    let mut statuses = Vec::new();
    for attempt in tries {
        statuses.push(attempt.await.unwrap().status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400, 400, 400, 400, 400, 400, 400]);
}

#[tokio::test]
async fn a_code_works_only_with_exactly_its_redirect_uri() {
    let zoom = TestZoom::new().await;
    let code = zoom.new_code();
    let mismatch = json!({
        "reason": "Invalid request : Redirect URI mismatch.", "error": "invalid_request", "errorCode": 4709,
    });
    for uri in [
        "https://app.example.com/other",
        &format!("{REDIRECT_URI}/"),
        &REDIRECT_URI.to_uppercase(),
    ] {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", uri),
        ];
        expect_answer(zoom.post_token(&form), 400, mismatch.clone()).await;
    }
    expect_ok(zoom.exchange(&code)).await;
}

#[tokio::test]
async fn a_code_works_only_for_its_app() {
    let zoom = TestZoom::new().await;
    zoom.sandbox.register_app(app("thief"));
    let code = zoom.new_code();
    let unknown = json!({ "reason": "Invalid authorization code", "error": "invalid_grant", "errorCode": 4734 });
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT_URI),
    ];
    expect_answer(
        zoom.post_token_as("thief", CLIENT_SECRET, &form),
        400,
        unknown.clone(),
    )
    .await;
    for wrong in ["nonsense", &format!("{code}x")] {
        expect_answer(zoom.exchange(wrong), 400, unknown.clone()).await;
    }
    expect_ok(zoom.exchange(&code)).await;
}

#[tokio::test]
async fn a_code_with_a_challenge_needs_its_verifier() {
    let zoom = TestZoom::new().await;
    let code_challenge = Some(CHALLENGE.to_owned());
    let code = zoom
        .sandbox
        .authorize(Consent {
            code_challenge,
            ..consent()
        })
        .unwrap();
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT_URI),
    ];
    let mismatch = json!({ "reason": "Invalid code verifier", "error": "invalid_grant" });

    expect_answer(zoom.post_token(&form), 400, mismatch.clone()).await;
    form.push(("code_verifier", CHALLENGE));
    expect_answer(zoom.post_token(&form), 400, mismatch).await;
    form.pop();
    form.push(("code_verifier", VERIFIER));
    expect_ok(zoom.post_token(&form)).await;
}

#[tokio::test]
async fn a_code_without_a_challenge_takes_no_verifier() {
    let zoom = TestZoom::new().await;
    let code = zoom.sandbox.authorize(consent()).unwrap();
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ];
    let mismatch = json!({ "reason": "Invalid code verifier", "error": "invalid_grant" });

    expect_answer(zoom.post_token(&form), 400, mismatch).await;
    form.pop();
    expect_ok(zoom.post_token(&form)).await;
}

#[tokio::test]
async fn a_malformed_challenge_is_refused_at_consent() {
    let zoom = TestZoom::new().await;
    for challenge in [
        "short",
        VERIFIER.trim_end_matches('k'),
        &BASE64_URL_SAFE_NO_PAD.encode([0; 33]),
        &"+".repeat(43),
    ] {
        let code_challenge = Some(challenge.to_owned());
        assert!(
            zoom.sandbox
                .authorize(Consent {
                    code_challenge,
                    ..consent()
                })
                .is_err()
        );
    }
}

#[tokio::test]
async fn only_the_right_client_id_and_secret_are_accepted() {
    let zoom = TestZoom::new().await;
    let form = [("grant_type", "client_credentials")];
    let post = || zoom.http.post(zoom.url("/oauth/token")).form(&form);
    let wrong = [
        post(),
        post().basic_auth("app", Some("wrong")),
        post().basic_auth("nobody", Some(CLIENT_SECRET)),
        post().basic_auth("app", None::<&str>),
        post().bearer_auth("app"),
        post().header("authorization", "Basic ???"),
        zoom.http.post(zoom.url("/oauth/token")).form(&[
            ("grant_type", "client_credentials"),
            ("client_id", "app"),
            ("client_secret", CLIENT_SECRET),
        ]),
    ];
    for request in wrong {
        expect_answer(request, 400, invalid_client()).await;
    }
}

#[tokio::test]
async fn client_credentials_give_a_token_without_a_user() {
    let zoom = TestZoom::new().await;
    let body = expect_ok(zoom.post_token(&[("grant_type", "client_credentials")])).await;
    assert_eq!(body.get("refresh_token"), None);
    let token = body["access_token"].as_str().unwrap();
    expect_answer(zoom.get("/v2/users/me", token), 401, expired_access_token()).await;
}

#[tokio::test]
async fn a_rotated_secret_replaces_the_old_one() {
    let zoom = TestZoom::new().await;
    let form = [("grant_type", "client_credentials")];
    zoom.sandbox.rotate_secret("app", "new");
    expect_answer(zoom.post_token(&form), 400, invalid_client()).await;
    expect_ok(zoom.post_token_as("app", "new", &form)).await;
}

#[tokio::test]
async fn a_disabled_app_is_refused_until_it_is_enabled() {
    let zoom = TestZoom::new().await;
    let tokens = zoom.connect().await;
    zoom.sandbox.set_app_disabled("app", true);
    let disabled = json!({ "reason": "The app has been disabled", "error": "invalid_client", "errorCode": 4717 });
    expect_answer(zoom.refresh(&tokens.refresh), 400, disabled).await;
    assert!(matches!(
        zoom.sandbox.authorize(consent()),
        Err(Error::AppDisabled(_))
    ));
    zoom.sandbox.set_app_disabled("app", false);
    zoom.refresh_ok(&tokens).await;
}

#[tokio::test]
async fn parameters_in_the_query_are_refused() {
    let zoom = TestZoom::new().await;
    let reason = "parameters belong in the body, not in the query";
    let form = [("grant_type", "client_credentials")];
    for path in [
        "/oauth/token?grant_type=client_credentials",
        "/oauth/revoke?token=x",
    ] {
        let request = zoom
            .http
            .post(zoom.url(path))
            .basic_auth("app", Some(CLIENT_SECRET))
            .form(&form);
        expect_answer(request, 400, invalid_request(reason)).await;
    }
}

#[tokio::test]
async fn the_body_must_be_a_form_with_each_parameter_once() {
    let zoom = TestZoom::new().await;
    let post = || {
        zoom.http
            .post(zoom.url("/oauth/token"))
            .basic_auth("app", Some(CLIENT_SECRET))
    };
    let not_a_form = invalid_request("the body must be application/x-www-form-urlencoded");
    expect_answer(
        post().json(&json!({ "grant_type": "client_credentials" })),
        400,
        not_a_form.clone(),
    )
    .await;
    expect_answer(post(), 400, not_a_form).await;

    let code = zoom.new_code();
    for (form, reason) in [
        (vec![("code", "a"), ("code", "b")], "code occurs twice"),
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
        expect_answer(post().form(&form), 400, invalid_request(reason)).await;
    }
}

#[tokio::test]
async fn an_unknown_grant_type_is_refused() {
    let zoom = TestZoom::new().await;
    let body = json!({ "reason": "unsupported grant type", "error": "unsupported_grant_type", "errorCode": 4705 });
    expect_answer(zoom.post_token(&[("grant_type", "password")]), 400, body).await;
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let zoom = TestZoom::new().await;
    let (status, _) = answer_of(zoom.refresh(&"x".repeat(100_000))).await;
    assert_eq!(status, 413);
    let [call] = zoom.sandbox.ledger().try_into().unwrap();
    assert_eq!((call.grant_type, call.status), (None, Some(413)));
}
