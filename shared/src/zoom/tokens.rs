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

/// The access token of an account-level app. It has no refresh token.
#[derive(Clone, Debug)]
pub struct AccountToken {
    /// The access token.
    pub access: SecretString,
    /// The lifetime of the access token.
    pub expires_in: Duration,
    /// The scopes of the app, comma-separated.
    pub scopes: Option<String>,
    /// The account's REST host, if Zoom named an acceptable one.
    pub api_url: Option<ApiUrl>,
}

/// The answer of the token endpoint.
///
/// The code or refresh token is spent already. Only the access token is therefore required: a bad value in any other
/// field must not make the tokens unusable.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    #[serde(deserialize_with = "non_empty_token")]
    access_token: SecretString,
    #[serde(default, deserialize_with = "answer::none_if_malformed")]
    refresh_token: Option<SecretString>,
    #[serde(default, deserialize_with = "answer::none_if_malformed")]
    expires_in: Option<u64>,
    #[serde(default, deserialize_with = "answer::none_if_malformed")]
    scope: Option<String>,
    #[serde(default, deserialize_with = "answer::none_if_malformed")]
    api_url: Option<String>,
}

impl TokenAnswer {
    /// The tokens after a refresh with the refresh token `sent`. If the answer has no refresh token, `sent` stays valid
    /// (RFC 6749, section 6).
    pub(super) fn after_refresh(mut self, sent: &SecretString) -> Tokens {
        let refresh = self.take_refresh_token().unwrap_or_else(|| sent.clone());
        self.into_tokens(refresh)
    }

    /// The tokens for a code, or `None` if the answer has no refresh token. Without a refresh token, the grant would
    /// end with its access token.
    pub(super) fn after_exchange(mut self) -> Option<Tokens> {
        let refresh = self.take_refresh_token()?;
        Some(self.into_tokens(refresh))
    }

    #[expect(clippy::disallowed_methods, reason = "the length is checked")]
    fn take_refresh_token(&mut self) -> Option<SecretString> {
        let token = self.refresh_token.take();
        token.filter(|token| !token.expose_secret().is_empty())
    }

    fn into_tokens(self, refresh: SecretString) -> Tokens {
        let AccountToken {
            access,
            expires_in,
            scopes,
            api_url,
        } = self.into_account_token();
        Tokens {
            pair: TokenPair { access, refresh },
            expires_in,
            scopes,
            api_url,
        }
    }

    /// The access token alone.
    pub(super) fn into_account_token(self) -> AccountToken {
        let lifetime = self.expires_in.unwrap_or(DEFAULT_LIFETIME_SECONDS);
        AccountToken {
            access: self.access_token,
            expires_in: Duration::from_secs(lifetime.min(MAX_LIFETIME_SECONDS)),
            scopes: self
                .scope
                .filter(|scope| scope.len() <= MAX_SCOPES_BYTES)
                .map(|scope| joined_by_commas(&scope))
                .filter(|scopes| !scopes.is_empty()),
            api_url: self.api_url.and_then(|url| ApiUrl::from_zoom(&url)),
        }
    }
}

/// A list of scopes, which Zoom separates by spaces, by commas or by both.
fn joined_by_commas(scopes: &str) -> String {
    let scopes = scopes.split(|c: char| c.is_whitespace() || c == ',');
    let scopes: Vec<&str> = scopes.filter(|scope| !scope.is_empty()).collect();
    scopes.join(",")
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
