//! Codes, tokens and client secrets. The sandbox stores only their SHA-256 and recognises them by it.

use std::fmt::Write as _;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Error;

/// The random bytes of a token: 640 characters of base64url, as many as in Zoom's tokens.
const TOKEN_BYTES: usize = 480;
const CODE_BYTES: usize = 32;

/// The SHA-256 of a secret, in hex. Not `Debug`, because a client secret may be guessable from its hash.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Fingerprint(String);

impl Fingerprint {
    pub(super) fn of(secret: &str) -> Self {
        let mut hex = String::with_capacity(64);
        for byte in digest(&SHA256, secret.as_bytes()).as_ref() {
            // Writing to a String cannot fail.
            write!(hex, "{byte:02x}").unwrap_or_default();
        }
        Self(hex)
    }

    /// Compares in constant time.
    pub(super) fn matches(&self, secret: &str) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), Self::of(secret).0.as_bytes()).is_ok()
    }
}

/// A new secret, and its fingerprint to store.
pub(super) struct Issued {
    pub(super) secret: String,
    pub(super) fingerprint: Fingerprint,
}

/// A new code. The code contains its id, so it is found without a search.
pub(super) fn code(id: Uuid) -> Result<Issued, Error> {
    issue(id, CODE_BYTES)
}

/// A new access or refresh token. The token contains the id of its grant.
pub(super) fn token(grant: Uuid) -> Result<Issued, Error> {
    issue(grant, TOKEN_BYTES)
}

/// The id in a code or token. The id is unverified: also compare the fingerprint.
pub(super) fn named_id(secret: &str) -> Option<Uuid> {
    let (id, _) = secret.split_once('.')?;
    Uuid::try_parse(id).ok()
}

/// The PKCE transformation `S256`.
pub(super) fn s256(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

fn issue(id: Uuid, bytes: usize) -> Result<Issued, Error> {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Error::NoRandomBytes)?;
    let secret = format!("{}.{}", id.simple(), BASE64_URL_SAFE_NO_PAD.encode(random));
    Ok(Issued {
        fingerprint: Fingerprint::of(&secret),
        secret,
    })
}
