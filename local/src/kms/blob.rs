//! The emulator's format of a `CiphertextBlob`. Callers treat it as opaque, as they treat AWS's.
//!
//! ```text
//! blob = "kms" 0x01 | key id[16] | material u16 BE | nonce[12] | AES-256-GCM ciphertext | tag[16]
//! aad  = "local kms v1" | the blob up to its nonce | lp(name) | lp(value) | …
//!        for each pair of the context, sorted by name        (lp: u64 BE length prefix)
//! ```
//! AWS derives a key for each blob. The emulator encrypts with the key material directly, under a random nonce.
//! That is safe for four billion blobs.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
    rand,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const MAGIC: [u8; 4] = *b"kms\x01";
const HEADER_LEN: usize = MAGIC.len() + 16 + 2;
const AAD_PREFIX: &[u8] = b"local kms v1";

/// An encryption context. The map sorts its pairs, because their order in the request does not count.
pub(super) type EncryptionContext = BTreeMap<String, String>;

/// Bytes that JSON carries as base64. Not `Debug`, because they may be a key.
#[derive(Clone, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Base64(pub(super) Vec<u8>);

impl TryFrom<String> for Base64 {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        BASE64_STANDARD
            .decode(text)
            .map(Self)
            .map_err(|_| "not base64")
    }
}

impl From<Base64> for String {
    fn from(bytes: Base64) -> Self {
        BASE64_STANDARD.encode(bytes.0)
    }
}

impl std::ops::Deref for Base64 {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The secret bytes of a key. Only the key file stores them outside of the process.
#[derive(Clone, Deserialize, Serialize)]
#[serde(try_from = "Base64", into = "Base64")]
pub(super) struct KeyMaterial([u8; 32]);

impl TryFrom<Base64> for KeyMaterial {
    type Error = &'static str;

    fn try_from(bytes: Base64) -> Result<Self, &'static str> {
        bytes
            .0
            .try_into()
            .map(Self)
            .map_err(|_| "key material is 32 bytes")
    }
}

impl From<KeyMaterial> for Base64 {
    fn from(material: KeyMaterial) -> Self {
        Self(material.0.into())
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyMaterial(..)")
    }
}

impl KeyMaterial {
    pub(super) fn random() -> Result<Self, Unspecified> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Encrypts `plaintext`. The blob records that this material has the number `index` in its key.
    pub(super) fn seal(
        &self,
        key: Uuid,
        index: u16,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Unspecified> {
        let header = [MAGIC.as_slice(), key.as_bytes(), &index.to_be_bytes()].concat();
        let mut sealed = plaintext.to_vec();
        let nonce = self
            .cipher()?
            .seal_in_place_append_tag(aad(&header, context), &mut sealed)?;
        Ok([header.as_slice(), nonce.as_ref(), &sealed].concat())
    }

    /// Decrypts a blob. Fails if the blob or the context has changed.
    pub(super) fn open(
        &self,
        blob: &CiphertextBlob<'_>,
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, Unspecified> {
        let mut sealed = blob.sealed.to_vec();
        let plaintext = self.cipher()?.open_in_place(
            Nonce::from(blob.nonce),
            aad(blob.header, context),
            &mut sealed,
        )?;
        Ok(plaintext.to_vec())
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, Unspecified> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.0)
    }
}

/// The parts of a blob. They are unverified until [`KeyMaterial::open`] succeeds.
pub(super) struct CiphertextBlob<'a> {
    pub(super) key: Uuid,
    pub(super) material: u16,
    header: &'a [u8],
    nonce: &'a [u8; NONCE_LEN],
    sealed: &'a [u8],
}

impl<'a> CiphertextBlob<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER_LEN)?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        let (key, material) = header.strip_prefix(&MAGIC)?.split_first_chunk()?;
        let material = u16::from_be_bytes(material.try_into().ok()?);
        Some(Self {
            key: Uuid::from_bytes(*key),
            material,
            header,
            nonce,
            sealed,
        })
    }
}

fn aad(header: &[u8], context: &EncryptionContext) -> Aad<Vec<u8>> {
    let mut bytes = [AAD_PREFIX, header].concat();
    for text in context.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(text.len().to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    Aad::from(bytes)
}
