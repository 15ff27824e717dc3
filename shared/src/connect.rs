//! Connect sessions: one user's way to Zoom and back, begun by the API and walked by a browser.
//!
//! Three secrets guard it, of which only hashes are stored. The *link token* opens the page; the *state* goes to Zoom
//! and comes back with the code; the *browser key* is a cookie and says that whoever comes back is who left. Link token
//! and state are `<prefix>_<64 base64url characters><6 checksum characters>`: 16 bytes of the session's id, which names
//! the row, and 256 random bits. The checksum is that of API keys, so that nonsense costs no read.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::api_key::{NoRandomness, checked, checksum, hex};
use crate::credential::{Invalid, created_at, uuid};
use crate::timestamp::Timestamp;

const RANDOM_BYTES: usize = 32;
/// Longest URL that a user is sent back to.
const MAX_URL_CHARACTERS: usize = 2000;

/// Names a connect session: a UUIDv7, and no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(Uuid);

impl SessionId {
    /// A new id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// When a generated id was made.
    pub fn created_at(self) -> Timestamp {
        created_at(self.0)
    }
}

impl FromStr for SessionId {
    type Err = Invalid;

    /// As a credential's id is read.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        uuid(text).map(Self)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Not a secret of a connect session at all: wrong prefix, length, alphabet or checksum.
#[derive(Debug, thiserror::Error)]
#[error("malformed secret of a connect session")]
pub struct Malformed;

macro_rules! session_secret {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        pub struct $name {
            session: SessionId,
            text: SecretString,
        }

        impl $name {
            /// A new one, for `session`.
            pub fn generate(session: SessionId) -> Result<Self, NoRandomness> {
                let random = random()?;
                let bytes = Zeroizing::new([session.0.as_bytes().as_slice(), random.as_slice()].concat());
                // Sized up front: text that grew would leave copies behind.
                let mut text = Zeroizing::new(String::with_capacity(128));
                text.push_str($prefix);
                URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
                let checksum = checksum(&text);
                text.push_str(&checksum);
                let text = SecretString::from(text.as_str());
                Ok(Self { session, text })
            }

            /// Reads what a browser brought.
            pub fn parse(text: &str) -> Result<Self, Malformed> {
                let body = checked(text).and_then(|body| body.strip_prefix($prefix));
                let bytes = URL_SAFE_NO_PAD.decode(body.ok_or(Malformed)?);
                let bytes = Zeroizing::new(bytes.map_err(|_| Malformed)?);
                let (session, random) = bytes.split_first_chunk().ok_or(Malformed)?;
                if random.len() != RANDOM_BYTES {
                    return Err(Malformed);
                }
                Ok(Self {
                    session: SessionId(Uuid::from_bytes(*session)),
                    text: SecretString::from(text),
                })
            }

            /// The session it claims to be of.
            pub fn session(&self) -> SessionId {
                self.session
            }

            /// The SHA-256, in hex: what is stored instead.
            #[expect(clippy::disallowed_methods, reason = "hashing needs the text")]
            pub(crate) fn hash(&self) -> String {
                hex(digest(&SHA256, self.text.expose_secret().as_bytes()).as_ref())
            }

            /// Hands the text out, once: to whom it was made for.
            pub fn into_text(self) -> SecretString {
                self.text
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("session", &self.session).finish_non_exhaustive()
            }
        }
    };
}

session_secret!(
    /// The last part of a connect URL: whoever has it may begin.
    LinkToken, "zcl_"
);
session_secret!(
    /// The `state` that Zoom hands back: works once, in the browser that it was made for.
    State, "zcs_"
);

/// What a browser is known by: 256 random bits in a cookie, the same for every session that it walks.
pub struct BrowserKey(SecretString);

impl BrowserKey {
    /// A new one.
    pub fn generate() -> Result<Self, NoRandomness> {
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(random()?.as_slice()));
        Ok(Self(SecretString::from(text.as_str())))
    }

    /// Reads a cookie's value.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed)?;
        if Zeroizing::new(bytes).len() == RANDOM_BYTES {
            Ok(Self(SecretString::from(text)))
        } else {
            Err(Malformed)
        }
    }

    /// The SHA-256, in hex, of the key and the session: what is stored instead. No two sessions' rows show that one
    /// browser walked both.
    #[expect(clippy::disallowed_methods, reason = "hashing needs the text")]
    pub(crate) fn hash(&self, session: SessionId) -> String {
        let text = Zeroizing::new(format!("{session}{}", self.0.expose_secret()));
        hex(digest(&SHA256, text.as_bytes()).as_ref())
    }

    /// The text, for the cookie.
    pub fn text(&self) -> &SecretString {
        &self.0
    }
}

impl fmt::Debug for BrowserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrowserKey([REDACTED])")
    }
}

/// Stands for the Zoom user of a credential in the row of a session that is to connect it again: a hash that no other
/// session has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KnownUser(String);

