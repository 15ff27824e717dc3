//! Checks of signatures, and the signature of a notification. Each check begins with the headers as they arrive.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use shared::notification::{Notification, SigningSecret};
use shared::secret::WebhookSecret;
use shared::timestamp::Timestamp;
use shared::vendor::{Proof, Vendor, VendorKey, VendorSecret};
use shared::zoom::webhook::Signature;

use crate::{Operation, Prepare, Run, run};

/// Every secret here is this text.
const SECRET: &str = "a-secret-of-a-benchmark";
const AT: &str = "1700000000";

pub(crate) fn operations() -> Vec<Operation> {
    let operations: [(&str, Prepare); 5] = [
        ("verify-zoom", zoom),
        ("verify-recall", recall),
        ("verify-attendee", attendee),
        ("verify-meetstream", meetstream),
        ("sign-notification", notification),
    ];
    let operations = operations.into_iter();
    let operations =
        operations.map(|(name, prepare)| Operation::new(name.to_owned(), 200, prepare));
    operations.collect()
}

fn hmac(message: &str) -> Vec<u8> {
    let key = Key::new(HMAC_SHA256, SECRET.as_bytes());
    sign(&key, message.as_bytes()).as_ref().to_vec()
}

fn zoom() -> Run {
    let secret = WebhookSecret::try_from(SECRET.to_owned()).unwrap();
    let body = r#"{"event":"app_deauthorized","event_ts":1700000000000,"payload":{"account_id":"abc",
        "user_id":"z8yBa7mT","signature":"827edc3452044f0bc86bdd5684afb7d1e6becfa1a767f24df1b287853cf73000","deauthorization_time":
        "2023-11-14T22:13:20Z","client_id":"ADZ9k9bTWmGUoUbECUKU_a"}}"#;
    let mac = hmac(&format!("v0:{AT}:{body}"));
    let hex = mac.iter().map(|byte| format!("{byte:02x}"));
    let hex = hex.collect::<Vec<String>>().concat();
    let header = format!("v0={hex}");
    run(move || {
        let signature = Signature::parse(&header, AT).unwrap();
        assert!(signature.verifies(&secret, body.as_bytes()));
    })
}

fn vendor_key(vendor: Vendor, secret: String) -> VendorKey {
    let secret = VendorSecret::try_from(secret).unwrap();
    VendorKey::new(vendor, &secret).unwrap()
}

fn recall() -> Run {
    let key = vendor_key(Vendor::Recall, format!("whsec_{}", STANDARD.encode(SECRET)));
    let id = "msg_2mN8qyNXfFzjTYd0pYLnq3Rr1Kc";
    let header = format!("v1,{}", STANDARD.encode(hmac(&format!("{id}.{AT}."))));
    let now = Timestamp::from_seconds(AT.parse().unwrap());
    run(move || {
        let proof = Proof::recall(id, AT, &header, b"", now).unwrap();
        assert!(proof.verifies(&key));
    })
}

fn attendee() -> Run {
    let key = vendor_key(Vendor::Attendee, STANDARD.encode(SECRET));
    // Attendee signs the canonical text: keys in order, without blanks.
    let body = r#"{"callback_type": "zoom_tokens", "bot_id": "bot_weIAju4OXNZkDTpZ", "meeting": {"url":
        "https://zoom.us/j/12345", "host": null}, "bot_metadata": {"customer_id": "abc123", "ä": [1, 2.5, true]}}"#;
    let canonical = concat!(
        r#"{"bot_id":"bot_weIAju4OXNZkDTpZ","bot_metadata":{"customer_id":"abc123","ä":[1,2.5,true]},"#,
        r#""callback_type":"zoom_tokens","meeting":{"host":null,"url":"https://zoom.us/j/12345"}}"#
    );
    let header = STANDARD.encode(hmac(canonical));
    run(move || {
        let proof = Proof::attendee(&header, body.as_bytes()).unwrap();
        assert!(proof.verifies(&key));
    })
}

fn meetstream() -> Run {
    let key = vendor_key(Vendor::Meetstream, SECRET.to_owned());
    run(move || assert!(Proof::meetstream(SECRET).verifies(&key)))
}

fn notification() -> Run {
    let secret = SigningSecret::generate().unwrap();
    let notification: Notification = serde_json::from_value(json!({
        "id": "msg_01890a5d-ac96-774b-bcce-b302099a8057",
        "team": "acme",
        "type": "credential.invalid",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "data": {
            "event_id": "01890a5d-ac96-774b-bcce-b302099a8057",
            "credential_id": "01890a5d-ac96-774b-bcce-b302099a8057",
            "reason": "revoked",
        },
    }))
    .unwrap();
    run(move || {
        let body = notification.body().unwrap();
        secret.sign(&notification.id, 1_700_000_000, &body)
    })
}
