//! The calls of bot vendors to a token URL.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use functions::http::request::Request;
use functions::parsers;
use serde_json::Value;
use shared::timestamp::Timestamp;
use shared::vendor::{Proof, Vendor, VendorKey, VendorSecret, canonical};
use url::form_urlencoded;

use super::requests::refused;
use super::{Call, choice, hmac, line, text_line, with_time};

/// The key in the secrets below.
const KEY: &[u8] = b"FAKE key of a vendor, for tests!";
/// The time of the calls of Recall.ai, which are checked against a clock that stands.
const NOW_SECONDS: i64 = 1_600_000_000;

fn key(vendor: Vendor) -> VendorKey {
    let text = match vendor {
        Vendor::Recall => format!("whsec_{}", STANDARD.encode(KEY)),
        Vendor::Attendee => STANDARD.encode(KEY),
        Vendor::Meetstream => "FAKE-secret-of-MeetStream".to_owned(),
    };
    let key = VendorSecret::try_from(text).and_then(|secret| VendorKey::new(vendor, &secret));
    let Ok(key) = key else {
        panic!("the key is no key");
    };
    key
}

/// What a vendor says about its bot: the meeting has 1 to 20 digits, the bot's id is visible, the call names 1 to 10
/// credentials and users, and a signed body wins over the query. The first line is the query, the rest is the body.
pub fn bot_call(data: &[u8]) {
    let Some((flags, rest)) = choice(data) else {
        return;
    };
    let (query, body) = line(rest);
    let call = |query: &[u8]| {
        let call = Call {
            method: if flags & 1 == 0 { "GET" } else { "POST" },
            headers: vec![("X-Bot-Id", "bot in a header".to_owned())],
            query: form_urlencoded::parse(query).into_owned().collect(),
            body,
            ..Call::default()
        };
        call.request()
    };
    let (Some(request), Some(only_body)) = (call(query), call(b"")) else {
        return;
    };
    let (in_json, is_signed) = (flags & 1 != 0, flags & 2 != 0);
    let (meeting, bot) = parsers::bot_details(&request, in_json, is_signed);
    if let Some(meeting) = &meeting {
        let digits = meeting.as_str();
        assert!((1..=20).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit()));
    }
    if let Some(bot) = &bot {
        let id = bot.as_str();
        assert!((1..=128).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_graphic()));
    }
    let named = ["meeting_number", "meeting_id", "meeting_url"];
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let names_meeting = body.is_some_and(|body| named.iter().any(|name| body[*name].is_string()));
    if in_json && is_signed && names_meeting {
        let (expected, _) = parsers::bot_details(&only_body, true, true);
        assert_eq!(
            meeting, expected,
            "the query changed what a signed body says"
        );
    }
    call_names(&request, &only_body, is_signed);
    if !in_json {
        let (of_body, _) = parsers::bot_details(&only_body, false, false);
        assert!(of_body.is_none(), "the body of a GET was read");
    }
}

/// Whom a call names: 1 to 10 different credentials and users. The query changes nothing in what a signed body names.
fn call_names(request: &Request, only_body: &Request, is_signed: bool) {
    let named = parsers::names_in_call(request, is_signed);
    match &named {
        Ok(all) => {
            assert!((1..=10).contains(&all.len()), "{all:?}");
            let different: HashSet<&String> = all.iter().collect();
            assert_eq!(different.len(), all.len(), "{all:?}");
            assert!(all.iter().all(|name| name.len() < 4096), "a name is long");
        }
        Err(error) => refused(error, &[400]),
    }
    if is_signed {
        let expected = parsers::names_in_call(only_body, true);
        assert_eq!(
            named.ok(),
            expected.ok(),
            "the query changed whom a signed body names"
        );
    }
}

/// A call is proved exactly if its vendor signed it. The first byte chooses the vendor, then come lines with what the
/// vendor's headers hold, and then the body.
pub fn vendor_proof(data: &[u8]) {
    let Some((chosen, rest)) = choice(data) else {
        return;
    };
    match chosen % 3 {
        0 => recall(rest),
        1 => attendee(rest),
        _ => meetstream(rest),
    };
}

