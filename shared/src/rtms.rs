//! The signature with which a media worker connects to Zoom's RTMS (realtime media streams). The vault signs it without
//! a call to Zoom, so that the worker needs no client secret.
//!
//! The signature is HMAC-SHA256 with the client secret, in lower-case hex, over
//! `<client_id>,<meeting_uuid>,<rtms_stream_id>`. It names no time. Whoever has it can connect to this one stream, as
//! long as Zoom keeps the stream.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign as hmac};
use secrecy::SecretString;
use utoipa::ToSchema;

use crate::encoding::hex;
use crate::invalid::Invalid;
use crate::secret::AppCredentials;

/// The longest id. Zoom's have 24 and 32 characters.
const MAX_BYTES: usize = 128;

/// Zoom's id of one occurrence of a meeting, webinar or session, as the event carried it: Base64, not percent-encoded.
///
/// No character of it is a comma. Otherwise the text to sign could name another stream than the two ids say.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(
    pattern = "^[A-Za-z0-9+/_-]{1,128}={0,2}$",
    max_length = 128,
    example = "4444AAAiAAAAAiAiAiiAii=="
)]
pub struct MeetingUuid(String);

impl TryFrom<String> for MeetingUuid {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let rest = text.strip_suffix('=').unwrap_or(&text);
        let rest = rest.strip_suffix('=').unwrap_or(rest);
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
        if !rest.is_empty() && text.len() <= MAX_BYTES && rest.bytes().all(is_base64) {
            Ok(Self(text))
        } else {
            Err(Invalid(
                "must be 1 to 128 characters of Base64, as the event carries them: not percent-encoded",
            ))
        }
    }
}

/// Zoom's id of a stream.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(
    pattern = "^[A-Za-z0-9_-]{1,128}$",
    example = "609340fb2a7946909659956c8aa9250c"
)]
pub struct RtmsStreamId(String);

impl TryFrom<String> for RtmsStreamId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text))
        } else {
            Err(Invalid("must be 1 to 128 of A-Z, a-z, 0-9, - and _"))
        }
    }
}

/// One stream of one meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtmsStream {
    /// The meeting.
    pub meeting_uuid: MeetingUuid,
    /// The stream.
    pub stream_id: RtmsStreamId,
}

/// Signs the handshakes of a stream.
pub fn sign(app: &AppCredentials, stream: &RtmsStream) -> SecretString {
    let RtmsStream {
        meeting_uuid: MeetingUuid(uuid),
        stream_id: RtmsStreamId(stream),
    } = stream;
    let signed = format!("{},{uuid},{stream}", app.client_id.as_str());
    let key = Key::new(HMAC_SHA256, app.client_secret.revealed().as_bytes());
    SecretString::from(hex(hmac(&key, signed.as_bytes()).as_ref()))
}
