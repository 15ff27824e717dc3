//! Fields of a body: types, lengths, characters and duplicate keys.

#![expect(clippy::string_slice, reason = "every cut is at a character boundary")]

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::{CREATE, INVALID, MARKER, Target, body, expect_refusal, generated};
use crate::proxy::Service;
use crate::world::{app_body, send, with};

const TEXTS: [&str; 5] = [
    "name",
    "client_id",
    "client_secret",
    "authorization_code",
    "redirect_uri",
];

#[tokio::test]
async fn a_field_of_the_wrong_type_is_named() {
    let target = Target::new().await;
    for field in TEXTS {
        let message = format!("body/{field} must be string");
        for raw in [
            "null",
            "true",
            "0",
            "-1.5e3",
            "1e999",
            "[]",
            "{}",
            r#"["m4rk3r"]"#,
            r#"{"m4rk3r":"m4rk3r"}"#,
        ] {
            target
                .refuses(body(field, raw), 400, INVALID, &message)
                .await;
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        target
            .refuses(body(field, &deep), 400, INVALID, &message)
            .await;
    }
    for raw in [
        r#""m4rk3r""#,
        "false",
        "1",
        "1e999",
        "[]",
        r#"[{"m4rk3r":1}]"#,
        r#""{}""#,
    ] {
        let message = "body/extra must be object";
        target
            .refuses(body("extra", raw), 400, INVALID, message)
            .await;
    }
    target.expect_untouched().await;
}

#[tokio::test]
async fn a_text_that_is_one_character_too_long_is_refused() {
    let target = Target::new().await;
    for (field, most) in [
        ("name", 100),
        ("client_id", 256),
        ("client_secret", 256),
        ("authorization_code", 2000),
    ] {
        let message = format!("body/{field} must NOT have more than {most} characters");
        for filler in ["x", "é", "🦀", r"\u00e9", r"\ud83e\udd80"] {
            let text = format!("\"m4rk3r{}\"", filler.repeat(most + 1 - MARKER.len()));
            target
                .refuses(body(field, &text), 400, INVALID, &message)
                .await;
        }
        let long = format!("\"{}\"", "x".repeat(200_000));
        target
            .refuses(body(field, &long), 400, INVALID, &message)
            .await;
    }
    target.expect_untouched().await;
}

// assures 30
#[tokio::test]
async fn a_text_with_nul_or_invalid_unicode_is_refused() {
    let target = Target::new().await;
    let halves = [
        r#""m4rk3r\ud800""#,
        r#""\udc00m4rk3r""#,
        r#""m4rk3r\ud800\u0041""#,
        r#""\udfff\ud800""#,
        r#""\ud83e\\udd80""#,
    ];
    for field in TEXTS {
        let message = format!("body/{field} must NOT contain NUL characters");
        for raw in [
            r#""m4rk3r\u0000""#,
            r#""\u0000""#,
            r#""\u0000https://m4rk3r.test""#,
        ] {
            target
                .refuses(body(field, raw), 400, INVALID, &message)
                .await;
        }
        let message = format!("body/{field} must be valid Unicode");
        for raw in halves {
            target
                .refuses(body(field, raw), 400, INVALID, &message)
                .await;
        }
    }

    for raw in [
        r#""m4rk3r\u0000""#,
        r#"["\u0000"]"#,
        r#"{"\u0000m4rk3r":1}"#,
        r#"{"a":[{"b":"\u0000"}]}"#,
    ] {
        let message = "body/extra must NOT contain NUL characters";
        let extra = format!(r#"{{"m4rk3r":{raw}}}"#);
        target
            .refuses(body("extra", &extra), 400, INVALID, message)
            .await;
    }
    let message = "body/extra must be JSON with valid Unicode and representable numbers";
    for raw in halves {
        for extra in [
            format!(r#"{{"a":{raw}}}"#),
            format!("{{{raw}:1}}"),
            format!(r#"{{"a":[{{"b":{raw}}}]}}"#),
        ] {
            target
                .refuses(body("extra", &extra), 400, INVALID, message)
                .await;
        }
    }
    for number in ["1e999", "-1e999", "1e309", "[1,[2e400]]"] {
        let extra = format!(r#"{{"m4rk3r":{number}}}"#);
        target
            .refuses(body("extra", &extra), 400, INVALID, message)
            .await;
    }
    target.expect_untouched().await;
}

// assures 30
#[tokio::test]
async fn duplicate_keys_are_refused() {
    let target = Target::new().await;
    for twice in [
        ("name", r#""a","name":"m4rk3r""#),
        ("name", r#""a","n\u0061me":"m4rk3r""#),
        ("m4rk3r", r#"1,"m4rk3r":1"#),
        ("", r#"1,"":2"#),
        ("extra", r#"null,"extra":{"a":"m4rk3r"}"#),
        ("client_secret", r#""a","client_secret":"a""#),
    ] {
        let message = "body must NOT have duplicate keys";
        target
            .refuses(body(twice.0, twice.1), 400, INVALID, message)
            .await;
    }
    for extra in [
        r#"{"m4rk3r":1,"m4rk3r":1}"#,
        r#"{"a":1,"\u0061":"m4rk3r"}"#,
        r#"{"a":{"b":[{"c":1,"d":2,"c":3}]}}"#,
        r#"{"":1,"":2}"#,
    ] {
        let message = "body/extra must NOT have duplicate keys";
        target
            .refuses(body("extra", extra), 400, INVALID, message)
            .await;
    }
    target.expect_untouched().await;
}

#[tokio::test]
async fn a_body_with_a_random_error_creates_a_whole_credential_or_nothing() {
    let target = Target::new().await;
    let whole = with(app_body("bot"), json!({ "extra": { "a": [1, "é", null] } })).to_string();
    let flaw = (
        0..whole.len(),
        proptest::prop_oneof![
            "[\"\\\\{}\\[\\]:,0-9a-z\u{0} ]",
            proptest::prelude::any::<String>()
        ],
        0..3_usize,
    );
    let (mut created, mut refused) = (0, 0);
    for (at, text, cut) in generated(150, flaw) {
        let at = (0..=at)
            .rev()
            .find(|at| whole.is_char_boundary(*at))
            .unwrap();
        let rest: String = whole[at..].chars().skip(cut).collect();
        let flawed = format!("{}{text}{rest}", &whole[..at]);
        let answer = target
            .world
            .acme
            .send_text(Method::POST, CREATE, flawed.clone())
            .await;
        if answer.status == 201 {
            created += 1;
            let meant: Value = serde_json::from_str(&flawed).unwrap();
            let made = answer.expect(201);
            assert_eq!(made["name"], meant["name"], "{flawed}");
            assert_eq!(made["extra"], meant["extra"], "{flawed}");
        } else {
            refused += 1;
            let message = answer.expect_code(400, INVALID);
            assert!(message.starts_with("body"), "{message}");
        }
    }
    assert!(
        created > 10 && refused > 50,
        "{created} created, {refused} refused"
    );
    assert_eq!(target.world.count("credentials").await, 1 + created);
    assert_eq!(
        target.world.count("secrets").await,
        target.stored.0 + created
    );
    assert_eq!(target.world.wire.count(Service::Zoom), 0);
}

#[tokio::test]
async fn a_refused_idempotency_key_makes_no_calls_and_stores_nothing() {
    let target = Target::new().await;
    let long = format!("{MARKER}{}", "x".repeat(250));
    for key in ["", " ", "m4rk3r m4rk3r", "m4rk3r\u{e9}", &long] {
        for (method, path) in [
            (Method::POST, CREATE),
            (Method::PATCH, target.path().as_str()),
        ] {
            let request = target.world.acme.request(method, path);
            let request = request
                .header("idempotency-key", key.as_bytes())
                .header(CONTENT_TYPE, "application/json")
                .body(body("extra", "null"));
            let message = "headers/idempotency-key must be 1 to 255 visible ASCII characters";
            expect_refusal(&send(request).await, 400, INVALID, message, key.as_bytes());
        }
    }
    target.expect_untouched().await;
}
