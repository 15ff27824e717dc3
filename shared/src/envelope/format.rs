//! The byte format of a sealed secret, version 1.
//!
//! ```text
//! sealed = 0x01 version | 0x01 suite | salt[32] | commitment[32] | nonce[12] | AES-256-GCM ciphertext | tag[16]
//! prk        = HKDF-Extract(SHA-512, salt, data key)
//! key        = HKDF-Expand(prk, suite | "zcv1 key", 32)
//! commitment = HKDF-Expand(prk, "zcv1 commit", 32)
//! ```
//!
//! The commitment is compared in constant time before AES-GCM decrypts. A wrong key and an altered ciphertext are
//! therefore different errors, and no ciphertext can be opened with two keys.
//!
//! The format is frozen. This code and a second decoder in Python open the golden vectors in `tests/golden`.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Prk, Salt};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// The start of the additional data, and the value of `app` in the encryption context.
pub const APPLICATION: &str = "zoom-credentials";
/// Length of a data key: 256 bits.
pub const KEY_BYTES: usize = 32;
/// Longest sealed bytes. Longer bytes are neither made nor opened. The limit leaves room for the tokens of the longest
/// answer that the Zoom client reads, and for the rest of a row in DynamoDB, which has at most 400 KB.
pub const MAX_SEALED_BYTES: usize = 300 * 1024;

const VERSION: u8 = 0x01;
const SUITE: u8 = 0x01;
const SALT_BYTES: usize = 32;
const COMMITMENT_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 2 + SALT_BYTES + COMMITMENT_BYTES + NONCE_BYTES;

/// Why bytes could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are shorter than a header and a tag.
    #[error("the sealed bytes are too short")]
    TooShort,
    /// The bytes are longer than [`MAX_SEALED_BYTES`].
    #[error("the sealed bytes are too long")]
    TooLong,
    /// The version is not known to this code.
    #[error("unknown envelope version {0}")]
    UnknownVersion(u8),
    /// The cipher suite is not known to this code.
    #[error("unknown envelope suite {0}")]
    UnknownSuite(u8),
    /// The bytes were sealed with another data key.
    #[error("the bytes were sealed with another key")]
    WrongKey,
    /// The data key is right, but the ciphertext or the additional data differs.
    #[error("the bytes were altered, or belong to another row")]
    Tampered,
    /// The cryptographic library refused a parameter, or the random number generator failed.
    #[error("the cryptographic library failed")]
    Library,
}

/// The additional data of a row:
/// `"zoom-credentials" | version | suite | lp(table) | lp(team) | lp(secret_id) | lp(purpose) | generation`,
/// where `lp` puts the length before the text, in two bytes, and the generation has eight bytes. Both are big-endian.
pub fn additional_data(
    table: &str,
    team: &str,
    secret_id: &str,
    purpose: &str,
    generation: u64,
) -> Vec<u8> {
    let mut data = APPLICATION.as_bytes().to_vec();
    data.extend([VERSION, SUITE]);
    for part in [table, team, secret_id, purpose] {
        // Each length fits into two bytes: DynamoDB allows 255 bytes for a table name and 2048 bytes for a key.
        data.extend(u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
        data.extend(part.as_bytes());
    }
    data.extend(generation.to_be_bytes());
    data
}

/// Seals `plaintext` with a new random salt and nonce.
pub fn seal(data_key: &[u8], additional_data: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
    let (salt, nonce) = random_salt_and_nonce()?;
    seal_with(data_key, &salt, nonce, additional_data, plaintext)
}

fn random_salt_and_nonce() -> Result<([u8; SALT_BYTES], [u8; NONCE_BYTES]), Error> {
    let mut salt = [0; SALT_BYTES];
    let mut nonce = [0; NONCE_BYTES];
    let random = SystemRandom::new();
    random.fill(&mut salt).map_err(|_| Error::Library)?;
    random.fill(&mut nonce).map_err(|_| Error::Library)?;
    Ok((salt, nonce))
}

/// [`seal`] with a given salt and nonce, for test vectors.
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
    let derived = DerivedKeys::derive(data_key, salt)?;
    // The capacity is large enough: a buffer that grows leaves copies of the plaintext in memory. The buffer holds the
    // plaintext until it is encrypted there, so it is wiped if that fails.
    let mut sealed = Zeroizing::new(Vec::with_capacity(length));
    sealed.extend([VERSION, SUITE]);
    sealed.extend(salt);
    sealed.extend(derived.commitment);
    sealed.extend(nonce);
    sealed.extend(plaintext);
    encrypt(
        &derived.key,
        nonce,
        additional_data,
        &mut sealed,
        HEADER_BYTES,
    )?;
    Ok(std::mem::take(&mut *sealed))
}

/// Opens sealed bytes. Any input gives the plaintext or an [`Error`], never a panic.
pub fn open(data_key: &[u8], additional_data: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    if sealed.len() > MAX_SEALED_BYTES {
        return Err(Error::TooLong);
    }
    let (&[version, suite], rest) = sealed.split_first_chunk().ok_or(Error::TooShort)?;
    if version != VERSION {
        return Err(Error::UnknownVersion(version));
    }
    if suite != SUITE {
        return Err(Error::UnknownSuite(suite));
    }
    let (salt, rest) = rest
        .split_first_chunk::<SALT_BYTES>()
        .ok_or(Error::TooShort)?;
    let (commitment, rest) = rest
        .split_first_chunk::<COMMITMENT_BYTES>()
        .ok_or(Error::TooShort)?;
    let (nonce, text) = rest
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(Error::TooShort)?;
    if text.len() < TAG_BYTES {
        return Err(Error::TooShort);
    }

    let derived = DerivedKeys::derive(data_key, salt)?;
    verify_slices_are_equal(commitment, &derived.commitment).map_err(|_| Error::WrongKey)?;
    decrypt(&derived.key, *nonce, additional_data, text)
}

/// The two values that HKDF derives from a data key and a salt.
struct DerivedKeys {
    key: Zeroizing<[u8; KEY_BYTES]>,
    commitment: [u8; COMMITMENT_BYTES],
}

impl DerivedKeys {
    fn derive(data_key: &[u8], salt: &[u8; SALT_BYTES]) -> Result<Self, Error> {
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

/// Encrypts `text` in place with AES-256-GCM, from its byte `from` on, and appends the tag.
pub(crate) fn encrypt(
    key: &[u8; KEY_BYTES],
    nonce: [u8; NONCE_BYTES],
    additional_data: &[u8],
    text: &mut Vec<u8>,
    from: usize,
) -> Result<(), Error> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let plaintext = text.get_mut(from..).ok_or(Error::Library)?;
    let tag = cipher(key)?
        .seal_in_place_separate_tag(nonce, Aad::from(additional_data), plaintext)
        .map_err(|_| Error::Library)?;
    text.extend(tag.as_ref());
    Ok(())
}

/// Decrypts `text` with AES-256-GCM. `text` ends with the tag.
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
