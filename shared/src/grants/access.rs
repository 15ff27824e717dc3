//! From a grant's row to an access token that Zoom accepts: the stored one, or a refreshed one.
//!
//! If another invocation holds the lease, this one uses the old access token as long as that lives, or waits.

use std::sync::Arc;
use std::time::Duration;

use crate::credential::GrantId;
use crate::error::{Down, Error};
use crate::grants::app::App;
use crate::grants::cache::Access;
use crate::grants::refresh::{
    DeadGrant, MIN_REFRESH_TIME, NoAccess, PreparedRefresh, RefreshOutcome, Refresher, api_url,
    jittered,
};
use crate::secret::TokenPair;
use crate::stores::{AcquireOutcome, GrantState, StoredGrant};
use crate::time_limit;
use crate::timestamp::Timestamp;
use crate::zoom;

/// How long an access token must still live to be used while another invocation refreshes the grant.
const MIN_LIFE_DURING_REFRESH: Duration = Duration::from_secs(5);
/// How long an access token is new. If Zoom refuses a new token, a refresh does not help.
const NEW_TOKEN_TIME: Duration = Duration::from_mins(1);
/// The first pause between two looks at a lease. Each pause is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two looks at a lease.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A refresh usually takes a second. A call does not wait for one that has taken this long, because its function may
/// have crashed.
const MAX_AGE_OF_AWAITED_LEASE: Duration = Duration::from_secs(5);
/// The shortest `retry-after` when another invocation is refreshing.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);

/// An access token that Zoom has just refused.
pub(crate) struct RefusedToken {
    /// The generation of the pair that it belongs to.
    pub(crate) generation: u64,
    /// Zoom's refusal.
    pub(crate) refusal: zoom::Error,
}

/// Gets access tokens for one invocation.
pub(crate) struct AccessTokens<'a> {
    /// Refreshes a grant whose access token is old or refused.
    pub(crate) refresher: Refresher<'a>,
    /// How long an access token must still live to be used.
    pub(crate) margin: Duration,
    /// An access token that was stored before is not used. `None` if its age does not matter.
    pub(crate) stored_since: Option<Timestamp>,
    /// Until when this invocation waits for another one's refresh.
    pub(crate) give_up_at: Timestamp,
    /// Whether the access token is given away. Then an old token is not used while another invocation refreshes the
    /// grant, because that refresh may end the token.
    pub(crate) for_release: bool,
}

