//! Token URLs: secret URLs that return a token for a bot. They are for bot vendors that cannot send an API key.
//!
//! The last part of the URL is the secret: `ztu_<86 base64url characters><6 checksum characters>`. The 86 characters
//! carry the key of the URL's row and 256 random bits. The key is no secret: the credential's id, or a hash of the
//! team's name, and the URL's id. It is there so that a call needs no index. An index would lag behind a revocation.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::{Builder, Uuid};
use zeroize::Zeroizing;

use crate::credential::{CredentialId, Name, TeamId, created_at, uuid, uuid_schema};
use crate::encoding::{checksum, hex, strip_checksum};
use crate::invalid::Invalid;
use crate::random::{RandomError, random_bytes};
use crate::timestamp::Timestamp;
use crate::token::{MeetingId, TokenType};
use crate::vendor::Vendor;

const PREFIX: &str = "ztu_";
const RANDOM_BYTES: usize = 32;

/// The id of a token URL. It does not open the URL. It is a UUIDv7, so that a credential's URLs sort by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UrlId(Uuid);

uuid_schema!(UrlId, "The id of a token URL.");

impl UrlId {
    /// Makes a new id. Every id sorts after those that this process made before.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The time at which [`UrlId::generate`] made the id.
    pub fn created_at(self) -> Timestamp {
        created_at(self.0)
    }

    /// The 16 bytes, for a cursor.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id from the 16 bytes of a cursor.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl FromStr for UrlId {
    type Err = Invalid;

    /// Accepts the same spellings as the id of a credential.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        uuid(text).map(Self)
    }
}

impl fmt::Display for UrlId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Which URLs lie together in the table: those of one credential, or those of a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UrlPartition(CredentialId);

impl UrlPartition {
    /// The partition of a team's URLs. It is no credential's id: a credential's id is a `UUIDv7`, and this is a
    /// `UUIDv8`.
    pub fn of_team(team: &TeamId) -> Self {
        let hash = digest(&SHA256, format!("token URLs of {team}").as_bytes());
        // A SHA-256 has 32 bytes, more than the chunk needs.
        let bytes = hash.as_ref().first_chunk().copied().unwrap_or_default();
        let id = Builder::from_custom_bytes(bytes).into_uuid();
        Self(CredentialId::from_bytes(id.into_bytes()))
    }

    /// The credential, if the partition is a credential's.
    pub fn credential(self) -> CredentialId {
        self.0
    }

    /// The 16 bytes in the secret of a URL.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl From<CredentialId> for UrlPartition {
    fn from(id: CredentialId) -> Self {
        Self(id)
    }
}

impl fmt::Display for UrlPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The secret part of a token URL, well-formed: its checksum matches. Only the store knows whether the URL exists.
pub struct UrlToken {
    partition: UrlPartition,
    url: UrlId,
    text: SecretString,
}

/// The text is not the secret of a token URL: wrong prefix, length, alphabet or checksum.
#[derive(Debug, thiserror::Error)]
#[error("malformed secret of a token URL")]
pub struct MalformedUrlToken;

impl UrlToken {
    /// Makes the secret of a new URL.
    pub fn generate(partition: UrlPartition, url: UrlId) -> Result<Self, RandomError> {
        let random = random_bytes::<RANDOM_BYTES>()?;
        let ids = [partition.as_bytes().as_slice(), url.as_bytes()].concat();
        let bytes = Zeroizing::new([ids.as_slice(), random.as_slice()].concat());
        // The capacity is large enough: a string that grows leaves copies of the secret in memory.
        let mut text = Zeroizing::new(String::with_capacity(128));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Ok(Self {
            partition,
            url,
            text: SecretString::from(text.as_str()),
        })
    }

    /// Reads the secret that a caller sent.
    pub fn parse(text: &str) -> Result<Self, MalformedUrlToken> {
        let body = strip_checksum(text).and_then(|body| body.strip_prefix(PREFIX));
        let bytes = URL_SAFE_NO_PAD.decode(body.ok_or(MalformedUrlToken)?);
        let bytes = Zeroizing::new(bytes.map_err(|_| MalformedUrlToken)?);
        let (partition, rest) = bytes.split_first_chunk().ok_or(MalformedUrlToken)?;
        let (url, random) = rest.split_first_chunk().ok_or(MalformedUrlToken)?;
        if random.len() != RANDOM_BYTES {
            return Err(MalformedUrlToken);
        }
        Ok(Self {
            partition: CredentialId::from_bytes(*partition).into(),
            url: UrlId::from_bytes(*url),
            text: SecretString::from(text),
        })
    }

