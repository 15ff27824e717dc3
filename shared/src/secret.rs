//! What must never be shown. None of these types is `Serialize` or `Display`; their `Debug` redacts.
//!
//! A secret is wrapped on arrival and unwrapped here (to be sealed) and in `zoom` (to be sent to Zoom);
//! every unwrapping is an `#[expect(clippy::disallowed_methods)]` with its reason.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::api_key::NoRandomness;
use crate::credential::{ClientId, Invalid};

/// A Zoom app's client secret: 1 to 256 characters.
#[derive(Clone, Debug)]
pub struct ClientSecret(SecretString);

impl TryFrom<String> for ClientSecret {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let secret = SecretString::from(text);
        match characters(&secret) {
            0 => Err(Invalid("must NOT have fewer than 1 characters")),
            1..=256 => Ok(Self(secret)),
            _ => Err(Invalid("must NOT have more than 256 characters")),
        }
    }
}

/// What Zoom signs an app's webhooks with, its "secret token": 1 to 256 characters.
#[derive(Clone, Debug)]
pub struct WebhookSecret(SecretString);

impl TryFrom<String> for WebhookSecret {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let ClientSecret(secret) = text.try_into()?;
        Ok(Self(secret))
    }
}

/// An OAuth authorization code, at most 2000 characters. Works once at Zoom, within 5 minutes.
#[derive(Clone, Debug)]
pub struct AuthorizationCode(SecretString);

impl TryFrom<String> for AuthorizationCode {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let secret = SecretString::from(text);
        match characters(&secret) {
            // The published schema has no lower bound, but an empty code can mean nothing: refused, so that
            // a form's empty field never quietly makes an app credential out of a user's.
            0 => Err(Invalid("must NOT have fewer than 1 characters")),
            1..=2000 => Ok(Self(secret)),
            _ => Err(Invalid("must NOT have more than 2000 characters")),
        }
    }
}

/// The secret behind a PKCE challenge: 43 to 128 unreserved characters (RFC 7636, 4.1).
#[derive(Clone, Debug)]
pub struct CodeVerifier(SecretString);

impl TryFrom<String> for CodeVerifier {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let well_formed = (43..=128).contains(&text.len()) && text.bytes().all(unreserved);
        let secret = SecretString::from(text);
        if well_formed {
            Ok(Self(secret))
        } else {
            Err(Invalid("must be 43 to 128 of A-Z, a-z, 0-9 and -._~"))
        }
    }
}

impl CodeVerifier {
    /// A new one, of 256 random bits.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut random = Zeroizing::new([0_u8; 32]);
        SystemRandom::new()
            .fill(random.as_mut_slice())
            .map_err(|_| NoRandomness)?;
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()));
        Ok(Self(SecretString::from(text.as_str())))
    }

    /// Its S256 challenge: what Zoom is told ahead, and no secret.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(fingerprint(&self.0))
    }
}

/// What a connect session keeps until the user is back.
#[derive(Clone, Debug)]
pub struct SessionSecret {
    /// The client secret that the session was made with; none where a credential's own is used.
    pub client_secret: Option<ClientSecret>,
    /// What proves to Zoom that the code came to whom it was asked by.
    pub code_verifier: CodeVerifier,
}

/// As it is sealed.
#[derive(Serialize)]
struct SealedSession<'a> {
    client_secret: Option<&'a str>,
    code_verifier: &'a str,
}

/// As it is opened: what is unescaped on the way is wiped too.
#[derive(Deserialize)]
struct OpenedSession {
    client_secret: Option<SecretString>,
    code_verifier: SecretString,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a length is checked where the secret is wrapped"
)]
fn characters(secret: &SecretString) -> usize {
    secret.expose_secret().chars().count()
}

/// What one authorization gave: both tokens of a grant, kept and sealed together.
#[derive(Clone, Debug)]
pub struct TokenPair {
    /// Opens Zoom's REST API for about an hour.
    pub access: SecretString,
    /// Buys the next pair, once.
    pub refresh: SecretString,
}

/// The pair as it is sealed.
#[derive(Serialize)]
struct SealedPair<'a> {
    access_token: &'a str,
    refresh_token: &'a str,
}

/// The same, opened. Owned: a token may have characters that JSON escapes.
#[derive(Deserialize)]
struct OpenedPair {
    access_token: SecretString,
    refresh_token: SecretString,
}

/// Bytes that were, or are about to be, sealed. Wiped when dropped.
pub struct Plaintext(Zeroizing<Vec<u8>>);

/// The opened bytes are not what this version of the vault seals there.
#[derive(Debug, thiserror::Error)]
#[error("opened bytes have an unknown shape")]
pub struct UnknownShape;

impl Plaintext {
    /// Wraps opened bytes; the allocation is taken over, not copied.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, to be sealed.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plaintext([REDACTED])")
    }
}

