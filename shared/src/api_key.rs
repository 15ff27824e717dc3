//! API keys: `zcv_<team>_<43 base64url characters><6 checksum characters>`.
//!
//! The 43 characters carry 256 random bits. The checksum (CRC-32 of everything before it, in base 62)
//! lets a mistyped key, and a secret scanner, be answered without a read. Cut from the right by fixed
//! lengths, because base64url itself may contain `_`.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::credential::TeamId;

const PREFIX: &str = "zcv_";
const RANDOM_BYTES: usize = 32;
const RANDOM_CHARACTERS: usize = 43;
const CHECKSUM_CHARACTERS: usize = 6;

/// A well-formed API key: its checksum holds. Whether it is known is the store's to say.
pub struct ApiKey {
    team: TeamId,
    text: SecretString,
}

/// Not an API key at all: wrong prefix, length, alphabet or checksum.
#[derive(Debug, thiserror::Error)]
#[error("malformed API key")]
pub struct Malformed;

/// The system's random source failed.
#[derive(Debug, thiserror::Error)]
#[error("no randomness to be had")]
pub struct NoRandomness;

impl ApiKey {
    /// A new key for `team`.
    pub fn generate(team: TeamId) -> Result<Self, NoRandomness> {
        let mut random = Zeroizing::new([0_u8; RANDOM_BYTES]);
        SystemRandom::new()
            .fill(random.as_mut_slice())
            .map_err(|_| NoRandomness)?;
        let mut text = Zeroizing::new(format!("{PREFIX}{team}_"));
        URL_SAFE_NO_PAD.encode_string(random.as_slice(), &mut text);
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Ok(Self {
            team,
            text: SecretString::from(text.as_str()),
        })
    }

    /// Reads the key a caller sent.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let body = checked(text).ok_or(Malformed)?;
        let end = body.len().checked_sub(RANDOM_CHARACTERS).ok_or(Malformed)?;
        let (head, random) = body.split_at_checked(end).ok_or(Malformed)?;
        if !random
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        {
            return Err(Malformed);
        }
        let team = head
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_suffix('_'))
            .ok_or(Malformed)?;
        Ok(Self {
            team: team.parse().map_err(|_| Malformed)?,
            text: SecretString::from(text),
        })
    }

    /// The team the key claims to be of.
    pub fn team(&self) -> &TeamId {
        &self.team
    }

    /// What is stored instead of the key.
    #[expect(clippy::disallowed_methods, reason = "hashing needs the key's text")]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.text.expose_secret())
    }

    /// Hands the text out, once: to the operator who just made the key.
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

/// The SHA-256 of an API key, in hex. Enough to recognise the key and useless to forge it.
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

    /// What names the key where people read it.
    pub fn id(&self) -> KeyId {
        KeyId(self.0.chars().take(KeyId::CHARACTERS).collect())
    }
}

/// The beginning of a key's hash, which names the key: its 48 bits tell a team's keys apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyId(String);

impl KeyId {
    /// Hex digits in an id.
    pub(crate) const CHARACTERS: usize = 12;
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Everything.
    Full,
    /// Look, but change nothing and mint nothing.
    Read,
    /// Mint tokens, and nothing else.
    Mint,
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0x0f])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// What stands before the checksum that text ends with, where it holds.
pub(crate) fn checked(text: &str) -> Option<&str> {
    let end = text.len().checked_sub(CHECKSUM_CHARACTERS)?;
    let (body, sum) = text.split_at_checked(end)?;
    (checksum(body) == sum).then_some(body)
}

pub(crate) fn checksum(text: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = usize::try_from(crc32fast::hash(text.as_bytes())).unwrap_or_default();
    let mut digits = [b'0'; CHECKSUM_CHARACTERS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS.get(rest % DIGITS.len()).copied().unwrap_or(b'0');
        rest /= DIGITS.len();
    }
    digits.iter().copied().map(char::from).collect()
}
