//! `CiphertextBlob`: a format of the emulator's own, to callers as opaque as AWS's.
//!
//! ```text
//! blob = "kms" 0x01 | key id[16] | material u16 BE | nonce[12] | AES-256-GCM ciphertext | tag[16]
//! aad  = "local kms v1" | the blob up to its nonce | lp(name) | lp(value) | …
//!        for each pair of the context, sorted by name        (lp: u64 BE length prefix)
//! ```
//! AWS derives a key per blob; here the material seals directly under a random nonce, which is
//! sound for four billion blobs.

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
const DOMAIN: &[u8] = b"local kms v1";

/// What a blob is bound to. A map that sorts: the order in the request is not part of a context.
pub(super) type Context = BTreeMap<String, String>;

/// Bytes as JSON carries them. Not `Debug`: they may be a key.
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

/// One backing key. Never leaves the emulator but into its own file.
#[derive(Clone, Deserialize, Serialize)]
#[serde(try_from = "Base64", into = "Base64")]
pub(super) struct Material([u8; 32]);

impl TryFrom<Base64> for Material {
    type Error = &'static str;

    fn try_from(bytes: Base64) -> Result<Self, &'static str> {
        bytes
            .0
            .try_into()
            .map(Self)
            .map_err(|_| "key material is 32 bytes")
    }
}

impl From<Material> for Base64 {
    fn from(material: Material) -> Self {
        Self(material.0.into())
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Material(..)")
    }
}

impl Material {
    pub(super) fn fresh() -> Result<Self, Unspecified> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The blob of `plaintext`, which names this material as number `index` of the key.
    pub(super) fn seal(
        &self,
        key: Uuid,
        index: u16,
        context: &Context,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Unspecified> {
        let header = [MAGIC.as_slice(), key.as_bytes(), &index.to_be_bytes()].concat();
        let mut sealed = plaintext.to_vec();
        let nonce = self
            .cipher()?
            .seal_in_place_append_tag(aad(&header, context), &mut sealed)?;
        Ok([header.as_slice(), nonce.as_ref(), &sealed].concat())
    }

    /// What was sealed, if nothing of the blob and nothing of the context has changed.
    pub(super) fn open(&self, blob: &Blob<'_>, context: &Context) -> Result<Vec<u8>, Unspecified> {
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

/// The parts of a blob, as it claims them: nothing is true before [`Material::open`].
pub(super) struct Blob<'a> {
    pub(super) key: Uuid,
    pub(super) material: u16,
    header: &'a [u8],
    nonce: &'a [u8; NONCE_LEN],
    sealed: &'a [u8],
}

impl<'a> Blob<'a> {
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

fn aad(header: &[u8], context: &Context) -> Aad<Vec<u8>> {
    let mut bytes = [DOMAIN, header].concat();
    for text in context.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(text.len().to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    Aad::from(bytes)
}
