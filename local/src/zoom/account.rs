//! Account-level apps (server-to-server OAuth): their access tokens, and what these may do for the users of the
//! account.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::oauth_error::OAuthError;
use super::secret::{self, Fingerprint};
use super::state::State;
use super::user::User;

const ACCESS_TOKEN_LIFETIME: SignedDuration = SignedDuration::from_secs(3600);

/// An access token of an account-level app. It has no refresh token. An app may have several that work.
#[derive(Serialize, Deserialize)]
pub(super) struct AccountToken {
    client_id: String,
    pub(super) account_id: String,
    pub(super) scopes: Vec<String>,
    access: Fingerprint,
    issued_at: Timestamp,
}

/// A new access token, and its scopes.
pub(super) struct IssuedAccountToken {
    pub(super) access_token: String,
    pub(super) scopes: Vec<String>,
}

impl State {
    /// Issues an access token, if the app is account-level and the account is its own.
    pub(super) fn account_token(
        &mut self,
        client_id: &str,
        account_id: &str,
    ) -> Result<IssuedAccountToken, OAuthError> {
        let app = self.apps.get(client_id).ok_or(OAuthError::InvalidClient)?;
        let own = app.account_id.as_deref();
        if own.ok_or(OAuthError::UnsupportedGrantType)? != account_id {
            return Err(OAuthError::UnknownAccount);
        }
        let scopes = app.scopes.clone();
        let id = Uuid::now_v7();
        let issued = secret::token(id)?;
        let token = AccountToken {
            client_id: client_id.to_owned(),
            account_id: account_id.to_owned(),
            scopes: scopes.clone(),
            access: issued.fingerprint,
            issued_at: self.now(),
        };
        self.account_tokens.insert(id, token);
        Ok(IssuedAccountToken {
            access_token: issued.secret,
            scopes,
        })
    }

    /// Finds a live access token. The tokens of a disabled app stop at once.
    pub(super) fn live_account_token(&self, text: &str) -> Option<&AccountToken> {
        let token = self.account_tokens.get(&secret::named_id(text)?)?;
        let is_young = self.now().duration_since(token.issued_at) < ACCESS_TOKEN_LIFETIME;
        let app = self.apps.get(&token.client_id)?;
        let is_live = is_young && !app.disabled && token.access.matches(text);
        is_live.then_some(token)
    }

    /// Ends all access tokens of an app, as when its secret is regenerated.
    pub(super) fn end_account_tokens(&mut self, client_id: &str) {
        self.account_tokens
            .retain(|_, token| token.client_id != client_id);
    }

    /// Finds an active user of the account, by id or by e-mail address. Zoom compares addresses without regard to case.
    pub(super) fn account_user(&self, account_id: &str, name: &str) -> Option<&User> {
        let is_named = |user: &&User| {
            let email = user.email.as_deref().unwrap_or_default();
            user.id == name || (!email.is_empty() && email.eq_ignore_ascii_case(name))
        };
        self.active_users()
            .filter(|user| user.account_id.as_deref() == Some(account_id))
            .find(is_named)
    }
}
