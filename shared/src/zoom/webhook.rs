//! Webhooks: the calls that Zoom makes to the vault. This file checks signatures and reads events; it makes no calls.
//!
//! Zoom signs the exact bytes of the body together with the time. The answer to Zoom's challenge is made with the same
//! key, over text that the caller chooses. A caller could use the answer to forge a signature. The challenge is
//! therefore answered only after the caller's own signature was verified.

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::answer;
use crate::encoding::hex;
use crate::invalid::Invalid;
use crate::secret::WebhookSecret;
use crate::timestamp::Timestamp;

/// The default largest difference between the clock and the time of a signature, before or after.
pub const SIGNATURE_WINDOW: Duration = Duration::from_mins(5);

/// The version of the signature scheme, with which a signature begins.
const SIGNATURE_VERSION: &str = "v0";
/// Hex digits of an HMAC-SHA256.
const HMAC_DIGITS: usize = 64;
/// Most digits of a timestamp.
const MAX_TIMESTAMP_DIGITS: usize = 12;
/// From the beginning of a second to its last millisecond.
const END_OF_SECOND: Duration = Duration::from_millis(999);
/// Longest id of a user or an app, and longest challenge.
const MAX_TEXT_BYTES: usize = 256;
/// The rule that every event must follow.
const RULE: Invalid = Invalid("must be an event of Zoom's");

/// The two signature headers of a webhook. They are well-formed, but the signature is not verified yet.
#[derive(Clone, Debug)]
pub struct Signature {
    hex: String,
    timestamp: String,
    signed_at: Timestamp,
}

impl Signature {
    /// Reads the headers `x-zm-signature` and `x-zm-request-timestamp`. `None` if they do not have Zoom's format.
    pub fn parse(signature: &str, timestamp: &str) -> Option<Self> {
        let hex = signature
            .strip_prefix(SIGNATURE_VERSION)?
            .strip_prefix('=')?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_number = (1..=MAX_TIMESTAMP_DIGITS).contains(&timestamp.len())
            && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        if hex.len() != HMAC_DIGITS || !hex.bytes().all(is_hex) || !is_number {
            return None;
        }
        let seconds: i64 = timestamp.parse().ok()?;
        Some(Self {
            hex: hex.to_owned(),
            timestamp: timestamp.to_owned(),
            signed_at: Timestamp::from_seconds(seconds),
        })
    }

    /// The time of the signature, as the header states it, to the second.
    pub fn signed_at(&self) -> Timestamp {
        self.signed_at
    }

    /// Whether the time of the signature differs from `now` by at most `window`, before or after.
    pub fn is_fresh(&self, now: Timestamp, window: Duration) -> bool {
        now.minus(window) <= self.signed_at && self.signed_at <= now.plus(window)
    }

    /// Whether the signature was made with `secret` for this body. The comparison takes constant time.
    pub fn verifies(&self, secret: &WebhookSecret, body: &[u8]) -> bool {
        let parts = [
            SIGNATURE_VERSION.as_bytes(),
            b":",
            self.timestamp.as_bytes(),
            b":",
            body,
        ];
        verify_slices_are_equal(mac(secret, &parts).as_bytes(), self.hex.as_bytes()).is_ok()
    }
}

/// The HMAC-SHA256 of the concatenated parts, in hex.
fn mac(secret: &WebhookSecret, parts: &[&[u8]]) -> String {
    let mut context = Context::with_key(&Key::new(HMAC_SHA256, secret.revealed().as_bytes()));
    for part in parts {
        context.update(part);
    }
    hex(context.sign().as_ref())
}

/// The event in a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookEvent {
    /// Zoom checks whether the receiver knows the secret token.
    Challenge {
        /// The text that the answer must contain, with its HMAC.
        plain_token: String,
    },
    /// A user removed the app.
    Deauthorized {
        /// The client id of the app in the payload.
        client_id: String,
        /// Zoom's id of the user.
        user_id: String,
        /// The time of the event, if the webhook names it.
        at: Option<Timestamp>,
    },
    /// A user of the account was deactivated or deleted.
    UserGone {
        /// Zoom's id of the user.
        user_id: String,
        /// `deactivated` or `deleted`.
        change: &'static str,
        /// The time of the event, if the webhook names it.
        at: Option<Timestamp>,
    },
    /// An event that the vault ignores.
    Other,
}

