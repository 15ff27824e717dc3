//! Calls that the vendor made, and what they cost.

use serde_json::{Value, json};
use tracing::Level;

use super::{
    ATTENDEE, CANONICAL, MEETSTREAM, OTHER_RECALL, RECALL, VENDORS, WIRE, answer_to, hmac,
    now_in_seconds, recall_headers,
};
use crate::proxy::Service;
use crate::secrecy::log::Log;
use crate::world::World;

// assures 53
#[tokio::test]
async fn a_call_that_the_vendor_proves_gets_a_token_and_takes_a_use() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    for (vendor, secret, _) in VENDORS {
        let url = world.given_verifying_url(&id, vendor, secret).await;
        let answer = answer_to(world.vendor_call(vendor, secret, &url)).await;
        assert_eq!(answer.status, 200, "{vendor}: {}", answer.text);
        assert_eq!(answer.text.contains('{'), vendor == "attendee");
        assert_eq!(world.uses(&url.id).await, "1");
    }
}

#[tokio::test]
async fn both_secrets_verify_during_a_rotation_and_a_deleted_or_replaced_secret_verifies_nothing() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let third = "whsec_DAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    world
        .acme
        .put_vendor("recall", json!({ "secrets": [RECALL] }))
        .await
        .expect(200);
    let url = world
        .given_url(&id, json!({ "type": "zak", "verify": "recall" }))
        .await;
    let statuses = async || {
        let mut statuses = Vec::new();
        for secret in [RECALL, OTHER_RECALL, third] {
            statuses.push(
                answer_to(world.vendor_call("recall", secret, &url))
                    .await
                    .status,
            );
        }
        statuses
    };
    let put = async |secrets: &[&str]| {
        let body = json!({ "secrets": secrets });
        world.acme.put_vendor("recall", body).await.expect(200);
    };
    assert_eq!(statuses().await, [200, 401, 401]);
    put(&[RECALL, OTHER_RECALL]).await;
    assert_eq!(statuses().await, [200, 200, 401]);
    put(&[OTHER_RECALL, third]).await;
    assert_eq!(statuses().await, [401, 200, 200]);
    put(&[RECALL]).await;
    assert_eq!(statuses().await, [200, 401, 401]);
    world.acme.delete_vendor("recall").await.expect(200);
    assert_eq!(statuses().await, [401; 3]);
}

#[tokio::test]
async fn recalls_header_may_have_several_signatures_and_older_names() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    world
        .acme
        .put_vendor("recall", json!({ "secrets": [RECALL] }))
        .await
        .expect(200);
    let url = world
        .given_url(&id, json!({ "type": "zak", "verify": "recall" }))
        .await;
    let [(_, id), (_, at), (_, valid)] = recall_headers(RECALL, "msg_1", now_in_seconds(), "");
    let [_, _, (_, other)] = recall_headers(OTHER_RECALL, "msg_1", now_in_seconds(), "");
    let call = |prefix: &str, signatures: &str| {
        let call = world.acme.http().get(&url.url);
        let call = call.header(format!("{prefix}-Id"), &id);
        let call = call.header(format!("{prefix}-Timestamp"), &at);
        answer_to(call.header(format!("{prefix}-Signature"), signatures))
    };
    for prefix in ["webhook", "Webhook", "svix"] {
        for signatures in [
            valid.clone(),
            format!("{other} {valid}"),
            format!("v1a,nonsense {valid} v2,nonsense"),
            format!("v1,!!! {valid}"),
        ] {
            let answer = call(prefix, &signatures).await;
            assert_eq!(answer.status, 200, "{prefix} {signatures}");
        }
        for signatures in [
            other.clone(),
            valid.replace("v1,", "v1a,"),
            valid.replace("v1,", "v2,"),
            valid.replace("v1,", ""),
            format!("{other},{valid}"),
        ] {
            let answer = call(prefix, &signatures).await;
            assert_eq!(answer.status, 401, "{prefix} {signatures}");
        }
    }
}

#[tokio::test]
async fn attendees_signature_covers_the_canonical_json_and_not_the_bytes_of_the_body() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    world
        .acme
        .put_vendor("attendee", json!({ "secrets": [ATTENDEE] }))
        .await
        .expect(200);
    let url = world
        .given_url(&id, json!({ "type": "zak", "verify": "attendee" }))
        .await;
    let call = |body: &str, signed: &str| {
        let call = world.acme.http().post(&url.url);
        let call = call.header("x-webhook-signature", hmac(ATTENDEE, signed.as_bytes()));
        answer_to(call.body(body.to_owned()))
    };
    let pretty: Value = serde_json::from_str(WIRE).unwrap();
    let pretty = serde_json::to_string_pretty(&pretty).unwrap();
    let largest = format!("{WIRE}{}", " ".repeat(256 * 1024 - WIRE.len()));
    for body in [WIRE, CANONICAL, &pretty, &largest] {
        assert_eq!(call(body, CANONICAL).await.status, 200, "{body:.300}");
    }
    assert_eq!(call(WIRE, WIRE).await.status, 401);
    assert_eq!(world.newest_event(&id).await["bot_id"], "bot_abcDEF123");
}

