//! Laws of the parsers, checked with generated input.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::envelope::SecretId;
use shared::timestamp::Timestamp;
use shared::vendor::{Proof, Vendor, VendorKey, VendorSecret, canonical};

use super::{RECALL, hmac};
use crate::properties::{config, near};

fn vendor() -> impl Strategy<Value = Vendor> {
    prop_oneof![
        Just(Vendor::Recall),
        Just(Vendor::Attendee),
        Just(Vendor::Meetstream)
    ]
}

/// JSON values, a few levels deep.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

fn recall_key() -> VendorKey {
    let secret = VendorSecret::try_from(RECALL.to_owned()).unwrap();
    VendorKey::new(Vendor::Recall, &secret).unwrap()
}

proptest! {
    #![proptest_config(config())]

    /// `serde_json` prints an object sorted by its keys, because its maps are.
    #[test]
    fn canonical_json_is_the_same_value_without_spaces_however_it_was_written(value in value(), spaced: bool) {
        let text = if spaced { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
        let text = canonical(&text.unwrap()).unwrap();
        prop_assert_eq!(&text, &serde_json::to_vec(&value).unwrap());
        prop_assert_eq!(canonical(&text).unwrap(), text);
    }

    #[test]
    fn canonical_json_never_panics_and_is_stable(text in near(vec![
        r#"{"a":1,"b":{"c":[1,2.5e3,"\u00e9\ud83e\udd80"]},"d":null}"#.into(),
        r#"{"a":1,"a":2}"#.into(), r#"{"a":{"b":1,"\u0062":2}}"#.into(), r#""\ud800""#.into(),
        "[".repeat(40), "1e999".into(), "-".into(), "\u{feff}{}".into(), String::new(),
    ])) {
        if let Some(once) = canonical(text.as_bytes()) {
            prop_assert_eq!(canonical(&once), Some(once));
            prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
        }
    }

    #[test]
    fn a_body_of_any_bytes_never_panics(body in vec(any::<u8>(), 0..64)) {
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
        prop_assert!(is_json || canonical(&body).is_none());
        prop_assert!(!Proof::attendee("", &body).is_ok_and(|it| it.verifies(&recall_key())));
    }

    #[test]
    fn recalls_headers_verify_exactly_if_they_are_those_that_were_signed(
        id in near(vec!["msg_1".into(), "x".repeat(256)]), at in near(vec!["1614265330".into()]), body: Vec<u8>,
        signature in near(vec![hmac(RECALL, b"msg_1.1614265330.")]),
    ) {
        let now = Timestamp::from_seconds(1_614_265_330);
        let valid = hmac(RECALL, &[id.as_bytes(), b".", at.as_bytes(), b".", &body].concat());
        let (valid, other) = (format!("v1,{valid}"), format!("v1,{signature}"));
        let signed = Proof::recall(&id, &at, &valid, &body, now);
        let is_id = (1..=256).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_graphic() && it != b'.');
        let is_at = (1..=12).contains(&at.len()) && at.bytes().all(|it| it.is_ascii_digit());
        let is_near = is_at && at.parse::<i64>().unwrap().abs_diff(1_614_265_330) <= 300;
        prop_assert_eq!(signed.is_ok(), is_id && is_near);
        if let Ok(proof) = signed {
            prop_assert!(proof.verifies(&recall_key()));
            let forged = Proof::recall(&id, &at, &other, &body, now);
            prop_assert_eq!(forged.is_ok_and(|it| it.verifies(&recall_key())), other == valid);
            let mut longer = body.clone();
            longer.push(b' ');
            prop_assert!(!Proof::recall(&id, &at, &valid, &longer, now).unwrap().verifies(&recall_key()));
        }
    }

    #[test]
    fn a_secret_is_16_to_256_visible_ascii_characters(text in "[!-~]{1,9}|\\PC{1,9}|[ -~]{1,9}", times in 0..40_usize) {
        let text = text.repeat(times);
        let fits = (16..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        let secret = VendorSecret::try_from(text.clone());
        prop_assert_eq!(secret.is_ok(), fits);
        if let Ok(secret) = secret {
            let key = VendorKey::new(Vendor::Meetstream, &secret).unwrap();
            prop_assert!(Proof::meetstream(&text).verifies(&key));
            let forged = format!("{text}x");
            prop_assert!(!Proof::meetstream(&forged).verifies(&key));
        }
    }

    #[test]
    fn the_key_parser_never_panics_and_refuses_short_keys(vendor in vendor(), text in near(vec![
        RECALL.into(), "whsec_AAECAwQFBgcICQoLDA0ODw==".into(), "AAECAwQFBgcICQoLDA0O".into(), "whsec_whsec_".into(),
    ])) {
        if let Ok(secret) = VendorSecret::try_from(text.clone()) {
            let key = VendorKey::new(vendor, &secret);
            let shown = format!("{secret:?} {key:?}");
            prop_assert!(!shown.contains(&text));
            if key.is_ok() && vendor != Vendor::Meetstream {
                prop_assert!(text.len() >= 24, "{}", text);
            }
        }
    }

    #[test]
    fn the_key_of_a_vendors_row_parses_and_prints(team in "[a-z0-9-]{1,32}", vendor in vendor()) {
        let text = format!("vendor#{team}#{vendor}");
        let id: SecretId = text.parse().unwrap();
        prop_assert_eq!(&id, &SecretId::Vendor(team.parse().unwrap(), vendor));
        prop_assert_eq!(id.to_string(), text);
    }

    #[test]
    fn the_parser_of_rows_never_panics(text in near(vec!["vendor#acme#recall".into(), "vendor##".into()])) {
        if let Ok(id) = text.parse::<SecretId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn a_vendor_is_one_of_three_words(text in near(vec!["recall".into(), "attendee".into(), "meetstream".into()])) {
        let known = ["recall", "attendee", "meetstream"].contains(&text.as_str());
        let read = text.parse::<Vendor>();
        prop_assert_eq!(read.is_ok(), known);
        if let Ok(vendor) = read {
            prop_assert_eq!(vendor.to_string(), text);
        }
    }
}
