//! A due grant whose user is not known. It is never destroyed for want of a credential before its user was asked for.

use std::time::Duration;

use crate::credential::GrantId;
use crate::error::Error;
use crate::grants::app::App;
use crate::grants::cache::Access;
use crate::grants::call::Caller;
use crate::grants::profile::{UserFinder, WorkingGrant};
use crate::grants::refresh::{DeadGrant, NoAccess};
use crate::grants::stray::{Registered, register};
use crate::invocation::Invocation;
use crate::keep_alive::due::{KEPT_FOR_CAPSULE, TakenGrant, terms};
use crate::keep_alive::report::GrantOutcome;
use crate::pair::Pair;
use crate::pair_end::YOUNG;
use crate::profile::Profile;
use crate::stores::{
    CommitOutcome, GrantState, RowKind, SOME_MEMBERS, StoredCredential, StoredGrant,
    TRANSACTION_TIMEOUT, Write,
};
use crate::timestamp::Timestamp;
use crate::zoom;

/// When a stray grant is due again whose user Zoom does not show.
const UNREADABLE_AGAIN: Duration = Duration::from_hours(7 * 24);
/// When a grant is due again for which there is no app to ask Zoom with.
const NO_APP_AGAIN: Duration = Duration::from_hours(24);

impl TakenGrant<'_> {
    /// Finds out who the user is, and settles the grant then.
    pub(super) async fn settle_nameless(&self) -> Result<GrantOutcome, Error> {
        let grants = self.run.grants;
        let owner = grants
            .credentials
            .get_including_deleted(self.team, self.row.credential_id)
            .await?;
        let uses = owner.as_ref().is_some_and(|owner| owner.has_grant(self.id));
        if let Some(closed) = self.closed() {
            let young_since = Timestamp::now().minus(YOUNG).as_millis();
            return match owner {
                // Whoever closed it may be about to revoke it.
                _ if closed >= young_since => Ok(GrantOutcome::Left),
                Some(owner) if uses && !owner.is_live() => self.revoke_nameless(&owner).await,
                Some(_) | None => {
                    self.reopen(vec![(self.id, closed)]).await?;
                    Ok(GrantOutcome::Left)
                }
            };
        }
        if self.row.state != GrantState::Active {
            return if uses {
                self.rest().await
            } else {
                self.delete_dead_stray(&self.row).await
            };
        }
        match owner {
            // The refresh learns the user.
            Some(owner) if uses && owner.is_live() => self.refresh_with(vec![owner], None).await,
            Some(owner) if owner.client_id == self.row.client_id => self.ask(owner, uses).await,
            Some(_) | None if !uses && self.has_ended_at_zoom() => {
                self.delete_unused_by_owner().await
            }
            Some(_) | None => {
                self.postpone(NO_APP_AGAIN).await?;
                Ok(GrantOutcome::Failed)
            }
        }
    }

    /// Asks Zoom who the user is, with the app of a credential that is deleted or does not use the grant any more.
    async fn ask(&self, owner: StoredCredential, uses: bool) -> Result<GrantOutcome, Error> {
        let grants = self.run.grants;
        let deadline = self.run.deadline_of_grant();
        let invocation = &Invocation::of_schedule(self.run.id.to_owned(), deadline);
        let terms = &terms(deadline);
        let context = self.context(invocation, terms);
        let app = App::new(grants, self.team, &owner, None);
        let (access, profile) = match Caller::new(context).test(self.id, &app).await {
            Ok(tested) => tested,
            Err(NoAccess::NewTokenRefused(refusal)) => {
                return Err(Error::from_grant_use(refusal));
            }
            Err(NoAccess::Failed(error)) => return Err(error),
            Err(NoAccess::Dead(dead)) => {
                self.zoom_answered();
                return self.end_refused_nameless(&dead, uses).await;
            }
        };
        let profile = match profile {
            Ok(profile) => Some(profile),
            Err(zoom::Error::MissingScope { .. }) => None,
            Err(error) => return Err(Error::from_grant_use(error)),
        };
        self.zoom_answered();
        let named = profile.and_then(|profile| Some((profile.zoom_user_id.clone()?, profile)));
        match named {
            Some((zoom_user_id, profile)) => {
                let pair = Pair {
                    team: self.team.clone(),
                    client_id: self.row.client_id.clone(),
                    zoom_user_id,
                };
                if uses {
                    let finder = UserFinder::of_use(context);
                    self.name(&finder, &owner, &pair, profile, &access).await
                } else {
                    self.join(&pair).await
                }
            }
            None if uses => self.settle_unreadable(&owner).await,
            None => self.settle_unreadable_stray().await,
        }
    }

    /// The user of a deleted credential's grant is known now.
    async fn name(
        &self,
        finder: &UserFinder<'_>,
        owner: &StoredCredential,
        pair: &Pair,
        profile: Profile,
        access: &Access,
    ) -> Result<GrantOutcome, Error> {
        let Some(working) = WorkingGrant::of_use(owner, access) else {
            return Ok(GrantOutcome::Left);
        };
        finder.learn(owner, &working, pair, profile).await?;
        // The next run lets it rest or revokes it.
        let secrets = &self.run.grants.secrets;
        secrets.hasten(self.team, self.id).await?;
        Ok(GrantOutcome::Left)
    }

    /// The user of a stray grant is known now.
    async fn join(&self, pair: &Pair) -> Result<GrantOutcome, Error> {
        let grants = self.run.grants;
        // Read before the grant joins: what proves to work later ends only what is in the pair now.
        let before = grants.pairs.get(&pair.id()).await?;
        let registered = register(
            &grants.pairs,
            &grants.secrets,
            pair,
            self.id,
            self.row.authorize_sent_at,
            Timestamp::now().plus(TRANSACTION_TIMEOUT),
        );
        match (registered.await?, before) {
            (Registered::InPair, Some(before)) => {
                let members = grants
                    .credentials
                    .members_of(pair, Some(SOME_MEMBERS))
                    .await?;
                // Boxed: the future is large.
                Box::pin(self.test(&before, members)).await
            }
            (Registered::NoMembers, _) => self.drop_stray(pair).await,
            (Registered::Deauthorized, _) => Ok(GrantOutcome::Destroyed),
            (Registered::InPair, None) | (Registered::Gone, _) => Ok(GrantOutcome::Left),
        }
    }

    /// Deletes a stray grant of a pair that has no credential.
    async fn drop_stray(&self, pair: &Pair) -> Result<GrantOutcome, Error> {
        let grants = self.run.grants;
        let members = grants.credentials.members_of(pair, Some(SOME_MEMBERS));
        if !members.await?.is_empty() {
            return self.counts_are_wrong();
        }
        let young_since = Timestamp::now().minus(YOUNG);
        let delete = grants
            .secrets
            .delete_without_pair(self.id, self.team, young_since)?;
        let transaction = grants
            .secrets
            .begin(delete)
            .and(grants.pairs.check_without_members(&pair.id())?)
            .and(self.check_unused_by_owner()?);
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        Ok(match transaction.commit(until).await? {
            CommitOutcome::Committed => GrantOutcome::Destroyed,
            CommitOutcome::Refused(_) => GrantOutcome::Left,
        })
    }

    fn check_unused_by_owner(&self) -> Result<Write, Error> {
        let credentials = &self.run.grants.credentials;
        Ok(credentials.check_without_grant(self.team, self.row.credential_id, self.id)?)
    }

    /// Zoom has refused the grant.
    async fn end_refused_nameless(
        &self,
        dead: &DeadGrant,
        uses: bool,
    ) -> Result<GrantOutcome, Error> {
        let Some(row) = &dead.row else {
            return Ok(GrantOutcome::Destroyed);
        };
        if !uses {
            return self.delete_dead_stray(row).await;
        }
        let secrets = &self.run.grants.secrets;
        if row.state == GrantState::Active {
            let declared = secrets.begin(secrets.mark_dead(self.id, row, dead.reason)?);
            let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
            if !declared.commit(until).await?.is_committed() {
                return Ok(GrantOutcome::Left);
            }
        }
        Ok(GrantOutcome::Dead)
    }

    /// Deletes a dead grant that its credential does not use.
    async fn delete_dead_stray(&self, row: &StoredGrant) -> Result<GrantOutcome, Error> {
        let secrets = &self.run.grants.secrets;
        let waited = row.attempt.is_some_and(|attempt| {
            let since = Timestamp::from_millis(attempt.at);
            since.until(Timestamp::now()) >= KEPT_FOR_CAPSULE
        });
        let delete = secrets.delete_refused(self.id, row, waited)?;
        let deleted = secrets.begin(delete).and(self.check_unused_by_owner()?);
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        match deleted.commit(until).await? {
            CommitOutcome::Committed => Ok(GrantOutcome::Destroyed),
            CommitOutcome::Refused(RowKind::Grant) => self.keep_for_capsule(row).await,
            CommitOutcome::Refused(_) => Ok(GrantOutcome::Left),
        }
    }

    /// Zoom does not show who the user is, and the credential that uses the grant is deleted.
    async fn settle_unreadable(&self, owner: &StoredCredential) -> Result<GrantOutcome, Error> {
        let young_since = Timestamp::now().minus(YOUNG).as_millis();
        let is_young = self.row.authorized_at >= young_since;
        if !is_young && self.run.keys.revokes_on_delete(self.team).await? {
            return self.revoke_nameless(owner).await;
        }
        self.rest().await
    }

    /// Zoom does not show who the user is, and no credential is known to use the grant. After the time in which Zoom
    /// ends an idle grant, nobody can need it.
    async fn settle_unreadable_stray(&self) -> Result<GrantOutcome, Error> {
        let authorized = Timestamp::from_millis(self.row.authorized_at);
        if authorized.until(Timestamp::now()) < KEPT_FOR_CAPSULE {
            self.postpone(UNREADABLE_AGAIN).await?;
            return Ok(GrantOutcome::Left);
        }
        self.delete_unused_by_owner().await
    }

    /// Deletes a grant of an unknown user that nobody can need any more, unless its credential uses it.
    async fn delete_unused_by_owner(&self) -> Result<GrantOutcome, Error> {
        let secrets = &self.run.grants.secrets;
        let young_since = Timestamp::now().minus(YOUNG);
        let delete = secrets.delete_without_pair(self.id, self.team, young_since)?;
        let deleted = secrets.begin(delete).and(self.check_unused_by_owner()?);
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        Ok(match deleted.commit(until).await? {
            CommitOutcome::Committed => GrantOutcome::Destroyed,
            CommitOutcome::Refused(_) => GrantOutcome::Left,
        })
    }

    /// Makes the grant due again after `time`.
    async fn postpone(&self, time: Duration) -> Result<(), Error> {
        let secrets = &self.run.grants.secrets;
        let (id, due_again): (GrantId, _) = (self.id, self.run.unused_since.plus(time));
        Ok(secrets.postpone(id, self.taken, due_again).await?)
    }
}
