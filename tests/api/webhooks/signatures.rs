//! Which requests the vault accepts as signed by Zoom.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use functions::{runtime, zoom_apps};
use lambda_http::{Context, LambdaEvent};
use serde_json::{Value, json};
use shared::envelope::Envelope;
use shared::secret::WebhookSecret;
use shared::stores::{Credentials, Events, Pairs, RETENTION, Secrets};
use shared::timestamp::Timestamp;
use shared::zoom::webhook::{ChallengeResponse, SIGNATURE_WINDOW, Signature};

use super::{
    OTHER_APP_PATH, PATH, SECRET_TOKEN, app_deauthorized, deliver, expect_destroyed, expect_state,
    expect_unauthorized, headers, now_in_seconds, post, register_app, registration, signature,
    tell_at,
};
use crate::proxy::Service;
use crate::world::{CLIENT_ID, World};

// assures 26
#[tokio::test]
async fn the_url_validation_is_answered_only_if_the_secret_token_signed_it() {
    let world = World::new().await;
    let challenge = json!({
        "event": "endpoint.url_validation",
        "event_ts": now_in_seconds() * 1000,
        "payload": { "plainToken": "qgg8vlvZRS6UYooatFL8Aw" },
    });
    expect_unauthorized(&deliver(&world, &challenge).await);
    assert_eq!(
        world.wire.count(Service::Kms),
        0,
        "an app that no team registered causes no KMS call"
    );
    register_app(&world).await;

    let stranger = tell_at(&world, PATH, "another", &challenge).await;
    expect_unauthorized(&stranger);
    let other_app = tell_at(&world, OTHER_APP_PATH, SECRET_TOKEN, &challenge).await;
    expect_unauthorized(&other_app);
    let unsigned = post(&world, PATH, &[], challenge.to_string().into()).await;
    expect_unauthorized(&unsigned);

    let answer = deliver(&world, &challenge).await;
    assert_eq!(answer.status, 200);
    let expected = signature(SECRET_TOKEN, 0, b"");
    assert_eq!(answer.json()["plainToken"], "qgg8vlvZRS6UYooatFL8Aw");
    assert_eq!(
        answer.json()["encryptedToken"].as_str().unwrap().len() + 3,
        expected.len()
    );

    // These values were computed by another implementation.
    let secret = WebhookSecret::try_from("secret-token".to_owned()).unwrap();
    let challenged = ChallengeResponse::new(&secret, "qgg8vlvZRS6UYooatFL8Aw".to_owned());
    assert_eq!(
        serde_json::to_value(challenged).unwrap()["encryptedToken"],
        "5b72bd117f184f54093c1c3c11499c1d13e6d56dc0d96e6b78fbfecedc953b75"
    );
    let signature = Signature::parse(
        "v0=19f9e2015051282506c33fcea6b62b2993a91afaacf90c499c594a1cafde1ba2",
        "1700000000",
    );
    let body = br#"{"event":"x.y","payload":{}}"#;
    assert!(signature.unwrap().verifies(&secret, body));
}

// assures 25
#[tokio::test]
async fn missing_repeated_and_malformed_headers_are_refused_before_any_read() {
    let world = World::new().await;
    register_app(&world).await;
    let id = world.add_user_credential("desk").await;
    let body = app_deauthorized("ada").to_string().into_bytes();
    let valid = signature(SECRET_TOKEN, now_in_seconds(), &body);
    let hex = valid.trim_start_matches("v0=");
    let at = now_in_seconds().to_string();
    let mut refused: Vec<Vec<(&str, String)>> = vec![
        vec![],
        vec![("x-zm-signature", valid.clone())],
        vec![("x-zm-request-timestamp", at.clone())],
        // If a header is repeated, the vault cannot know which value is meant.
        vec![
            ("x-zm-signature", valid.clone()),
            ("x-zm-signature", valid.clone()),
            ("x-zm-request-timestamp", at.clone()),
        ],
        vec![
            ("x-zm-signature", valid.clone()),
            ("x-zm-request-timestamp", at.clone()),
            ("x-zm-request-timestamp", at.clone()),
        ],
    ];
    for signature in [
        "",
        "v0=",
        hex,
        &format!("v1={hex}"),
        &format!("v0={}", hex.to_uppercase()),
        &format!("v0={hex}00"),
        valid.strip_suffix(|_: char| true).unwrap(),
        &format!("v0={}", "g".repeat(64)),
    ] {
        refused.push(vec![
            ("x-zm-signature", signature.to_owned()),
            ("x-zm-request-timestamp", at.clone()),
        ]);
    }
    for timestamp in [
        "",
        "x",
        "-1",
        "+1",
        "1e9",
        "0x1",
        "99999999999999999999",
        &format!("{at}.0"),
        // The time of now, in another form.
        &format!("+{at}"),
        &format!("000{at}"),
    ] {
        let signature = ("x-zm-signature", valid.clone());
        refused.push(vec![
            signature,
            ("x-zm-request-timestamp", timestamp.to_owned()),
        ]);
    }
    world.wire.reset();

    for headers in refused {
        let answer = post(&world, PATH, &headers, body.clone()).await;
        expect_unauthorized(&answer);
    }

    assert!(world.wire.calls().is_empty());
    expect_state(&world, &id, "active").await;
}

