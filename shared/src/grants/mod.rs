//! Everything that is done with a user's tokens.
//!
//! - [`call`] makes a call to Zoom with a live access token. If Zoom refuses the grant, it tries the grants of the
//!   credential's siblings (other credentials of the same app and Zoom user), and otherwise declares the grant dead.
//! - [`mint`], [`release`] and [`check`] are the uses. [`token_request`] is what a caller asks for.
//! - [`access`] gets an access token from a grant. [`refresh`] and [`commit`] are the refresh protocol
//!   (docs/protocol.md). `account` has the access tokens of account-level apps, which have no grant. [`capsule`] logs a
//!   new pair that DynamoDB does not store.
//! - [`record`] stores events and failures. [`profile`] stores who the user is. `hand_over` points credentials at a
//!   grant that works.

pub mod access;
pub(crate) mod account;
pub mod app;
pub mod cache;
pub mod call;
pub mod capsule;
pub mod check;
pub mod commit;
pub(crate) mod hand_over;
pub mod mint;
pub mod profile;
pub mod record;
pub mod refresh;
pub mod release;
pub mod state;
pub(crate) mod stray;
pub mod token_request;

use std::sync::Arc;
use std::time::Duration;

use crate::credential::{GrantId, State, TeamId};
use crate::envelope::{Binding, Envelope, SecretId};
use crate::error::Error;
use crate::event::BotId;
use crate::grants::cache::{Access, AccountTokens, Cache};
use crate::invocation::Invocation;
use crate::secret::TokenPair;
use crate::stores::{
    AppSecret, Credentials, Events, Pairs, Secrets, StoredCredential, StoredGrant,
};
use crate::timestamp::Timestamp;
use crate::zoom::Zoom;

/// Everything that using grants needs: four tables, KMS and Zoom.
#[derive(Debug)]
pub struct Grants {
    pub(crate) credentials: Credentials,
    pub(crate) pairs: Pairs,
    pub(crate) secrets: Secrets,
    pub(crate) events: Events,
    /// Opens grants, and seals new token pairs.
    pub envelope: Envelope,
    /// Refreshes and mints.
    pub zoom: Zoom,
    /// By team too, so that no row of one team leads to a token of another.
    pub(crate) cache: Cache<(TeamId, GrantId), Arc<Access>>,
    pub(crate) account_tokens: AccountTokens,
    pub(crate) capsules: bool,
}

impl Grants {
    /// With `capsules`, a token pair that cannot be stored is logged as a sealed [`capsule`].
    pub fn new(
        credentials: Credentials,
        pairs: Pairs,
        secrets: Secrets,
        events: Events,
        envelope: Envelope,
        zoom: Zoom,
        capsules: bool,
    ) -> Self {
        Self {
            credentials,
            pairs,
            secrets,
            events,
            envelope,
            zoom,
            cache: Cache::default(),
            account_tokens: AccountTokens::default(),
            capsules,
        }
    }

    /// The table of credentials.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The table of sealed secrets.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Reads the rows that a call needs, so that the reads run while the caller's rate is counted. `None` if the
    /// grant's access token is in memory and good for longer than `margin`.
    pub(crate) async fn read_ahead(
        &self,
        team: &TeamId,
        stored: &StoredCredential,
        margin: Duration,
    ) -> Result<Option<Rows>, Error> {
        let grant = stored.grant.ok_or(Error::NotAUserCredential)?;
        // Only the row of an invalid credential's grant tells whether the grant has come back to life.
        let is_active = stored.credential.state == State::Active;
        if is_active && self.cached(team, grant.id, margin).is_some() {
            return Ok(None);
        }
        self.read_rows(team, stored).await.map(Some)
    }

    /// Reads the rows that a call needs, whatever is in memory.
    pub(crate) async fn read_rows(
        &self,
        team: &TeamId,
        stored: &StoredCredential,
    ) -> Result<Rows, Error> {
        let grant = stored.grant.ok_or(Error::NotAUserCredential)?;
        let (grant, app) = tokio::try_join!(
            self.grant_row(team, grant.id),
            app::sealed_secret(&self.secrets, stored.credential.credential_id)
        )?;
        Ok(Rows { grant, app })
    }

    /// The grant's access token, if it is in memory and good for longer than `margin`.
    pub(crate) fn cached(
        &self,
        team: &TeamId,
        id: GrantId,
        margin: Duration,
    ) -> Option<Arc<Access>> {
        let key = (team.clone(), id);
        self.cache.get(&key, |access| access.outlasts(margin))
    }

    /// The grant's row. `None` if the grant was destroyed.
    pub(crate) async fn grant_row(
        &self,
        team: &TeamId,
        id: GrantId,
    ) -> Result<Option<StoredGrant>, Error> {
        Ok(self.secrets.grant(team, id).await?)
    }

    /// Opens the token pair in a row of an active grant. One KMS call.
    pub(crate) async fn open_pair(
        &self,
        team: &TeamId,
        id: GrantId,
        row: &StoredGrant,
    ) -> Result<TokenPair, Error> {
        let destroyed = || Error::Internal("an active grant has no tokens".into());
        let sealed = row.sealed.as_ref().ok_or_else(destroyed)?;
        let opened = self.envelope.open(&grant_binding(team, id), sealed).await?;
        Ok(opened.try_into()?)
    }
}

/// The binding of a grant's sealed tokens.
pub(crate) fn grant_binding(team: &TeamId, id: GrantId) -> Binding {
    Binding::new(team, SecretId::Grant(id))
}

/// Rows of `secrets` that were read ahead.
#[derive(Debug)]
pub(crate) struct Rows {
    /// `None` if the grant was destroyed. That counts as a grant that Zoom refuses.
    pub(crate) grant: Option<StoredGrant>,
    pub(crate) app: AppSecret,
}

/// For whom a grant is used, and how soon they need an answer.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The bot that the token is for, if the caller named one.
    pub bot: Option<BotId>,
    /// How long an access token must still live to be used. An older one is refreshed first.
    pub margin: Duration,
    /// When the caller needs an answer. Only a refresh that this invocation has begun takes longer.
    pub answer_by: Timestamp,
}

/// What one use of a grant works with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The tables, KMS and Zoom.
    pub grants: &'a Grants,
    /// The invocation.
    pub invocation: &'a Invocation,
    /// The team that owns the grant.
    pub team: &'a TeamId,
    /// For whom, and until when.
    pub terms: &'a Terms,
}
