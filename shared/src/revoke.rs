//! A grant that no live credential uses: lets it rest, revokes it at Zoom, or destroys it.

use std::time::Duration;

use crate::cause::chain;
use crate::credential::ReconnectReason;
use crate::error::Error;
use crate::event::{Event, EventDetails, EventOutcome};
use crate::grants::Grants;
use crate::grants::access::AccessTokens;
use crate::grants::app::App;
use crate::grants::refresh::{NoAccess, Refresher};
use crate::invocation::Invocation;
use crate::stores::{DueGrant, Keys, StoredCredential, StoredGrant};
use crate::timestamp::Timestamp;
use crate::zoom;

/// How long an access token must still live to revoke with it.
const MIN_LIFE_TO_REVOKE: Duration = Duration::from_mins(1);
/// How often a revocation is tried after Zoom refused the access token.
const MAX_TOKENS: usize = 2;

/// The result for the grant.
pub(crate) enum UnusedGrantOutcome {
    /// It rests: keep-alive does not look at it again.
    Rests,
    /// It was revoked at Zoom, or found revoked, and its tokens are destroyed.
    Revoked,
    /// A credential uses it after all.
    InUse,
}

/// A due grant that no live credential uses.
pub(crate) struct UnusedGrant<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) grants: &'a Grants,
    pub(crate) due: &'a DueGrant,
    /// Names the run in the logs.
    pub(crate) run_id: &'a str,
    /// When the run ends.
    pub(crate) deadline: Timestamp,
    /// The longest time for one attempt to revoke. Its lease ends then.
    pub(crate) max_time: Duration,
    /// When a refresh that is needed to revoke counts as made. The grant becomes due again a day later, so that a
    /// revocation that fails after the refresh is tried again.
    pub(crate) refreshed_at: Timestamp,
}

impl UnusedGrant<'_> {
    /// Destroys the grant if no deleted credential uses it either. Otherwise lets it rest for a restore, or revokes it
    /// if the team wants revocation on delete.
    pub(crate) async fn settle(
        &self,
        row: &StoredGrant,
        deleted: Vec<StoredCredential>,
    ) -> Result<UnusedGrantOutcome, Error> {
        let (secrets, due) = (&self.grants.secrets, self.due);
        if deleted.is_empty() {
            secrets
                .destroy(&due.team, due.grant, ReconnectReason::Revoked)
                .await?;
            return Ok(UnusedGrantOutcome::Rests);
        }
        if !self.keys.revokes_on_delete(&due.team).await? || self.may_be_adopted(&deleted).await? {
            secrets.stop_keep_alive(due.grant, row).await?;
            return Ok(UnusedGrantOutcome::Rests);
        }
        let mut outcome = Ok(UnusedGrantOutcome::InUse);
        for stored in &deleted {
            outcome = self.revoke(stored).await;
            if !matches!(outcome, Err(Error::AppMisconfigured { .. })) {
                break;
            }
        }
        let recorded = match &outcome {
            Ok(UnusedGrantOutcome::Revoked) => EventOutcome::Succeeded,
            Ok(_) => return outcome,
            Err(error) => EventOutcome::Failed { code: error.code() },
        };
        for stored in &deleted {
            self.record(stored, recorded).await;
        }
        outcome
    }

    /// Writes the event of the revocation. Best effort.
    async fn record(&self, stored: &StoredCredential, outcome: EventOutcome) {
        let event = Event::new(EventDetails::Revoke { outcome });
        let id = stored.credential.credential_id;
        let recorded = self.grants.events.record(&self.due.team, id, &event).await;
        if let Err(error) = recorded {
            let cause = chain(&error);
            tracing::warn!(
                request_id = self.run_id,
                cause,
                "a revocation is missing among the events"
            );
        }
    }

    /// Whether a live credential has the same Zoom app and user as one of the `deleted` credentials. Zoom may have
    /// replaced that credential's grant by this grant. Then the credential will adopt this grant at its next use.
    async fn may_be_adopted(&self, deleted: &[StoredCredential]) -> Result<bool, Error> {
        let (credentials, due) = (&self.grants.credentials, self.due);
        for stored in deleted {
            if credentials
                .is_grant_needed(&due.team, due.grant, stored)
                .await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Revokes the grant at Zoom with the app of a deleted credential, and destroys its tokens. Zoom wants a live
    /// access token for that, so the grant may be refreshed first. If Zoom refuses the refresh, the grant is dead
    /// already.
    async fn revoke(&self, stored: &StoredCredential) -> Result<UnusedGrantOutcome, Error> {
        let (grants, team, id) = (self.grants, &self.due.team, self.due.grant);
        let deadline = self.deadline.min(Timestamp::now().plus(self.max_time));
        let invocation = &Invocation::new(self.run_id.to_owned(), deadline);
        let mut refresher = Refresher::new(grants, invocation, team);
        refresher.refreshed_at = Some(self.refreshed_at);
        let tokens = AccessTokens {
            refresher,
            margin: MIN_LIFE_TO_REVOKE,
            give_up_at: deadline,
        };
        let app = App::new(grants, team, stored, None);
        let mut refused = None;
        for _ in 0..MAX_TOKENS {
            let access = match tokens.get(id, None, refused, &app).await {
                Ok(access) => access,
                Err(NoAccess::Dead(dead)) => {
                    grants.secrets.destroy(team, id, dead.reason).await?;
                    return Ok(UnusedGrantOutcome::Revoked);
                }
                Err(NoAccess::Failed(error)) => return Err(error),
            };
            // Checked again as late as possible, because a credential may have been restored in the meantime.
            if grants.credentials.is_grant_needed(team, id, stored).await? {
                return Ok(UnusedGrantOutcome::InUse);
            }
            let time_left = invocation.time_left(Duration::ZERO);
            let app = app.open().await?;
            match grants.zoom.revoke(&app, &access.token, time_left).await {
                Ok(()) => {
                    grants.cache.remove(&id);
                    grants
                        .secrets
                        .destroy(team, id, ReconnectReason::Revoked)
                        .await?;
                    return Ok(UnusedGrantOutcome::Revoked);
                }
                Err(zoom::Error::GrantRefused { .. }) => {
                    grants.cache.remove(&id);
                    refused = Some(access.generation);
                }
                Err(error) => return Err(Error::from_grant_use(error)),
            }
        }
        Err(Error::from_grant_use(zoom::Error::AccessTokenRefused))
    }
}