// assures 25
#[tokio::test]
async fn a_webhook_that_was_signed_too_long_ago_or_in_the_future_is_refused() {
    let world = World::new().await;
    register_app(&world).await;
    let id = world.add_user_credential("desk").await;
    let body = app_deauthorized("ada").to_string().into_bytes();
    world.wire.reset();
    for drift in [-3600, -302, 320, 3600] {
        let headers = headers(SECRET_TOKEN, now_in_seconds() + drift, &body);
        let answer = post(&world, PATH, &headers, body.clone()).await;
        expect_unauthorized(&answer);
    }
    assert!(world.wire.calls().is_empty());
    expect_state(&world, &id, "active").await;
    for drift in [-280, 290] {
        let headers = headers(SECRET_TOKEN, now_in_seconds() + drift, &body);
        assert_eq!(post(&world, PATH, &headers, body.clone()).await.status, 204);
    }
}

/// The test above keeps some seconds of distance from the boundary, because the clock runs on. Here the clock is a
/// parameter, so the boundary is exact.
#[test]
fn a_signature_is_fresh_for_exactly_the_window() {
    let signed_at = 1_700_000_000;
    let text = signature(SECRET_TOKEN, signed_at, b"{}");
    let parsed = Signature::parse(&text, &signed_at.to_string()).unwrap();
    let window = i64::try_from(SIGNATURE_WINDOW.as_secs()).unwrap();
    for (drift, is_fresh) in [
        (-window - 1, false),
        (-window, true),
        (0, true),
        (window, true),
        (window + 1, false),
    ] {
        let now = Timestamp::from_millis((signed_at + drift) * 1000);
        assert_eq!(parsed.is_fresh(now, SIGNATURE_WINDOW), is_fresh, "{drift}");
    }
}

// assures 25
#[tokio::test]
async fn the_signature_is_over_the_bytes_of_the_body() {
    let world = World::new().await;
    register_app(&world).await;
    let id = world.add_user_credential("desk").await;
    let body = serde_json::to_vec_pretty(&app_deauthorized("ada")).unwrap();
    let compact = app_deauthorized("ada").to_string().into_bytes();
    let at = now_in_seconds();

    for (signed_body, sent) in [(&body, &compact), (&compact, &body)] {
        let answer = post(
            &world,
            PATH,
            &headers(SECRET_TOKEN, at, signed_body),
            sent.clone(),
        )
        .await;
        expect_unauthorized(&answer);
    }
    let mut longer = body.clone();
    longer.push(b'\n');
    let answer = post(&world, PATH, &headers(SECRET_TOKEN, at, &body), longer).await;
    expect_unauthorized(&answer);
    expect_state(&world, &id, "active").await;

    // API Gateway may encode the body in base64. The signature is over the decoded bytes.
    let [_, signature, timestamp] = headers(SECRET_TOKEN, at, &body);
    let event = json!({
        "httpMethod": "POST",
        "headers": { "X-Zm-Signature": signature.1, "X-Zm-Request-Timestamp": timestamp.1 },
        "pathParameters": { "client_id": CLIENT_ID },
        "body": STANDARD.encode(&body),
        "isBase64Encoded": true,
    });
    let dynamodb = world.dynamodb.clone();
    let credentials = Credentials::new(dynamodb.clone(), "credentials".to_owned());
    let pairs = Pairs::new(dynamodb.clone(), "pairs".to_owned());
    let secrets = Secrets::new(dynamodb.clone(), "secrets".to_owned());
    let events = Events::new(dynamodb, "events".to_owned(), RETENTION);
    let envelope = Envelope::new(
        world.kms_client().await,
        world.kms.default_key(),
        Secrets::NAME,
    );
    let opened = zoom_apps::webhook::OpenedSecrets::default();
    let invoke = async |mut event: Value, encoded: bool| {
        event["isBase64Encoded"] = encoded.into();
        let event = LambdaEvent::new(serde_json::from_value(event).unwrap(), Context::default());
        let answer = runtime::invoke(zoom_apps::webhook::ROUTE, event, async |request| {
            zoom_apps::webhook::handle(
                &credentials,
                &pairs,
                &secrets,
                &events,
                &envelope,
                &opened,
                SIGNATURE_WINDOW,
                &request,
            )
            .await
        });
        answer.await.status_code
    };
    assert_eq!(invoke(event.clone(), false).await, 400);
    expect_state(&world, &id, "active").await;
    assert_eq!(invoke(event, true).await, 204);
    expect_destroyed(&world, &id).await;
}

