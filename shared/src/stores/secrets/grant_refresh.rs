//! Reads a grant and runs the refresh protocol on its row: lease, commit, stash.
//!
//! The caller takes the lease, which also records a [`RefreshAttempt`], before it sends the refresh token to Zoom.
//! The commit of the new pair depends only on the generation. Each operation is one call to DynamoDB and returns the
//! row if its condition fails. The caller decides what follows.

use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use uuid::Uuid;

use super::due_shard::{DUE_AT_ONCE, due_shard};
use super::grant_row::{Lease, RefreshAttempt, STASH_ATTRIBUTES, StoredGrant, stash_attributes};
use super::table::{Secrets, attributes, key};
use crate::credential::{GrantId, TeamId};
use crate::envelope::sealed::{Sealed, SecretId};
use crate::stores::error::{Error, failed};
use crate::stores::expression::Update;
use crate::stores::item::{Item, number, text};
use crate::stores::transaction::LAST_ATTEMPT_TIMEOUT;
use crate::timestamp::Timestamp;

/// How long an update retries while a transaction locks its row. A transaction locks a row for milliseconds.
const ROW_LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// The result of taking the lease.
#[derive(Debug)]
pub enum AcquireOutcome {
    /// The caller holds the lease, and the row has an attempt.
    Acquired(AcquiredLease),
    /// Another request holds the lease, or the row has changed. Holds the current row.
    Refused(Box<StoredGrant>),
}

/// A lease that the caller holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcquiredLease {
    /// The lease's id.
    pub id: Uuid,
    /// Whether the row already had an attempt of this generation. Its outcome is unknown.
    pub earlier_attempt: bool,
    /// Whether the row had a stashed pair.
    pub stash: bool,
}

/// A new pair of tokens for a grant. Recovery capsules store this type, so its field names must stay.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewPair {
    /// The pair, sealed with the next generation.
    pub sealed: Sealed,
    /// When the access token expires, in milliseconds.
    pub access_expires_at: i64,
    /// The host of Zoom's REST API for this user, if Zoom named a host.
    pub api_url: Option<String>,
    /// When Zoom issued the pair.
    pub refreshed_at: Timestamp,
    /// Since when keep-alive counts the grant as unused.
    pub idle_since: Timestamp,
    /// Whether the pair was kept elsewhere before it is committed. Another request may have sent the old refresh
    /// token again in the meantime. If Zoom then refuses the pair, the lost race is the likely reason.
    pub late: bool,
}

/// The result of storing a new pair.
#[derive(Debug)]
pub enum PairWrite {
    /// The pair is stored.
    Written {
        /// Whether the grant was dead before. Its credentials are then still invalid.
        reactivated: bool,
    },
    /// The pair is not stored, because the row has changed. Holds the current row.
    Stale(Box<StoredGrant>),
}

/// The result of a conditional update of a grant's row.
pub(super) enum RowUpdate {
    /// The update was applied. Holds the row before the update.
    Applied(StoredGrant),
    /// The condition failed. Holds the current row.
    Refused(StoredGrant),
}

