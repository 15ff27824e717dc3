//! Secret values. None of these types implements `Serialize` or `Display`, and `Debug` hides the value.
//!
//! A secret is wrapped as soon as it arrives. It is unwrapped in three places: here, to be sealed; in `zoom`, to be
//! sent to Zoom; and in `vendor`, to verify a vendor's calls. Each unwrapping is marked with
//! `#[expect(clippy::disallowed_methods)]` and its reason.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::characters::check_pasted;
use crate::credential::ClientId;
use crate::invalid::Invalid;
use crate::random::{RandomError, random_bytes};

/// A Zoom app's client secret: 1 to 256 characters, without blanks around them.
#[derive(Clone, Debug, ToSchema)]
#[schema(value_type = String, format = Password, min_length = 1, max_length = 256)]
pub struct ClientSecret(SecretString);

impl TryFrom<String> for ClientSecret {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let too_long = "must NOT have more than 256 characters";
        pasted(text, 256, too_long).map(Self)
    }
}

/// The key with which Zoom signs an app's webhooks, called "secret token" by Zoom: 1 to 256 characters, without blanks
/// around them.
#[derive(Clone, Debug, ToSchema)]
#[schema(value_type = String, format = Password, min_length = 1, max_length = 256)]
pub struct WebhookSecret(SecretString);

impl TryFrom<String> for WebhookSecret {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let ClientSecret(secret) = text.try_into()?;
        Ok(Self(secret))
    }
}

/// An OAuth authorization code: 1 to 2000 characters, without blanks around them. Zoom accepts a code once, within 5
/// minutes.
#[derive(Clone, Debug, ToSchema)]
#[schema(value_type = String, format = Password, min_length = 1, max_length = 2000)]
pub struct AuthorizationCode(SecretString);

impl TryFrom<String> for AuthorizationCode {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        // The published schema has no minimum length. An empty code is refused anyway: otherwise an empty form field
        // would create an app credential where the caller wanted a user credential.
        let too_long = "must NOT have more than 2000 characters";
        pasted(text, 2000, too_long).map(Self)
    }
}

/// The secret of a PKCE challenge: 43 to 128 unreserved characters (RFC 7636, 4.1).
#[derive(Clone, Debug, ToSchema)]
#[schema(
    value_type = String, format = Password, min_length = 43, max_length = 128, pattern = "^[A-Za-z0-9._~-]{43,128}$"
)]
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
    /// Makes a new verifier of 256 random bits.
    pub fn generate() -> Result<Self, RandomError> {
        let random = random_bytes::<32>()?;
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()));
        Ok(Self(SecretString::from(text.as_str())))
    }

    /// The S256 challenge of the verifier. It is no secret: it is sent to Zoom before the code is issued.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.fingerprint())
    }
}

/// The secrets that a connect session needs when the user comes back.
#[derive(Clone, Debug)]
pub struct SessionSecret {
    /// The client secret that the session was created with, or `None` if the session uses a stored app.
    pub client_secret: Option<ClientSecret>,
    /// Proves to Zoom that the code is spent by the party that started the authorization.
    pub code_verifier: CodeVerifier,
}

/// The JSON form of a [`SessionSecret`], to be sealed.
#[derive(Serialize)]
struct SessionToSeal<'a> {
    client_secret: Option<&'a str>,
    code_verifier: &'a str,
}

/// The JSON form of a [`SessionSecret`], opened. `SecretString` also wipes the copies that unescaping makes.
#[derive(Deserialize)]
struct OpenedSession {
    client_secret: Option<SecretString>,
    code_verifier: SecretString,
}

/// Wraps a secret of 1 to `max` characters that a person pasted, without blanks around it. `too_long` is the rule of
/// the maximum.
#[expect(
    clippy::disallowed_methods,
    reason = "the text is checked where the secret is wrapped"
)]
fn pasted(text: String, max: usize, too_long: &'static str) -> Result<SecretString, Invalid> {
    let secret = SecretString::from(text);
    match secret.expose_secret().chars().count() {
        0 => return Err(Invalid("must NOT have fewer than 1 characters")),
        length if length > max => return Err(Invalid(too_long)),
        _ => {}
    }
    check_pasted(secret.expose_secret())?;
    Ok(secret)
}

/// A refresh token from another system: 20 to 8192 visible ASCII characters.
#[derive(Clone, Debug)]
pub struct RefreshToken(SecretString);

impl TryFrom<String> for RefreshToken {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        let has_length = (20..=8192).contains(&text.len());
        let token = SecretString::from(text);
        if is_visible && has_length {
            Ok(Self(token))
        } else {
            Err(Invalid("must be 20 to 8192 visible ASCII characters"))
        }
    }
}

impl RefreshToken {
    /// The token as a pair, to be sealed. There is no access token, so the first use of the pair is a refresh.
    pub(crate) fn alone(&self) -> TokenPair {
        TokenPair {
            access: SecretString::default(),
            refresh: self.0.clone(),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the token is hashed, to recognise it"
    )]
    pub(crate) fn revealed(&self) -> &str {
        self.0.expose_secret()
    }
}