impl AccessTokens<'_> {
    /// An access token of the grant that Zoom should accept.
    ///
    /// `row` is the grant's row, if it was read already. `refused` is the access token that Zoom has just refused. If
    /// the row's token is that one and is new, nothing is refreshed. `app` is what a refresh needs.
    pub(crate) async fn get(
        &self,
        id: GrantId,
        mut row: Option<StoredGrant>,
        mut refused: Option<RefusedToken>,
        app: &App<'_>,
    ) -> Result<Arc<Access>, NoAccess> {
        let refused_generation = refused.as_ref().map(|refused| refused.generation);
        loop {
            let read = match row.take() {
                Some(row) => row,
                None => self.read(id).await?,
            };
            if let GrantState::Reconnect(reason) = read.state {
                return Err(NoAccess::Dead(Box::new(DeadGrant {
                    row: Some(read),
                    reason,
                    zoom_reason: None,
                })));
            }
            let accepted =
                refused_generation != Some(read.generation()) && self.is_new_enough(&read);
            let lives = lives_for(&read, self.margin);
            if !accepted
                && lives
                && is_new_and_alone(&read)
                && let Some(refused) = refused.take()
            {
                return Err(NoAccess::NewTokenRefused(refused.refusal));
            }
            if accepted && lives {
                let pair = self.open(id, &read).await?;
                let access = Arc::new(access(id, &read, pair));
                let key = (self.refresher.team.clone(), id);
                self.refresher.grants.cache.insert(key, access.clone());
                return Ok(access);
            }
            // The old access token works until another invocation's refresh ends it.
            let usable = accepted && !self.for_release && lives_for(&read, MIN_LIFE_DURING_REFRESH);
            if read.held_lease(Timestamp::now()).is_some() {
                if usable {
                    return Ok(Arc::new(access(id, &read, self.open(id, &read).await?)));
                }
                row = Some(self.wait(id, read).await?);
                continue;
            }
            if let Some(obstacle) = self.obstacle() {
                if usable {
                    return Ok(Arc::new(access(id, &read, self.open(id, &read).await?)));
                }
                return Err(Error::unavailable(obstacle).into());
            }

            let prepared = self.prepare(id, &read, app).await?;
            match self.refresher.acquire(id, &read).await? {
                AcquireOutcome::Acquired(lease) => {
                    let refreshed = self.refresher.refresh(id, read, lease, prepared);
                    if let RefreshOutcome::Done(access) = refreshed.await? {
                        return Ok(access);
                    }
                }
                AcquireOutcome::Refused(now) if now.generation() == read.generation() => {
                    // Another invocation took the lease after our read.
                    if usable {
                        return Ok(Arc::new(access(id, &read, prepared.pair)));
                    }
                    row = Some(self.wait(id, *now).await?);
                }
                AcquireOutcome::Refused(now) => row = Some(*now),
            }
        }
    }

    /// Why no refresh may begin now. `None` if one may begin.
    fn obstacle(&self) -> Option<Down> {
        let invocation = self.refresher.invocation;
        if !invocation.may_refresh() {
            Some(Down::NeedsRefresh)
        } else if invocation.time_left(Duration::ZERO) < MIN_REFRESH_TIME {
            Some(Down::OutOfTime)
        } else {
            None
        }
    }

    fn is_new_enough(&self, row: &StoredGrant) -> bool {
        self.stored_since
            .is_none_or(|since| row.committed_at >= since.as_millis())
    }

    pub(crate) async fn read(&self, id: GrantId) -> Result<StoredGrant, NoAccess> {
        let row = self.refresher.grants.grant_row(self.refresher.team, id);
        let row = time_limit::until(self.give_up_at, row).await?;
        let row = row.ok_or_else(NoAccess::destroyed)?;
        Ok(if self.refresher.revokes {
            row.opened_for_revocation()
        } else {
            row
        })
    }

    async fn open(&self, id: GrantId, row: &StoredGrant) -> Result<TokenPair, Error> {
        let Refresher { grants, team, .. } = self.refresher;
        time_limit::until(self.give_up_at, grants.open_pair(team, id, row)).await
    }

    /// Gets everything that a refresh needs, before the lease is taken.
    async fn prepare(
        &self,
        id: GrantId,
        row: &StoredGrant,
        app: &App<'_>,
    ) -> Result<PreparedRefresh, Error> {
        let next = self.refresher.next_key(id);
        let (pair, app, next, connection) = tokio::try_join!(
            self.open(id, row),
            time_limit::until(self.give_up_at, app.open()),
            time_limit::until(self.give_up_at, next),
            self.refresher.connect(),
        )?;
        Ok(PreparedRefresh {
            pair,
            app,
            next,
            connection,
        })
    }

    /// Waits while another invocation refreshes. Returns the row once it has changed or the lease is free.
    ///
    /// Does not wait for a lease that is old at the beginning.
    async fn wait(&self, id: GrantId, mut row: StoredGrant) -> Result<StoredGrant, NoAccess> {
        let mut pause = FIRST_PAUSE;
        let awaited_since = Timestamp::now().minus(MAX_AGE_OF_AWAITED_LEASE);
        while row.state == GrantState::Active
            && let Some(lease) = row.held_lease(Timestamp::now())
        {
            let is_old = lease.taken_at < awaited_since.as_millis();
            if is_old || Timestamp::now().plus(pause) >= self.give_up_at {
                let rest = Timestamp::now().until(Timestamp::from_millis(lease.until));
                return Err(NoAccess::Failed(Error::Unavailable {
                    retry_after: rest.max(MIN_RETRY_AFTER),
                    source: Down::RefreshElsewhere,
                }));
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            let now = self.read(id).await?;
            let changed = now.generation() != row.generation();
            row = now;
            if changed {
                break;
            }
        }
        Ok(row)
    }
}

/// Whether the row's tokens are new, and nothing on the row explains why Zoom refuses them. False with a stash,
/// which may be newer, and with an attempt, which may have ended the tokens.
fn is_new_and_alone(row: &StoredGrant) -> bool {
    let new_until = Timestamp::from_millis(row.committed_at).plus(NEW_TOKEN_TIME);
    Timestamp::now() < new_until && row.stash.is_none() && row.attempt.is_none()
}

fn lives_for(row: &StoredGrant, margin: Duration) -> bool {
    Timestamp::now().plus(margin).as_millis() < row.access_expires_at
}

fn access(id: GrantId, row: &StoredGrant, pair: TokenPair) -> Access {
    Access {
        token: pair.access,
        grant: id,
        generation: row.generation(),
        expires_at: Timestamp::from_millis(row.access_expires_at),
        api_url: api_url(row),
        authorize_sent_at: Timestamp::from_millis(row.authorize_sent_at),
    }
}
