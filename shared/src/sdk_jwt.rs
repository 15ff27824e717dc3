//! The Meeting SDK JWT, with which a bot joins as the app. The vault signs it without a call to Zoom.
//!
//! The signature is HS256 with the client secret. The claims follow Zoom's documentation of SDK authorization.

use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign as hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::Serialize;

use crate::secret::AppCredentials;
use crate::timestamp::Timestamp;
use crate::token::MeetingId;

/// How far in the past the token's life begins, because Zoom's clock may be behind.
const CLOCK_SKEW: Duration = Duration::from_secs(30);
/// The shortest lifetime that Zoom accepts.
pub const MIN_LIFETIME: Duration = Duration::from_mins(30);
/// The longest lifetime that Zoom accepts.
pub const MAX_LIFETIME: Duration = Duration::from_hours(48);

/// The role of a bot in the meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeetingRole {
    /// Role 0: the bot joins the meeting.
    Attendee,
    /// Role 1: the bot may also start the meeting.
    Host,
}

#[derive(Serialize)]
struct Claims<'a> {
    #[serde(rename = "appKey")]
    app_key: &'a str,
    #[serde(rename = "sdkKey")]
    sdk_key: &'a str,
    iat: i64,
    exp: i64,
    #[serde(rename = "tokenExp")]
    token_exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<u8>,
}

/// Signs a token. Returns the token and its expiry.
///
/// `ttl` is moved into the range from [`MIN_LIFETIME`] to [`MAX_LIFETIME`]. With a `meeting`, the token works for
/// that meeting only.
pub fn sign(
    app: &AppCredentials,
    meeting: Option<&(MeetingId, MeetingRole)>,
    ttl: Duration,
) -> (SecretString, Timestamp) {
    let issued = Timestamp::now().minus(CLOCK_SKEW);
    let ends = issued.plus(ttl.clamp(MIN_LIFETIME, MAX_LIFETIME));
    let client_id = app.client_id.as_str();
    let claims = Claims {
        app_key: client_id,
        sdk_key: client_id,
        iat: issued.as_seconds(),
        exp: ends.as_seconds(),
        token_exp: ends.as_seconds(),
        mn: meeting.map(|(meeting, _)| meeting.as_str()),
        role: meeting.map(|(_, role)| match role {
            MeetingRole::Attendee => 0,
            MeetingRole::Host => 1,
        }),
    };
    // Claims of text and numbers always serialize.
    let claims = serde_json::to_vec(&claims).unwrap_or_default();
    let head = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
    let key = Key::new(HMAC_SHA256, app.client_secret.revealed().as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac(&key, signed.as_bytes()));
    (SecretString::from(format!("{signed}.{signature}")), ends)
}