/// The access token and the refresh token of a grant. They are always sealed together.
#[derive(Clone, Debug)]
pub struct TokenPair {
    /// The access token. Zoom's REST API accepts it for about an hour.
    pub access: SecretString,
    /// The refresh token. Zoom exchanges it once for the next pair.
    pub refresh: SecretString,
}

/// The JSON form of a [`TokenPair`], to be sealed.
#[derive(Serialize)]
struct PairToSeal<'a> {
    access_token: &'a str,
    refresh_token: &'a str,
}

/// The JSON form of a [`TokenPair`], opened. The tokens are owned, because JSON may escape characters of a token.
#[derive(Deserialize)]
struct OpenedPair {
    access_token: SecretString,
    refresh_token: SecretString,
}

/// Secret bytes before they are sealed or after they are opened. They are wiped when dropped.
pub struct Plaintext(Zeroizing<Vec<u8>>);

/// The bytes in a sealed value do not have the format that this version of the vault expects.
#[derive(Debug, thiserror::Error)]
#[error("the opened secret has an unknown format")]
pub struct UnknownFormat;

impl Plaintext {
    /// Wraps secret bytes without a copy.
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
    type Error = UnknownFormat;

    fn try_from(opened: Plaintext) -> Result<Self, UnknownFormat> {
        let text = str::from_utf8(&opened.0).map_err(|_| UnknownFormat)?;
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
    type Error = UnknownFormat;

    fn try_from(opened: Plaintext) -> Result<Self, UnknownFormat> {
        let text = str::from_utf8(&opened.0).map_err(|_| UnknownFormat)?;
        Ok(Self(SecretString::from(text)))
    }
}

impl TryFrom<&TokenPair> for Plaintext {
    type Error = UnknownFormat;

    #[expect(clippy::disallowed_methods, reason = "sealing needs the plaintext")]
    fn try_from(pair: &TokenPair) -> Result<Self, UnknownFormat> {
        let pair = PairToSeal {
            access_token: pair.access.expose_secret(),
            refresh_token: pair.refresh.expose_secret(),
        };
        // The capacity is large enough: a buffer that grows leaves copies of the tokens in memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(
            64 + 2 * (pair.access_token.len() + pair.refresh_token.len()),
        ));
        serde_json::to_writer(&mut *bytes, &pair).map_err(|_| UnknownFormat)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<Plaintext> for TokenPair {
    type Error = UnknownFormat;

    fn try_from(opened: Plaintext) -> Result<Self, UnknownFormat> {
        let pair: OpenedPair = serde_json::from_slice(&opened.0).map_err(|_| UnknownFormat)?;
        Ok(Self {
            access: pair.access_token,
            refresh: pair.refresh_token,
        })
    }
}

impl TryFrom<&SessionSecret> for Plaintext {
    type Error = UnknownFormat;

    fn try_from(secret: &SessionSecret) -> Result<Self, UnknownFormat> {
        let client_secret = secret.client_secret.as_ref().map(ClientSecret::revealed);
        let session = SessionToSeal {
            client_secret,
            code_verifier: secret.code_verifier.revealed(),
        };
        // The capacity is large enough, because JSON escapes a byte to six characters at most. A buffer that grows
        // leaves copies of the secrets in memory.
        let size = 256 + 6 * client_secret.map_or(0, str::len);
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        serde_json::to_writer(&mut *bytes, &session).map_err(|_| UnknownFormat)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<Plaintext> for SessionSecret {
    type Error = UnknownFormat;

    fn try_from(opened: Plaintext) -> Result<Self, UnknownFormat> {
        let opened: OpenedSession = serde_json::from_slice(&opened.0).map_err(|_| UnknownFormat)?;
        Ok(Self {
            client_secret: opened.client_secret.map(ClientSecret),
            code_verifier: CodeVerifier(opened.code_verifier),
        })
    }
}

/// The client id and client secret of a Zoom app, for Zoom's token endpoint.
#[derive(Clone, Debug)]
pub struct AppCredentials {
    /// Identifies the app.
    pub client_id: ClientId,
    /// Authenticates the app.
    pub client_secret: ClientSecret,
}

impl ClientSecret {
    /// The SHA-256 of the secret. It recognises a request that is sent again.
    pub fn fingerprint(&self) -> Vec<u8> {
        fingerprint(&self.0)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the client secret is sent to Zoom"
    )]
    pub(crate) fn revealed(&self) -> &str {
        self.0.expose_secret()
    }
}

impl WebhookSecret {
    #[expect(
        clippy::disallowed_methods,
        reason = "the secret is the key of the signature"
    )]
    pub(crate) fn revealed(&self) -> &str {
        self.0.expose_secret()
    }
}

impl AuthorizationCode {
    /// The SHA-256 of the secret. It recognises a request that is sent again.
    pub fn fingerprint(&self) -> Vec<u8> {
        fingerprint(&self.0)
    }

    #[expect(clippy::disallowed_methods, reason = "the code is sent to Zoom")]
    pub(crate) fn revealed(&self) -> &str {
        self.0.expose_secret()
    }
}

impl CodeVerifier {
    /// The SHA-256 of the secret. It recognises a request that is sent again.
    pub fn fingerprint(&self) -> Vec<u8> {
        fingerprint(&self.0)
    }

    #[expect(clippy::disallowed_methods, reason = "the verifier is sent to Zoom")]
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
