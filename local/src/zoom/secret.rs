//! Codes, tokens and client secrets: made here, recognised here by their SHA-256, kept nowhere.

use std::fmt::Write as _;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Error;

/// Random bytes of a token: 640 characters of base64url, as long as Zoom's.
const TOKEN_BYTES: usize = 480;
const CODE_BYTES: usize = 32;

/// What is kept of a secret: its SHA-256 in hex. Deliberately not `Debug`: a client secret may be guessable.
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

/// A secret on its way out, and what stays here of it.
pub(super) struct Issued {
    pub(super) secret: String,
    pub(super) fingerprint: Fingerprint,
}

/// A code that names its row, so that it is found without comparing it to every other.
pub(super) fn code(id: Uuid) -> Result<Issued, Error> {
    issue(id, CODE_BYTES)
}

/// An access or refresh token that names its grant.
pub(super) fn token(grant: Uuid) -> Result<Issued, Error> {
    issue(grant, TOKEN_BYTES)
}

/// The id that [`code`] or [`token`] wrote into the secret. It proves nothing: compare the fingerprint.
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
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Error::NoRandomness)?;
    let secret = format!("{}.{}", id.simple(), BASE64_URL_SAFE_NO_PAD.encode(random));
    Ok(Issued {
        fingerprint: Fingerprint::of(&secret),
        secret,
    })
}
