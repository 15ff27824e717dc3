//! Signatures that other programs made.

use shared::timestamp::Timestamp;
use shared::vendor::{Proof, TOLERANCE, Vendor, VendorKey, VendorSecret, canonical};

use super::{ATTENDEE, CANONICAL, RECALL, WIRE};

fn key(vendor: Vendor, secret: &str) -> VendorKey {
    let secret = VendorSecret::try_from(secret.to_owned()).unwrap();
    VendorKey::new(vendor, &secret).unwrap()
}

const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const AT: &str = "1614265330";

fn recall<'a>(signatures: &'a str, body: &[u8]) -> Proof<'a> {
    let now = Timestamp::from_seconds(1_614_265_330);
    Proof::recall(ID, AT, signatures, body, now).unwrap()
}

#[test]
fn recalls_signature_of_a_get_is_over_a_text_that_ends_in_a_dot() {
    let key = key(Vendor::Recall, RECALL);
    let signature = "v1,56fBKc5DrLc63IFtAbB/CZDN2Up6rtGtldmajLFg9TU=";
    assert!(recall(signature, b"").verifies(&key));
    assert!(!recall(signature, b" ").verifies(&key));
}

/// The vector in the libraries of Standard Webhooks. They show the secret without its prefix.
#[test]
fn the_vector_of_standard_webhooks_verifies() {
    let key = key(Vendor::Recall, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let body = br#"{"test": 2432232314}"#;
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert!(recall(signature, body).verifies(&key));
    assert!(!recall(signature, b"").verifies(&key));
}

/// The clock is a parameter, so the boundary is exact.
#[test]
fn recalls_signature_is_fresh_for_exactly_5_minutes() {
    let window = i64::try_from(TOLERANCE.as_secs()).unwrap();
    assert_eq!(window, 300);
    for (drift, is_fresh) in [
        (-301, false),
        (-300, true),
        (0, true),
        (300, true),
        (301, false),
    ] {
        let now = Timestamp::from_seconds(1_614_265_330 + drift);
        let proof = Proof::recall(ID, AT, "v1,x", b"", now);
        assert_eq!(proof.is_ok(), is_fresh, "{drift}");
    }
}

#[test]
fn attendees_vectors_verify_and_the_wire_text_is_not_what_is_signed() {
    let key = key(Vendor::Attendee, ATTENDEE);
    assert_eq!(canonical(WIRE.as_bytes()).unwrap(), CANONICAL.as_bytes());
    let signature = "iQ5rdsKCmn4vv/yObzjmb1hBSozZuke6Ft7ky6jmA3s=";
    assert!(
        Proof::attendee(signature, WIRE.as_bytes())
            .unwrap()
            .verifies(&key)
    );

    let metadata = r#"{"b": "Zo\u00eb/1", "a": "x \"q\"", "\u00e9": "1"}"#;
    let null = WIRE.replace(metadata, "null");
    assert_ne!(null, WIRE);
    let other = "vhkxM6hXMG8VAv+6FKl41ikk8ehNV9IysUKnwbCHIAY=";
    assert!(
        Proof::attendee(other, null.as_bytes())
            .unwrap()
            .verifies(&key)
    );
    assert!(
        !Proof::attendee(other, WIRE.as_bytes())
            .unwrap()
            .verifies(&key)
    );
}

/// Python's `json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)` printed the second texts.
#[test]
fn canonical_json_is_what_python_prints() {
    for (json, expected) in [
        (
            r#" { "b" : 1 , "a" : [ 1 , 2.50 , -0.0 , 1e+16 , 1E5 ] } "#,
            r#"{"a":[1,2.50,-0.0,1e+16,1E5],"b":1}"#,
        ),
        (
            r#"{"z": {"b": null, "a": true}, "y": [], "x": {}}"#,
            r#"{"x":{},"y":[],"z":{"a":true,"b":null}}"#,
        ),
        // Escaped: quotes, backslashes and control characters, and nothing else.
        (
            r#""\u0022\u005c\/\u002f\u0008\u000c\u000a\u000d\u0009\u0001\u001f\u007f\u2028\u2029""#,
            "\"\\\"\\\\//\\b\\f\\n\\r\\t\\u0001\\u001f\u{7f}\u{2028}\u{2029}\"",
        ),
        // Sorted by code points: U+FFFF comes before U+10000, whose surrogates are smaller.
        (
            r#"{"\ud800\udc00": 1, "\uffff": 2, "B": 3, "a": 4}"#,
            "{\"B\":3,\"a\":4,\"\u{ffff}\":2,\"\u{10000}\":1}",
        ),
        (
            "98765432109876543210987654321098765432109876543210.0",
            "98765432109876543210987654321098765432109876543210.0",
        ),
    ] {
        let text = canonical(json.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(canonical(nested(16).as_bytes()).is_some());
    assert!(canonical(nested(17).as_bytes()).is_none());
}

#[test]
fn meetstreams_secret_is_compared_as_it_is() {
    let key = key(Vendor::Meetstream, "a-secret,as-it-is:e=");
    assert!(Proof::meetstream("a-secret,as-it-is:e=").verifies(&key));
    for other in ["a-secret,as-it-is:e", "a-secret,as-it-is:e= ", ""] {
        assert!(!Proof::meetstream(other).verifies(&key));
    }
}
