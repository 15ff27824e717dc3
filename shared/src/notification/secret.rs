//! The secret that signs a team's notifications, as Standard Webhooks define it.

use std::fmt;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::message::MessageId;
use crate::random::{RandomError, random_bytes};
use crate::secret::{Plaintext, UnknownFormat};

const KEY_BYTES: usize = 32;

/// The key that signs a team's notifications: 256 random bits.
pub struct SigningSecret(Zeroizing<[u8; KEY_BYTES]>);

impl SigningSecret {
    /// Makes a new secret.
    pub fn generate() -> Result<Self, RandomError> {
        random_bytes().map(Self)
    }

    /// The secret as the team gets it, once: `whsec_` and the key in base64.
    pub fn shown_once(&self) -> SecretString {
        let key = Zeroizing::new(STANDARD.encode(self.0.as_slice()));
        SecretString::from(format!("whsec_{}", *key))
    }

    /// The signature of a call: an element of the header `webhook-signature`. `at` is in seconds.
    pub fn sign(&self, id: &MessageId, at: i64, body: &str) -> String {
        let key = Key::new(HMAC_SHA256, self.0.as_slice());
        let mac = sign(&key, format!("{id}.{at}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac))
    }
}

impl From<&SigningSecret> for Plaintext {
    fn from(secret: &SigningSecret) -> Self {
        Self::new(secret.0.to_vec())
    }
}

impl TryFrom<Plaintext> for SigningSecret {
    type Error = UnknownFormat;

    fn try_from(opened: Plaintext) -> Result<Self, UnknownFormat> {
        let key = opened.as_bytes().try_into().map_err(|_| UnknownFormat)?;
        Ok(Self(Zeroizing::new(key)))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret([REDACTED])")
    }
}
