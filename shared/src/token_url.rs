//! Token URLs: addresses that give a bot its token, for vendors that send no key.
//!
//! The URL's last part is the key to it: `ztu_<86 base64url characters><6 checksum characters>`. The 86 characters
//! carry the credential's id, the URL's id and 256 random bits. The ids are no secret; they let the row be read,
//! listed and revoked by its own key, so that no index lags behind a revocation. The checksum is that of API keys.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::api_key::{NoRandomness, checked, checksum, hex};
use crate::credential::{CredentialId, Invalid, Name, created_at, uuid};
use crate::timestamp::Timestamp;
use crate::token::{MeetingId, TokenType};

const PREFIX: &str = "ztu_";
const RANDOM_BYTES: usize = 32;

/// Names a token URL; not its token. A UUIDv7, so that the ids of a credential's URLs sort by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UrlId(Uuid);

impl UrlId {
    /// A new id, greater than every one this process has made before.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// When a generated id was made.
    pub fn created_at(self) -> Timestamp {
        created_at(self.0)
    }

    /// The 16 bytes, for a cursor.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Back from a cursor's 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl FromStr for UrlId {
    type Err = Invalid;

    /// As a credential's id is read.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        uuid(text).map(Self)
    }
}

impl fmt::Display for UrlId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// What a URL is called by: a well-formed secret, whose checksum holds. Whether it is known is the store's to say.
pub struct UrlToken {
    credential: CredentialId,
    url: UrlId,
    text: SecretString,
}

/// Not a URL's token at all: wrong prefix, length, alphabet or checksum.
#[derive(Debug, thiserror::Error)]
#[error("malformed token of a URL")]
pub struct Malformed;

impl UrlToken {
    /// The token of a new URL for `credential`.
    pub fn generate(credential: CredentialId, url: UrlId) -> Result<Self, NoRandomness> {
        let mut random = Zeroizing::new([0_u8; RANDOM_BYTES]);
        SystemRandom::new()
            .fill(random.as_mut_slice())
            .map_err(|_| NoRandomness)?;
        let ids = [credential.as_bytes().as_slice(), url.as_bytes()].concat();
        let bytes = Zeroizing::new([ids.as_slice(), random.as_slice()].concat());
        // Sized up front: text that grew would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(128));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Ok(Self {
            credential,
            url,
            text: SecretString::from(text.as_str()),
        })
    }

    /// Reads the token a caller sent.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let body = checked(text).and_then(|body| body.strip_prefix(PREFIX));
        let bytes = URL_SAFE_NO_PAD.decode(body.ok_or(Malformed)?);
        let bytes = Zeroizing::new(bytes.map_err(|_| Malformed)?);
        let (credential, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
        let (url, random) = rest.split_first_chunk().ok_or(Malformed)?;
        if random.len() != RANDOM_BYTES {
            return Err(Malformed);
        }
        Ok(Self {
            credential: CredentialId::from_bytes(*credential),
            url: UrlId::from_bytes(*url),
            text: SecretString::from(text),
        })
    }

    /// The credential the token claims to be for.
    pub fn credential(&self) -> CredentialId {
        self.credential
    }

    /// The URL the token claims to be of.
    pub fn url(&self) -> UrlId {
        self.url
    }

    /// The SHA-256, in hex: what is stored instead.
    #[expect(clippy::disallowed_methods, reason = "hashing needs the token's text")]
    pub(crate) fn hash(&self) -> String {
        hex(digest(&SHA256, self.text.expose_secret().as_bytes()).as_ref())
    }

    /// Hands the text out, once: to whoever just made the URL.
    pub fn into_text(self) -> SecretString {
        self.text
    }
}

impl fmt::Debug for UrlToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlToken")
            .field("credential", &self.credential)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// What kinds of tokens a URL can give: those of a user. A bot that joins as the app needs more than a URL says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UrlTokenType {
    /// Lets a bot join on behalf of the user (OBF).
    Onbehalf,
    /// The user's access key (ZAK).
    Zak,
    /// Lets a bot record one meeting locally.
    LocalRecording,
}

impl TryFrom<String> for UrlTokenType {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        [Self::Onbehalf, Self::Zak, Self::LocalRecording]
            .into_iter()
            .find(|kind| TokenType::from(*kind).as_str() == text)
            .ok_or(Invalid("must be one of onbehalf, zak, local_recording"))
    }
}

impl From<UrlTokenType> for TokenType {
    fn from(kind: UrlTokenType) -> Self {
        match kind {
            UrlTokenType::Onbehalf => Self::Onbehalf,
            UrlTokenType::Zak => Self::Zak,
            UrlTokenType::LocalRecording => Self::LocalRecording,
        }
    }
}

/// What the team may see of a token URL. Holds no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenUrl {
    /// Names the URL: what it is revoked by.
    #[schema(value_type = String, format = "uuid")]
    pub url_id: UrlId,
    /// What kind of token it gives.
    #[serde(rename = "type")]
    pub token_type: UrlTokenType,
    /// What its owner calls it.
    #[schema(value_type = Option<String>, required = true, min_length = 1, max_length = 100)]
    pub label: Option<Name>,
    /// The one meeting it is for; null where it is for any.
    #[schema(value_type = Option<String>, required = true, example = "98765432101")]
    pub meeting_id: Option<MeetingId>,
    /// How many tokens it gives at most.
    #[schema(required = true)]
    pub max_uses: Option<u32>,
    /// How many it gave. A crash may count one that nobody got.
    pub uses: u32,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub expires_at: Option<Timestamp>,
}