    /// The partition that the secret names. The store decides whether the secret is valid for it.
    pub fn partition(&self) -> UrlPartition {
        self.partition
    }

    /// The id of the URL that the secret names.
    pub fn url(&self) -> UrlId {
        self.url
    }

    /// The SHA-256, in hex, which is stored instead of the secret.
    #[expect(clippy::disallowed_methods, reason = "hashing needs the token's text")]
    pub(crate) fn hash(&self) -> String {
        hex(digest(&SHA256, self.text.expose_secret().as_bytes()).as_ref())
    }

    /// The secret's text, for the caller who just made the URL. Nobody can read it again later.
    pub fn into_text(self) -> SecretString {
        self.text
    }
}

impl fmt::Debug for UrlToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlToken")
            .field("partition", &self.partition)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// The types of tokens that a token URL can return: those of a user. An SDK JWT needs parameters that a URL lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UrlTokenType {
    /// Lets a bot join on behalf of the user (OBF).
    Onbehalf,
    /// The user's access key (ZAK), with which a bot joins or starts meetings as the user.
    Zak,
    /// Lets a bot record one meeting locally.
    LocalRecording,
    /// The user's access token, for a vendor that calls Zoom in the user's name. It comes alone, with `verify`, and
    /// only if the operator allows it to the team.
    AccessToken,
}

impl TryFrom<String> for UrlTokenType {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        [
            Self::Onbehalf,
            Self::Zak,
            Self::LocalRecording,
            Self::AccessToken,
        ]
        .into_iter()
        .find(|kind| kind.token_type().as_str() == text)
        .ok_or(Invalid(
            "must be one of onbehalf, zak, local_recording, access_token",
        ))
    }
}

impl UrlTokenType {
    /// The same type among all types of tokens.
    pub fn token_type(self) -> TokenType {
        match self {
            Self::Onbehalf => TokenType::Onbehalf,
            Self::Zak => TokenType::Zak,
            Self::LocalRecording => TokenType::LocalRecording,
            Self::AccessToken => TokenType::AccessToken,
        }
    }
}

/// What every token URL has.
#[derive(Clone, Copy, Debug)]
pub struct UrlTerms<'a> {
    /// The id of the URL.
    pub url_id: UrlId,
    /// The owner's name for the URL.
    pub label: Option<&'a Name>,
    /// The only meeting that the URL works for.
    pub meeting_id: Option<&'a MeetingId>,
    /// How many calls the URL answers with tokens at most.
    pub max_uses: Option<u32>,
    /// How many calls the URL answered with tokens.
    pub uses: u32,
    /// When the URL was created.
    pub created_at: Timestamp,
    /// The id of the API key that created the URL.
    pub created_by: &'a str,
    /// When the URL expires.
    pub expires_at: Option<Timestamp>,
}

/// A credential's token URL, as its team sees it. It contains no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenUrl {
    /// The id of the URL. It is needed to revoke the URL.
    pub url_id: UrlId,
    /// The type of token that the URL returns.
    #[serde(rename = "type")]
    pub token_type: UrlTokenType,
    /// The owner's name for the URL.
    #[schema(required = true)]
    pub label: Option<Name>,
    /// The only meeting that the URL works for; null if it works for any meeting.
    #[schema(required = true)]
    pub meeting_id: Option<MeetingId>,
    /// The only vendor whose calls the URL answers. The vendor must prove each call. Null if the URL answers every
    /// call.
    #[schema(required = true)]
    pub verify: Option<Vendor>,
    /// How many tokens the URL returns at most; null if there is no limit.
    #[schema(required = true)]
    pub max_uses: Option<u32>,
    /// How many tokens the URL returned. A crash may count a token that nobody received.
    pub uses: u32,
    /// When the URL was created.
    pub created_at: Timestamp,
    /// The id of the API key that created the URL, as the operator lists it.
    pub created_by: String,
    /// When the URL expires; null if it never does.
    #[schema(required = true)]
    pub expires_at: Option<Timestamp>,
}

impl TokenUrl {
    /// What every token URL has.
    pub fn terms(&self) -> UrlTerms<'_> {
        UrlTerms {
            url_id: self.url_id,
            label: self.label.as_ref(),
            meeting_id: self.meeting_id.as_ref(),
            max_uses: self.max_uses,
            uses: self.uses,
            created_at: self.created_at,
            created_by: &self.created_by,
            expires_at: self.expires_at,
        }
    }
}
