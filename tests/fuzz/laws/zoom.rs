//! The answers of Zoom. The first byte chooses status and call, the first line is the header `retry-after`, and the
//! rest is the body.

use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;
use futures_util::FutureExt;
use reqwest::Response;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use shared::token::MeetingId;
use shared::zoom::{Error, MintRequest, Tokens, outcome};

use super::{choice, line, shows};

const STATUSES: [u16; 16] = [
    200, 201, 204, 301, 400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 504,
];
/// The secrets of the request. No error may repeat them.
const SECRETS: [&str; 2] = ["FAKE-refresh-token-of-a-user", "FAKE-client-secret"];
const DAY: Duration = Duration::from_hours(24);

struct Answer<'a> {
    status: u16,
    call: usize,
    retry_after: &'a [u8],
    body: &'a [u8],
}

impl<'a> Answer<'a> {
    fn of(data: &'a [u8]) -> Option<Self> {
        let (chosen, rest) = choice(data)?;
        let (retry_after, body) = line(rest);
        Some(Self {
            status: *STATUSES.get(chosen % STATUSES.len())?,
            call: chosen / STATUSES.len(),
            retry_after,
            body,
        })
    }

    fn response(&self) -> Option<Response> {
        let response = http::Response::builder().status(self.status);
        let response = response
            .header("retry-after", self.retry_after)
            .header("x-zm-trackingid", "v=2.0;tracking");
        Some(response.body(self.body.to_vec()).ok()?.into())
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The object in the body, read by a second parser. `None` if a key of `names` comes twice: then the two parsers
    /// may differ.
    fn object(&self, names: &[&str]) -> Option<Map<String, Value>> {
        let mut unpacked = Vec::new();
        let body = if self.body.starts_with(&[0x1f, 0x8b]) {
            let packed = GzDecoder::new(self.body);
            packed
                .take(256 * 1024 + 1)
                .read_to_end(&mut unpacked)
                .ok()?;
            unpacked.as_slice()
        } else {
            self.body
        };
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let text = str::from_utf8(body)
            .ok()
            .filter(|it| it.len() <= 256 * 1024)?;
        let is_twice = |name: &&str| text.matches(*name).count() > 1 || text.contains("\\u");
        if names.iter().any(is_twice) {
            return None;
        }
        serde_json::from_str(text).ok()
    }
}

/// What a call came to, if the answer was here at once.
fn ready<T>(outcome: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    // The answer is here, so reading it does not wait.
    outcome.now_or_never().unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the law compares the token with Zoom's answer"
)]
fn text_of(token: &SecretString) -> &str {
    token.expose_secret()
}

/// What every error promises: it repeats no secret, and a failure of Zoom blames nobody.
fn error_law(answer: &Answer<'_>, error: &Error) {
    let shown = format!(
        "{error} {error:?} {} {:?}",
        error.summary(),
        error.details()
    );
    for secret in SECRETS {
        assert!(!shows(&shown, secret), "a secret is in the error");
    }
    let blames = !matches!(error, Error::Failed { .. } | Error::RateLimited { .. });
    if answer.status >= 500 || matches!(answer.status, 301 | 408) {
        assert!(
            matches!(error, Error::Failed { .. }),
            "{}: {error}",
            answer.status
        );
    }
    if blames && !answer.is_success() {
        assert!((400..500).contains(&answer.status) && answer.status != 429);
        assert!(begins_like_object(answer), "{error}");
    }
    if answer.status == 429 && answer.body.len() <= 256 * 1024 {
        if let Error::RateLimited { retry_after, .. } = error {
            assert!(retry_after.is_none_or(|it| it <= Duration::from_hours(1)));
        } else {
            // A stream that begins as gzip and is none.
            assert!(answer.body.starts_with(&[0x1f, 0x8b]), "{error}");
        }
    }
}

/// Whether the body begins like an object, after what may stand before it.
fn begins_like_object(answer: &Answer<'_>) -> bool {
    let body = String::from_utf8_lossy(answer.body);
    let body = body.trim_start_matches('\u{feff}').trim_start();
    body.starts_with('{') || answer.body.starts_with(&[0x1f, 0x8b])
}

fn tokens_law(answer: &Answer<'_>, tokens: &Tokens) {
    assert!(answer.is_success() && begins_like_object(answer));
    let (access, refresh) = (text_of(&tokens.pair.access), text_of(&tokens.pair.refresh));
    assert!(!access.is_empty() && !refresh.is_empty());
    assert!(tokens.expires_in <= DAY);
    let scopes = tokens.scopes.as_deref().unwrap_or_default();
    assert!(scopes.len() <= 16 * 1024 && !scopes.contains(char::is_whitespace));
    if let Some(url) = &tokens.api_url {
        let host = url.as_url().host_str().unwrap_or_default();
        assert!(host == "zoom.us" || host.ends_with(".zoom.us"));
    }
    let shown = format!("{tokens:?}");
    for token in [access, refresh] {
        let is_secret = token.contains("FAKE") && !scopes.contains("FAKE");
        assert!(!is_secret || !shown.contains(token), "a token is shown");
    }
}

