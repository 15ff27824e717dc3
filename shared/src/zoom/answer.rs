//! Reads Zoom's answers. Answers are untrusted: their size is limited, and their words are cleaned.

use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::timestamp::Timestamp;

/// Longest body that is read, before and after it is unpacked. Token answers and user objects are much shorter. The two
/// tokens of an answer of this length still fit into one sealed secret.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// The first bytes of a gzip stream. No JSON text begins with them.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The byte-order mark of UTF-8, which a JSON parser refuses.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
/// Longest wait that a caller is told, even if Zoom names a longer one.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);
/// Longest part of Zoom's reason that is passed on.
const MAX_REASON_CHARACTERS: usize = 200;
/// Longest word in a reason that may contain capitals or digits.
const MAX_MIXED_WORD_BYTES: usize = 16;
/// A reason is dropped if it contains at least this many consecutive bytes of a secret.
const MIN_ECHOED_BYTES: usize = 8;

/// Why a body could not be read.
pub(super) enum ReadError {
    TooLong,
    /// The body begins like a gzip stream, but cannot be unpacked.
    Gzip,
    Connection(reqwest::Error),
}

/// Reads the whole body, up to [`MAX_BODY_BYTES`]. Unpacks gzip, although no request asks for gzip, and removes a
/// byte-order mark. The tokens in the answer exist only once, so they must not be lost over an odd encoding.
pub(super) async fn body(mut response: Response) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ReadError::Connection)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(ReadError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    if body.starts_with(&GZIP_MAGIC) {
        body = unpack(&body)?;
    }
    if body.starts_with(&BYTE_ORDER_MARK) {
        body.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(body)
}

/// Reads a JSON object. `None` if the body is no object, or another one.
///
/// Without this check, the parser would also fill the fields of a type from an array, in their order.
pub(super) fn object<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Option<T> {
    let is_object = body.trim_ascii_start().starts_with(b"{");
    // The parser's error is dropped, because it may quote a token from the answer.
    serde_json::from_slice(body).ok().filter(|_| is_object)
}

/// Unpacks a gzip stream. Stops behind [`MAX_BODY_BYTES`], because a short stream can unpack to gigabytes.
fn unpack(packed: &[u8]) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    let limit = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX) + 1;
    GzDecoder::new(packed)
        .take(limit)
        .read_to_end(&mut body)
        .map_err(|_| ReadError::Gzip)?;
    if body.len() > MAX_BODY_BYTES {
        return Err(ReadError::TooLong);
    }
    Ok(body)
}

/// Reads a field, or `None` if the field has the wrong type.
pub(super) fn none_if_malformed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let field = Box::<RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(field.get()).ok())
}

/// An answer that reports no success.
pub(super) struct ErrorAnswer {
    status: StatusCode,
    retry_after: Option<Duration>,
    tracking_id: Option<String>,
    body: ErrorBody,
    /// Whether the answer comes from Zoom's API. A proxy on the way can answer too.
    is_from_zoom_api: bool,
}

/// The fields of Zoom's error objects. Which fields an object has depends on the endpoint.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: Value,
    reason: Value,
    error_description: Value,
    message: Value,
    #[serde(rename = "errorCode")]
    error_code: Value,
    code: Value,
}

impl ErrorBody {
    fn code(&self) -> Option<i64> {
        [&self.error_code, &self.code]
            .into_iter()
            .find_map(|value| match value {
                Value::Number(number) => number.as_i64(),
                Value::String(text) => text.parse().ok(),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
            })
    }

    /// The texts of the object without duplicates. The most specific text comes first.
    fn words(&self) -> Vec<&str> {
        let mut words: Vec<&str> = Vec::new();
        for value in [
            &self.error,
            &self.reason,
            &self.error_description,
            &self.message,
        ] {
            if let Some(text) = value
                .as_str()
                .filter(|text| !text.is_empty() && !words.contains(text))
            {
                words.push(text);
            }
        }
        words
    }
}

