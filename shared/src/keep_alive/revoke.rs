//! Revokes the grants of a pair at Zoom, where the team wants that and no live credential needs them.
//!
//! Closing is the decision: all grants of the pair at once, so that none of them can serve a restored credential while
//! another one is revoked. From then on a restore says `revoked`, and nobody mints with a grant of the pair. Only the
//! run that closed the grants revokes them or opens them again, until they have been closed for longer than a run can
//! last.

use std::time::Duration;

use crate::cause::chain;
use crate::credential::{GrantId, ReconnectReason};
use crate::error::{Down, Error};
use crate::event::{Actor, Event, EventDetails, EventOutcome};
use crate::grants::access::{AccessTokens, RefusedToken};
use crate::grants::app::App;
use crate::grants::refresh::{NoAccess, Refresher};
use crate::invocation::Invocation;
use crate::keep_alive::due::{MAX_APPS, TakenGrant};
use crate::keep_alive::report::GrantOutcome;
use crate::pair_end::YOUNG;
use crate::stores::{
    self, CommitOutcome, RowKind, SOME_MEMBERS, StoredCredential, StoredGrant, StoredPair,
    TRANSACTION_TIMEOUT,
};
use crate::timestamp::Timestamp;
use crate::zoom;

/// How long an access token must still live to revoke with it.
const MIN_LIFE_TO_REVOKE: Duration = Duration::from_mins(1);
/// How often a revocation is tried after Zoom refused the access token.
const MAX_TOKENS: usize = 2;
/// The most grants of a pair that are closed together.
const MAX_GRANTS: usize = 99;

/// Grants that this run has closed.
struct Closed<'a> {
    grants: Vec<GrantId>,
    /// When they were closed, in milliseconds. It names this run on their rows.
    at: i64,
    /// Who must not have come back: the pair's live credentials, or this credential while the pair is not known.
    needed_by: NeededBy<'a>,
    /// Deleted credentials of the pair. Their apps can be used, and they get the event.
    deleted: Vec<StoredCredential>,
}

