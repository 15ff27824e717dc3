//! The part of a row that the envelope makes: the row's key and the sealed secret.
//!
//! This is the only file of `envelope` that `stores` imports. It holds data and no cryptography.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::connect::SessionId;
use crate::credential::{ClientId, CredentialId, GrantId, TeamId};
use crate::vendor::Vendor;

/// The kind of secret in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The client secret of a Zoom app.
    App,
    /// The tokens of a grant.
    Grant,
    /// The key with which Zoom signs an app's webhooks.
    Webhook,
    /// The secrets that a connect session needs when the user comes back.
    Session,
    /// The secret with which a bot vendor proves its calls of token URLs.
    Vendor,
    /// The secret that signs a team's notifications.
    Notification,
}

impl Purpose {
    /// The word in the encryption context and in the additional data.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Grant => "grant",
            Self::Webhook => "webhook",
            Self::Session => "session",
            Self::Vendor => "vendor",
            Self::Notification => "notification",
        }
    }
}

/// The key of a row in the table `secrets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretId {
    /// The client secret of a credential's app.
    App(CredentialId),
    /// The tokens of a grant.
    Grant(GrantId),
    /// The key with which Zoom signs the webhooks of a team's app.
    Webhook(TeamId, ClientId),
    /// The secrets of a connect session.
    Session(SessionId),
    /// The secret with which a bot vendor proves its calls to a team's token URLs.
    Vendor(TeamId, Vendor),
    /// The secret that signs a team's notifications.
    Notification(TeamId),
}

impl SecretId {
    /// The kind of secret in the row.
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::App(_) => Purpose::App,
            Self::Grant(_) => Purpose::Grant,
            Self::Webhook(..) => Purpose::Webhook,
            Self::Session(_) => Purpose::Session,
            Self::Vendor(..) => Purpose::Vendor,
            Self::Notification(_) => Purpose::Notification,
        }
    }
}

/// The text is not the key of a row in the table `secrets`.
#[derive(Debug, thiserror::Error)]
#[error("not the key of a secret")]
pub struct InvalidSecretId;

impl FromStr for SecretId {
    type Err = InvalidSecretId;

    fn from_str(text: &str) -> Result<Self, InvalidSecretId> {
        let (kind, id) = text.split_once('#').ok_or(InvalidSecretId)?;
        let parsed = match kind {
            "app" => id.parse().ok().map(Self::App),
            "grant" => id.parse().ok().map(Self::Grant),
            "session" => id.parse().ok().map(Self::Session),
            "webhook" => id.split_once('#').and_then(|(team, app)| {
                let app = ClientId::try_from(app.to_owned()).ok()?;
                Some(Self::Webhook(team.parse().ok()?, app))
            }),
            "vendor" => id.split_once('#').and_then(|(team, vendor)| {
                Some(Self::Vendor(team.parse().ok()?, vendor.parse().ok()?))
            }),
            "notification" => id.parse().ok().map(Self::Notification),
            _ => None,
        };
        parsed.ok_or(InvalidSecretId)
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(id) => write!(f, "app#{id}"),
            Self::Grant(id) => write!(f, "grant#{id}"),
            // The id of a team contains no `#`, so the two parts can always be told apart.
            Self::Webhook(team, app) => write!(f, "webhook#{team}#{}", app.as_str()),
            Self::Session(id) => write!(f, "session#{id}"),
            Self::Notification(team) => write!(f, "notification#{team}"),
            Self::Vendor(team, vendor) => write!(f, "vendor#{team}#{vendor}"),
        }
    }
}

impl From<SecretId> for String {
    fn from(id: SecretId) -> Self {
        id.to_string()
    }
}

/// A sealed secret, bound to one row and one generation.
///
/// Only `DataKey::seal` makes a new one. `Deserialize` exists for the store, which reads rows back. Two values are
/// equal if they hold the same ciphertext, even if different KMS keys wrap the data key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sealed {
    /// The data key, wrapped by KMS.
    #[serde(with = "serde_bytes")]
    pub(super) dek: Vec<u8>,
    /// The ARN of the KMS key that wrapped the data key.
    pub(super) kid: String,
    /// Header, ciphertext and tag. The file `format` defines the bytes.
    #[serde(with = "serde_bytes", rename = "sealed")]
    pub(super) bytes: Vec<u8>,
    /// The version of the secret.
    pub(super) generation: u64,
}

impl PartialEq for Sealed {
    fn eq(&self, other: &Self) -> bool {
        (self.generation, &self.bytes) == (other.generation, &other.bytes)
    }
}

impl Eq for Sealed {}

impl Sealed {
    /// The version of the secret.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The wrapped data key, the ARN of the KMS key that wrapped it, and the sealed bytes.
    pub fn parts(&self) -> (&[u8], &str, &[u8]) {
        (&self.dek, &self.kid, &self.bytes)
    }
}

/// A data key in the form in which KMS wrapped it. Only KMS can open a secret with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The wrapped bytes.
    pub dek: Vec<u8>,
    /// The ARN of the KMS key that wrapped them.
    pub kid: String,
}