impl KnownUser {
    /// The user with Zoom's id `zoom_user_id`.
    pub fn of(session: SessionId, zoom_user_id: &str) -> Self {
        let text = format!("{session}{zoom_user_id}");
        Self(hex(digest(&SHA256, text.as_bytes()).as_ref()))
    }
}

fn random() -> Result<Zeroizing<[u8; RANDOM_BYTES]>, NoRandomness> {
    let mut random = Zeroizing::new([0_u8; RANDOM_BYTES]);
    SystemRandom::new()
        .fill(random.as_mut_slice())
        .map_err(|_| NoRandomness)?;
    Ok(random)
}

/// How a connect session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The user has not been to Zoom and back yet.
    Pending,
    /// The credential is stored.
    Connected,
    /// It did not work. Until the session expires, the same URL can be opened again.
    Failed,
    /// Nobody came in time.
    Expired,
}

/// Why a session did not end with a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The user said no.
    AccessDenied,
    /// Zoom sent the user back with another error.
    ZoomRefused,
    /// Zoom refuses the app's id, secret or settings. The team must mend them.
    AppMisconfigured,
    /// Zoom refused the code: it was used or too old.
    CodeRefused,
    /// The Zoom app lacks a scope.
    MissingScope,
    /// Zoom failed, or did not answer in time.
    ZoomUnavailable,
    /// The credential that was to be connected, or whose app was to be used, is gone or is another app's by now.
    CredentialChanged,
    /// The vault was stopped after the code had been taken, and before the credential was stored.
    Interrupted,
    /// The vault failed.
    Internal,
    /// The session ended before the user came back.
    Expired,
}

impl Failure {
    /// The word in answers, rows and URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::ZoomRefused => "zoom_refused",
            Self::AppMisconfigured => "app_misconfigured",
            Self::CodeRefused => "code_refused",
            Self::MissingScope => "missing_scope",
            Self::ZoomUnavailable => "zoom_unavailable",
            Self::CredentialChanged => "credential_changed",
            Self::Interrupted => "interrupted",
            Self::Internal => "internal",
            Self::Expired => "expired",
        }
    }
}

/// Where a team may have users sent back to: a scheme, a host and a port. `https`, or `http` on this very machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReturnOrigin(String);

impl TryFrom<String> for ReturnOrigin {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl FromStr for ReturnOrigin {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const RULE: Invalid = Invalid(
            "must be an origin and no more, as https://app.example.com; http only for localhost",
        );
        let url = Url::parse(text).map_err(|_| RULE)?;
        let origin = url.origin().ascii_serialization();
        // As browsers write it: a path, a user or a default port would be something that is not compared.
        if is_fit(&url) && origin == text {
            Ok(Self(origin))
        } else {
            Err(RULE)
        }
    }
}

impl From<ReturnOrigin> for String {
    fn from(origin: ReturnOrigin) -> Self {
        origin.0
    }
}

impl fmt::Display for ReturnOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the user is sent back to, with the outcome in the query. Kept as it was parsed, so that no browser can read
/// it otherwise than it was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReturnUrl(Url);

impl ReturnUrl {
    /// What the outcome is told in.
    const OURS: [&str; 4] = ["session_id", "credential_id", "user_changed", "error"];

    /// Whether it is of one of these origins.
    pub fn is_of(&self, origins: &[ReturnOrigin]) -> bool {
        let origin = self.0.origin().ascii_serialization();
        origins.iter().any(|allowed| allowed.0 == origin)
    }

    /// The host, for people.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The whole URL.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The URL with an outcome in its query.
    pub fn with(&self, session: SessionId, outcome: &[(&str, &str)]) -> String {
        let mut url = self.0.clone();
        url.query_pairs_mut()
            .append_pair("session_id", &session.to_string())
            .extend_pairs(outcome);
        url.into()
    }
}

impl TryFrom<String> for ReturnUrl {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        if text.chars().count() > MAX_URL_CHARACTERS {
            return Err(Invalid("must NOT have more than 2000 characters"));
        }
        // A parser drops tabs and line breaks without a word.
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Invalid("must match format \"uri\""));
        }
        let url = Url::parse(&text).map_err(|_| Invalid("must match format \"uri\""))?;
        if !is_fit(&url) {
            return Err(Invalid(
                "must be an https URL without user and fragment; http only for localhost",
            ));
        }
        if url
            .query_pairs()
            .any(|(name, _)| Self::OURS.contains(&&*name))
        {
            return Err(Invalid(
                "must NOT have session_id, credential_id, user_changed or error in its query",
            ));
        }
        Ok(Self(url))
    }
}

impl From<ReturnUrl> for String {
    fn from(url: ReturnUrl) -> Self {
        url.0.into()
    }
}

/// `https`, or `http` where nobody else listens; no user, no fragment.
fn is_fit(url: &Url) -> bool {
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let scheme = url.scheme() == "https" || (url.scheme() == "http" && local);
    scheme
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
}
