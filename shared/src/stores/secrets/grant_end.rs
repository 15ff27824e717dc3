//! The end of a grant: marks it dead, destroys its tokens, deletes its row.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use serde::Deserialize;

use super::grant_row::{STASH_ATTRIBUTES, StoredGrant};
use super::table::{Secrets, attributes, key};
use crate::credential::{GrantId, ReconnectReason, TeamId};
use crate::envelope::sealed::SecretId;
use crate::stores::error::{Error, failed};
use crate::stores::expression::Update;
use crate::stores::item::{from_item, number, text};
use crate::stores::transaction::{RowKind, Transaction, Write};

/// The version of a grant's row. It changes with every refresh, and when another credential starts to use the grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct GrantVersion {
    generation: Option<u64>,
    adoptions: Option<u64>,
}

impl Secrets {
    /// Destroys a grant's tokens, its stash and their data keys, and records the `reason`. Idempotent, also if the
    /// row does not exist.
    ///
    /// The generation rises, so a concurrent refresh cannot commit. A stash is refused as well, because the row has
    /// no tokens any more. A grant of another team stays, as in [`Self::purge`].
    pub async fn destroy(
        &self,
        team: &TeamId,
        id: GrantId,
        reason: ReconnectReason,
    ) -> Result<(), Error> {
        let mut update = Update::new()
            .set("state", text("reconnect"))
            .set("reason", text(reason.as_str()))
            .increment("generation", 1)
            .when_equal("team_id", text(team))
            .when_present("sealed");
        for name in ["sealed", "dek", "kid"].into_iter().chain(STASH_ATTRIBUTES) {
            update = update.remove(name);
        }
        for name in [
            "lease_id",
            "lease_until",
            "attempt",
            "writer",
            "due_shard",
            "refreshed_at",
        ] {
            update = update.remove(name);
        }
        match self.update(id, update).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The write that marks a grant dead, so that its user must authorize again.
    ///
    /// The write is refused if the generation or the stash differs from `seen`. Zoom has refused the stashed pair
    /// too, so the write removes it.
    pub fn mark_dead(
        &self,
        id: GrantId,
        seen: &StoredGrant,
        reason: ReconnectReason,
    ) -> Result<Write, Error> {
        let update = Update::new()
            .set("state", text("reconnect"))
            .set("reason", text(reason.as_str()))
            .remove("due_shard")
            .when_equal("generation", number(&seen.generation()))
            .when_equal("state", text("active"));
        let update = match &seen.stash {
            None => update.when_absent("alt_sealed"),
            // Removing the refused stash makes room for a pair that comes late. The condition compares the
            // ciphertext, because a rewrap changes the wrapped data key.
            Some(stash) => {
                let [_, _, (_, bytes)] = attributes(stash);
                STASH_ATTRIBUTES
                    .into_iter()
                    .fold(update, Update::remove)
                    .when_equal("alt_sealed", bytes)
            }
        };
        Write::update(
            RowKind::Grant,
            &self.table,
            key(SecretId::Grant(id)),
            update.build(),
        )
    }

    /// Begins a transaction that marks a grant dead. Only soft-deleted credentials use the grant. They become invalid
    /// when they are restored.
    pub fn mark_unused_dead(
        &self,
        id: GrantId,
        seen: &StoredGrant,
        reason: ReconnectReason,
    ) -> Result<Transaction<'_>, Error> {
        let write = self.mark_dead(id, seen, reason)?;
        Ok(Transaction::new(&self.client, write))
    }

    /// The check that a grant is active if `usable`, or dead if not, when the transaction commits.
    pub fn check_state(&self, id: GrantId, usable: bool) -> Result<Write, Error> {
        let state = if usable { "active" } else { "reconnect" };
        let check = Update::new().when_equal("state", text(state)).build();
        Write::check(RowKind::Grant, &self.table, key(SecretId::Grant(id)), check)
    }

    /// Reads the version of a grant's row for [`Self::purge_grant`]. Read the version before the credentials that use
    /// the grant.
    pub async fn grant_version(&self, id: GrantId) -> Result<GrantVersion, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(SecretId::Grant(id))))
            .projection_expression("generation, adoptions")
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        answer.item.map_or(Ok(GrantVersion::default()), from_item)
    }

    /// Deletes the row of a grant that no credential uses. A grant of another team stays, as in [`Self::purge`].
    ///
    /// Returns `Conflict` if the row has another version, because a credential may use the grant by now. The caller
    /// must then look for such credentials again.
    pub async fn purge_grant(
        &self,
        team: &TeamId,
        id: GrantId,
        version: GrantVersion,
    ) -> Result<(), Error> {
        let as_it_was = |condition: Update, name, value: Option<u64>| match value {
            Some(value) => condition.when_equal(name, number(&value)),
            None => condition.when_absent(name),
        };
        let condition = Update::new().when_equal("team_id", text(team));
        let condition = as_it_was(condition, "generation", version.generation);
        let condition = as_it_was(condition, "adoptions", version.adoptions).build();
        let sent = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key(SecretId::Grant(id))))
            .set_condition_expression(condition.condition)
            .set_expression_attribute_names(Some(condition.names))
            .set_expression_attribute_values(Some(condition.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = sent else {
            return Ok(());
        };
        match error.as_service_error() {
            Some(DeleteItemError::ConditionalCheckFailedException(refused)) => {
                let row = refused.item.as_ref();
                match row.and_then(|row| row.get("team_id")) {
                    Some(owner) if *owner == text(team) => Err(Error::Conflict),
                    // The row is gone, or belongs to another team.
                    _ => Ok(()),
                }
            }
            _ => Err(failed("DeleteItem", error)),
        }
    }
}
