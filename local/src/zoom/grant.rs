//! Grants. A code exchange starts a grant. Each refresh issues a new pair of tokens and ends the old pair.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Error;
use super::oauth_error::OAuthError;
use super::secret::{self, Fingerprint};
use super::state::State;

const ACCESS_TOKEN_LIFETIME: SignedDuration = SignedDuration::from_secs(3600);
/// A refresh token expires after this time without a refresh.
const REFRESH_TOKEN_IDLE_LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 90);

/// How Zoom treats a refresh token that was used before.
///
/// Zoom does not document its behaviour, so the vault must survive each of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshBehaviour {
    /// Zoom refuses the token. The grant stays live.
    #[default]
    Strict,
    /// Zoom refuses the token and revokes the whole grant.
    ReuseRevokesFamily,
    /// Zoom accepts the token before the current one a second time, and issues a new pair.
    OldTokenOnceMore,
}

/// What the sandbox recorded of a grant. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantRecord {
    /// The id. Every token of the grant contains the id: see [`super::Sandbox::grant_of`].
    pub id: Uuid,
    /// The app.
    pub client_id: String,
    /// The user.
    pub user_id: String,
    /// How many pairs of tokens were issued. The first pair is generation 1.
    pub generation: u64,
    /// Whether the grant has not ended. Its current tokens may have expired.
    pub alive: bool,
    /// The number of successful refreshes.
    pub refreshes: u64,
    /// The number of refresh POSTs with a token that was used before, successful or not.
    pub spent_posts: u64,
    /// The number of refresh POSTs for each generation of token. The first element is generation 1.
    pub posts: Vec<u64>,
}

/// A new pair of tokens, and its scopes.
pub(super) struct TokenPair {
    pub(super) access_token: String,
    pub(super) refresh_token: String,
    pub(super) scopes: Vec<String>,
}

/// Why a grant ended.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum EndReason {
    Revoked,
    Superseded,
    Reused,
}

/// A grant in the state file.
#[derive(Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) client_id: String,
    pub(super) user_id: String,
    pub(super) scopes: Vec<String>,
    access: Fingerprint,
    issued_at: Timestamp,
    ended: Option<EndReason>,
    /// The refresh token of each issued pair. The last is the current token.
    refresh_tokens: Vec<RefreshToken>,
    spent_posts: u64,
}

#[derive(Serialize, Deserialize)]
struct RefreshToken {
    fingerprint: Fingerprint,
    posts: u64,
}

impl RefreshToken {
    fn new(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint,
            posts: 0,
        }
    }
}

impl Grant {
    pub(super) fn start(
        id: Uuid,
        client_id: &str,
        user_id: &str,
        scopes: Vec<String>,
        now: Timestamp,
    ) -> Result<(Self, TokenPair), Error> {
        let (access, refresh) = (secret::token(id)?, secret::token(id)?);
        let grant = Self {
            client_id: client_id.to_owned(),
            user_id: user_id.to_owned(),
            scopes: scopes.clone(),
            access: access.fingerprint,
            issued_at: now,
            ended: None,
            refresh_tokens: vec![RefreshToken::new(refresh.fingerprint)],
            spent_posts: 0,
        };
        let pair = TokenPair {
            access_token: access.secret,
            refresh_token: refresh.secret,
            scopes,
        };
        Ok((grant, pair))
    }

    fn is_live_access_token(&self, token: &str, now: Timestamp) -> bool {
        self.ended.is_none()
            && now.duration_since(self.issued_at) < ACCESS_TOKEN_LIFETIME
            && self.access.matches(token)
    }

    fn is_live_refresh_token(&self, token: &str, now: Timestamp) -> bool {
        let is_current = self
            .refresh_tokens
            .last()
            .is_some_and(|current| current.fingerprint.matches(token));
        self.ended.is_none() && !self.is_idle(now) && is_current
    }

    fn is_idle(&self, now: Timestamp) -> bool {
        now.duration_since(self.issued_at) >= REFRESH_TOKEN_IDLE_LIFETIME
    }

