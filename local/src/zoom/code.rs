//! Authorization codes: given at consent, exchanged once, within five minutes, by the app they were given to.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Error;
use super::grant::{Ending, Grant, Pair};
use super::refusal::Refusal;
use super::secret::{self, Fingerprint};
use super::state::State;

const LIFETIME: SignedDuration = SignedDuration::from_mins(5);
/// How long a dead code is remembered, so that it is refused as such and not as unknown.
const MEMORY: SignedDuration = SignedDuration::from_hours(24);

/// A user's consent to an app.
#[derive(Clone, Debug)]
pub struct Consent {
    /// The app that asks.
    pub client_id: String,
    /// Where the code would be sent; the exchange must repeat it.
    pub redirect_uri: String,
    /// The user who allows it.
    pub user_id: String,
    /// None: all that the app asks for.
    pub scopes: Option<Vec<String>>,
    /// PKCE, method S256. Given: the exchange must bring the verifier.
    pub code_challenge: Option<String>,
}

/// What is kept of a code.
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

/// What an app sends to exchange a code.
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
            .retain(|_, code| now.duration_since(code.issued_at) < MEMORY);
        self.codes.insert(id, code);
        Ok(issued.secret)
    }

    /// The code with this text, spent or not.
    pub(super) fn code(&self, text: &str) -> Option<&Code> {
        let code = self.codes.get(&secret::named_id(text)?)?;
        code.fingerprint.matches(text).then_some(code)
    }

    /// Spends the code and starts a grant, which ends every earlier grant of the same app and user. A refused exchange
    /// spends nothing.
    pub(super) fn exchange(&mut self, exchange: &Exchange) -> Result<Pair, Refusal> {
        let now = self.now();
        let code = self.code(exchange.code).ok_or(Refusal::UnknownCode)?;
        check(code, exchange, now)?;

        let id = Uuid::now_v7();
        let (grant, pair) =
            Grant::start(id, &code.client_id, &code.user_id, code.scopes.clone(), now)?;
        self.end_grants(&grant.client_id, &grant.user_id, Ending::Superseded);
        self.grants.insert(id, grant);
        if let Some(code) = secret::named_id(exchange.code).and_then(|id| self.codes.get_mut(&id)) {
            code.used = true;
        }
        Ok(pair)
    }
}

/// The form of a S256 challenge; what it hides is not for us to know.
pub(super) fn check_challenge(challenge: &str) -> Result<(), Error> {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if challenge.len() == 43 && challenge.bytes().all(is_base64url) {
        Ok(())
    } else {
        Err(Error::MalformedChallenge)
    }
}

fn check(code: &Code, exchange: &Exchange, now: Timestamp) -> Result<(), Refusal> {
    if code.client_id != exchange.client_id {
        return Err(Refusal::UnknownCode);
    }
    if code.used || now.duration_since(code.issued_at) >= LIFETIME {
        return Err(Refusal::SpentCode);
    }
    if code.redirect_uri != exchange.redirect_uri {
        return Err(Refusal::RedirectUriMismatch);
    }
    let proven = |challenge: &String| {
        exchange
            .code_verifier
            .is_some_and(|verifier| secret::s256(verifier) == *challenge)
    };
    if !code.challenge.as_ref().is_none_or(proven) {
        return Err(Refusal::VerifierMismatch);
    }
    Ok(())
}