impl WebhookEvent {
    /// Reads a body. The payload of an event that the vault ignores is not read.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let body: EventBody<'_> = answer::object(body).ok_or(RULE)?;
        let payload = body.payload.map_or("{}", RawValue::get);
        match body.event.as_ref() {
            "endpoint.url_validation" => {
                let ChallengePayload { token } = answer::object(payload.as_bytes()).ok_or(RULE)?;
                Ok(Self::Challenge {
                    plain_token: checked_length(token)?,
                })
            }
            "app_deauthorized" => {
                let payload: DeauthorizedPayload =
                    answer::object(payload.as_bytes()).ok_or(RULE)?;
                let stated = payload
                    .deauthorization_time
                    .and_then(|text| text.try_into().ok());
                Ok(Self::Deauthorized {
                    client_id: checked_length(payload.client_id)?,
                    user_id: checked_length(payload.user_id)?,
                    at: stated.or_else(|| event_time(&body.event_ts, &payload.event_ts)),
                })
            }
            name @ ("user.deactivated" | "user.deleted") => {
                let payload: UserPayload = answer::object(payload.as_bytes()).ok_or(RULE)?;
                Ok(Self::UserGone {
                    user_id: checked_length(payload.object.id)?,
                    change: if name == "user.deleted" {
                        "deleted"
                    } else {
                        "deactivated"
                    },
                    at: event_time(&body.event_ts, &payload.event_ts),
                })
            }
            _ => Ok(Self::Other),
        }
    }
}

/// The answer to a challenge.
#[derive(Debug, serde::Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChallengeAnswer)]
pub struct ChallengeResponse {
    /// The text that Zoom sent.
    plain_token: String,
    /// Its HMAC-SHA256 under the secret token, in hex.
    encrypted_token: String,
}

impl ChallengeResponse {
    /// Proves that the vault knows `secret`. Call this only after the caller's signature was verified with `secret`.
    pub fn new(secret: &WebhookSecret, plain_token: String) -> Self {
        Self {
            encrypted_token: mac(secret, &[plain_token.as_bytes()]),
            plain_token,
        }
    }
}

/// An event, as Zoom sends it.
#[derive(Deserialize, ToSchema)]
#[schema(as = ZoomEvent)]
pub struct EventBody<'a> {
    /// The name of the event.
    #[serde(borrow)]
    #[schema(value_type = String, example = "app_deauthorized")]
    event: Cow<'a, str>,
    /// The time of the event, in milliseconds since 1970.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    event_ts: Value,
    /// The details. Each event has its own.
    #[serde(borrow)]
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChallengePayload {
    #[serde(rename = "plainToken")]
    token: String,
}

#[derive(Deserialize)]
struct DeauthorizedPayload {
    client_id: String,
    user_id: String,
    deauthorization_time: Option<String>,
    #[serde(default)]
    event_ts: Value,
}

#[derive(Deserialize)]
struct UserPayload {
    object: UserObject,
    #[serde(default)]
    event_ts: Value,
}

#[derive(Deserialize)]
struct UserObject {
    id: String,
}

fn checked_length(text: String) -> Result<String, Invalid> {
    if (1..=MAX_TEXT_BYTES).contains(&text.len()) {
        Ok(text)
    } else {
        Err(RULE)
    }
}

/// The time in `event_ts`. Zoom puts the field at the top or in the payload.
fn event_time(top: &Value, inside: &Value) -> Option<Timestamp> {
    time_in(top).or_else(|| time_in(inside))
}

/// A time as milliseconds, or as a text of Zoom's. A text without a fraction names a whole second: its end counts, so
/// that an event never seems older than an authorization before it.
fn time_in(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(millis) => millis.as_i64().map(Timestamp::from_millis),
        Value::String(text) => {
            let millis = text.parse().ok().map(Timestamp::from_millis);
            millis.or_else(|| {
                let at = Timestamp::from_utc_text(text)?;
                let is_whole = at.as_millis() % 1000 == 0;
                Some(if is_whole { at.plus(END_OF_SECOND) } else { at })
            })
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
