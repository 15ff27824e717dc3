//! The codes that are sent to Zoom's token endpoint, and the tokens that it returns.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::answer;
use super::api_url::ApiUrl;
use crate::credential::RedirectUri;
use crate::secret::{AuthorizationCode, CodeVerifier, TokenPair};

/// The lifetime of an access token if Zoom does not name one.
const DEFAULT_LIFETIME_SECONDS: u64 = 3600;
/// The longest lifetime that an answer can claim. Zoom's access tokens live for an hour.
const MAX_LIFETIME_SECONDS: u64 = 24 * 3600;
/// Longest list of scopes. Zoom has some hundreds of scopes.
const MAX_SCOPES_BYTES: usize = 16 * 1024;

/// An authorization code, with the values that Zoom checks when the code is spent.
#[derive(Debug)]
pub struct Authorization {
    /// The code. Zoom accepts it once.
    pub code: AuthorizationCode,
    /// The redirect URI to which Zoom sent the user, character by character.
    pub redirect_uri: RedirectUri,
    /// The PKCE secret, if the authorization began with its challenge.
    pub code_verifier: Option<CodeVerifier>,
}

/// The tokens that Zoom returns for a code or a refresh token.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token and the refresh token.
    pub pair: TokenPair,
    /// The lifetime of the access token.
    pub expires_in: Duration,
    /// The scopes that the user consented to, comma-separated.
    pub scopes: Option<String>,
    /// The user's REST host, if Zoom named an acceptable one.
    pub api_url: Option<ApiUrl>,
}

/// The answer of the token endpoint.
///
/// The code or refresh token is spent already. Only the two tokens are therefore required: a bad value in any other
/// field must not make the tokens unusable.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    #[serde(deserialize_with = "non_empty_token")]
    access_token: SecretString,
    #[serde(deserialize_with = "non_empty_token")]
    refresh_token: SecretString,
    #[serde(default, deserialize_with = "answer::none_if_malformed")]
    expires_in: Option<u64>,
    #[serde(default, deserialize_with = "answer::none_if_malformed")]
    scope: Option<String>,
    #[serde(default, deserialize_with = "answer::none_if_malformed")]
    api_url: Option<String>,
}

impl From<TokenAnswer> for Tokens {
    fn from(answer: TokenAnswer) -> Self {
        let lifetime = answer.expires_in.unwrap_or(DEFAULT_LIFETIME_SECONDS);
        Self {
            pair: TokenPair {
                access: answer.access_token,
                refresh: answer.refresh_token,
            },
            expires_in: Duration::from_secs(lifetime.min(MAX_LIFETIME_SECONDS)),
            scopes: answer
                .scope
                .filter(|scope| scope.len() <= MAX_SCOPES_BYTES)
                .map(|scope| scope.split_whitespace().collect::<Vec<_>>().join(","))
                .filter(|scopes| !scopes.is_empty()),
            api_url: answer.api_url.and_then(|url| ApiUrl::from_zoom(&url)),
        }
    }
}

/// Reads a token that is not empty.
#[expect(clippy::disallowed_methods, reason = "the length is checked")]
pub(super) fn non_empty_token<'de, D>(deserializer: D) -> Result<SecretString, D::Error>
where
    D: Deserializer<'de>,
{
    let token = SecretString::deserialize(deserializer)?;
    if token.expose_secret().is_empty() {
        Err(de::Error::custom("a token is empty"))
    } else {
        Ok(token)
    }
}