#[tokio::test]
async fn meetstreams_secret_is_in_the_header_or_in_the_body() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    world
        .acme
        .put_vendor("meetstream", json!({ "secrets": [MEETSTREAM] }))
        .await
        .expect(200);
    let url = world
        .given_url(&id, json!({ "type": "zak", "verify": "meetstream" }))
        .await;
    let call = || world.acme.http().post(&url.url);
    let body = |secret: &str| json!({ "bot_id": "ms-1", "webhook_secret": secret });
    for (status, request) in [
        (200, call().header("X-Webhook-Secret", MEETSTREAM)),
        (200, call().json(&body(MEETSTREAM))),
        (401, call().json(&body("another secret"))),
        (401, call().json(&body(""))),
        (401, call()),
        // The header counts.
        (
            401,
            call()
                .header("X-Webhook-Secret", "x")
                .json(&body(MEETSTREAM)),
        ),
        (
            401,
            call()
                .header("X-Webhook-Secret", "")
                .json(&body(MEETSTREAM)),
        ),
        (
            200,
            call()
                .header("X-Webhook-Secret", MEETSTREAM)
                .json(&body("x")),
        ),
        (
            401,
            world.acme.http().get(format!(
                "{}?webhook_secret=a%20secret%20of%20MeetStream",
                url.url
            )),
        ),
    ] {
        assert_eq!(answer_to(request).await.status, status);
    }
}

#[tokio::test]
async fn many_forged_calls_cause_one_kms_call_for_each_stored_secret() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    for (vendor, secret, other) in VENDORS {
        let url = world.given_verifying_url(&id, vendor, secret).await;
        world.wire.reset();
        for _ in 0..20 {
            let answer = answer_to(world.vendor_call(vendor, other, &url)).await;
            assert_eq!(answer.status, 401);
        }
        assert_eq!(world.wire.operations(Service::Kms), ["Decrypt"], "{vendor}");
        assert_eq!(world.wire.count(Service::Zoom), 0);
        // The URL's row and the vendor's row, both consistent.
        assert_eq!(
            world.wire.operations(Service::DynamoDb),
            vec!["GetItem"; 40]
        );
    }
}

#[tokio::test]
async fn a_call_with_the_id_of_an_earlier_call_is_served_and_logged() {
    let log = Log::default();
    let world = World::new().await;
    let id = world.given_warm_user().await;
    world
        .acme
        .put_vendor("recall", json!({ "secrets": [RECALL] }))
        .await
        .expect(200);
    let url = world
        .given_url(&id, json!({ "type": "zak", "verify": "recall" }))
        .await;
    let recording = log.record(Level::INFO);
    let repeated = || {
        let lines = String::from_utf8(log.bytes()).unwrap();
        lines.matches("a vendor's call came twice").count()
    };
    for (id, expected) in [("msg_1", 0), ("msg_2", 0), ("msg_1", 1)] {
        let mut call = world.acme.http().get(&url.url);
        for (name, value) in recall_headers(RECALL, id, now_in_seconds(), "") {
            call = call.header(name, value);
        }
        assert_eq!(answer_to(call).await.status, 200);
        assert_eq!(repeated(), expected, "{id}");
    }
    drop(recording);
}

#[tokio::test]
async fn a_url_that_verifies_no_vendor_answers_every_call() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_url(&id, json!({ "type": "zak" })).await;
    world.wire.reset();
    assert_eq!(answer_to(world.acme.http().get(&url.url)).await.status, 200);
    let calls = world.wire.calls().into_iter();
    assert!(
        !calls
            .map(|call| format!("{:?}", call.body))
            .any(|body| body.contains("vendor#"))
    );
}

/// The query is not signed, and anyone who knows the URL can change it.
#[tokio::test]
async fn attendees_signed_meeting_wins_over_the_query() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_verifying_url(&id, "attendee", ATTENDEE).await;
    world.wire.reset();
    let url = format!("{}?meeting_id=11111111111&bot_id=other", url.url);
    let signed = world.acme.http().post(url);
    let signed = signed.header("x-webhook-signature", hmac(ATTENDEE, CANONICAL.as_bytes()));
    assert_eq!(answer_to(signed.body(WIRE)).await.status, 200);
    let calls = world.wire.calls().into_iter();
    let mut minted = calls.filter(|call| call.service == Service::Zoom);
    let target = minted.next().unwrap().target;
    assert!(target.contains("meeting_id=98765432101"), "{target}");
}

/// A signed body can be sent again with another query, because Attendee signs no time.
#[tokio::test]
async fn the_query_names_no_meeting_beside_a_signed_link_without_a_number() {
    let world = World::new().await;
    let id = world.given_warm_user().await;
    let url = world.given_verifying_url(&id, "attendee", ATTENDEE).await;
    world.wire.reset();
    let body = r#"{"bot_id":"bot_1","callback_type":"zoom_tokens","meeting_url":"https://zoom.us/my/ada"}"#;
    let url = format!("{}?meeting_id=11111111111", url.url);
    let signed = world.acme.http().post(url);
    let signed = signed.header("x-webhook-signature", hmac(ATTENDEE, body.as_bytes()));
    assert_eq!(answer_to(signed.body(body)).await.status, 200);
    let calls = world.wire.calls().into_iter();
    let mut minted = calls.filter(|call| call.service == Service::Zoom);
    let target = minted.next().unwrap().target;
    assert!(!target.contains("meeting_id"), "{target}");
}