impl Secrets {
    /// Reads the row of a team's grant. Returns `None` if the grant was destroyed and its row purged, or if the grant
    /// belongs to another team: a forged or corrupt row must not lead from one team to another.
    pub async fn grant(&self, team: &TeamId, id: GrantId) -> Result<Option<StoredGrant>, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(SecretId::Grant(id))))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        let row = answer.item.map(StoredGrant::read).transpose()?;
        if row.as_ref().is_some_and(|row| row.team_id != *team) {
            tracing::error!(%team, grant_id = %id, "a row of this team names a grant of another team");
            return Ok(None);
        }
        Ok(row)
    }

    /// Takes the lease of an active grant of this generation, and records an attempt. Only the revocation (`revokes`)
    /// may take the lease of a closed grant.
    ///
    /// An older unfinished attempt stays on the row, because it shows that the refresh token may have been spent.
    pub async fn acquire_lease(
        &self,
        id: GrantId,
        generation: u64,
        lease: Lease,
        revokes: bool,
    ) -> Result<AcquireOutcome, Error> {
        let attempt = RefreshAttempt {
            id: lease.id,
            generation,
            at: lease.taken_at,
        };
        let attempt = serde_dynamo::to_attribute_value(attempt).map_err(Error::Shape)?;
        let update = Update::new()
            .set("lease_id", text(&lease.id))
            .set("lease_at", number(&lease.taken_at))
            .set("lease_until", number(&lease.until))
            .set_if_absent("attempt", attempt)
            .when_equal("generation", number(&generation))
            .when_equal("state", text("active"))
            .when_absent_or_less("lease_until", number(&lease.taken_at));
        let update = if revokes {
            update
        } else {
            update.when_absent("closed")
        };
        // An attempt under an earlier lease of the caller counts as well: its outcome is unknown too.
        let acquired = |row: &StoredGrant| AcquiredLease {
            id: lease.id,
            earlier_attempt: row.attempt.is_some_and(|attempt| attempt.id != lease.id),
            stash: row.stash.is_some(),
        };
        Ok(match self.update(id, update).await? {
            RowUpdate::Applied(before) => AcquireOutcome::Acquired(acquired(&before)),
            // The caller's own update was applied, but its response was lost.
            RowUpdate::Refused(now) if now.lease.is_some_and(|held| held.id == lease.id) => {
                AcquireOutcome::Acquired(acquired(&now))
            }
            RowUpdate::Refused(now) => AcquireOutcome::Refused(Box::new(now)),
        })
    }

    /// Releases a lease if it is still the grant's lease. With `forget`, also removes the attempt, because the refresh
    /// token was certainly not spent.
    pub async fn release_lease(&self, id: GrantId, lease: Uuid, forget: bool) -> Result<(), Error> {
        let update = Update::new()
            .remove("lease_id")
            .remove("lease_at")
            .remove("lease_until")
            .when_equal("lease_id", text(&lease));
        let update = if forget {
            update.remove("attempt")
        } else {
            update
        };
        // If the update is refused, the lease has ended, and nothing is left to release.
        self.update(id, update).await.map(drop)
    }

    /// Records that a spent refresh token was sent while the row had this generation, as an attempt with this id. Zoom
    /// may have ended the grant for that. Does nothing if the row has changed.
    pub async fn record_spent_send(
        &self,
        id: GrantId,
        generation: u64,
        attempt: Uuid,
    ) -> Result<(), Error> {
        let attempt = RefreshAttempt {
            id: attempt,
            generation,
            at: Timestamp::now().as_millis(),
        };
        let attempt = serde_dynamo::to_attribute_value(attempt).map_err(Error::Shape)?;
        let update = Update::new()
            .set_if_absent("attempt", attempt)
            .when_equal("generation", number(&generation))
            .when_equal("state", text("active"));
        self.update(id, update).await.map(drop)
    }

    /// Commits the pair that follows `generation`. Retries every error except `NotFound` and `RowTooLarge` until
    /// `until`.
    ///
    /// The condition is only the generation, not the lease. A holder whose lease has expired may have the only pair
    /// that Zoom still accepts.
    ///
    /// `drop_stash` says that the stash was there when the refresh began. Then the new pair is newer, and the commit
    /// removes the stash. A stash that was written later may be newer than this pair, so it stays.
    pub async fn commit(
        &self,
        id: GrantId,
        generation: u64,
        pair: &NewPair,
        writer: Uuid,
        drop_stash: bool,
        until: Timestamp,
    ) -> Result<PairWrite, Error> {
        let mut update = Update::new();
        // Zoom may leave the host out of a refresh response.
        if let Some(api_url) = &pair.api_url {
            update = update.set("api_url", text(api_url));
        }
        for (name, value) in attributes(&pair.sealed) {
            update = update.set(name, value);
        }
        let late_attempt = pair.late.then(|| {
            serde_dynamo::to_attribute_value(RefreshAttempt {
                id: writer,
                generation: pair.sealed.generation(),
                at: pair.refreshed_at.as_millis(),
            })
        });
        let late_attempt = late_attempt.transpose().map_err(Error::Shape)?;
        if drop_stash {
            for name in STASH_ATTRIBUTES {
                update = update.remove(name);
            }
        }
        let update = update
            .set("generation", number(&pair.sealed.generation()))
            .set("access_expires_at", number(&pair.access_expires_at))
            .set("committed_at", number(&Timestamp::now().as_millis()))
            .set("writer", text(&writer))
            .set("state", text("active"))
            .set("refreshed_at", text(&pair.refreshed_at))
            .set("idle_since", text(&pair.idle_since))
            .set("due_shard", text(&due_shard(id)))
            .remove("lease_id")
            .remove("lease_at")
            .remove("lease_until")
            .assign("attempt", late_attempt)
            .remove("reason")
            .when_equal("generation", number(&generation));
        match self.insist(id, &update, until).await? {
            RowUpdate::Applied(before) => {
                if before.idle_since == Some(DUE_AT_ONCE) {
                    // The commit has overwritten the mark. Best effort: without it the grant is due in weeks.
                    self.hasten(&before.team_id, id).await.ok();
                }
                Ok(PairWrite::Written {
                    reactivated: before.is_marked_dead(),
                })
            }
            // The caller's own update was applied, but its response was lost.
            RowUpdate::Refused(now) if now.writer == Some(writer) => {
                // Nobody knows whether the row had the mark.
                self.hasten(&now.team_id, id).await.ok();
                Ok(PairWrite::Written { reactivated: false })
            }
            RowUpdate::Refused(now) => Ok(PairWrite::Stale(Box::new(now))),
        }
    }

    /// Stores a pair as the stash, next to a pair that was committed first. Zoom may accept either pair. Retries
    /// every error except `NotFound` and `RowTooLarge` until `until`.
    ///
    /// The update is refused if the row has a stash already, if its tokens are destroyed, or if its generation is
    /// lower than the pair's.
    pub async fn stash(
        &self,
        id: GrantId,
        sealed: &Sealed,
        until: Timestamp,
    ) -> Result<PairWrite, Error> {
        let mut update = Update::new();
        for (name, value) in stash_attributes(sealed) {
            update = update.set(name, value);
        }
        let update = update
            .set("state", text("active"))
            .set("due_shard", text(&due_shard(id)))
            .remove("reason")
            .when_not_less("generation", number(&sealed.generation()))
            .when_present("sealed")
            .when_absent("alt_sealed");
        match self.insist(id, &update, until).await? {
            RowUpdate::Applied(before) => Ok(PairWrite::Written {
                reactivated: before.is_marked_dead(),
            }),
            // The caller's own update was applied, but its response was lost.
            RowUpdate::Refused(now) if now.stash.as_ref() == Some(sealed) => {
                Ok(PairWrite::Written { reactivated: false })
            }
            RowUpdate::Refused(now) => Ok(PairWrite::Stale(Box::new(now))),
        }
    }

    /// Does the same as [`Self::update`] and retries until `until`, no longer.
    ///
    /// The pair exists only in memory. If the vault cannot store it here, the caller needs time to store it
    /// elsewhere.
    pub(super) async fn insist(
        &self,
        id: GrantId,
        update: &Update,
        until: Timestamp,
    ) -> Result<RowUpdate, Error> {
        let mut pause = Duration::from_millis(50);
        loop {
            let left = Timestamp::now().until(until).max(LAST_ATTEMPT_TIMEOUT);
            let outcome = timeout(left, self.update(id, update.clone()))
                .await
                .unwrap_or_else(|elapsed| Err(Error::timed_out("UpdateItem", elapsed)));
            let error = match outcome {
                Ok(outcome) => return Ok(outcome),
                Err(error @ (Error::NotFound | Error::RowTooLarge { .. })) => return Err(error),
                Err(error) => error,
            };
            if Timestamp::now().plus(pause) >= until {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Updates a grant's row on its condition. Retries while a transaction locks the row.
    pub(super) async fn update(&self, id: GrantId, update: Update) -> Result<RowUpdate, Error> {
        let update = update.build();
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(SecretId::Grant(id))))
            .update_expression(update.update)
            .set_condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let until = Timestamp::now().plus(ROW_LOCK_TIMEOUT);
        let mut pause = Duration::from_millis(25);
        loop {
            let error = match request.clone().send().await {
                Ok(answer) => {
                    let before = answer.attributes.ok_or(Error::NotFound)?;
                    return StoredGrant::read(before).map(RowUpdate::Applied);
                }
                Err(error) => error,
            };
            // The SDK does not retry this error.
            let is_locked = error
                .as_service_error()
                .is_some_and(UpdateItemError::is_transaction_conflict_exception);
            if !is_locked || Timestamp::now().plus(pause) >= until {
                let row = refused(error)?;
                return StoredGrant::read(row).map(RowUpdate::Refused);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}

/// The row from the response to an update whose condition failed.
fn refused(error: SdkError<UpdateItemError>) -> Result<Item, Error> {
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
            refused.item.clone().ok_or(Error::NotFound)
        }
        _ => Err(failed("UpdateItem", error)),
    }
}
