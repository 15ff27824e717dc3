//! Envelope version 1: the bytes.
//!
//! ```text
//! sealed = 0x01 version | 0x01 suite | salt[32] | commitment[32] | nonce[12] | AES-256-GCM ciphertext | tag[16]
//! prk        = HKDF-Extract(SHA-512, salt, data key)
//! key        = HKDF-Expand(prk, suite | "zcv1 key", 32)
//! commitment = HKDF-Expand(prk, "zcv1 commit", 32)
//! ```
//!
//! The commitment is compared, in constant time, before GCM is asked: a wrong key and a tampered text
//! are two different errors, and no ciphertext opens under two keys. The format is frozen; golden vectors
//! in `tests/golden` are opened by this code and by a second decoder in Python.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Prk, Salt};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// The first words of the additional data, and the encryption context's `app`.
pub const APP: &str = "zoom-credentials";
/// A data key is 256 bits.
pub const KEY_BYTES: usize = 32;
/// A longer sealed text is refused unread, sealing as well as opening.
pub const MAX_SEALED_BYTES: usize = 64 * 1024;

const VERSION: u8 = 0x01;
const SUITE: u8 = 0x01;
const SALT_BYTES: usize = 32;
const COMMITMENT_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 2 + SALT_BYTES + COMMITMENT_BYTES + NONCE_BYTES;

/// Why bytes were not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shorter than a header and a tag.
    #[error("sealed bytes are cut short")]
    CutShort,
    /// Longer than [`MAX_SEALED_BYTES`].
    #[error("sealed bytes are too long")]
    TooLong,
    /// A version this code does not know; never guessed at.
    #[error("unknown envelope version {0}")]
    UnknownVersion(u8),
    /// A cipher suite this code does not know.
    #[error("unknown envelope suite {0}")]
    UnknownSuite(u8),
    /// The data key is not the one this was sealed with.
    #[error("sealed with another key")]
    WrongKey,
    /// The key is right, but the text or what it is bound to was changed.
    #[error("tampered with, or moved from another row")]
    Tampered,
    /// The cryptographic library refused a parameter, or has no randomness.
    #[error("the cryptographic library failed")]
    Library,
}

