//! Calls that the vendor did not make. Each gets a 401 that does not say what is missing, takes no use, and reaches
//! neither Zoom nor KMS, but for the one call that opens the secret.

use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tracing::Level;

use super::{
    ATTENDEE, CANONICAL, MEETSTREAM, OTHER_ATTENDEE, OTHER_MEETSTREAM, OTHER_RECALL, RECALL,
    VENDORS, WIRE, answer_to, hmac, now_in_seconds, recall_headers,
};
use crate::proxy::{Fault, Service};
use crate::secrecy::log::Log;
use crate::token_urls::Url;
use crate::world::World;

const NOT_PROVED: &str =
    "The call is not proved to come from the vendor that this token URL is for";

/// A world with a URL of one use that verifies a vendor.
struct Stage {
    world: World,
    url: Url,
}

impl Stage {
    async fn new(vendor: &str, secret: &str) -> Self {
        let world = World::new().await;
        let id = world.given_warm_user().await;
        let url = world.given_verifying_url(&id, vendor, secret).await;
        Self { world, url }
    }

    fn call(&self, method: Method) -> RequestBuilder {
        self.world.acme.http().request(method, &self.url.url)
    }

    /// A call of Recall.ai with these headers in place of the valid ones.
    fn recall(&self, changed: &[(&'static str, &[u8])]) -> RequestBuilder {
        let mut call = self.call(Method::GET);
        for (name, value) in recall_headers(RECALL, "msg_1", now_in_seconds(), "") {
            if !changed.iter().any(|(it, _)| *it == name) {
                call = call.header(name, value);
            }
        }
        for (name, value) in changed {
            call = call.header(*name, HeaderValue::from_bytes(value).unwrap());
        }
        call
    }

    /// A call of Attendee with this body, signed as if it were the valid one.
    fn attendee(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let signature = hmac(ATTENDEE, CANONICAL.as_bytes());
        self.call(Method::POST)
            .header("x-webhook-signature", signature)
            .body(body)
    }

    /// Expects the refusal, and at most so many calls to KMS.
    async fn expect_refused(&self, case: &str, call: RequestBuilder, kms: usize) {
        let method = call.try_clone().unwrap().build().unwrap().method().clone();
        self.world.wire.reset();
        let answer = answer_to(call).await;
        let body = json!({
            "success": false, "error": "Unauthorized", "code": "FST_ERR_UNAUTHORIZED", "statusCode": 401,
            "message": NOT_PROVED, "details": null,
        });
        let text = if method == Method::GET {
            NOT_PROVED.to_owned()
        } else {
            serde_json::from_str::<serde_json::Value>(&answer.text)
                .map(|sent| {
                    assert_eq!(sent, body, "{case}");
                    answer.text.clone()
                })
                .unwrap()
        };
        assert_eq!((answer.status, &answer.text), (401, &text), "{case}");
        assert!(self.world.wire.count(Service::Kms) <= kms, "{case}");
        assert_eq!(self.world.wire.count(Service::Zoom), 0, "{case}");
        assert_eq!(self.world.uses(&self.url.id).await, "0", "{case}");
        let operations = self.world.wire.operations(Service::DynamoDb);
        assert!(
            operations.iter().all(|it| it == "GetItem"),
            "{case}: {operations:?}"
        );
    }
}

/// The first call that brings a well-formed proof opens the secret.
// assures 53
#[tokio::test]
async fn a_wrong_secret_of_each_vendor_is_refused() {
    for (vendor, secret, other) in VENDORS {
        let stage = Stage::new(vendor, secret).await;
        let forged = stage.world.vendor_call(vendor, other, &stage.url);
        stage.expect_refused(vendor, forged, 1).await;
        let forged = stage.world.vendor_call(vendor, other, &stage.url);
        stage.expect_refused(vendor, forged, 1).await;
    }
}

/// Vendors sign their webhooks with the same secret, and webhooks lie in logs.
#[tokio::test]
async fn a_signed_message_that_is_no_token_call_is_refused() {
    let stage = Stage::new("attendee", ATTENDEE).await;
    for body in [
        r#"{"bot_id":"bot_abcDEF123","trigger":"bot.state_change"}"#,
        r#"{"callback_type":"other"}"#,
        "1",
    ] {
        let signature = hmac(ATTENDEE, body.as_bytes());
        let call = stage
            .call(Method::POST)
            .header("x-webhook-signature", signature);
        stage.expect_refused(body, call.body(body), 0).await;
    }
    let signed = stage.call(Method::GET);
    let signed = signed.header("x-webhook-signature", hmac(ATTENDEE, CANONICAL.as_bytes()));
    stage.expect_refused("a GET", signed.body(WIRE), 0).await;

    let stage = Stage::new("recall", RECALL).await;
    let webhook = r#"{"event":"bot.status_change"}"#;
    for method in [Method::GET, Method::POST] {
        let mut call = stage.call(method).body(webhook);
        for (name, value) in recall_headers(RECALL, "msg_1", now_in_seconds(), webhook) {
            call = call.header(name, value);
        }
        stage
            .expect_refused("a webhook of Recall.ai", call, 0)
            .await;
    }
    let mut empty = stage.call(Method::POST);
    for (name, value) in recall_headers(RECALL, "msg_1", now_in_seconds(), "") {
        empty = empty.header(name, value);
    }
    stage.expect_refused("a POST of Recall.ai", empty, 0).await;
}

/// A proof of another vendor does not count, even if the team has stored that vendor's secret.
#[tokio::test]
async fn a_call_of_another_vendor_of_the_team_is_refused() {
    for (vendor, secret, _) in VENDORS {
        let stage = Stage::new(vendor, secret).await;
        for (other, secret, _) in VENDORS.into_iter().filter(|(it, ..)| *it != vendor) {
            let stored = stage
                .world
                .acme
                .put_vendor(other, json!({ "secrets": [secret] }));
            stored.await.expect(200);
            let call = stage.world.vendor_call(other, secret, &stage.url);
            stage
                .expect_refused(&format!("{vendor}, {other}"), call, 0)
                .await;
        }
    }
}

/// The secret of another team, which may have the same vendor.
// assures 53
#[tokio::test]
async fn a_call_of_another_teams_vendor_is_refused() {
    for (vendor, secret, other) in VENDORS {
        let stage = Stage::new(vendor, secret).await;
        let permission = shared::api_key::Permission::Full;
        let rival = stage.world.caller("rival", permission).await;
        rival
            .put_vendor(vendor, json!({ "secrets": [other] }))
            .await
            .expect(200);
        let call = stage.world.vendor_call(vendor, other, &stage.url);
        stage.expect_refused(vendor, call, 1).await;
    }
}

#[tokio::test]
async fn recalls_malformed_missing_and_repeated_headers_are_refused_without_opening_the_secret() {
    let stage = Stage::new("recall", RECALL).await;
    let valid = recall_headers(RECALL, "msg_1", now_in_seconds(), "");
    for (name, value) in &valid {
        let mut call = stage.call(Method::GET);
        for (other, value) in valid.iter().filter(|(it, _)| it != name) {
            call = call.header(*other, value);
        }
        stage.expect_refused(&format!("no {name}"), call, 0).await;
        let call = stage.recall(&[]).header(*name, value);
        stage
            .expect_refused(&format!("{name} twice"), call, 0)
            .await;
    }
    let (long, huge) = ("x".repeat(257), format!("v1,{}", "A".repeat(16_000)));
    let cases: [(&'static str, &[u8]); 16] = [
        ("webhook-id", b""),
        ("webhook-id", b"a.b"),
        ("webhook-id", b"a b"),
        ("webhook-id", b"\xff\xfe"),
        ("webhook-id", long.as_bytes()),
        ("webhook-timestamp", b""),
        ("webhook-timestamp", b"now"),
        ("webhook-timestamp", b"-1"),
        ("webhook-timestamp", b"+1700000000"),
        ("webhook-timestamp", b"1700000000.0"),
        ("webhook-timestamp", b"99999999999999999999"),
        ("webhook-timestamp", b"\xff"),
        ("webhook-signature", huge.as_bytes()),
        ("webhook-timestamp", b"0"),
        ("webhook-timestamp", b"1700000000"),
        ("webhook-timestamp", b"999999999999"),
    ];
    for (name, value) in cases {
        let case = format!("{name}: {}", String::from_utf8_lossy(value));
        stage
            .expect_refused(&case, stage.recall(&[(name, value)]), 0)
            .await;
    }
}

#[tokio::test]
async fn recalls_signature_is_refused_outside_of_5_minutes() {
    let stage = Stage::new("recall", RECALL).await;
    for drift in [-3600, -302, 320, 3600] {
        let mut call = stage.call(Method::GET);
        for (name, value) in recall_headers(RECALL, "msg_1", now_in_seconds() + drift, "") {
            call = call.header(name, value);
        }
        stage.expect_refused(&drift.to_string(), call, 0).await;
    }
    for drift in [-280, 290] {
        let mut call = stage.call(Method::GET);
        for (name, value) in recall_headers(RECALL, "msg_1", now_in_seconds() + drift, "") {
            call = call.header(name, value);
        }
        let status = answer_to(call).await.status;
        assert_eq!(
            status,
            if drift < 0 { 200 } else { 404 },
            "the only use is taken"
        );
    }
}

#[tokio::test]
async fn recalls_malformed_and_foreign_signatures_are_refused() {
    let stage = Stage::new("recall", RECALL).await;
    let valid = recall_headers(RECALL, "msg_1", now_in_seconds(), "")[2]
        .1
        .clone();
    for signature in [
        "v1,",
        "v1,====",
        "v1,not base64!",
        "v1,\u{fffd}",
        &format!("{valid}="),
        &format!("{valid}A"),
        valid.trim_end_matches('='),
        &valid.to_lowercase(),
        &valid.replace("v1", "v2"),
        &valid.replace(',', " "),
        &recall_headers(OTHER_RECALL, "msg_1", now_in_seconds(), "")[2].1,
        &recall_headers(RECALL, "msg_2", now_in_seconds(), "")[2].1,
        &recall_headers(RECALL, "msg_1", now_in_seconds() - 7, "")[2].1,
        &recall_headers(RECALL, "msg_1", now_in_seconds(), "{}")[2].1,
    ] {
        let call = stage.recall(&[("webhook-signature", signature.as_bytes())]);
        stage.expect_refused(signature, call, 1).await;
    }
    // A GET is signed with an empty body.
    stage
        .expect_refused("a body", stage.recall(&[]).body("{}"), 1)
        .await;
    let call = stage.recall(&[]).body(b"\xff".as_slice());
    stage
        .expect_refused("a body that is not UTF-8", call, 1)
        .await;
    let call = stage.recall(&[]).body(vec![b' '; 256 * 1024 + 1]);
    stage.expect_refused("a huge body", call, 0).await;
}

#[tokio::test]
async fn attendees_tampered_bodies_and_missing_signatures_are_refused() {
    let stage = Stage::new("attendee", ATTENDEE).await;
    let call = stage.call(Method::POST).body(WIRE);
    stage.expect_refused("no signature", call, 0).await;
    let call = stage.attendee(WIRE).header("x-webhook-signature", "x");
    stage.expect_refused("two signatures", call, 0).await;
    for (case, body) in [
        ("no body", String::new()),
        ("not JSON", WIRE.trim_end_matches('}').to_owned()),
        ("text after it", format!("{WIRE} {{}}")),
        (
            "a key twice",
            WIRE.replacen('{', r#"{"bot_id": "evil", "#, 1),
        ),
        (
            "an escaped key twice",
            WIRE.replacen('{', r#"{"bot\u005fid": "evil", "#, 1),
        ),
        (
            "a key twice below",
            WIRE.replace(r#""a":"#, r#""b": "evil", "a":"#),
        ),
        ("half a surrogate pair", WIRE.replace("\\u00eb", "\\ud800")),
        (
            "deep",
            format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
        ),
    ] {
        stage.expect_refused(case, stage.attendee(body), 0).await;
    }
    let call = stage.attendee(b"{\"a\": \"\xff\"}".as_slice());
    stage.expect_refused("not UTF-8", call, 0).await;
    let call = stage.attendee(format!("{WIRE}{}", " ".repeat(256 * 1024)));
    stage.expect_refused("a huge body", call, 0).await;
    let signature = hmac(ATTENDEE, b"");
    let call = stage
        .call(Method::GET)
        .header("x-webhook-signature", signature);
    stage.expect_refused("a GET without a body", call, 0).await;

    for (case, body) in [
        ("another bot", WIRE.replace("bot_abc", "bot_abd")),
        (
            "another meeting",
            WIRE.replace("98765432101", "98765432102"),
        ),
        ("one key more", WIRE.replacen('{', r#"{"x": 1, "#, 1)),
        (
            "one key less",
            WIRE.replace(r#""callback_type": "zoom_tokens", "#, ""),
        ),
        ("an empty object", "{}".to_owned()),
    ] {
        stage.expect_refused(case, stage.attendee(body), 1).await;
    }
    let valid = hmac(ATTENDEE, CANONICAL.as_bytes());
    for signature in [
        "",
        "====",
        "not base64!",
        valid.trim_end_matches('='),
        &format!("{valid}="),
        &format!("v1,{valid}"),
        &format!("{valid} {valid}"),
        &hmac(OTHER_ATTENDEE, CANONICAL.as_bytes()),
        &"A".repeat(16_000),
    ] {
        let call = stage.call(Method::POST).body(WIRE);
        let call = call.header("x-webhook-signature", signature);
        stage.expect_refused(signature, call, 1).await;
    }
    let call = stage.call(Method::POST).body(WIRE);
    let bytes = HeaderValue::from_bytes(b"\xff\xfe").unwrap();
    stage
        .expect_refused("not UTF-8", call.header("x-webhook-signature", bytes), 1)
        .await;
}

#[tokio::test]
async fn meetstreams_wrong_missing_and_repeated_secrets_are_refused() {
    let stage = Stage::new("meetstream", MEETSTREAM).await;
    for method in [Method::GET, Method::POST] {
        stage
            .expect_refused("no secret", stage.call(method.clone()), 0)
            .await;
        let twice = stage.call(method).header("x-webhook-secret", MEETSTREAM);
        let twice = twice.header("x-webhook-secret", MEETSTREAM);
        stage.expect_refused("twice", twice, 0).await;
    }
    let huge = MEETSTREAM.repeat(700);
    for secret in [
        OTHER_MEETSTREAM,
        MEETSTREAM.trim_start_matches("the-"),
        &MEETSTREAM.to_uppercase(),
        "",
        &huge,
    ] {
        let call = stage.call(Method::GET).header("x-webhook-secret", secret);
        stage.expect_refused(secret, call, 1).await;
    }
    let bytes = HeaderValue::from_bytes(b"\xff\xfe").unwrap();
    let call = stage.call(Method::GET).header("x-webhook-secret", bytes);
    stage.expect_refused("not UTF-8", call, 1).await;
    let call = stage.call(Method::POST);
    let call = call.json(&json!({ "webhook_secret": OTHER_MEETSTREAM }));
    stage.expect_refused("in the body", call, 1).await;
    let call = stage
        .call(Method::POST)
        .json(&json!({ "webhook_secret": [MEETSTREAM] }));
    stage.expect_refused("no text", call, 0).await;
    let call = stage
        .call(Method::POST)
        .body(format!("{{\"webhook_secret\": \"{MEETSTREAM}\""));
    stage.expect_refused("not JSON", call, 0).await;
}

/// A caller without a proof learns nothing: not that the URL is for another meeting, and not that it needs one.
#[tokio::test]
async fn a_refusal_comes_before_every_other_check() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let secret = json!({ "secrets": [MEETSTREAM] });
    world
        .acme
        .put_vendor("meetstream", secret)
        .await
        .expect(200);
    for body in [
        json!({ "type": "onbehalf", "verify": "meetstream", "meeting_id": "1" }),
        json!({ "type": "local_recording", "verify": "meetstream" }),
    ] {
        let url = world.given_url(&id, body).await;
        let query = "?meeting_id=2&webhook_secret=x";
        let answer = world.vendor_gets(&url, query).await;
        assert_eq!((answer.status, answer.text.as_str()), (401, NOT_PROVED));
    }
}

#[tokio::test]
async fn the_log_says_why_a_call_was_refused_and_the_answer_does_not() {
    let log = Log::default();
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let cases = [
        (
            "recall",
            RECALL,
            "not a call of recall: webhook-signature is missing or came twice",
        ),
        (
            "attendee",
            ATTENDEE,
            "not a call of attendee: X-Webhook-Signature is missing or came twice",
        ),
        (
            "meetstream",
            MEETSTREAM,
            "not a call of meetstream: X-Webhook-Secret is missing",
        ),
    ];
    for (vendor, secret, cause) in cases {
        let url = world.given_verifying_url(&id, vendor, secret).await;
        let call = |url: &Url| {
            let call = world.acme.http().get(&url.url).header("webhook-id", "m");
            call.header("webhook-timestamp", now_in_seconds())
        };
        let before = log.requests().len();
        let recording = log.record(Level::INFO);
        let mut svix = call(&url);
        if vendor == "recall" {
            // With one header of the three, the others are looked for under the names of Svix.
            svix = world.acme.http().get(&url.url);
            for (name, value) in recall_headers(secret, "m", now_in_seconds(), "") {
                if name != "webhook-signature" {
                    svix = svix.header(name.replace("webhook", "svix"), value);
                }
            }
        }
        assert_eq!(answer_to(svix).await.status, 401);
        world.acme.delete_vendor(vendor).await.expect(200);
        let late = answer_to(world.vendor_call(vendor, secret, &url)).await;
        assert_eq!(late.status, 401);
        drop(recording);
        let lines = &log.requests()[before..];
        assert_eq!(lines[0]["cause"], cause);
        assert_eq!(lines[0]["code"], "FST_ERR_UNAUTHORIZED");
        assert_eq!(
            (&lines[0]["team"], &lines[0]["credential_id"]),
            (&json!("acme"), &json!(id))
        );
        let gone = format!("not a call of {vendor}: the team has stored no secret");
        assert_eq!(lines[2]["cause"], gone);
    }
}

#[tokio::test]
async fn a_call_is_not_served_while_the_secret_cannot_be_read() {
    for service in [Service::Kms, Service::DynamoDb] {
        let stage = Stage::new("recall", RECALL).await;
        stage.world.wire.break_service(service, Fault::DropBefore);
        let answer = answer_to(stage.recall(&[])).await;
        assert_eq!(answer.status, 503);
        stage.world.wire.heal();
        assert_eq!(stage.world.uses(&stage.url.id).await, "0");
        assert_eq!(answer_to(stage.recall(&[])).await.status, 200);
    }
}
