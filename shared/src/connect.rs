//! Connect sessions: the API creates a session, and a user's browser goes to Zoom and back with it.
//!
//! Three secrets guard a session. Only their hashes are stored:
//! - The *link token* is the last part of the connect URL. It opens the page that sends the user to Zoom.
//! - The *state* goes to Zoom and comes back with the authorization code.
//! - The *browser key* is a cookie. It proves that the browser that comes back is the browser that left.
//!
//! Link token and state are `<prefix>_<64 base64url characters><6 checksum characters>`. The 64 characters carry the
//! 16 bytes of the session's id, which is the key of the session's row, and 256 random bits.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::characters::check_pasted;
use crate::credential::{CredentialId, created_at, uuid, uuid_schema};
use crate::encoding::{checksum, hex, strip_checksum};
use crate::invalid::Invalid;
use crate::random::{RandomError, random_bytes};
use crate::timestamp::Timestamp;

const RANDOM_BYTES: usize = 32;
/// Longest return URL.
const MAX_URL_CHARACTERS: usize = 2000;

/// The id of a connect session: a UUIDv7. The id is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(Uuid);

uuid_schema!(SessionId, "The id of a connect session.");

impl SessionId {
    /// Makes a new id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The time at which [`SessionId::generate`] made the id.
    pub fn created_at(self) -> Timestamp {
        created_at(self.0)
    }
}

impl FromStr for SessionId {
    type Err = Invalid;

    /// Accepts the same spellings as the id of a credential.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        uuid(text).map(Self)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The text is not a secret of a connect session: wrong prefix, length, alphabet or checksum.
#[derive(Debug, thiserror::Error)]
#[error("malformed secret of a connect session")]
pub struct MalformedSessionSecret;

macro_rules! session_secret {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        pub struct $name {
            session: SessionId,
            text: SecretString,
        }

        impl $name {
            /// Makes a new secret for `session`.
            pub fn generate(session: SessionId) -> Result<Self, RandomError> {
                let random = random_bytes::<RANDOM_BYTES>()?;
                let bytes = Zeroizing::new([session.0.as_bytes().as_slice(), random.as_slice()].concat());
                // The capacity is large enough: a string that grows leaves copies of the secret in memory.
                let mut text = Zeroizing::new(String::with_capacity(128));
                text.push_str($prefix);
                URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
                let checksum = checksum(&text);
                text.push_str(&checksum);
                let text = SecretString::from(text.as_str());
                Ok(Self { session, text })
            }

            /// Reads the secret that a browser sent.
            pub fn parse(text: &str) -> Result<Self, MalformedSessionSecret> {
                let body = strip_checksum(text).and_then(|body| body.strip_prefix($prefix));
                let bytes = URL_SAFE_NO_PAD.decode(body.ok_or(MalformedSessionSecret)?);
                let bytes = Zeroizing::new(bytes.map_err(|_| MalformedSessionSecret)?);
                let (session, random) = bytes.split_first_chunk().ok_or(MalformedSessionSecret)?;
                if random.len() != RANDOM_BYTES {
                    return Err(MalformedSessionSecret);
                }
                Ok(Self {
                    session: SessionId(Uuid::from_bytes(*session)),
                    text: SecretString::from(text),
                })
            }

            /// The session that the secret names. The store decides whether the secret belongs to that session.
            pub fn session(&self) -> SessionId {
                self.session
            }

            /// The SHA-256, in hex, which is stored instead of the secret.
            #[expect(clippy::disallowed_methods, reason = "hashing needs the text")]
            pub(crate) fn hash(&self) -> String {
                hex(digest(&SHA256, self.text.expose_secret().as_bytes()).as_ref())
            }

            /// The secret's text, for the URL that it was made for. Nobody can read it again later.
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
    /// The last part of a connect URL. Anyone who has the token can start the session.
    LinkToken, "zcl_"
);
session_secret!(
    /// The `state` parameter that Zoom returns unchanged. A state works once, in the browser that it was made for.
    OAuthState, "zcs_"
);

/// The cookie that recognises a browser: 256 random bits. A browser keeps one key for all its sessions.
pub struct BrowserKey(SecretString);

impl BrowserKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self, RandomError> {
        let random = random_bytes::<RANDOM_BYTES>()?;
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()));
        Ok(Self(SecretString::from(text.as_str())))
    }

    /// Reads the value of the cookie.
    pub fn parse(text: &str) -> Result<Self, MalformedSessionSecret> {
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| MalformedSessionSecret)?;
        if Zeroizing::new(bytes).len() == RANDOM_BYTES {
            Ok(Self(SecretString::from(text)))
        } else {
            Err(MalformedSessionSecret)
        }
    }

    /// The SHA-256, in hex, of the session's id and the key, which is stored instead of the key.
    ///
    /// The session's id is part of the hash, so that two rows do not show that one browser used both sessions.
    #[expect(clippy::disallowed_methods, reason = "hashing needs the text")]
    pub(crate) fn hash(&self, session: SessionId) -> String {
        let text = Zeroizing::new(format!("{session}{}", self.0.expose_secret()));
        hex(digest(&SHA256, text.as_bytes()).as_ref())
    }

    /// The value for the cookie.
    pub fn text(&self) -> &SecretString {
        &self.0
    }
}

