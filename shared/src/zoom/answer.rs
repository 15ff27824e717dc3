//! Reading what Zoom answers: bounded, and sorted by who must act.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Error, Fault};
use crate::timestamp::Timestamp;

/// More than any token answer or user object has; an error page is cut here too.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// A caller is not told to wait longer, whatever Zoom says.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// As much of Zoom's reason as is passed on.
const MAX_REASON_CHARACTERS: usize = 200;

pub(super) enum Unreadable {
    TooLong,
    Broken(reqwest::Error),
}

/// The whole body, as long as it is no longer than it can be.
pub(super) async fn body(mut answer: Response) -> Result<Vec<u8>, Unreadable> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(Unreadable::Broken)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(Unreadable::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A field that is of the type it should be; one that is not is as good as missing.
pub(super) fn if_sound<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let field = Box::<RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(field.get()).ok())
}

/// Who has to act, where the token endpoint said.
enum Blamed {
    /// The operator, on the Zoom app.
    App,
    /// The user: the code or the refresh token is no good.
    Grant,
}

/// An answer that is no success.
pub(super) struct Failure {
    status: StatusCode,
    retry_after: Option<Duration>,
    tracking_id: Option<String>,
    body: ErrorBody,
    /// Whether Zoom's API said it, and not something on the way.
    is_zooms: bool,
}

/// Zoom's error objects: keys vary by endpoint and age.
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
    fn number(&self) -> Option<i64> {
        [&self.error_code, &self.code]
            .into_iter()
            .find_map(|value| match value {
                Value::Number(number) => number.as_i64(),
                Value::String(text) => text.parse().ok(),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
            })
    }

    /// The words, most telling first, each once.
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

    fn says(&self, word: &str) -> bool {
        self.words()
            .iter()
            .any(|text| text.eq_ignore_ascii_case(word))
    }
}