/// The answers of the OAuth host. An answer with both tokens gives exactly those tokens. Only a 4xx in Zoom's form ends
/// a grant.
pub fn tokens(data: &[u8]) {
    const NAMES: [&str; 5] = [
        "access_token",
        "refresh_token",
        "expires_in",
        "scope",
        "api_url",
    ];
    let Some(answer) = Answer::of(data) else {
        return;
    };
    let Some(response) = answer.response() else {
        return;
    };
    let sent = SecretString::from(SECRETS[0]);
    let object = answer.object(&NAMES).filter(|_| answer.is_success());
    let token = |name: &str| {
        let text = object.as_ref()?.get(name)?.as_str()?;
        Some(text.to_owned()).filter(|it| !it.is_empty())
    };
    let (access, refresh) = (token("access_token"), token("refresh_token"));
    match answer.call % 4 {
        0 => {
            let read = ready(outcome::exchange(response, &SECRETS));
            let expected = access.zip(refresh);
            assert!(expected.is_none() || read.is_ok(), "the tokens are lost");
            match read {
                Ok(tokens) => {
                    tokens_law(&answer, &tokens);
                    let pair = (&tokens.pair.access, &tokens.pair.refresh);
                    let same = |(access, refresh): (String, String)| {
                        (text_of(pair.0), text_of(pair.1)) == (access.as_str(), refresh.as_str())
                    };
                    assert!(expected.is_none_or(same), "other tokens");
                }
                Err(error) => error_law(&answer, &error),
            }
        }
        1 => {
            let read = ready(outcome::refresh(response, &sent, &SECRETS));
            assert!(access.is_none() || read.is_ok(), "the tokens are lost");
            match read {
                Ok(tokens) => {
                    tokens_law(&answer, &tokens);
                    assert!(access.is_none_or(|it| text_of(&tokens.pair.access) == it));
                    let new = refresh.unwrap_or_else(|| SECRETS[0].to_owned());
                    assert!(object.is_none() || text_of(&tokens.pair.refresh) == new);
                }
                Err(error) => {
                    error_law(&answer, &error);
                    assert!(!matches!(error, Error::GrantRefused { .. }) || names_grant(&answer));
                }
            }
        }
        2 => match ready(outcome::app_check(response, &SECRETS)) {
            Ok(()) => assert!(answer.is_success()),
            Err(error) => error_law(&answer, &error),
        },
        _ => match ready(outcome::revocation(response, &SECRETS)) {
            Ok(()) => assert!(answer.is_success()),
            Err(error) => {
                error_law(&answer, &error);
                assert!(!matches!(error, Error::GrantRefused { .. }));
            }
        },
    }
}

/// Whether an answer has a word or a code by which Zoom refuses a refresh token. A dead grant without one would make a
/// user authorize again for nothing.
fn names_grant(answer: &Answer<'_>) -> bool {
    const CODES: [&str; 6] = ["4711", "4735", "4737", "4738", "4740", "4741"];
    let body = String::from_utf8_lossy(answer.body).to_lowercase();
    let is_encoded = body.contains("\\u") || answer.body.starts_with(&[0x1f, 0x8b]);
    is_encoded
        || body.contains("invalid_grant")
        || (body.contains("invalid_request") && body.contains("invalid token"))
        || CODES.iter().any(|code| body.contains(code))
}

/// The answers of the REST host. No answer ends a grant, and a token is exactly the one in the answer.
pub fn rest(data: &[u8]) {
    let Some(answer) = Answer::of(data) else {
        return;
    };
    let Some(response) = answer.response() else {
        return;
    };
    let error = if answer.call % 2 == 0 {
        minted(&answer, response)
    } else {
        profile(&answer, response)
    };
    if let Some(error) = error {
        error_law(&answer, &error);
        assert!(!matches!(error, Error::GrantRefused { .. }), "{error}");
    }
}

fn minted(answer: &Answer<'_>, response: Response) -> Option<Error> {
    let meeting = MeetingId::try_from("98765432101".to_owned()).ok()?;
    let request = MintRequest::LocalRecording {
        meeting: meeting.into(),
    };
    let object = answer.object(&["token", "expire_in"]);
    let expected = object.filter(|_| answer.is_success());
    let expected = expected.and_then(|it| Some(it.get("token")?.as_str()?.to_owned()));
    let is_token = |it: &String| !it.is_empty() && !it.contains(char::is_whitespace);
    let expected = expected.filter(is_token);
    match ready(outcome::mint(response, &request, &SECRETS)) {
        Ok(minted) => {
            assert!(answer.is_success() && begins_like_object(answer));
            let token = text_of(&minted.token);
            assert!(is_token(&token.to_owned()));
            assert!(expected.is_none_or(|it| it == token), "another token");
            assert!(minted.lifetime.is_none_or(|it| it <= DAY));
            assert!(!token.contains("FAKE") || !format!("{minted:?}").contains(token));
            None
        }
        Err(error) => {
            assert!(expected.is_none(), "the token is lost: {error}");
            Some(error)
        }
    }
}

fn profile(answer: &Answer<'_>, response: Response) -> Option<Error> {
    match ready(outcome::profile(response, &SECRETS)) {
        Ok(profile) => {
            assert!(answer.is_success() && begins_like_object(answer));
            assert!(profile.zoom_user_id.is_some());
            let fields = [
                profile.zoom_user_id,
                profile.zoom_account_id,
                profile.zoom_email,
                profile.zoom_display_name,
            ];
            let mut fields = fields.into_iter().flatten();
            assert!(fields.all(|field| (1..=1024).contains(&field.len())));
            None
        }
        Err(error) => Some(error),
    }
}