impl fmt::Debug for BrowserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrowserKey([REDACTED])")
    }
}

/// A hash of a Zoom user's id, stored with a session that reconnects a credential, and with a credential that had
/// another user before. It shows whether the user who authorized is the same. The id of the session or the credential
/// is part of the hash, so that no two rows can be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ZoomUserHash(String);

impl ZoomUserHash {
    /// Hashes Zoom's id of a user for one session.
    pub fn of(session: SessionId, zoom_user_id: &str) -> Self {
        Self::of_text(&format!("{session}{zoom_user_id}"))
    }

    /// Hashes Zoom's id of a user for one credential.
    pub fn of_credential(credential: CredentialId, zoom_user_id: &str) -> Self {
        Self::of_text(&format!("{credential}{zoom_user_id}"))
    }

    fn of_text(text: &str) -> Self {
        Self(hex(digest(&SHA256, text.as_bytes()).as_ref()))
    }

    /// The hash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The status of a connect session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ConnectSessionStatus)]
pub enum SessionStatus {
    /// The user has not come back from Zoom yet.
    Pending,
    /// The credential is stored.
    Connected,
    /// The session failed. The user can open the same URL again until the session expires.
    Failed,
    /// The session expired before the user came back.
    Expired,
}

/// Why a session ended without a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ConnectFailure)]
pub enum ConnectFailure {
    /// The user refused the consent.
    AccessDenied,
    /// Zoom sent the user back with another error.
    ZoomRefused,
    /// Zoom refuses the app's id, secret or settings. The team must correct them.
    AppMisconfigured,
    /// Zoom refused the code: it was used before or is too old.
    CodeRefused,
    /// The Zoom app lacks a scope.
    MissingScope,
    /// Zoom failed, or did not answer in time.
    ZoomUnavailable,
    /// The credential that the session names was deleted in the meantime, or belongs to another app now.
    CredentialChanged,
    /// The vault was stopped after it took the code, and before it stored the credential.
    Interrupted,
    /// The vault failed.
    Internal,
    /// The session expired before the user came back.
    Expired,
}

impl ConnectFailure {
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

/// An origin to which a team allows its users to be sent back: scheme, host and port.
///
/// The scheme is `https`, or `http` if the host is the user's own machine.
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
        // Only the spelling of browsers is accepted. A path, a user or a default port would look as if it were
        // compared too.
        if is_safe_destination(&url) && origin == text {
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

/// The URL to which the user is sent back, with the outcome in the query.
///
/// The parsed URL is stored, not the text. Otherwise a browser could read the text differently than the check of
/// its origin did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, format = "uri", max_length = 2000)]
pub struct ReturnUrl(Url);

impl ReturnUrl {
    /// The query parameters in which the vault reports the outcome.
    const OUTCOME_PARAMETERS: [&str; 4] = ["session_id", "credential_id", "user_changed", "error"];

    /// Whether the URL has one of the origins.
    pub fn has_origin_in(&self, origins: &[ReturnOrigin]) -> bool {
        let origin = self.0.origin().ascii_serialization();
        origins.iter().any(|allowed| allowed.0 == origin)
    }

    /// The host, to show to the user.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The whole URL.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The URL with the outcome of a session in its query.
    pub fn with_outcome(&self, session: SessionId, outcome: &[(&str, &str)]) -> String {
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
        check_pasted(&text)?;
        // The parser would drop tabs and line breaks silently.
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Invalid("must match format \"uri\""));
        }
        let url = Url::parse(&text).map_err(|_| Invalid("must match format \"uri\""))?;
        // The row holds the parsed URL, and is read with this same check.
        if url.as_str().len() > MAX_URL_CHARACTERS {
            return Err(Invalid(
                "must NOT have more than 2000 characters when characters outside ASCII are percent-encoded",
            ));
        }
        if !is_safe_destination(&url) {
            return Err(Invalid(
                "must be an https URL without user and fragment; http only for localhost",
            ));
        }
        if url
            .query_pairs()
            .any(|(name, _)| Self::OUTCOME_PARAMETERS.contains(&&*name))
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

/// Whether a user can be sent to the URL: `https`, or `http` on the user's own machine; no user and no fragment.
fn is_safe_destination(url: &Url) -> bool {
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let scheme = url.scheme() == "https" || (url.scheme() == "http" && local);
    scheme
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
}
