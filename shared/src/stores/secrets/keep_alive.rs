//! The keep-alive schedule: which grants are due for a refresh because nothing has used them for long.
//!
//! The index `by-due` has only rows with `due_shard`. It sorts them by `refreshed_at`, which only the schedule uses.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;

use super::due_shard::due_shard;
use super::grant_row::StoredGrant;
use super::table::{Secrets, key};
use crate::credential::{GrantId, TeamId};
use crate::envelope::sealed::SecretId;
use crate::stores::error::{Error, failed};
use crate::stores::expression::Update;
use crate::stores::item::{from_item, number, text};
use crate::stores::transaction::{RowKind, Write};
use crate::timestamp::Timestamp;

/// The index that finds idle grants. Its keys are `due_shard` and `refreshed_at`.
const BY_DUE: &str = "by-due";

/// A grant that is due for a refresh, according to the index. The index may be stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueGrant {
    /// The team of the grant.
    pub team: TeamId,
    /// The grant.
    pub grant: GrantId,
}

/// A row of the index `by-due`.
#[derive(Deserialize)]
struct DueRow {
    secret_id: String,
    team_id: TeamId,
}

impl TryFrom<DueRow> for DueGrant {
    type Error = Error;

    fn try_from(row: DueRow) -> Result<Self, Error> {
        let grant = row.secret_id.strip_prefix("grant#").unwrap_or_default();
        let grant = grant
            .parse()
            .map_err(serde::de::Error::custom)
            .map_err(Error::Shape)?;
        Ok(Self {
            team: row.team_id,
            grant,
        })
    }
}

impl Secrets {
    /// Finds up to `limit` grants of a shard that were last refreshed before `before`, the oldest first.
    pub async fn due_grants(
        &self,
        shard: String,
        before: Timestamp,
        limit: u16,
    ) -> Result<Vec<DueGrant>, Error> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_DUE)
            .key_condition_expression("due_shard = :shard AND refreshed_at < :before")
            .expression_attribute_values(":shard", AttributeValue::S(shard))
            .expression_attribute_values(":before", text(&before))
            .limit(limit.into())
            .send()
            .await
            .map_err(|error| failed("Query", error))?;
        let rows = answer.items.unwrap_or_default().into_iter();
        rows.map(|item| from_item::<DueRow>(item)?.try_into())
            .collect()
    }

    /// Postpones an active grant whose refresh failed, as if it had been refreshed at `refreshed_at`.
    pub async fn postpone_refresh(
        &self,
        id: GrantId,
        refreshed_at: Timestamp,
    ) -> Result<(), Error> {
        let update = Update::new()
            .set("refreshed_at", text(&refreshed_at))
            .when_equal("state", text("active"))
            .when_less("refreshed_at", text(&refreshed_at));
        self.update(id, update).await.map(drop)
    }

    /// Makes an active grant the first in the next run, because no credential mints with it any more. A grant of
    /// another team stays as it is, as in [`Self::purge`].
    pub async fn schedule_first(&self, team: &TeamId, id: GrantId) -> Result<(), Error> {
        let update = Update::new()
            .set("refreshed_at", text(&Timestamp::from_millis(0)))
            .when_equal("team_id", text(team))
            .when_equal("state", text("active"))
            .when_present("due_shard");
        match self.update(id, update).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The write that adds another credential to an active grant.
    ///
    /// The version of the row changes, so [`Self::purge_grant`] notices. The grant returns to the schedule if it was
    /// not there, as if it had been refreshed at `access_expires_at`.
    pub fn add_credential(
        &self,
        id: GrantId,
        access_expires_at: Timestamp,
    ) -> Result<Write, Error> {
        let update = Update::new()
            .set("refreshed_at", text(&access_expires_at))
            .set("due_shard", text(&due_shard(id)))
            .count("adoptions")
            .when_equal("state", text("active"));
        Write::update(
            RowKind::Grant,
            &self.table,
            key(SecretId::Grant(id)),
            update.build(),
        )
    }

    /// The write that returns an active grant to the schedule, because its credential is restored. The grant counts
    /// as idle since its last access token.
    pub fn resume_keep_alive(&self, id: GrantId, seen: &StoredGrant) -> Result<Write, Error> {
        // The row does not say when Zoom issued the access token. Its expiry is at most an hour later, which is close
        // enough.
        let idle_since = Timestamp::from_millis(seen.access_expires_at);
        let update = Update::new()
            .set("refreshed_at", text(&idle_since))
            .set("due_shard", text(&due_shard(id)))
            .when_equal("state", text("active"))
            .when_equal("generation", number(&seen.generation()));
        Write::update(
            RowKind::Grant,
            &self.table,
            key(SecretId::Grant(id)),
            update.build(),
        )
    }

    /// Removes a grant from the schedule if the row is as `seen`. [`Self::resume_keep_alive`] is the inverse.
    pub async fn stop_keep_alive(&self, id: GrantId, seen: &StoredGrant) -> Result<(), Error> {
        let update = Update::new()
            .remove("due_shard")
            .when_equal("generation", number(&seen.generation()));
        let update = match &seen.refreshed_at {
            Some(at) => update.when_equal("refreshed_at", text(at)),
            None => update.when_absent("refreshed_at"),
        };
        self.update(id, update).await.map(drop)
    }
}
