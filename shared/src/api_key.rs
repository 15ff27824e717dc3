//! API keys: `zcv_<team>_<43 base64url characters><6 checksum characters>`.
//!
//! The 43 characters carry 256 random bits. The parts are cut off from the right by their fixed lengths, because
//! base64url text may itself contain `_`.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::credential::{Name, TeamId};
use crate::encoding::{checksum, hex, strip_checksum};
use crate::extra::ExtraFilter;
use crate::invalid::Invalid;
use crate::random::{RandomError, random_bytes};
use crate::timestamp::Timestamp;
use crate::token::TokenType;

const PREFIX: &str = "zcv_";
const RANDOM_BYTES: usize = 32;
/// `RANDOM_BYTES` in base64url without padding.
const RANDOM_CHARACTERS: usize = 43;

/// A well-formed API key: its checksum matches. Only the store knows whether the key exists.
pub struct ApiKey {
    team: TeamId,
    text: SecretString,
}

/// The text is not an API key: wrong prefix, length, alphabet or checksum.
#[derive(Debug, thiserror::Error)]
#[error("malformed API key")]
pub struct MalformedApiKey;

impl ApiKey {
    /// Makes a new key for `team`.
    pub fn generate(team: TeamId) -> Result<Self, RandomError> {
        let random = random_bytes::<RANDOM_BYTES>()?;
        let mut text = Zeroizing::new(format!("{PREFIX}{team}_"));
        URL_SAFE_NO_PAD.encode_string(random.as_slice(), &mut text);
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Ok(Self {
            team,
            text: SecretString::from(text.as_str()),
        })
    }

    /// Reads the key that a caller sent.
    pub fn parse(text: &str) -> Result<Self, MalformedApiKey> {
        let body = strip_checksum(text).ok_or(MalformedApiKey)?;
        let end = body
            .len()
            .checked_sub(RANDOM_CHARACTERS)
            .ok_or(MalformedApiKey)?;
        let (head, random) = body.split_at_checked(end).ok_or(MalformedApiKey)?;
        if !random
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        {
            return Err(MalformedApiKey);
        }
        let team = head
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_suffix('_'))
            .ok_or(MalformedApiKey)?;
        Ok(Self {
            team: team.parse().map_err(|_| MalformedApiKey)?,
            text: SecretString::from(text),
        })
    }

    /// The team that the key names. The store decides whether that team owns the key.
    pub fn team(&self) -> &TeamId {
        &self.team
    }

    /// The hash that is stored instead of the key.
    #[expect(clippy::disallowed_methods, reason = "hashing needs the key's text")]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.text.expose_secret())
    }

    /// The key's text, for the operator who just made the key. Nobody can read it again later.
    pub fn into_text(self) -> SecretString {
        self.text
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("team", &self.team)
            .finish_non_exhaustive()
    }
}

/// The SHA-256 of an API key, in hex. It identifies the key but cannot be used as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHash(String);

impl KeyHash {
    fn of(text: &str) -> Self {
        Self(hex(digest(&SHA256, text.as_bytes()).as_ref()))
    }

    /// The 64 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The short id of the key, for listings and events.
    pub fn id(&self) -> KeyId {
        KeyId::of_hash(&self.0)
    }
}

/// The first 48 bits of a key's hash, in hex. They are enough to tell the keys of one team apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyId(String);

impl KeyId {
    /// Hex digits in an id.
    const CHARACTERS: usize = 12;

    /// The id of the key with this hash, in hex.
    pub(crate) fn of_hash(hash: &str) -> Self {
        Self(hash.chars().take(Self::CHARACTERS).collect())
    }

    /// The 12 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for KeyId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == Self::CHARACTERS && text.bytes().all(is_digit) {
            Ok(Self(text))
        } else {
            Err(Invalid("must be 12 hex digits"))
        }
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

/// What the operator decides about a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTerms {
    /// What the key may do.
    pub permission: Permission,
    /// What the key is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Name>,
    /// Who asked for the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<Name>,
    /// When the key stops working.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// How many calls of each kind (changes, mints) a second the key may make. `None`: 80 % of the team's rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// The types of tokens that the key may mint and make URLs for. `None`: every type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_types: Option<Vec<TokenType>>,
    /// The credentials that the key can see.
    #[serde(default, skip_serializing_if = "ExtraFilter::is_empty")]
    pub extra: ExtraFilter,
}

impl KeyTerms {
    /// The terms of a key that only its permission limits.
    pub fn of(permission: Permission) -> Self {
        Self {
            permission,
            label: None,
            created_by: None,
            expires_at: None,
            rate: None,
            token_types: None,
            extra: ExtraFilter::default(),
        }
    }

    /// The names of the terms that are set, for the audit trail.
    pub(crate) fn fields(&self) -> Vec<&'static str> {
        let set = [
            ("permission", true),
            ("label", self.label.is_some()),
            ("created_by", self.created_by.is_some()),
            ("expires_at", self.expires_at.is_some()),
            ("rate", self.rate.is_some()),
            ("token_types", self.token_types.is_some()),
            ("extra", !self.extra.is_empty()),
        ];
        let set = set.into_iter().filter(|(_, is_set)| *is_set);
        set.map(|(name, _)| name).collect()
    }

    /// Whether the key may mint tokens of this type.
    pub fn allow(&self, token_type: TokenType) -> bool {
        let types = self.token_types.as_ref();
        types.is_none_or(|types| types.contains(&token_type))
    }
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Everything.
    Full,
    /// Read, but change nothing and mint nothing.
    Read,
    /// Mint tokens, and nothing else.
    Mint,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_of_a_key_is_twelve_lowercase_hex_digits_and_keeps_its_text() {
        let id: KeyId = serde_json::from_value(json!("0123456789ab")).unwrap();
        assert_eq!(serde_json::to_value(&id).unwrap(), json!("0123456789ab"));
        for wrong in [
            "",
            "0123456789a",
            "0123456789abc",
            "0123456789AB",
            "0123456789ag",
        ] {
            assert!(wrong.parse::<KeyId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_audit_trail_names_the_terms_that_are_set() {
        let none = KeyTerms::of(Permission::Mint);
        assert_eq!(none.fields(), ["permission"]);
        let all: KeyTerms = serde_json::from_value(json!({
            "permission": "mint",
            "label": "worker",
            "created_by": "ada",
            "expires_at": Timestamp::now(),
            "rate": 5,
            "token_types": ["zak"],
            "extra": "customer:acme",
        }))
        .unwrap();
        let names = [
            "permission",
            "label",
            "created_by",
            "expires_at",
            "rate",
            "token_types",
            "extra",
        ];
        assert_eq!(all.fields(), names);
    }
}
