//! The vendors, the secret that a team pastes, and the key that the secret holds.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::characters::check_pasted;
use crate::invalid::Invalid;
use crate::secret::{Plaintext, UnknownFormat};

/// The fewest bytes of a key. A shorter key could be guessed.
const MIN_KEY_BYTES: usize = 16;

/// A bot vendor that can prove its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Vendor {
    /// Recall.ai, which signs its calls as Standard Webhooks.
    Recall,
    /// Attendee, which signs the canonical JSON of the body.
    Attendee,
    /// MeetStream, which sends a shared secret.
    Meetstream,
}

impl Vendor {
    /// The vendor's name in paths, bodies and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recall => "recall",
            Self::Attendee => "attendee",
            Self::Meetstream => "meetstream",
        }
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Vendor {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Recall, Self::Attendee, Self::Meetstream]
            .into_iter()
            .find(|vendor| vendor.as_str() == text)
            .ok_or(Invalid("must be one of recall, attendee, meetstream"))
    }
}

impl TryFrom<String> for Vendor {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

/// The secret of a team at a vendor, as the vendor shows it: 16 to 256 visible ASCII characters.
#[derive(Clone, Debug, ToSchema)]
#[schema(value_type = String, format = Password, pattern = "^[!-~]{16,256}$")]
pub struct VendorSecret(SecretString);

impl TryFrom<String> for VendorSecret {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let secret = Self(SecretString::from(text));
        match secret.revealed().chars().count() {
            0..16 => return Err(Invalid("must NOT have fewer than 16 characters")),
            16..=256 => {}
            _ => return Err(Invalid("must NOT have more than 256 characters")),
        }
        check_pasted(secret.revealed())?;
        if !secret
            .revealed()
            .bytes()
            .all(|byte| byte.is_ascii_graphic())
        {
            return Err(Invalid("must be visible ASCII characters, without blanks"));
        }
        Ok(secret)
    }
}

impl VendorSecret {
    #[expect(
        clippy::disallowed_methods,
        reason = "the secret is checked, sealed, and read as a key"
    )]
    fn revealed(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<&VendorSecret> for Plaintext {
    fn from(secret: &VendorSecret) -> Self {
        Self::new(secret.revealed().as_bytes().to_vec())
    }
}

impl TryFrom<Plaintext> for VendorSecret {
    type Error = UnknownFormat;

    fn try_from(opened: Plaintext) -> Result<Self, UnknownFormat> {
        let text = str::from_utf8(opened.as_bytes()).map_err(|_| UnknownFormat)?;
        Ok(Self(SecretString::from(text)))
    }
}

/// The bytes with which a vendor proves its calls.
#[derive(Clone)]
pub struct VendorKey(Zeroizing<Vec<u8>>);

impl VendorKey {
    /// Reads the key in a secret. Each vendor shows its key in another form.
    pub fn new(vendor: Vendor, secret: &VendorSecret) -> Result<Self, Invalid> {
        let text = secret.revealed();
        let (key, rule) = match vendor {
            Vendor::Recall => (
                text.strip_prefix("whsec_").and_then(decode),
                "must be whsec_ and the base64 of at least 16 bytes, as Recall.ai shows it",
            ),
            Vendor::Attendee => (
                decode(text),
                "must be the base64 of at least 16 bytes, as Attendee shows it",
            ),
            Vendor::Meetstream => return Ok(Self(Zeroizing::new(text.as_bytes().to_vec()))),
        };
        key.map(Self).ok_or(Invalid(rule))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for VendorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VendorKey([REDACTED])")
    }
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let key = Zeroizing::new(STANDARD.decode(text).ok()?);
    (key.len() >= MIN_KEY_BYTES).then_some(key)
}
