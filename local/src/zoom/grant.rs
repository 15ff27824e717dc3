//! Grants: what one exchanged code opened. Each refresh issues a new pair of tokens and kills the one before.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Error;
use super::refusal::Refusal;
use super::secret::{self, Fingerprint};
use super::state::State;

const ACCESS_LIFETIME: SignedDuration = SignedDuration::from_secs(3600);
const REFRESH_IDLE: SignedDuration = SignedDuration::from_hours(24 * 90);

/// How Zoom treats a refresh token that was used before. Nothing is documented, so a client must survive them all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It is refused; the grant lives on.
    #[default]
    Strict,
    /// It is refused and the whole grant dies.
    ReuseRevokesFamily,
    /// The token just before the current one is accepted one more time, and rotates the pair again.
    OldTokenOnceMore,
}

/// What the sandbox saw of one grant. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantRecord {
    /// Named in every token of the grant: see [`super::Sandbox::grant_of`].
    pub id: Uuid,
    /// The app.
    pub client_id: String,
    /// The user.
    pub user_id: String,
    /// How many pairs of tokens were issued; the first pair is generation 1.
    pub generation: u64,
    /// Whether its current tokens can still work (they may have expired).
    pub alive: bool,
    /// Refreshes that succeeded.
    pub refreshes: u64,
    /// Refresh POSTs with a token that had been used before, whatever came of them.
    pub spent_posts: u64,
    /// Refresh POSTs by generation of the token they brought: the first element is generation 1.
    pub posts: Vec<u64>,
}

/// What a token answer carries.
pub(super) struct Pair {
    pub(super) access_token: String,
    pub(super) refresh_token: String,
    pub(super) scopes: Vec<String>,
}

/// Why a grant is dead.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ending {
    Revoked,
    Superseded,
    Reused,
}

/// What is kept of a grant.
#[derive(Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) client_id: String,
    pub(super) user_id: String,
    pub(super) scopes: Vec<String>,
    access: Fingerprint,
    issued_at: Timestamp,
    ended: Option<Ending>,
    /// One for each pair ever issued; the last is the current one.
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
    ) -> Result<(Self, Pair), Error> {
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
        let pair = Pair {
            access_token: access.secret,
            refresh_token: refresh.secret,
            scopes,
        };
        Ok((grant, pair))
    }

    fn is_live_access_token(&self, token: &str, now: Timestamp) -> bool {
        self.ended.is_none()
            && now.duration_since(self.issued_at) < ACCESS_LIFETIME
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
        now.duration_since(self.issued_at) >= REFRESH_IDLE
    }

    fn refresh(
        &mut self,
        id: Uuid,
        token: &str,
        mood: Mood,
        now: Timestamp,
    ) -> Result<Pair, Refusal> {
        let newest = self.refresh_tokens.len();
        let is_idle = self.is_idle(now);
        let (generation, presented) = (1..)
            .zip(&mut self.refresh_tokens)
            .find(|(_, known)| known.fingerprint.matches(token))
            .ok_or(Refusal::DeadToken)?;
        presented.posts += 1;
        let is_spent = generation < newest;
        if is_spent {
            self.spent_posts += 1;
        }

        match self.ended {
            Some(Ending::Superseded) => return Err(Refusal::SupersededToken),
            Some(Ending::Revoked | Ending::Reused) => return Err(Refusal::DeadToken),
            None if is_idle => return Err(Refusal::DeadToken),
            None => {}
        }
        let once_more = mood == Mood::OldTokenOnceMore && generation + 1 == newest;
        if is_spent && !once_more {
            if mood == Mood::ReuseRevokesFamily {
                self.ended = Some(Ending::Reused);
            }
            return Err(Refusal::DeadToken);
        }

        let (access, refresh) = (secret::token(id)?, secret::token(id)?);
        self.access = access.fingerprint;
        self.issued_at = now;
        self.refresh_tokens
            .push(RefreshToken::new(refresh.fingerprint));
        Ok(Pair {
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
    /// Rotates the pair, if the token is the current one of a living grant of this app. The POST is counted anyway.
    pub(super) fn refresh(
        &mut self,
        client_id: &str,
        token: &str,
        mood: Mood,
    ) -> Result<Pair, Refusal> {
        let now = self.now();
        let id = secret::named_id(token).ok_or(Refusal::DeadToken)?;
        let grant = self
            .grants
            .get_mut(&id)
            .filter(|grant| grant.client_id == client_id);
        grant
            .ok_or(Refusal::DeadToken)?
            .refresh(id, token, mood, now)
    }

    /// Ends the grant of a live access token of this app.
    pub(super) fn revoke(&mut self, client_id: &str, access_token: &str) -> Result<(), Refusal> {
        let now = self.now();
        let id = secret::named_id(access_token).ok_or(Refusal::DeadToken)?;
        let grant = self.grants.get_mut(&id).ok_or(Refusal::DeadToken)?;
        if grant.client_id != client_id || !grant.is_live_access_token(access_token, now) {
            return Err(Refusal::DeadToken);
        }
        grant.ended = Some(Ending::Revoked);
        Ok(())
    }

    pub(super) fn end_grants(&mut self, client_id: &str, user_id: &str, ending: Ending) {
        for grant in self.grants.values_mut() {
            if grant.client_id == client_id && grant.user_id == user_id && grant.ended.is_none() {
                grant.ended = Some(ending);
            }
        }
    }

    /// The grant whose live access token this is.
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