impl Failure {
    pub(super) fn from_head(answer: &Response, tracking_id: Option<String>) -> Self {
        let retry_after = answer
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok());
        Self {
            status: answer.status(),
            retry_after: retry_after.and_then(parse_retry_after),
            tracking_id,
            body: ErrorBody::default(),
            is_zooms: false,
        }
    }

    /// A body that is no JSON object is not from Zoom's API but from something on the way to it.
    pub(super) fn with_body(self, body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(body) => Self {
                body,
                is_zooms: true,
                ..self
            },
            Err(_) => self,
        }
    }

    /// Sorts a failure of a code's exchange. `secrets` are what the request held: a reason that echoes one is dropped.
    pub(super) fn at_exchange(self, secrets: &[&str]) -> Error {
        self.transient().unwrap_or_else(|| {
            let reason = self.reason(secrets);
            match self.blamed() {
                Some(Blamed::App) => Error::App { reason },
                Some(Blamed::Grant) | None => Error::Grant { reason },
            }
        })
    }

    /// Sorts a failure of a refresh. Only what surely means that the token is dead is the grant's: the user has to
    /// authorize again for it. A refusal that nobody has seen before is as good as no answer.
    pub(super) fn at_refresh(self, secrets: &[&str]) -> Error {
        self.transient().unwrap_or_else(|| {
            let reason = self.reason(secrets);
            match self.blamed() {
                Some(Blamed::App) => Error::App { reason },
                Some(Blamed::Grant) => Error::Grant { reason },
                None => self.refused(reason),
            }
        })
    }

    /// Whom the token endpoint blames: by its number, or else by its word. A bare 401 is all that is ever said of a
    /// wrong client secret by something that has neither.
    fn blamed(&self) -> Option<Blamed> {
        let by_number = self.body.number().and_then(|number| match number {
            4702 | 4704 | 4706 | 4709 | 4717 => Some(Blamed::App),
            4711 | 4735 | 4737 | 4738 | 4740 | 4741 => Some(Blamed::Grant),
            _ => None,
        });
        by_number.or_else(|| {
            if self.body.says("invalid_client") {
                Some(Blamed::App)
            } else if self.body.says("invalid_grant") {
                Some(Blamed::Grant)
            } else {
                (self.status == StatusCode::UNAUTHORIZED).then_some(Blamed::App)
            }
        })
    }

    /// A refusal of a kind that nobody has seen before.
    fn refused(&self, reason: String) -> Error {
        Error::Failed {
            source: Fault::Refused(reason),
            tracking_id: self.tracking_id.clone(),
        }
    }

    /// Sorts a failure of the REST API.
    pub(super) fn at_rest(self, secrets: &[&str]) -> Error {
        if let Some(transient) = self.transient() {
            return transient;
        }
        let reason = self.reason(secrets);
        match self.body.number() {
            Some(124) => Error::DeadAccess,
            Some(4711) => Error::MissingScope {
                scope: self.missing_scope(secrets),
            },
            Some(1001) => Error::NoUser { reason },
            Some(300 | 3000 | 3001) => Error::Request { reason },
            _ if self.status == StatusCode::UNAUTHORIZED => Error::DeadAccess,
            _ if matches!(self.blamed(), Some(Blamed::App)) => Error::App { reason },
            _ => self.refused(reason),
        }
    }

    /// What says nothing about the request itself.
    fn transient(&self) -> Option<Error> {
        let vague = self.body.number() == Some(4732)
            || (self.body.number() == Some(4700) && self.body.words().is_empty());
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            Some(Error::Limited {
                retry_after: self.retry_after,
                code: self.body.number(),
                tracking_id: self.tracking_id.clone(),
            })
        } else if vague
            || !self.is_zooms
            || !self.status.is_client_error()
            || self.status == StatusCode::REQUEST_TIMEOUT
        {
            let source = Fault::Status {
                status: self.status.as_u16(),
                code: self.body.number(),
            };
            Some(Error::Failed {
                source,
                tracking_id: self.tracking_id.clone(),
            })
        } else {
            None
        }
    }

    /// Zoom's words, with its number: printable, bounded, and without any secret of the request.
    fn reason(&self, secrets: &[&str]) -> String {
        let said = self.body.words().join(": ");
        let printable: String = said
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_REASON_CHARACTERS)
            .collect();
        let words: Vec<&str> = printable
            .split_whitespace()
            .map(|word| if is_word(word) { word } else { "…" })
            .collect();
        let words = words.join(" ");
        let words = if words.is_empty() || secrets.iter().any(|secret| echoes(&words, secret)) {
            format!("status {}", self.status.as_u16())
        } else {
            words
        };
        match self.body.number() {
            Some(number) => format!("{words} ({number})"),
            None => words,
        }
    }

    /// The scopes in `… does not contain scopes:[a, b]`.
    fn missing_scope(&self, secrets: &[&str]) -> String {
        let reason = self.reason(secrets);
        let named = reason
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'))
            .map(|(scopes, _)| scopes.trim());
        named
            .filter(|scopes| !scopes.is_empty())
            .map_or_else(|| "unknown".to_owned(), str::to_owned)
    }
}

/// Whether this may be a word of Zoom's. A longer one with capitals or digits in it may be something that the
/// request held, in whatever encoding; scopes are long, but lower case.
fn is_word(word: &str) -> bool {
    const LONGEST: usize = 16;
    word.len() <= LONGEST
        || !word
            .bytes()
            .any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Whether any eight characters in a row of a secret stand in `words`, or all of it where it is shorter.
fn echoes(words: &str, secret: &str) -> bool {
    const TELLING: usize = 8;
    let secret = secret.as_bytes();
    !secret.is_empty()
        && secret
            .windows(TELLING.min(secret.len()))
            .any(|part| words.as_bytes().windows(part.len()).any(|w| w == part))
}

/// Seconds, an ISO 8601 instant or an HTTP date: Zoom uses all three.
fn parse_retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_WAIT));
    }
    let instant = Timestamp::try_from(text.to_owned()).ok();
    let instant = instant.or_else(|| Timestamp::from_http_date(text))?;
    Some(Timestamp::now().until(instant).min(LONGEST_WAIT))
}