#[tokio::test]
async fn a_body_that_is_no_event_of_this_app_is_refused_before_any_call() {
    let world = World::new().await;
    register_app(&world).await;
    let id = world.add_user_credential("desk").await;
    let mut of_other_app = app_deauthorized("ada");
    of_other_app["payload"]["client_id"] = json!("other-app");
    let mut without_user = app_deauthorized("ada");
    without_user["payload"]
        .as_object_mut()
        .unwrap()
        .remove("user_id");
    let mut empty_user = app_deauthorized("ada");
    empty_user["payload"]["user_id"] = json!("");
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        b"{\"event\": 1}".to_vec(),
        b"\xff\xfe".to_vec(),
        // The largest body that is read.
        vec![b' '; 256 * 1024],
        br#"{"event":"app_deauthorized"}"#.to_vec(),
        br#"{"event":"endpoint.url_validation","payload":{}}"#.to_vec(),
        br#"{"event":"endpoint.url_validation","payload":{"plainToken":""}}"#.to_vec(),
        br#"{"event":"user.deleted","payload":{"object":{}}}"#.to_vec(),
        format!(
            r#"{{"event":{}1{}}}"#,
            "[".repeat(10_000),
            "]".repeat(10_000)
        )
        .into(),
        of_other_app.to_string().into(),
        without_user.to_string().into(),
        empty_user.to_string().into(),
    ];
    world.wire.reset();

    for body in bodies {
        let answer = post(
            &world,
            PATH,
            &headers(SECRET_TOKEN, now_in_seconds(), &body),
            body,
        )
        .await;
        answer.expect_code(400, "FST_ERR_VALIDATION");
    }
    let too_large = vec![b' '; 256 * 1024 + 1];
    let answer = post(
        &world,
        PATH,
        &headers(SECRET_TOKEN, now_in_seconds(), &too_large),
        too_large,
    )
    .await;
    answer.expect_code(413, "FST_ERR_CTP_BODY_TOO_LARGE");

    assert!(world.wire.calls().is_empty());
    expect_state(&world, &id, "active").await;
}

#[tokio::test]
async fn many_forged_events_cause_one_kms_call_and_a_new_secret_token_is_used_at_once() {
    let world = World::new().await;
    register_app(&world).await;
    let id = world.add_user_credential("desk").await;
    world.wire.reset();

    for n in 0..50 {
        let answer = tell_at(
            &world,
            PATH,
            &format!("guess {n}"),
            &app_deauthorized("ada"),
        )
        .await;
        expect_unauthorized(&answer);
    }
    assert_eq!(world.wire.operations(Service::Kms), ["Decrypt"]);

    world
        .acme
        .register(registration("a-new-token"))
        .await
        .expect(200);
    let old = deliver(&world, &app_deauthorized("ada")).await;
    expect_unauthorized(&old);
    expect_state(&world, &id, "active").await;
    let new = tell_at(&world, PATH, "a-new-token", &app_deauthorized("ada")).await;
    assert_eq!(new.status, 204);
    world.acme.forget().await.expect(200);
    let after_deletion = tell_at(&world, PATH, "a-new-token", &app_deauthorized("ada")).await;
    expect_unauthorized(&after_deletion);
}
