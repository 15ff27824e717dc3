//! Authorization codes. The app that got a code can exchange it once, within five minutes.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Error;
use super::grant::{EndReason, Grant, TokenPair};
use super::oauth_error::OAuthError;
use super::secret::{self, Fingerprint};
use super::state::State;

const CODE_LIFETIME: SignedDuration = SignedDuration::from_mins(5);
/// How long an expired code is kept: until then the error is "expired", and later "unknown".
const CODE_RETENTION: SignedDuration = SignedDuration::from_hours(24);

/// A user's consent to an app.
#[derive(Clone, Debug)]
pub struct Consent {
    /// The app.
    pub client_id: String,
    /// The redirect URI. The exchange must repeat it.
    pub redirect_uri: String,
    /// The user who consents.
    pub user_id: String,
    /// The granted scopes. `None` means all scopes of the app.
    pub scopes: Option<Vec<String>>,
    /// The PKCE challenge (S256). If it is set, the exchange must send the verifier.
    pub code_challenge: Option<String>,
}

/// An authorization code in the state file.
#[derive(Serialize, Deserialize)]
pub(super) struct Code {
    fingerprint: Fingerprint,
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    user_id: String,
    scopes: Vec<String>,
    pub(super) challenge: Option<String>,
    issued_at: Timestamp,
    used: bool,
}

/// The parameters of a code exchange.
pub(super) struct Exchange<'a> {
    pub(super) client_id: &'a str,
    pub(super) code: &'a str,
    pub(super) redirect_uri: &'a str,
    pub(super) code_verifier: Option<&'a str>,
}

impl State {
    pub(super) fn authorize(&mut self, consent: Consent) -> Result<String, Error> {
        let app = self.app_with_redirect(&consent.client_id, &consent.redirect_uri)?;
        let scopes = consent.scopes.unwrap_or_else(|| app.scopes.clone());
        if let Some(scope) = scopes.iter().find(|scope| !app.scopes.contains(scope)) {
            return Err(Error::UnknownScope(scope.clone()));
        }
        if self.active_user(&consent.user_id).is_none() {
            return Err(Error::UnknownUser(consent.user_id));
        }
        if let Some(challenge) = &consent.code_challenge {
            check_challenge(challenge)?;
        }

        let id = Uuid::now_v7();
        let issued = secret::code(id)?;
        let now = self.now();
        let code = Code {
            fingerprint: issued.fingerprint,
            client_id: consent.client_id,
            redirect_uri: consent.redirect_uri,
            user_id: consent.user_id,
            scopes,
            challenge: consent.code_challenge,
            issued_at: now,
            used: false,
        };
        self.codes
            .retain(|_, code| now.duration_since(code.issued_at) < CODE_RETENTION);
        self.codes.insert(id, code);
        Ok(issued.secret)
    }

    /// Finds a code by its text, used or not.
    pub(super) fn code(&self, text: &str) -> Option<&Code> {
        let code = self.codes.get(&secret::named_id(text)?)?;
        code.fingerprint.matches(text).then_some(code)
    }

    /// Uses up the code and starts a grant. The new grant ends every earlier grant of the same app and user.
    ///
    /// A refused exchange does not use up the code.
    pub(super) fn exchange(&mut self, exchange: &Exchange) -> Result<TokenPair, OAuthError> {
        let now = self.now();
        let code = self.code(exchange.code).ok_or(OAuthError::UnknownCode)?;
        check(code, exchange, now)?;

        let id = Uuid::now_v7();
        let (grant, pair) =
            Grant::start(id, &code.client_id, &code.user_id, code.scopes.clone(), now)?;
        self.end_grants(&grant.client_id, &grant.user_id, EndReason::Superseded);
        self.grants.insert(id, grant);
        if let Some(code) = secret::named_id(exchange.code).and_then(|id| self.codes.get_mut(&id)) {
            code.used = true;
        }
        Ok(pair)
    }
}

/// Checks the form of an S256 challenge.
pub(super) fn check_challenge(challenge: &str) -> Result<(), Error> {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if challenge.len() == 43 && challenge.bytes().all(is_base64url) {
        Ok(())
    } else {
        Err(Error::MalformedChallenge)
    }
}

fn check(code: &Code, exchange: &Exchange, now: Timestamp) -> Result<(), OAuthError> {
    if code.client_id != exchange.client_id {
        return Err(OAuthError::UnknownCode);
    }
    if code.used || now.duration_since(code.issued_at) >= CODE_LIFETIME {
        return Err(OAuthError::ExpiredCode);
    }
    if code.redirect_uri != exchange.redirect_uri {
        return Err(OAuthError::RedirectUriMismatch);
    }
    // A verifier for a code without a challenge is a mismatch too (RFC 9700, 2.1.1).
    if exchange.code_verifier.map(secret::s256) == code.challenge {
        Ok(())
    } else {
        Err(OAuthError::VerifierMismatch)
    }
}
