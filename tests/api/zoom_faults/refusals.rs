//! What is sent to Zoom, and how a refused code is reported.

use std::time::Duration;

use local::zoom::Fault;
use serde_json::json;

use super::{EXCHANGE, REFUSED, assert_nothing_stored, create_with_exchange_fault, reply};
use crate::proxy::Service;
use crate::world::{
    CLIENT_ID, CLIENT_SECRET, CODE_SPENT, REDIRECT_URI, World, code_refused, user_body,
};

// assures 16
#[tokio::test]
async fn a_code_is_sent_to_zoom_as_a_form_and_no_secret_is_in_a_url() {
    let world = World::new().await;
    let code = world.code();
    world.wire.reset();
    world.acme.create(user_body("bot", &code)).await.expect(201);

    let calls = world.wire.calls();
    let to_zoom: Vec<_> = calls
        .iter()
        .filter(|call| call.service == Service::Zoom)
        .collect();
    let targets: Vec<&str> = to_zoom.iter().map(|call| call.target.as_str()).collect();
    assert_eq!(targets, ["/oauth/token", "/v2/users/me"]);
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&to_zoom[0].body)
        .into_owned()
        .collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // The sandbox reads the client id and the client secret from the Basic authorization only.
    assert_eq!(
        form,
        [
            pair("grant_type", "authorization_code"),
            pair("code", &code),
            pair("redirect_uri", REDIRECT_URI)
        ]
    );
    assert!(to_zoom[1].body.is_empty());
}

#[tokio::test]
async fn a_client_secret_with_any_characters_reaches_zoom_unchanged() {
    let world = World::new().await;
    let secret = "p:a%ss w+örd&=/\u{1f511}";
    world.zoom.rotate_secret(CLIENT_ID, secret);
    let mut body = user_body("bot", &world.code());
    body["client_secret"] = json!(secret);
    world.acme.create(body).await.expect(201);
}

#[tokio::test]
async fn zooms_reason_for_refusing_a_code_is_passed_on() {
    let world = World::new().await;
    let code = || json!(world.code());
    let used = code();
    let first = user_body("first", used.as_str().unwrap());
    let first = world.acme.create(first).await.expect(201);
    world
        .acme
        .delete(first["credential_id"].as_str().unwrap())
        .await
        .expect(200);
    let rows = (
        world.count("credentials").await,
        world.count("secrets").await,
    );

    let invalid_client = "invalid_client: Invalid client_id or client_secret";
    let cases = [
        (
            "authorization_code",
            json!("no-such-code"),
            "invalid_grant: Invalid authorization code (4734)",
        ),
        ("client_secret", json!("wrong"), invalid_client),
        ("client_id", json!("no-such-app"), invalid_client),
        (
            "redirect_uri",
            json!("https://example.test/other"),
            "invalid_request: Invalid request : Redirect URI mismatch. (4709)",
        ),
    ];
    for (field, value, reason) in cases {
        let mut body = user_body("bot", code().as_str().unwrap());
        body[field] = value;
        let answer = world.acme.create(body).await;
        answer.expect_error(400, REFUSED, &code_refused(reason));
    }

    // The idempotency key makes this a new request, not a repeat.
    let again = user_body("bot", used.as_str().unwrap());
    let answer = world.acme.create_as("key", again).await;
    answer.expect_error(400, REFUSED, &code_refused(CODE_SPENT));

    world.zoom.set_app_disabled(CLIENT_ID, true);
    let answer = world.acme.create(user_body("bot", "any")).await;
    let reason = "invalid_client: The app has been disabled (4717)";
    answer.expect_error(400, REFUSED, &code_refused(reason));
    world.zoom.set_app_disabled(CLIENT_ID, false);

    let late = user_body("bot", code().as_str().unwrap());
    world.zoom.advance(Duration::from_mins(5));
    let answer = world.acme.create(late).await;
    answer.expect_error(400, REFUSED, &code_refused(CODE_SPENT));

    let now = (
        world.count("credentials").await,
        world.count("secrets").await,
    );
    assert_eq!(now, rows);
}

#[tokio::test]
async fn the_reason_is_taken_from_whichever_field_zoom_uses() {
    let world = World::new().await;
    let long = "x".repeat(10_000);
    let cut = "x".repeat(200);
    let cases = [
        (
            400,
            json!({ "error": "invalid_grant" }).to_string(),
            "invalid_grant",
        ),
        (400, json!({ "reason": "Bad" }).to_string(), "Bad"),
        (
            400,
            json!({ "message": "Bad", "code": 4735 }).to_string(),
            "Bad (4735)",
        ),
        (
            400,
            json!({ "errorCode": "4735" }).to_string(),
            "status 400 (4735)",
        ),
        (
            400,
            json!({ "error": "a", "error_description": "a" }).to_string(),
            "a",
        ),
        (
            403,
            json!({ "error": "a", "reason": "b", "error_description": "c", "message": "d" })
                .to_string(),
            "a: b: c: d",
        ),
        (
            400,
            json!({ "error": { "nested": true }, "reason": 7 }).to_string(),
            "status 400",
        ),
        (
            400,
            json!({ "error": "line\nbreak\u{0}" }).to_string(),
            "linebreak",
        ),
        (400, json!({ "error": long }).to_string(), &cut),
    ];
    for (status, body, reason) in cases {
        let answer = create_with_exchange_fault(&world, reply(status, &body)).await;
        answer.expect_error(400, REFUSED, &code_refused(reason));
    }
    assert_nothing_stored(&world).await;
}

#[tokio::test]
async fn a_reason_that_repeats_a_secret_is_left_out() {
    let world = World::new().await;
    let code = "a-telling-authorization-code";
    let broken_up = |text: &str| text.chars().flat_map(|c| [c, '\u{1}']).collect::<String>();
    let pair = format!("{CLIENT_ID}:{CLIENT_SECRET}");
    let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, pair);
    let echoes = [
        code.to_owned(),
        format!("Code {code} is bad"),
        code.chars().skip(5).take(10).collect(),
        format!("secret {CLIENT_SECRET}"),
        broken_up(code),
    ];
    for echo in echoes {
        for field in ["error", "reason", "error_description", "message"] {
            let body = json!({ field: echo });
            world.zoom.inject(Fault::once(EXCHANGE, reply(400, &body)));
            let answer = world.acme.create(user_body("bot", code)).await;
            answer.expect_error(400, REFUSED, &code_refused("status 400"));
        }
    }

    let body = json!({ "error": format!("Authorization: Basic {basic}") });
    let answer = create_with_exchange_fault(&world, reply(400, &body)).await;
    let reason = "Authorization: Basic …";
    answer.expect_error(400, REFUSED, &code_refused(reason));
}