enum NeededBy<'a> {
    Pair(&'a StoredPair),
    Credential(&'a StoredCredential),
}

/// The result for one grant.
enum Revoked {
    /// Zoom has revoked it, or refuses it already.
    Done,
    /// Somebody needs the pair's grants again.
    Needed,
}

impl TakenGrant<'_> {
    /// Closes all grants of a pair without live credentials, and revokes them.
    pub(super) async fn revoke_pair(&self, pair: &StoredPair) -> Result<GrantOutcome, Error> {
        let run = self.run;
        let now = Timestamp::now();
        let deleted_before = now.minus(run.revoke_after);
        if let Some(deleted_at) = pair.last_deleted_at
            && deleted_at >= deleted_before.as_millis()
        {
            let wait = deleted_before.until(Timestamp::from_millis(deleted_at));
            let due_again = run.unused_since.plus(wait + Duration::from_secs(1));
            let secrets = &run.grants.secrets;
            secrets.postpone(self.id, self.taken, due_again).await?;
            return Ok(GrantOutcome::Left);
        }
        let with_tokens = self.with_tokens(pair).await?;
        if with_tokens.is_empty() {
            // Nothing is left to revoke, unless the grant has just joined the pair.
            return if self.row.sealed.is_none() {
                // A stray that rested would stay when a credential of the pair is live again.
                self.rest_or_wait(pair, false).await
            } else {
                Ok(GrantOutcome::Left)
            };
        }
        let credentials = &run.grants.credentials;
        let members = credentials.members_of(&pair.pair, Some(SOME_MEMBERS));
        let deleted = members.await?;
        // Asked before the grants are closed, because the live credential could not use them afterwards.
        if deleted.iter().any(StoredCredential::is_live) {
            return self.counts_are_wrong();
        }
        let ids = with_tokens.iter().take(MAX_GRANTS).copied();
        let grants: Vec<GrantId> = ids.collect();
        let secrets = &run.grants.secrets;
        let check = run.grants.pairs.check_revocable(pair, deleted_before)?;
        let mut close = run.grants.pairs.begin(check);
        for id in &grants {
            close = close.and(secrets.close(*id, &pair.id, now, now.minus(YOUNG))?);
        }
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        // Refused if a credential is live again, if a grant is young, or if another run has closed the grants.
        if !close.commit(until).await?.is_committed() {
            return Ok(GrantOutcome::Left);
        }
        let closed = Closed {
            grants,
            at: now.as_millis(),
            needed_by: NeededBy::Pair(pair),
            deleted,
        };
        self.revoke_closed(closed).await
    }

    /// Closes and revokes the grant of a deleted credential whose user Zoom does not show.
    pub(super) async fn revoke_nameless(
        &self,
        owner: &StoredCredential,
    ) -> Result<GrantOutcome, Error> {
        let grants = self.run.grants;
        let now = Timestamp::now();
        let young_since = now.minus(YOUNG);
        let close = grants
            .secrets
            .close_without_pair(self.id, self.team, now, young_since)?;
        let id = owner.credential.credential_id;
        let check = grants
            .credentials
            .check_deleted_with_grant(self.team, id, self.id)?;
        let until = now.plus(TRANSACTION_TIMEOUT);
        let closed = grants.secrets.begin(close).and(check).commit(until);
        if !closed.await?.is_committed() {
            return Ok(GrantOutcome::Left);
        }
        let closed = Closed {
            grants: vec![self.id],
            at: now.as_millis(),
            needed_by: NeededBy::Credential(owner),
            deleted: vec![owner.clone()],
        };
        self.revoke_closed(closed).await
    }

    /// Opens the closed grants of a pair again whose worker has stopped, because a credential of the pair is live
    /// again.
    pub(super) async fn reopen_pair(&self, pair: &StoredPair) -> Result<GrantOutcome, Error> {
        let young_since = Timestamp::now().minus(YOUNG).as_millis();
        let mut closed = Vec::new();
        for id in &pair.grants {
            let row = self.readable_row(*id).await?;
            let at = row.and_then(|row| row.closed);
            closed.extend(at.filter(|at| *at < young_since).map(|at| (*id, at)));
        }
        self.reopen(closed).await?;
        Ok(GrantOutcome::Left)
    }

    /// Opens grants again, each if it is still closed since that time. In one transaction: a pair that is half open
    /// would refuse a credential whose grant works.
    pub(super) async fn reopen(&self, closed: Vec<(GrantId, i64)>) -> Result<(), Error> {
        let secrets = &self.run.grants.secrets;
        let mut writes = closed.into_iter().map(|(id, at)| secrets.reopen(id, at));
        let Some(first) = writes.next() else {
            return Ok(());
        };
        let mut transaction = secrets.begin(first?);
        for write in writes {
            transaction = transaction.and(write?);
        }
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        // A grant that is left out is open already, or another run has closed it anew.
        let (CommitOutcome::Committed | CommitOutcome::Refused(_), _) = transaction
            .commit_without_refused(RowKind::Grant, until)
            .await?;
        Ok(())
    }

    /// The pair's grants that have tokens.
    async fn with_tokens(&self, pair: &StoredPair) -> Result<Vec<GrantId>, Error> {
        let mut found = Vec::new();
        for id in &pair.grants {
            let row = self.readable_row(*id).await?;
            if row.is_some_and(|row| row.sealed.is_some()) {
                found.push(*id);
            }
        }
        Ok(found)
    }

    /// A grant's row. `None` also if it has an unknown shape: it must not stop the work on the pair's other grants.
    async fn readable_row(&self, id: GrantId) -> Result<Option<StoredGrant>, Error> {
        match self.run.grants.secrets.grant(self.team, id).await {
            Err(stores::Error::Shape(_)) => Ok(None),
            row => Ok(row?),
        }
    }

    async fn revoke_closed(&self, closed: Closed<'_>) -> Result<GrantOutcome, Error> {
        let mut outcome = Ok(Revoked::Done);
        for id in &closed.grants {
            outcome = self.revoke_one(*id, &closed).await;
            if !matches!(outcome, Ok(Revoked::Done)) {
                break;
            }
        }
        let recorded = match &outcome {
            Ok(Revoked::Needed) => {
                let grants = closed.grants.iter().map(|id| (*id, closed.at));
                self.reopen(grants.collect()).await?;
                return Ok(GrantOutcome::Left);
            }
            Ok(Revoked::Done) => EventOutcome::Succeeded,
            Err(error) => EventOutcome::Failed { code: error.code() },
        };
        for stored in closed.deleted.iter().filter(|stored| !stored.is_live()) {
            self.record(stored, recorded).await;
        }
        outcome.map(|_| GrantOutcome::Revoked)
    }

    /// Revokes one grant with the app of a deleted credential. If Zoom refuses the app, tries the next one's.
    async fn revoke_one(&self, id: GrantId, closed: &Closed<'_>) -> Result<Revoked, Error> {
        let mut refused = None;
        let deleted = closed.deleted.iter().filter(|stored| !stored.is_live());
        for stored in deleted.take(MAX_APPS) {
            match self.revoke_with(id, stored, closed).await {
                Err(error @ Error::AppMisconfigured { .. }) => refused = Some(error),
                outcome => return outcome,
            }
        }
        // The index shows no deleted credential although the pair counts one.
        Err(refused.unwrap_or(Error::Conflict))
    }

    /// Revokes a grant at Zoom, and destroys its tokens. Zoom wants a live access token for that, so the grant may be
    /// refreshed first. If Zoom refuses the refresh, the grant is dead already.
    async fn revoke_with(
        &self,
        id: GrantId,
        stored: &StoredCredential,
        closed: &Closed<'_>,
    ) -> Result<Revoked, Error> {
        let (grants, team) = (self.run.grants, self.team);
        let deadline = self.run.deadline_of_grant();
        let invocation = &Invocation::of_schedule(self.run.id.to_owned(), deadline);
        let mut refresher = Refresher::new(grants, invocation, team);
        // If the revocation fails after a refresh, it is tried again in a day.
        refresher.idle_since = Some(self.run.after_failure());
        refresher.revokes = true;
        let tokens = AccessTokens {
            refresher,
            margin: MIN_LIFE_TO_REVOKE,
            stored_since: None,
            give_up_at: deadline,
            for_release: false,
        };
        let app = App::new(grants, team, stored, None);
        let mut refused: Option<RefusedToken> = None;
        for _ in 0..MAX_TOKENS {
            let access = match tokens.get(id, None, refused.take(), &app).await {
                Ok(access) => access,
                Err(NoAccess::Dead(dead)) => {
                    self.zoom_answered();
                    grants.secrets.destroy(team, id, dead.reason).await?;
                    return Ok(Revoked::Done);
                }
                Err(NoAccess::NewTokenRefused(refusal)) => {
                    return Err(Error::from_grant_use(refusal));
                }
                Err(NoAccess::Failed(error)) => return Err(error),
            };
            // Asked again as late as possible, because a credential may have been restored in the meantime.
            if self.is_needed(closed).await? {
                return Ok(Revoked::Needed);
            }
            let time_left = invocation.time_left(Duration::ZERO);
            let app = app.open().await?;
            match grants.zoom.revoke(&app, &access.token, time_left).await {
                Ok(()) => {
                    self.zoom_answered();
                    grants.cache.remove(&(team.clone(), id));
                    grants
                        .secrets
                        .destroy(team, id, ReconnectReason::Revoked)
                        .await?;
                    return Ok(Revoked::Done);
                }
                Err(refusal @ zoom::Error::AccessTokenRefused { .. }) => {
                    grants.cache.remove(&(team.clone(), id));
                    refused = Some(RefusedToken {
                        generation: access.generation,
                        refusal,
                    });
                }
                Err(error) => return Err(Error::from_grant_use(error)),
            }
        }
        Err(match refused {
            Some(refused) => Error::from_grant_use(refused.refusal),
            None => Error::unavailable(Down::RefreshElsewhere),
        })
    }

    /// Whether a live credential needs the grants after all. The index is asked too: if it shows a live credential that
    /// the pair does not count, the counts are wrong, and nothing is revoked.
    async fn is_needed(&self, closed: &Closed<'_>) -> Result<bool, Error> {
        let grants = self.run.grants;
        match closed.needed_by {
            NeededBy::Credential(owner) => {
                let id = owner.credential.credential_id;
                let now = grants.credentials.get(self.team, id).await?;
                Ok(now.is_some())
            }
            NeededBy::Pair(pair) => {
                let now = grants.pairs.get(&pair.id).await?;
                if now.is_none_or(|now| now.live != 0) {
                    return Ok(true);
                }
                let members = grants
                    .credentials
                    .members_of(&pair.pair, Some(SOME_MEMBERS));
                let is_needed = members.await?.iter().any(StoredCredential::is_live);
                if is_needed {
                    self.report_wrong_counts();
                }
                Ok(is_needed)
            }
        }
    }

    /// Writes the event of the revocation. Best effort.
    async fn record(&self, stored: &StoredCredential, outcome: EventOutcome) {
        let actor = Some(Actor::Schedule);
        let event = Event::new(
            actor,
            self.run.id.to_owned(),
            EventDetails::Revoke { outcome },
        );
        let id = stored.credential.credential_id;
        let recorded = self.run.grants.events.record(self.team, id, &event).await;
        if let Err(error) = recorded {
            let cause = chain(&error);
            tracing::warn!(
                request_id = self.run.id,
                cause,
                "a revocation is missing among the events"
            );
        }
    }
}
