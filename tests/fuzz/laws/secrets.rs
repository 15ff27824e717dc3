//! The secrets that a caller sends: API keys, and what stands in the URLs of bots and of people.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use shared::api_key::ApiKey;
use shared::connect::{BrowserKey, LinkToken, OAuthState};
use shared::token_url::UrlToken;

use super::hex;

/// How many bytes of a secret are random.
const RANDOM_BYTES: usize = 32;
/// How many characters of an API key are random.
const RANDOM_CHARACTERS: usize = 43;

#[expect(
    clippy::disallowed_methods,
    reason = "the law compares the secret with its text"
)]
fn text_of(secret: &SecretString) -> &str {
    secret.expose_secret()
}

/// The CRC-32 of the text in base 62, written without the code of the vault.
fn checksum(text: &str) -> String {
    const DIGITS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = Vec::new();
    for _ in 0..6 {
        let digit = usize::try_from(rest % 62).unwrap_or_default();
        digits.extend(DIGITS.chars().nth(digit));
        rest /= 62;
    }
    digits.iter().rev().collect()
}

/// The text as it is, and the text with a checksum that fits. No fuzzer finds a checksum by itself.
fn candidates(data: &[u8]) -> Vec<String> {
    let Ok(text) = str::from_utf8(data) else {
        return Vec::new();
    };
    vec![text.to_owned(), format!("{text}{}", checksum(text))]
}

/// The text before its checksum, if the checksum fits.
fn body(text: &str) -> Option<&str> {
    let (body, sum) = text.split_at_checked(text.len().checked_sub(6)?)?;
    (checksum(body) == sum).then_some(body)
}

/// The text with its last character before the checksum replaced, and the old checksum.
fn changed(text: &str) -> Option<String> {
    let (body, sum) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let last = body.chars().last()?;
    let start = body.strip_suffix(last)?;
    let other = if last == 'A' { 'B' } else { 'A' };
    Some(format!("{start}{other}{sum}"))
}

/// The random part of an API key with this text, if the text has the form of a key.
fn random_of_key(text: &str) -> Option<&str> {
    let rest = body(text)?.strip_prefix("zcv_")?;
    let (head, random) = rest.split_at_checked(rest.len().checked_sub(RANDOM_CHARACTERS)?)?;
    let team = head.strip_suffix('_')?;
    let is_team = (1..=32).contains(&team.len())
        && team
            .bytes()
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-');
    let is_random = random
        .bytes()
        .all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'));
    (is_team && is_random).then_some(random)
}

/// A key is accepted exactly if it has the form of a key. It is kept as it was sent, it is hidden, and a changed key is
/// refused.
pub fn api_key(data: &[u8]) {
    for text in candidates(data) {
        let read = ApiKey::parse(&text);
        let random = random_of_key(&text);
        assert_eq!(read.is_ok(), random.is_some(), "{text:?}");
        let (Ok(key), Some(random)) = (read, random) else {
            continue;
        };
        assert!(
            !format!("{key:?}").contains(random),
            "the random part is shown"
        );
        assert!(text.starts_with(&format!("zcv_{}_", key.team())));
        assert_eq!(
            key.hash().as_str(),
            hex(digest(&SHA256, text.as_bytes()).as_ref())
        );
        assert_eq!(key.hash().id().as_str().len(), 12);
        assert_eq!(text_of(&key.into_text()), text);
        assert!(changed(&text).is_none_or(|it| ApiKey::parse(&it).is_err()));
        assert!(UrlToken::parse(&text).is_err());
        assert!(LinkToken::parse(&text).is_err());
        assert!(OAuthState::parse(&text).is_err());
    }
}

/// The bytes in a secret of a URL, if the text has the form of one.
fn bytes_of(text: &str, prefix: &str, ids: usize) -> Option<Vec<u8>> {
    let encoded = body(text)?.strip_prefix(prefix)?;
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    (bytes.len() == 16 * ids + RANDOM_BYTES).then_some(bytes)
}

/// The characters of a secret after its prefix and the ids, which are no secret.
fn hidden(text: &str, ids: usize) -> &str {
    text.get(4 + 16 * ids * 4 / 3 + 2..).unwrap_or_default()
}

/// The secret of a token URL is accepted exactly if it has the form of one. It names the ids in it, and it is hidden.
pub fn token_url(data: &[u8]) {
    for text in candidates(data) {
        let read = UrlToken::parse(&text);
        let bytes = bytes_of(&text, "ztu_", 2);
        assert_eq!(read.is_ok(), bytes.is_some(), "{text:?}");
        let (Ok(token), Some(bytes)) = (read, bytes) else {
            continue;
        };
        let ids = [
            token.partition().as_bytes().as_slice(),
            token.url().as_bytes(),
        ]
        .concat();
        assert!(bytes.starts_with(&ids));
        // Two texts for the same bytes would be two secrets of one URL.
        let again = format!("ztu_{}", URL_SAFE_NO_PAD.encode(&bytes));
        assert_eq!(format!("{again}{}", checksum(&again)), text);
        assert!(!format!("{token:?}").contains(hidden(&text, 2)));
        token.partition().credential().created_at();
        token.url().created_at();
        assert_eq!(text_of(&token.into_text()), text);
        assert!(changed(&text).is_none_or(|it| UrlToken::parse(&it).is_err()));
        assert!(ApiKey::parse(&text).is_err());
        assert!(LinkToken::parse(&text).is_err());
        assert!(OAuthState::parse(&text).is_err());
    }
}

macro_rules! session_secret {
    ($type:ident, $prefix:literal, $text:expr) => {
        let (text, read) = ($text, $type::parse($text));
        let bytes = bytes_of(text, $prefix, 1);
        assert_eq!(read.is_ok(), bytes.is_some(), "{text:?}");
        if let Ok(secret) = read {
            assert!(!format!("{secret:?}").contains(hidden(text, 1)));
            secret.session().created_at();
            assert_eq!(text_of(&secret.into_text()), text);
            assert!(changed(text).is_none_or(|it| $type::parse(&it).is_err()));
        }
    };
}

/// The secrets of a connect session: the link, the state and the cookie. Each is accepted exactly if it has its form,
/// none passes for another, and all are hidden.
pub fn connect_secrets(data: &[u8]) {
    for text in candidates(data) {
        session_secret!(LinkToken, "zcl_", &text);
        session_secret!(OAuthState, "zcs_", &text);
        let is_key = URL_SAFE_NO_PAD
            .decode(&text)
            .is_ok_and(|it| it.len() == RANDOM_BYTES);
        let read = BrowserKey::parse(&text);
        assert_eq!(read.is_ok(), is_key);
        if let Ok(key) = read {
            assert!(!format!("{key:?}").contains(&text));
            assert_eq!(text_of(key.text()), text);
        }
    }
}
