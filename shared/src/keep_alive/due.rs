//! One due grant: who uses it, and whether it still works.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::credential::{GrantId, ReconnectReason, State, TeamId};
use crate::error::Error;
use crate::grants::app::App;
use crate::grants::call::{CallOutcome, Caller, Tested};
use crate::grants::hand_over::HandOver;
use crate::grants::mint::ACCESS_MARGIN;
use crate::grants::profile::{MIN_AUTHORIZATION_GAP, learn_user, record_active};
use crate::grants::record::Recorder;
use crate::grants::refresh::{DeadGrant, NoAccess};
use crate::grants::stray::{Registered, register};
use crate::grants::{Context, Terms};
use crate::invocation::Invocation;
use crate::keep_alive::report::GrantOutcome;
use crate::keep_alive::terms::{NAME, RunTerms};
use crate::pair::PairId;
use crate::pair_end::YOUNG;
use crate::stores::{
    BATCH, CommitOutcome, GrantState, RowKind, SOME_MEMBERS, StoredCredential, StoredGrant,
    StoredPair, TRANSACTION_TIMEOUT,
};
use crate::timestamp::Timestamp;

/// How long a grant stays whose refresh may be in a capsule. Zoom ends a grant that idles for about 90 days.
pub(super) const KEPT_FOR_CAPSULE: Duration = Duration::from_hours(90 * 24);
/// When a stray is due again whose pair has only deleted credentials.
const STRAY_AGAIN: Duration = Duration::from_hours(7 * 24);
/// With less time left, no further batch of credentials is moved.
const MIN_TIME_FOR_BATCH: Duration = Duration::from_secs(15);

/// The most credentials whose apps one grant is tried with.
pub(super) const MAX_APPS: usize = 8;

/// A due grant that this run has taken.
pub(super) struct TakenGrant<'a> {
    pub(super) run: &'a RunTerms<'a>,
    pub(super) team: &'a TeamId,
    pub(super) id: GrantId,
    /// The row as it was when it was taken.
    pub(super) row: StoredGrant,
    /// The `idle_since` that the row has since then.
    pub(super) taken: Timestamp,
}

