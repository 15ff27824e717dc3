//! The Meeting SDK JWT, with which a bot joins as the app: signed here, without Zoom.
//!
//! HS256 with the client secret; the claims are those of Zoom's documentation of SDK authorization.

use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign as hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::Serialize;

use crate::secret::AppCredentials;
use crate::timestamp::Timestamp;
use crate::token::MeetingId;

/// How far in the past the token begins: Zoom's clock may be behind.
const SKEW: Duration = Duration::from_secs(30);
/// The shortest life that Zoom takes.
pub const SHORTEST: Duration = Duration::from_mins(30);
/// The longest.
pub const LONGEST: Duration = Duration::from_hours(48);

/// What a bot may be in the meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeetingRole {
    /// 0: it joins.
    Attendee,
    /// 1: it may start the meeting.
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

/// The token and when it ends. `ttl` lies between [`SHORTEST`] and [`LONGEST`]; with a meeting it is good for that
/// one only.
pub fn sign(
    app: &AppCredentials,
    meeting: Option<&(MeetingId, MeetingRole)>,
    ttl: Duration,
) -> (SecretString, Timestamp) {
    let issued = Timestamp::now().minus(SKEW);
    let ends = issued.plus(ttl.clamp(SHORTEST, LONGEST));
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
    // Text and numbers: it cannot fail.
    let claims = serde_json::to_vec(&claims).unwrap_or_default();
    let head = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
    let key = Key::new(HMAC_SHA256, app.client_secret.revealed().as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac(&key, signed.as_bytes()));
    (SecretString::from(format!("{signed}.{signature}")), ends)
}
