//! What Zoom tells an app: who signed it, and what it says. No call is made here.
//!
//! The signature is over the body's bytes as they came, and says when they were signed. Whoever can have text of their
//! choice signed can forge it, so the answer to Zoom's challenge is for those alone whose own signature was good.

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api_key::hex;
use crate::credential::Invalid;
use crate::secret::WebhookSecret;
use crate::timestamp::Timestamp;

/// How far from now a webhook may have been signed, unless it was configured.
pub const WINDOW: Duration = Duration::from_mins(5);

/// What a signature begins with: the one version there is.
const VERSION: &str = "v0";
/// How many hex digits an HMAC-SHA256 has.
const DIGITS: usize = 64;
/// The longest id of a user that is looked for, and the longest challenge that is answered.
const LONGEST: usize = 256;

/// A webhook's two headers, well-formed: not checked yet.
#[derive(Clone, Debug)]
pub struct Signature {
    hex: String,
    timestamp: String,
    signed_at: Timestamp,
}

impl Signature {
    /// From `x-zm-signature` and `x-zm-request-timestamp`; none where they are not of the form that Zoom sends.
    pub fn parse(signature: &str, timestamp: &str) -> Option<Self> {
        let hex = signature.strip_prefix(VERSION)?.strip_prefix('=')?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let digits = (1..=12).contains(&timestamp.len())
            && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        if hex.len() != DIGITS || !hex.bytes().all(is_hex) || !digits {
            return None;
        }
        let seconds: i64 = timestamp.parse().ok()?;
        Some(Self {
            hex: hex.to_owned(),
            timestamp: timestamp.to_owned(),
            signed_at: Timestamp::from_millis(seconds.saturating_mul(1000)),
        })
    }

    /// When it was made, to the second, as it says itself.
    pub fn signed_at(&self) -> Timestamp {
        self.signed_at
    }

    /// Whether that is no further from `now` than `window`, before or after.
    pub fn is_fresh(&self, now: Timestamp, window: Duration) -> bool {
        now.minus(window) <= self.signed_at && self.signed_at <= now.plus(window)
    }

    /// Whether who holds `secret` made it for this body. Takes as long whatever the difference.
    pub fn verifies(&self, secret: &WebhookSecret, body: &[u8]) -> bool {
        let parts = [
            VERSION.as_bytes(),
            b":",
            self.timestamp.as_bytes(),
            b":",
            body,
        ];
        verify_slices_are_equal(mac(secret, &parts).as_bytes(), self.hex.as_bytes()).is_ok()
    }
}

/// The HMAC-SHA256 of the parts in a row, in hex.
fn mac(secret: &WebhookSecret, parts: &[&[u8]]) -> String {
    let mut context = Context::with_key(&Key::new(HMAC_SHA256, secret.revealed().as_bytes()));
    for part in parts {
        context.update(part);
    }
    hex(context.sign().as_ref())
}

/// What a webhook says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Zoom asks whether the one that it calls holds the secret token.
    Challenge {
        /// What is to be answered for.
        plain_token: String,
    },
    /// A user took the authorization of an app back.
    Deauthorized {
        /// Which app, as the payload says.
        client_id: String,
        /// Which user.
        user_id: String,
        /// When, where it says.
        at: Option<Timestamp>,
    },
    /// A user of the account is gone.
    UserGone {
        /// Which user.
        user_id: String,
        /// What became of them: `deactivated` or `deleted`.
        became: &'static str,
        /// When, where it says.
        at: Option<Timestamp>,
    },
    /// Anything else: of no interest here.
    Other,
}

impl Notice {
    /// Reads a body. Of an event that nobody here acts on, no more is read than its name.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        const RULE: Invalid = Invalid("must be an event of Zoom's");
        let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|_| RULE)?;
        let payload = envelope.payload.map_or("{}", RawValue::get);
        match envelope.event.as_ref() {
            "endpoint.url_validation" => {
                let Challenge { token } = serde_json::from_str(payload).map_err(|_| RULE)?;
                Ok(Self::Challenge {
                    plain_token: bounded(token)?,
                })
            }
            "app_deauthorized" => {
                let payload: Removal = serde_json::from_str(payload).map_err(|_| RULE)?;
                let said = payload
                    .deauthorization_time
                    .and_then(|text| text.try_into().ok());
                Ok(Self::Deauthorized {
                    client_id: bounded(payload.client_id)?,
                    user_id: bounded(payload.user_id)?,
                    at: said.or_else(|| millis(&envelope.event_ts, &payload.event_ts)),
                })
            }
            name @ ("user.deactivated" | "user.deleted") => {
                let payload: UserChange = serde_json::from_str(payload).map_err(|_| RULE)?;
                Ok(Self::UserGone {
                    user_id: bounded(payload.object.id)?,
                    became: if name == "user.deleted" {
                        "deleted"
                    } else {
                        "deactivated"
                    },
                    at: millis(&envelope.event_ts, &payload.event_ts),
                })
            }
            _ => Ok(Self::Other),
        }
    }
}

/// The answer to a challenge.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenged {
    plain_token: String,
    encrypted_token: String,
}

impl Challenged {
    /// Shows that `secret` is known here: to whoever has shown it first.
    pub fn by(secret: &WebhookSecret, plain_token: String) -> Self {
        Self {
            encrypted_token: mac(secret, &[plain_token.as_bytes()]),
            plain_token,
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(default)]
    event_ts: Value,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Challenge {
    #[serde(rename = "plainToken")]
    token: String,
}

#[derive(Deserialize)]
struct Removal {
    client_id: String,
    user_id: String,
    deauthorization_time: Option<String>,
    #[serde(default)]
    event_ts: Value,
}

#[derive(Deserialize)]
struct UserChange {
    object: ChangedUser,
    #[serde(default)]
    event_ts: Value,
}

#[derive(Deserialize)]
struct ChangedUser {
    id: String,
}

fn bounded(text: String) -> Result<String, Invalid> {
    if (1..=LONGEST).contains(&text.len()) {
        Ok(text)
    } else {
        Err(Invalid("must be an event of Zoom's"))
    }
}

/// `event_ts`, in milliseconds: Zoom has it at the top, or in the payload.
fn millis(top: &Value, inside: &Value) -> Option<Timestamp> {
    let millis = top.as_i64().or_else(|| inside.as_i64());
    millis.map(Timestamp::from_millis)
}