fn recall(data: &[u8]) -> Option<()> {
    let (id, rest) = text_line(data)?;
    let (time, rest) = text_line(rest)?;
    let (signature, body) = text_line(rest)?;
    let message = |time: &str| [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
    let signed = |time: &str| format!("v1,{}", STANDARD.encode(hmac(KEY, &message(time))));
    let key = key(Vendor::Recall);
    let now = Timestamp::from_seconds(NOW_SECONDS);

    let time = time.replace("NOW", &NOW_SECONDS.to_string());
    let valid = signed(&time);
    let is_id =
        (1..=256).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_graphic() && it != b'.');
    let is_time = (1..=12).contains(&time.len()) && time.bytes().all(|it| it.is_ascii_digit());
    let seconds: Option<i64> = time.parse().ok().filter(|_| is_time);
    let is_near = seconds.is_some_and(|it| it.abs_diff(NOW_SECONDS) <= 300);
    let proof = Proof::recall(id, &time, &valid, body, now);
    assert_eq!(proof.is_ok(), is_id && is_near);
    if let Ok(proof) = proof {
        assert!(proof.verifies(&key));
        let forged = Proof::recall(id, &time, signature, body, now);
        let is_valid = signature.split(' ').any(|it| it == valid);
        assert_eq!(
            forged.is_ok_and(|it| it.verifies(&key)),
            is_valid && signature.len() <= 2048
        );
        let longer = [body, b" "].concat();
        let longer = Proof::recall(id, &time, &valid, &longer, now);
        assert!(!longer.is_ok_and(|it| it.verifies(&key)));
    }

    // The same in a request. The clock does not stand there, so the time of the input becomes the current one.
    let time = with_time(&time.replace(&NOW_SECONDS.to_string(), "NOW"));
    let valid = signed(&time);
    let call = Call {
        method: "GET",
        headers: vec![
            ("webhook-id", id.to_owned()),
            ("Webhook-Timestamp", time.clone()),
            ("WEBHOOK-SIGNATURE", valid),
        ],
        body,
        ..Call::default()
    };
    let request = call.request()?;
    let proof = parsers::vendor_proof(Vendor::Recall, &request);
    let is_proved = proof.is_ok_and(|it| it.verifies(&key));
    assert!(
        !is_proved || (is_id && body.is_empty()),
        "only a GET without a body is proved"
    );
    Some(())
}

fn attendee(data: &[u8]) -> Option<()> {
    let (signature, body) = text_line(data)?;
    let text = canonical(body);
    if let Some(text) = &text {
        assert_eq!(
            canonical(text).as_ref(),
            Some(text),
            "the canonical text is not stable"
        );
    }
    let valid = text.as_ref().map(|it| STANDARD.encode(hmac(KEY, it)));
    let key = key(Vendor::Attendee);
    let proved = |signature: &str| {
        let proof = Proof::attendee(signature, body);
        proof.is_ok_and(|proof| proof.verifies(&key))
    };
    assert_eq!(proved(signature), valid.as_deref() == Some(signature));
    if let Some(valid) = &valid {
        assert!(proved(valid));
        let other: String = valid.chars().rev().collect();
        assert_eq!(proved(&other), other == *valid);
    }
    let call = Call {
        method: "POST",
        headers: vec![("x-webhook-signature", valid.unwrap_or_default())],
        body,
        ..Call::default()
    };
    let request = call.request()?;
    let proof = parsers::vendor_proof(Vendor::Attendee, &request);
    if proof.is_ok_and(|proof| proof.verifies(&key)) {
        let body: Option<Value> = serde_json::from_slice(body).ok();
        // The second parser refuses numbers that are too large.
        let callback = body.map(|body| body["callback_type"] == "zoom_tokens");
        assert_ne!(
            callback,
            Some(false),
            "another callback of Attendee is proved"
        );
    }
    Some(())
}

fn meetstream(data: &[u8]) -> Option<()> {
    let (sent, body) = text_line(data)?;
    let key = key(Vendor::Meetstream);
    assert_eq!(
        Proof::meetstream(sent).verifies(&key),
        sent == "FAKE-secret-of-MeetStream"
    );
    let call = |headers| Call {
        method: "POST",
        headers,
        body,
        ..Call::default()
    };
    let in_header = call(vec![("x-webhook-secret", sent.to_owned())]).request()?;
    let proof = parsers::vendor_proof(Vendor::Meetstream, &in_header);
    let is_proved = proof.is_ok_and(|proof| proof.verifies(&key));
    assert_eq!(is_proved, sent == "FAKE-secret-of-MeetStream");
    let in_body = call(Vec::new()).request()?;
    let proof = parsers::vendor_proof(Vendor::Meetstream, &in_body);
    if proof.is_ok_and(|proof| proof.verifies(&key)) {
        let body = String::from_utf8_lossy(body);
        assert!(body.contains("webhook_secret") || body.contains('\\'));
    }
    Some(())
}