impl From<&ClientSecret> for Plaintext {
    #[expect(clippy::disallowed_methods, reason = "sealing needs the plaintext")]
    fn from(secret: &ClientSecret) -> Self {
        Self::new(secret.0.expose_secret().as_bytes().to_vec())
    }
}

impl TryFrom<Plaintext> for ClientSecret {
    type Error = UnknownShape;

    fn try_from(opened: Plaintext) -> Result<Self, UnknownShape> {
        let text = str::from_utf8(&opened.0).map_err(|_| UnknownShape)?;
        Ok(Self(SecretString::from(text)))
    }
}

impl From<&WebhookSecret> for Plaintext {
    #[expect(clippy::disallowed_methods, reason = "sealing needs the plaintext")]
    fn from(secret: &WebhookSecret) -> Self {
        Self::new(secret.0.expose_secret().as_bytes().to_vec())
    }
}

impl TryFrom<Plaintext> for WebhookSecret {
    type Error = UnknownShape;

    fn try_from(opened: Plaintext) -> Result<Self, UnknownShape> {
        let text = str::from_utf8(&opened.0).map_err(|_| UnknownShape)?;
        Ok(Self(SecretString::from(text)))
    }
}

impl TryFrom<&TokenPair> for Plaintext {
    type Error = UnknownShape;

    #[expect(clippy::disallowed_methods, reason = "sealing needs the plaintext")]
    fn try_from(pair: &TokenPair) -> Result<Self, UnknownShape> {
        let pair = SealedPair {
            access_token: pair.access.expose_secret(),
            refresh_token: pair.refresh.expose_secret(),
        };
        // Sized up front: a buffer that grew would leave copies of the tokens behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(
            64 + 2 * (pair.access_token.len() + pair.refresh_token.len()),
        ));
        serde_json::to_writer(&mut *bytes, &pair).map_err(|_| UnknownShape)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<Plaintext> for TokenPair {
    type Error = UnknownShape;

    fn try_from(opened: Plaintext) -> Result<Self, UnknownShape> {
        let pair: OpenedPair = serde_json::from_slice(&opened.0).map_err(|_| UnknownShape)?;
        Ok(Self {
            access: pair.access_token,
            refresh: pair.refresh_token,
        })
    }
}

impl TryFrom<&SessionSecret> for Plaintext {
    type Error = UnknownShape;

    fn try_from(secret: &SessionSecret) -> Result<Self, UnknownShape> {
        let client_secret = secret.client_secret.as_ref().map(ClientSecret::revealed);
        let sealed = SealedSession {
            client_secret,
            code_verifier: secret.code_verifier.revealed(),
        };
        // Sized up front: a buffer that grew would leave copies behind. A character is escaped to six at the most.
        let size = 256 + 6 * client_secret.map_or(0, str::len);
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        serde_json::to_writer(&mut *bytes, &sealed).map_err(|_| UnknownShape)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<Plaintext> for SessionSecret {
    type Error = UnknownShape;

    fn try_from(opened: Plaintext) -> Result<Self, UnknownShape> {
        let opened: OpenedSession = serde_json::from_slice(&opened.0).map_err(|_| UnknownShape)?;
        Ok(Self {
            client_secret: opened.client_secret.map(ClientSecret),
            code_verifier: CodeVerifier(opened.code_verifier),
        })
    }
}

/// A Zoom app's own credentials, as its token endpoint wants them.
#[derive(Clone, Debug)]
pub struct AppCredentials {
    /// Names the app.
    pub client_id: ClientId,
    /// Proves it.
    pub client_secret: ClientSecret,
}

impl ClientSecret {
    /// SHA-256, to recognise a repeated request by.
    pub fn fingerprint(&self) -> Vec<u8> {
        fingerprint(&self.0)
    }

    #[expect(clippy::disallowed_methods, reason = "Zoom wants the client secret")]
    pub(crate) fn revealed(&self) -> &str {
        self.0.expose_secret()
    }
}

impl WebhookSecret {
    #[expect(clippy::disallowed_methods, reason = "a signature is made with it")]
    pub(crate) fn revealed(&self) -> &str {
        self.0.expose_secret()
    }
}

impl AuthorizationCode {
    /// SHA-256, to recognise a repeated request by.
    pub fn fingerprint(&self) -> Vec<u8> {
        fingerprint(&self.0)
    }

    #[expect(clippy::disallowed_methods, reason = "Zoom wants the code")]
    pub(crate) fn revealed(&self) -> &str {
        self.0.expose_secret()
    }
}

impl CodeVerifier {
    #[expect(clippy::disallowed_methods, reason = "Zoom wants the verifier")]
    pub(crate) fn revealed(&self) -> &str {
        self.0.expose_secret()
    }
}

#[expect(clippy::disallowed_methods, reason = "hashing needs the plaintext")]
fn fingerprint(secret: &SecretString) -> Vec<u8> {
    digest(&SHA256, secret.expose_secret().as_bytes())
        .as_ref()
        .to_vec()
}