impl TakenGrant<'_> {
    /// Notes that Zoom has accepted or refused the grant, so it works.
    pub(super) fn zoom_answered(&self) {
        let app = &self.row.client_id;
        self.run.failures.zoom_answered(self.team, app);
    }

    /// Does what the grant needs.
    pub(super) async fn settle(&self) -> Result<GrantOutcome, Error> {
        let Some(pair_id) = &self.row.pair else {
            return self.settle_nameless().await;
        };
        let grants = self.run.grants;
        let (pair, owner) = tokio::try_join!(
            grants.pairs.get(pair_id),
            grants
                .credentials
                .get_including_deleted(self.team, self.row.credential_id),
        )?;
        let pair = pair.filter(|pair| pair.pair.team == *self.team);
        let owner = owner.filter(|owner| owner.has_grant(self.id));
        match pair {
            Some(pair) if pair.members > 0 => self.settle_in(pair, owner).await,
            Some(pair) if pair.members < 0 => self.counts_are_wrong(),
            Some(pair) => self.drop_with_pair(&pair).await,
            None => self.settle_without_pair(pair_id).await,
        }
    }

    /// A grant of a pair that has credentials. `owner` is the credential that the user authorized, live or deleted, if
    /// it still uses the grant.
    async fn settle_in(
        &self,
        pair: StoredPair,
        owner: Option<StoredCredential>,
    ) -> Result<GrantOutcome, Error> {
        if !pair.grants.contains(&self.id) {
            let added = register(
                &self.run.grants.pairs,
                &self.run.grants.secrets,
                &pair.pair,
                self.id,
                self.row.authorize_sent_at,
                Timestamp::now().plus(TRANSACTION_TIMEOUT),
            );
            match added.await? {
                Registered::InPair => {}
                Registered::Deauthorized => return Ok(GrantOutcome::Destroyed),
                Registered::NoMembers | Registered::Gone => return Ok(GrantOutcome::Left),
            }
        }
        if let Some(closed) = self.closed() {
            let young_since = Timestamp::now().minus(YOUNG).as_millis();
            // Whoever closed it may be about to revoke it.
            return if closed >= young_since {
                Ok(GrantOutcome::Left)
            } else if pair.live > 0 {
                self.reopen_pair(&pair).await
            } else {
                self.revoke_pair(&pair).await
            };
        }
        if pair.live < 0 {
            return self.counts_are_wrong();
        }
        if pair.live == 0 {
            return if self.run.keys.revokes_on_delete(self.team).await? {
                self.revoke_pair(&pair).await
            } else {
                self.rest_or_wait(&pair, owner.is_some()).await
            };
        }
        self.keep(&pair, owner.filter(StoredCredential::is_live))
            .await
    }

    /// When the grant was given up for revocation, if its tokens are still there.
    pub(super) fn closed(&self) -> Option<i64> {
        self.row.closed.filter(|_| self.row.sealed.is_some())
    }

    /// A grant that a deleted credential uses rests until that is restored or purged. A stray must be looked at again:
    /// nobody would put it back into the schedule.
    pub(super) async fn rest_or_wait(
        &self,
        pair: &StoredPair,
        is_used: bool,
    ) -> Result<GrantOutcome, Error> {
        let (credentials, secrets) = (&self.run.grants.credentials, &self.run.grants.secrets);
        let members = if is_used {
            Vec::new()
        } else {
            credentials
                .members_of(&pair.pair, Some(SOME_MEMBERS))
                .await?
        };
        if is_used || members.iter().any(|member| member.has_grant(self.id)) {
            return self.rest().await;
        }
        let due_again = self.run.unused_since.plus(STRAY_AGAIN);
        secrets.postpone(self.id, self.taken, due_again).await?;
        Ok(GrantOutcome::Left)
    }

    /// A grant of a pair that has live credentials. `owner` is live.
    async fn keep(
        &self,
        pair: &StoredPair,
        owner: Option<StoredCredential>,
    ) -> Result<GrantOutcome, Error> {
        let owner_id = owner.as_ref().map(|owner| owner.credential.credential_id);
        let mut refused = None;
        if let Some(owner) = owner {
            match self.refresh_with(vec![owner], Some(pair)).await {
                Err(error @ Error::AppMisconfigured { .. }) => refused = Some(error),
                outcome => return outcome,
            }
        }
        let credentials = &self.run.grants.credentials;
        let members = credentials
            .members_of(&pair.pair, Some(SOME_MEMBERS))
            .await?;
        let others = members.iter().filter(|member| {
            let id = member.credential.credential_id;
            member.is_live() && member.has_grant(self.id) && Some(id) != owner_id
        });
        let others: Vec<StoredCredential> = others.cloned().collect();
        match refused {
            Some(error) if others.is_empty() => Err(error),
            None if others.is_empty() => self.test(pair, members).await,
            Some(_) | None => self.refresh_with(others, Some(pair)).await,
        }
    }

    /// Refreshes a grant with the app of a credential that uses it. If Zoom refuses the app, tries the next
    /// credential's app.
    pub(super) async fn refresh_with(
        &self,
        users: Vec<StoredCredential>,
        pair: Option<&StoredPair>,
    ) -> Result<GrantOutcome, Error> {
        if self.row.state != GrantState::Active {
            // Its credentials tell the user to authorize again, or find another grant at their next use.
            return self.rest().await;
        }
        let mut refused = None;
        for stored in users.into_iter().take(MAX_APPS) {
            match self.refresh_for(stored, pair).await {
                Err(error @ Error::AppMisconfigured { .. }) => refused = Some(error),
                outcome => return outcome,
            }
        }
        refused.map_or(Ok(GrantOutcome::Left), Err)
    }

    /// Refreshes a grant with this credential's app.
    async fn refresh_for(
        &self,
        stored: StoredCredential,
        pair: Option<&StoredPair>,
    ) -> Result<GrantOutcome, Error> {
        let id = stored.credential.credential_id;
        let deadline = self.run.deadline_of_grant();
        let invocation = &Invocation::of_schedule(self.run.id.to_owned(), deadline);
        let terms = &terms(deadline);
        let context = self.context(invocation, terms);
        // The call itself does nothing, because getting the access token is the refresh.
        let called = Caller::new(context)
            .call(stored.clone(), None, async |_| Ok(()))
            .await;
        let error = called.as_ref().err();
        let code = error.map(Error::code);
        let recorder = Recorder(context);
        recorder.refresh(id, error).await;
        let outcome = match called {
            Ok(CallOutcome { stored, access, .. }) => {
                learn_user(context, &stored, &access).await;
                if let (Some(pair), Some(grant)) = (pair, stored.grant)
                    && grant.id != self.id
                {
                    // The search has found another grant that works. So every grant that was in the pair before it is
                    // dead, except that one.
                    self.hand_over_to(pair, grant.id, access.expires_at, invocation)
                        .await?;
                }
                Ok(if invocation.activity().has_refreshed() {
                    self.zoom_answered();
                    GrantOutcome::Refreshed
                } else {
                    GrantOutcome::Left
                })
            }
            Err(Error::ReconnectRequired { .. }) => {
                self.zoom_answered();
                Ok(GrantOutcome::Dead)
            }
            Err(error) => {
                recorder.failure(&stored, &error).await;
                Err(error)
            }
        };
        let counts = invocation.activity().counts();
        tracing::info!(
            request_id = self.run.id,
            route = NAME,
            team = %self.team,
            credential_id = %id,
            code,
            refreshed = counts.refreshed,
            turned_invalid = counts.turned_invalid,
            refresh_outcome_lost = counts.outcome_lost,
            "grant"
        );
        outcome
    }

    /// No credential is known to use the grant. Finds out whether it works. If it does, the pair's other grants are
    /// dead, and its credentials get this one. If not, it is deleted.
    pub(super) async fn test(
        &self,
        pair: &StoredPair,
        mut members: Vec<StoredCredential>,
    ) -> Result<GrantOutcome, Error> {
        if self.row.state != GrantState::Active {
            return self.delete_dead(&pair.id, &self.row).await;
        }
        members.sort_by_key(|member| !member.is_live());
        let deadline = self.run.deadline_of_grant();
        let invocation = &Invocation::of_schedule(self.run.id.to_owned(), deadline);
        let terms = &terms(deadline);
        let context = self.context(invocation, terms);
        let Some(tested) = Box::pin(self.test_with_apps(context, &members)).await else {
            return Ok(GrantOutcome::Left);
        };
        let (access, profile) = match tested {
            Ok(tested) => tested,
            Err(NoAccess::NewTokenRefused(refusal)) => {
                return Err(Error::from_grant_use(refusal));
            }
            Err(NoAccess::Failed(error)) => return Err(error),
            Err(NoAccess::Dead(dead)) => {
                self.zoom_answered();
                return self.end_refused(&pair.id, &dead).await;
            }
        };
        profile.map_err(Error::from_grant_use)?;
        self.zoom_answered();
        let latest = Timestamp::from_millis(self.row.authorized_at).plus(MIN_AUTHORIZATION_GAP);
        let is_later = |member: &&StoredCredential| {
            member.is_live()
                && member
                    .grant
                    .is_some_and(|grant| grant.authorized_at > latest.as_millis())
        };
        if members.iter().any(|member| is_later(&member)) {
            tracing::error!(
                request_id = self.run.id,
                team = %self.team,
                grant_id = %self.id,
                two_grants_alive = 1_u32,
                "Zoom accepts a grant although the user has authorized the app again later"
            );
            return self.rest().await;
        }
        self.hand_over_to(pair, self.id, access.expires_at, invocation)
            .await?;
        Ok(GrantOutcome::Refreshed)
    }

    /// Finds out whether Zoom accepts the grant's refresh token. If Zoom refuses the app of a credential, tries the
    /// next one's. `None` without a credential.
    async fn test_with_apps(
        &self,
        context: Context<'_>,
        members: &[StoredCredential],
    ) -> Option<Tested> {
        let mut refused = None;
        for member in members.iter().take(MAX_APPS) {
            let app = App::new(self.run.grants, self.team, member, None);
            let caller = Caller::new(context).with_new_token();
            // Boxed: the future is large.
            match Box::pin(caller.test(self.id, &app)).await {
                Err(NoAccess::Failed(error @ Error::AppMisconfigured { .. })) => {
                    refused = Some(Err(NoAccess::Failed(error)));
                }
                tested => return Some(tested),
            }
        }
        refused
    }

    /// Points the pair's other credentials at a grant that Zoom has just accepted, as long as there is time. `before`
    /// is the pair as it was before Zoom accepted the grant: the grants that it had then are dead now.
    async fn hand_over_to(
        &self,
        before: &StoredPair,
        works: GrantId,
        idle_since: Timestamp,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        let grants = self.run.grants;
        let Some(row) = grants.grant_row(self.team, works).await? else {
            return Ok(());
        };
        let mut holders = grants
            .credentials
            .holders_of_other_grants(&before.pair, works, usize::MAX)
            .await?;
        // Read after the holders: a grant that one of them got since Zoom accepted `works` is in the pair by now.
        let now = grants.pairs.get(&before.id).await?;
        let now: BTreeSet<GrantId> = now.map(|pair| pair.grants).unwrap_or_default();
        holders.retain(|holder| {
            before.grants.contains(&holder.grant_id) || !now.contains(&holder.grant_id)
        });
        let authorized = row.authorized(works);
        let target = HandOver {
            credentials: &grants.credentials,
            secrets: &grants.secrets,
            team: self.team,
            pair: &before.id,
            authorized: &authorized,
            idle_since,
        };
        for batch in holders.chunks(BATCH) {
            if invocation.time_left(Duration::ZERO) < MIN_TIME_FOR_BATCH {
                break;
            }
            let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
            let moved = target.to(batch, None, until).await?;
            let invalid = moved.iter().filter(|holder| holder.state == State::Invalid);
            let ids = invalid.map(|holder| holder.credential_id);
            record_active(&grants.events, invocation, self.team, ids).await;
        }
        Ok(())
    }

    /// Zoom has refused a grant that no credential is known to use.
    pub(super) async fn end_refused(
        &self,
        pair: &PairId,
        dead: &DeadGrant,
    ) -> Result<GrantOutcome, Error> {
        let Some(row) = &dead.row else {
            return Ok(GrantOutcome::Destroyed);
        };
        self.delete_dead(pair, row).await
    }

    /// Deletes the row of a dead grant, and takes it out of its pair. If another refresh of it is unfinished, its
    /// tokens may be in a capsule: then the row stays for as long as Zoom might accept them.
    async fn delete_dead(&self, pair: &PairId, row: &StoredGrant) -> Result<GrantOutcome, Error> {
        let grants = self.run.grants;
        let waited = row.attempt.is_some_and(|attempt| {
            let since = Timestamp::from_millis(attempt.at);
            since.until(Timestamp::now()) >= KEPT_FOR_CAPSULE
        });
        let delete = grants.secrets.delete_refused(self.id, row, waited)?;
        let removed = grants.pairs.remove_grants(self.team, pair, &[self.id])?;
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        let deleted = grants.secrets.begin(delete).and(removed).commit(until);
        match deleted.await? {
            CommitOutcome::Committed => Ok(GrantOutcome::Destroyed),
            CommitOutcome::Refused(RowKind::Grant) => self.keep_for_capsule(row).await,
            CommitOutcome::Refused(_) => Ok(GrantOutcome::Left),
        }
    }

    /// Declares a refused grant dead whose row has an unfinished refresh of somebody else. It is due again when no
    /// capsule can help any more.
    pub(super) async fn keep_for_capsule(&self, row: &StoredGrant) -> Result<GrantOutcome, Error> {
        let secrets = &self.run.grants.secrets;
        if row.state == GrantState::Active {
            let reason = ReconnectReason::RefreshOutcomeLost;
            let declared = secrets.begin(secrets.mark_dead(self.id, row, reason)?);
            let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
            // Refused if the grant has changed: then the next run looks at it.
            if !declared.commit(until).await?.is_committed() {
                return Ok(GrantOutcome::Left);
            }
        }
        let due_again = self.run.unused_since.plus(KEPT_FOR_CAPSULE);
        secrets.keep_due(self.id, due_again).await?;
        Ok(GrantOutcome::Dead)
    }

    /// The counts of the pair contradict what its credentials say. Nothing is destroyed then.
    pub(super) fn counts_are_wrong(&self) -> Result<GrantOutcome, Error> {
        self.report_wrong_counts();
        Err(Error::Conflict)
    }

    pub(super) fn report_wrong_counts(&self) {
        tracing::error!(
            request_id = self.run.id,
            team = %self.team,
            grant_id = %self.id,
            pair_counts_wrong = 1_u32,
            "the counts of a pair are wrong: run `zoom-vault credentials sweep --repair`"
        );
    }

    /// Takes the grant out of the schedule.
    pub(super) async fn rest(&self) -> Result<GrantOutcome, Error> {
        let secrets = &self.run.grants.secrets;
        secrets.stop_keep_alive(self.id, self.taken).await?;
        Ok(GrantOutcome::Rests)
    }

    pub(super) fn context<'b>(
        &'b self,
        invocation: &'b Invocation,
        terms: &'b Terms,
    ) -> Context<'b> {
        Context {
            grants: self.run.grants,
            invocation,
            team: self.team,
            terms,
        }
    }
}

/// The terms of keep-alive for one grant.
pub(super) fn terms(deadline: Timestamp) -> Terms {
    Terms {
        bot: None,
        margin: ACCESS_MARGIN,
        answer_by: deadline,
    }
}