/// `"zoom-credentials" | version | suite | lp(table) | lp(team) | lp(secret_id) | lp(purpose) | generation`,
/// where `lp` prefixes a length of two bytes and the generation is eight bytes, both big-endian.
pub fn additional_data(
    table: &str,
    team: &str,
    secret_id: &str,
    purpose: &str,
    generation: u64,
) -> Vec<u8> {
    let mut data = APP.as_bytes().to_vec();
    data.extend([VERSION, SUITE]);
    for part in [table, team, secret_id, purpose] {
        // DynamoDB's names end at 255 bytes and its keys at 2048, so no part outgrows its prefix.
        data.extend(u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
        data.extend(part.as_bytes());
    }
    data.extend(generation.to_be_bytes());
    data
}

/// Seals with a fresh salt and nonce.
pub fn seal(data_key: &[u8], additional_data: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
    let (salt, nonce) = fresh()?;
    seal_with(data_key, &salt, nonce, additional_data, plaintext)
}

/// A salt and a nonce that nothing was sealed with.
fn fresh() -> Result<([u8; SALT_BYTES], [u8; NONCE_BYTES]), Error> {
    let mut salt = [0; SALT_BYTES];
    let mut nonce = [0; NONCE_BYTES];
    let random = SystemRandom::new();
    random.fill(&mut salt).map_err(|_| Error::Library)?;
    random.fill(&mut nonce).map_err(|_| Error::Library)?;
    Ok((salt, nonce))
}

/// [`seal`] with salt and nonce given: for test vectors, which must come out the same every time.
pub(crate) fn seal_with(
    data_key: &[u8],
    salt: &[u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
    additional_data: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, Error> {
    let length = HEADER_BYTES + plaintext.len() + TAG_BYTES;
    if length > MAX_SEALED_BYTES {
        return Err(Error::TooLong);
    }
    let derived = Derived::from(data_key, salt)?;
    let mut sealed = Vec::with_capacity(length);
    sealed.extend([VERSION, SUITE]);
    sealed.extend(salt);
    sealed.extend(derived.commitment);
    sealed.extend(nonce);
    // Encrypted in a buffer that never grows, so no plaintext is left in an abandoned allocation.
    let mut text = Zeroizing::new(Vec::with_capacity(plaintext.len() + TAG_BYTES));
    text.extend(plaintext);
    encrypt(&derived.key, nonce, additional_data, &mut text)?;
    sealed.extend(text.as_slice());
    Ok(sealed)
}

/// Opens sealed bytes. Total: any input is either opened or one of [`Error`].
pub fn open(data_key: &[u8], additional_data: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    if sealed.len() > MAX_SEALED_BYTES {
        return Err(Error::TooLong);
    }
    let (&[version, suite], rest) = sealed.split_first_chunk().ok_or(Error::CutShort)?;
    if version != VERSION {
        return Err(Error::UnknownVersion(version));
    }
    if suite != SUITE {
        return Err(Error::UnknownSuite(suite));
    }
    let (salt, rest) = rest
        .split_first_chunk::<SALT_BYTES>()
        .ok_or(Error::CutShort)?;
    let (commitment, rest) = rest
        .split_first_chunk::<COMMITMENT_BYTES>()
        .ok_or(Error::CutShort)?;
    let (nonce, text) = rest
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(Error::CutShort)?;
    if text.len() < TAG_BYTES {
        return Err(Error::CutShort);
    }

    let derived = Derived::from(data_key, salt)?;
    verify_slices_are_equal(commitment, &derived.commitment).map_err(|_| Error::WrongKey)?;
    decrypt(&derived.key, *nonce, additional_data, text)
}

/// What HKDF makes of a data key and a salt.
struct Derived {
    key: Zeroizing<[u8; KEY_BYTES]>,
    commitment: [u8; COMMITMENT_BYTES],
}

impl Derived {
    fn from(data_key: &[u8], salt: &[u8; SALT_BYTES]) -> Result<Self, Error> {
        let prk = Salt::new(HKDF_SHA512, salt).extract(data_key);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        expand(&prk, &[&[SUITE], b"zcv1 key"], key.as_mut_slice())?;
        let mut commitment = [0; COMMITMENT_BYTES];
        expand(&prk, &[b"zcv1 commit"], &mut commitment)?;
        Ok(Self { key, commitment })
    }
}

fn expand(prk: &Prk, info: &[&[u8]], out: &mut [u8]) -> Result<(), Error> {
    struct Length(usize);

    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }

    prk.expand(info, Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|_| Error::Library)
}

/// AES-256-GCM in place; the tag is appended.
pub(crate) fn encrypt(
    key: &[u8; KEY_BYTES],
    nonce: [u8; NONCE_BYTES],
    additional_data: &[u8],
    text: &mut Vec<u8>,
) -> Result<(), Error> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    cipher(key)?
        .seal_in_place_append_tag(nonce, Aad::from(additional_data), text)
        .map_err(|_| Error::Library)
}

/// AES-256-GCM; `text` ends in the tag.
pub(crate) fn decrypt(
    key: &[u8; KEY_BYTES],
    nonce: [u8; NONCE_BYTES],
    additional_data: &[u8],
    text: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut opened = Zeroizing::new(text.to_vec());
    let nonce = Nonce::assume_unique_for_key(nonce);
    let length = cipher(key)?
        .open_in_place(nonce, Aad::from(additional_data), &mut opened)
        .map_err(|_| Error::Tampered)?
        .len();
    opened.truncate(length);
    Ok(std::mem::take(&mut *opened))
}

fn cipher(key: &[u8; KEY_BYTES]) -> Result<LessSafeKey, Error> {
    UnboundKey::new(&AES_256_GCM, key)
        .map(LessSafeKey::new)
        .map_err(|_| Error::Library)
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