impl ErrorAnswer {
    pub(super) fn from_head(response: &Response, tracking_id: Option<String>) -> Self {
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok());
        Self {
            status: response.status(),
            retry_after: retry_after.and_then(parse_retry_after),
            tracking_id,
            body: ErrorBody::default(),
            is_from_zoom_api: false,
        }
    }

    /// Adds the body. Only a JSON object comes from Zoom's API.
    pub(super) fn with_body(self, body: &[u8]) -> Self {
        match object(body) {
            Some(body) => Self {
                body,
                is_from_zoom_api: true,
                ..self
            },
            None => self,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(super) fn tracking_id(&self) -> Option<String> {
        self.tracking_id.clone()
    }

    pub(super) fn is_from_zoom_api(&self) -> bool {
        self.is_from_zoom_api
    }

    /// Zoom's own error code, which is not the HTTP status.
    pub(super) fn code(&self) -> Option<i64> {
        self.body.code()
    }

    pub(super) fn has_words(&self) -> bool {
        !self.body.words().is_empty()
    }

    /// Whether one of the texts is exactly `word`, in upper or lower case.
    pub(super) fn says(&self, word: &str) -> bool {
        let words = self.body.words();
        words.iter().any(|text| text.eq_ignore_ascii_case(word))
    }

    /// Whether one of the texts contains `part`, which is in lower case. The texts may have any case.
    pub(super) fn mentions(&self, part: &str) -> bool {
        let words = self.body.words();
        words.iter().any(|text| text.to_lowercase().contains(part))
    }

    /// Whether one of the texts begins with `start`, which is in lower case. The texts may have any case.
    pub(super) fn begins_with(&self, start: &str) -> bool {
        let words = self.body.words();
        words
            .iter()
            .any(|text| text.to_lowercase().starts_with(start))
    }

    /// Zoom's texts and code: printable, limited in length, and without any of the `secrets` of the request.
    pub(super) fn reason(&self, secrets: &[&str]) -> String {
        let texts = self.body.words().join(": ");
        let printable: String = texts
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_REASON_CHARACTERS)
            .collect();
        let words: Vec<&str> = printable
            .split_whitespace()
            .map(|word| if is_harmless(word) { word } else { "…" })
            .collect();
        let words = words.join(" ");
        let words = if words.is_empty() || secrets.iter().any(|secret| echoes(&words, secret)) {
            format!("status {}", self.status.as_u16())
        } else {
            words
        };
        match self.code() {
            Some(code) => format!("{words} ({code})"),
            None => words,
        }
    }

    /// The scopes in `… does not contain scopes:[a, b]`.
    pub(super) fn missing_scope(&self, secrets: &[&str]) -> String {
        let reason = self.reason(secrets);
        let scopes = reason
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'))
            .map(|(scopes, _)| scopes.trim());
        scopes
            .filter(|scopes| !scopes.is_empty())
            .map_or_else(|| "unknown".to_owned(), str::to_owned)
    }
}

/// Whether a word may be passed on.
///
/// A long word with capitals or digits may be a secret of the request, possibly in another encoding. Scopes are long
/// too, but lower case.
fn is_harmless(word: &str) -> bool {
    word.len() <= MAX_MIXED_WORD_BYTES
        || !word
            .bytes()
            .any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Whether `words` contain [`MIN_ECHOED_BYTES`] consecutive bytes of the secret, or a shorter secret as a whole.
fn echoes(words: &str, secret: &str) -> bool {
    let secret = secret.as_bytes();
    !secret.is_empty()
        && secret
            .windows(MIN_ECHOED_BYTES.min(secret.len()))
            .any(|part| words.as_bytes().windows(part.len()).any(|w| w == part))
}

/// Zoom sends seconds, an ISO 8601 instant or an HTTP date.
fn parse_retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    }
    let instant = Timestamp::try_from(text.to_owned()).ok();
    let instant = instant.or_else(|| Timestamp::from_http_date(text))?;
    Some(Timestamp::now().until(instant).min(MAX_RETRY_AFTER))
}