    fn refresh(
        &mut self,
        id: Uuid,
        token: &str,
        behaviour: RefreshBehaviour,
        now: Timestamp,
    ) -> Result<TokenPair, OAuthError> {
        let newest = self.refresh_tokens.len();
        let is_idle = self.is_idle(now);
        let (generation, presented) = (1..)
            .zip(&mut self.refresh_tokens)
            .find(|(_, issued)| issued.fingerprint.matches(token))
            .ok_or(OAuthError::InvalidToken)?;
        presented.posts += 1;
        let is_spent = generation < newest;
        if is_spent {
            self.spent_posts += 1;
        }

        match self.ended {
            Some(EndReason::Superseded) => return Err(OAuthError::SupersededToken),
            Some(EndReason::Revoked | EndReason::Reused) => return Err(OAuthError::InvalidToken),
            None if is_idle => return Err(OAuthError::InvalidToken),
            None => {}
        }
        let works_again =
            behaviour == RefreshBehaviour::OldTokenOnceMore && generation + 1 == newest;
        if is_spent && !works_again {
            if behaviour == RefreshBehaviour::ReuseRevokesFamily {
                self.ended = Some(EndReason::Reused);
            }
            return Err(OAuthError::InvalidToken);
        }

        let (access, refresh) = (secret::token(id)?, secret::token(id)?);
        self.access = access.fingerprint;
        self.issued_at = now;
        self.refresh_tokens
            .push(RefreshToken::new(refresh.fingerprint));
        Ok(TokenPair {
            access_token: access.secret,
            refresh_token: refresh.secret,
            scopes: self.scopes.clone(),
        })
    }

    fn record(&self, id: Uuid) -> GrantRecord {
        GrantRecord {
            id,
            client_id: self.client_id.clone(),
            user_id: self.user_id.clone(),
            generation: self.refresh_tokens.iter().map(|_| 1).sum(),
            alive: self.ended.is_none(),
            refreshes: self.refresh_tokens.iter().skip(1).map(|_| 1).sum(),
            spent_posts: self.spent_posts,
            posts: self
                .refresh_tokens
                .iter()
                .map(|token| token.posts)
                .collect(),
        }
    }
}

impl State {
    /// Issues a new pair if the token is the current token of a live grant of this app. Counts each POST.
    pub(super) fn refresh(
        &mut self,
        client_id: &str,
        token: &str,
        behaviour: RefreshBehaviour,
    ) -> Result<TokenPair, OAuthError> {
        let now = self.now();
        let id = secret::named_id(token).ok_or(OAuthError::InvalidToken)?;
        let grant = self
            .grants
            .get_mut(&id)
            .filter(|grant| grant.client_id == client_id);
        grant
            .ok_or(OAuthError::InvalidToken)?
            .refresh(id, token, behaviour, now)
    }

    /// Ends the grant of a live access token of this app.
    pub(super) fn revoke(&mut self, client_id: &str, access_token: &str) -> Result<(), OAuthError> {
        let now = self.now();
        let id = secret::named_id(access_token).ok_or(OAuthError::InvalidToken)?;
        let grant = self.grants.get_mut(&id).ok_or(OAuthError::InvalidToken)?;
        if grant.client_id != client_id || !grant.is_live_access_token(access_token, now) {
            return Err(OAuthError::InvalidToken);
        }
        grant.ended = Some(EndReason::Revoked);
        Ok(())
    }

    pub(super) fn end_grants(&mut self, client_id: &str, user_id: &str, reason: EndReason) {
        for grant in self.grants.values_mut() {
            if grant.client_id == client_id && grant.user_id == user_id && grant.ended.is_none() {
                grant.ended = Some(reason);
            }
        }
    }

    /// Finds the grant of a live access token.
    pub(super) fn grant_by_access_token(&self, token: &str) -> Option<&Grant> {
        let grant = self.grants.get(&secret::named_id(token)?)?;
        grant
            .is_live_access_token(token, self.now())
            .then_some(grant)
    }

    pub(super) fn is_live_refresh_token(&self, token: &str) -> bool {
        let grant = secret::named_id(token).and_then(|id| self.grants.get(&id));
        grant.is_some_and(|grant| grant.is_live_refresh_token(token, self.now()))
    }

    pub(super) fn grant_of(&self, token: &str) -> Option<Uuid> {
        secret::named_id(token).filter(|id| self.grants.contains_key(id))
    }

    pub(super) fn grant_records(&self) -> Vec<GrantRecord> {
        self.grants
            .iter()
            .map(|(id, grant)| grant.record(*id))
            .collect()
    }
}
