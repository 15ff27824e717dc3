//! The webhooks of Zoom.

use functions::parsers;
use shared::credential::ClientId;
use shared::secret::WebhookSecret;
use shared::timestamp::Timestamp;
use shared::zoom::webhook::{ChallengeResponse, SIGNATURE_WINDOW, Signature, WebhookEvent};

use super::requests::refused;
use super::{Call, hex, hmac, shows, text_line, with_time};

const SECRET: &str = "FAKE-secret-token";

/// A webhook counts exactly if its signature is over this time and this body. The first two lines are the headers, the
/// rest is the body.
pub fn webhook(data: &[u8]) {
    check(data);
}

fn check(data: &[u8]) -> Option<()> {
    let (signature, rest) = text_line(data)?;
    let (time, body) = text_line(rest)?;
    let time = with_time(time);
    let secret = WebhookSecret::try_from(SECRET.to_owned()).ok()?;
    let message = |body: &[u8]| [b"v0:", time.as_bytes(), b":", body].concat();
    let valid = format!("v0={}", hex(&hmac(SECRET.as_bytes(), &message(body))));

    let is_time = (1..=12).contains(&time.len()) && time.bytes().all(|it| it.is_ascii_digit());
    let signed = Signature::parse(&valid, &time);
    assert_eq!(signed.is_some(), is_time, "{time:?}");
    if let Some(signed) = signed {
        assert!(signed.verifies(&secret, body));
        let longer = [body, b" "].concat();
        assert!(!signed.verifies(&secret, &longer));
        let shorter = body.split_last().map(|(_, shorter)| shorter);
        assert!(shorter.is_none_or(|shorter| !signed.verifies(&secret, shorter)));
        let now = Timestamp::now();
        let is_fresh = signed.is_fresh(now, SIGNATURE_WINDOW);
        let seconds: i64 = time.parse().ok()?;
        let distance = seconds.abs_diff(now.as_seconds());
        assert!(!is_fresh || distance <= 301, "{time} is fresh");
        assert!(is_fresh || distance >= 299, "{time} is stale");
    }
    if let Some(forged) = Signature::parse(signature, &time) {
        assert_eq!(forged.verifies(&secret, body), signature == valid);
    }
    event(signature, &time, &valid, body)
}

/// The same in a request, and what an event holds.
fn event(signature: &str, time: &str, valid: &str, body: &[u8]) -> Option<()> {
    let client_id = ClientId::try_from("app".to_owned()).ok()?;
    for signature in [signature, valid] {
        let call = Call {
            method: "POST",
            headers: vec![
                ("X-Zm-Signature", signature.to_owned()),
                ("x-zm-request-timestamp", time.to_owned()),
            ],
            body,
            ..Call::default()
        };
        let request = call.request()?;
        match parsers::zoom_webhook(&request, &client_id, SIGNATURE_WINDOW) {
            Ok((_, event)) => {
                assert!(body.trim_ascii_start().starts_with(b"{"), "no object");
                event_law(&event);
            }
            Err(error) => refused(&error, &[400, 401, 413]),
        }
    }
    Some(())
}

fn event_law(event: &WebhookEvent) {
    let texts = match event {
        WebhookEvent::Challenge { plain_token } => vec![plain_token],
        WebhookEvent::Deauthorized {
            client_id, user_id, ..
        } => {
            assert_eq!(client_id, "app", "the event of another app is accepted");
            vec![client_id, user_id]
        }
        WebhookEvent::UserGone {
            user_id, change, ..
        } => {
            assert!(matches!(*change, "deactivated" | "deleted"));
            vec![user_id]
        }
        WebhookEvent::Other => Vec::new(),
    };
    assert!(texts.iter().all(|text| (1..=256).contains(&text.len())));
    if let WebhookEvent::Challenge { plain_token } = event
        && let Ok(secret) = WebhookSecret::try_from(SECRET.to_owned())
    {
        let answer = ChallengeResponse::new(&secret, plain_token.clone());
        let answer = serde_json::to_value(&answer).unwrap_or_default();
        assert_eq!(answer["plainToken"], plain_token.as_str());
        let mac = hex(&hmac(SECRET.as_bytes(), plain_token.as_bytes()));
        assert_eq!(answer["encryptedToken"], mac.as_str());
        let is_own = shows(plain_token, SECRET);
        assert!(is_own || !shows(&answer.to_string(), SECRET));
    }
}
