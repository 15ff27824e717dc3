//! The keep-alive schedule: which grants are due for a refresh because nothing has used them for long.
//!
//! The index `by-due` has only rows with `due_shard`. It sorts them by `idle_since`, which only the schedule uses. That
//! is the time of the last refresh, or a later time if the schedule postponed the grant, or [`DUE_AT_ONCE`]. So
//! `refreshed_at` tells how long a grant that fails has really been unused.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use serde::Deserialize;

use super::due_shard::{DUE_AT_ONCE, due_shard};
use super::grant_refresh::RowUpdate;
use super::grant_row::StoredGrant;
use super::table::Secrets;
use crate::credential::{GrantId, TeamId};
use crate::pair::PairId;
use crate::stores::error::{Error, failed};
use crate::stores::expression::Update;
use crate::stores::item::{from_item, number, parse_rows, text};
use crate::stores::transaction::Write;
use crate::timestamp::Timestamp;

/// The index that finds idle grants. Its keys are `due_shard` and `idle_since`.
const BY_DUE: &str = "by-due";
/// How many rows of the index one query reads.
const PAGE: i32 = 64;

/// A grant that is due for a refresh, according to the index. The index may be stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueGrant {
    /// The team of the grant.
    pub team: TeamId,
    /// The grant.
    pub grant: GrantId,
    /// Since when the schedule counts it as unused.
    pub idle_since: Timestamp,
    /// When Zoom last issued tokens.
    pub refreshed_at: Option<Timestamp>,
}

/// Some due grants of a shard.
#[derive(Debug)]
pub struct DuePage {
    /// The grants, the longest unused first. Rows of unknown shape are left out, so a page may be empty.
    pub grants: Vec<DueGrant>,
    /// Where the next page begins. `None` after the last one.
    pub next: Option<DuePosition>,
}

/// A position in a shard of the index.
#[derive(Debug)]
pub struct DuePosition(HashMap<String, AttributeValue>);

/// A row of the index `by-due`.
#[derive(Deserialize)]
struct DueRow {
    secret_id: String,
    team_id: TeamId,
    idle_since: Timestamp,
    refreshed_at: Option<Timestamp>,
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
            idle_since: row.idle_since,
            refreshed_at: row.refreshed_at,
        })
    }
}

impl Secrets {
    /// Reads some of the grants of a shard that have been unused since before `before`, the longest unused first.
    /// `from` is where the page before this one ended.
    pub async fn due_grants(
        &self,
        shard: String,
        before: Timestamp,
        from: Option<DuePosition>,
    ) -> Result<DuePage, Error> {
        let query = self.due_query(shard, before).limit(PAGE);
        let query = query.set_exclusive_start_key(from.map(|position| position.0));
        let page = query.send().await.map_err(|error| failed("Query", error))?;
        let items = page.items.unwrap_or_default();
        let due = parse_rows(items, (&self.table, "secret_id"), |item| {
            from_item::<DueRow>(item)?.try_into()
        });
        Ok(DuePage {
            grants: due.rows,
            next: page.last_evaluated_key.map(DuePosition),
        })
    }

    /// Counts the grants of a shard that have been unused since before `before`. A count beyond one page of the index,
    /// some thousands, is too low.
    pub async fn count_due(&self, shard: String, before: Timestamp) -> Result<u32, Error> {
        let query = self.due_query(shard, before).select(Select::Count);
        let answer = query.send().await.map_err(|error| failed("Query", error))?;
        Ok(u32::try_from(answer.count).unwrap_or_default())
    }

    fn due_query(&self, shard: String, before: Timestamp) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .index_name(BY_DUE)
            .key_condition_expression("due_shard = :shard AND idle_since < :before")
            .expression_attribute_values(":shard", AttributeValue::S(shard))
            .expression_attribute_values(":before", text(&before))
    }

    /// Takes a due grant for this run, so that no other run handles it before `until`. Returns the row, or `None` if
    /// the grant is no longer due as `due` says.
    pub async fn take(
        &self,
        due: &DueGrant,
        until: Timestamp,
    ) -> Result<Option<StoredGrant>, Error> {
        self.put_off_due(due.grant, due.idle_since, until).await
    }

    async fn put_off_due(
        &self,
        id: GrantId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Option<StoredGrant>, Error> {
        let update = Update::new()
            .set("idle_since", text(&to))
            .when_equal("idle_since", text(&from))
            .when_present("due_shard");
        match self.update(id, update).await {
            Ok(RowUpdate::Applied(row)) => Ok(Some(row)),
            Ok(RowUpdate::Refused(_)) | Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a grant that was taken until `taken` due at another time, as if it had been unused since `idle_since`.
    pub async fn postpone(
        &self,
        id: GrantId,
        taken: Timestamp,
        idle_since: Timestamp,
    ) -> Result<(), Error> {
        self.put_off_due(id, taken, idle_since).await.map(drop)
    }

    /// Makes a grant the first in the next run, whatever its state: nobody is known to use it any more. A grant of
    /// another team stays as it is, as in [`Self::purge`].
    pub async fn hasten(&self, team: &TeamId, id: GrantId) -> Result<(), Error> {
        let update = Update::new()
            .set("idle_since", text(&DUE_AT_ONCE))
            .set("due_shard", text(&due_shard(id)))
            .when_equal("team_id", text(team))
            // A dead grant may have left the schedule while it was due at once.
            .when_not_equal_or_absent("idle_since", text(&DUE_AT_ONCE), "due_shard");
        match self.update(id, update).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Puts a dead grant into the schedule, as if it had been unused since `idle_since`, so that its row is deleted
    /// then.
    pub async fn keep_due(&self, id: GrantId, idle_since: Timestamp) -> Result<(), Error> {
        let update = scheduled(id, idle_since).when_equal("state", text("reconnect"));
        match self.update(id, update).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The write that says who the user of a grant is. The grant counts as unused since `idle_since`.
    ///
    /// Refused if the grant's tokens were destroyed, or if it belongs to another pair.
    pub fn name_pair(
        &self,
        id: GrantId,
        pair: &PairId,
        idle_since: Option<Timestamp>,
    ) -> Result<Write, Error> {
        let update = Update::new()
            .set("pair_id", text(pair))
            .when_present("sealed")
            .when_absent_or_equal("pair_id", text(pair));
        let update = match idle_since {
            Some(at) => update.set("idle_since", text(&at)),
            None => update,
        };
        self.write(id, update)
    }

    /// The write that ends the import of a grant that Zoom has accepted. The grant counts as unused since `idle_since`.
    /// `pair` is the pair of its user, if the user is known.
    ///
    /// Refused if the import has ended, if the grant cannot be used any more, or if it belongs to another pair.
    pub fn end_import(
        &self,
        id: GrantId,
        pair: Option<&PairId>,
        idle_since: Timestamp,
    ) -> Result<Write, Error> {
        let update = scheduled(id, idle_since)
            .remove("importing")
            .when_equal("importing", AttributeValue::Bool(true))
            .when_equal("state", text("active"))
            .when_present("sealed")
            .when_absent("closed");
        let update = match pair {
            Some(pair) => update
                .set("pair_id", text(pair))
                .when_absent_or_equal("pair_id", text(pair)),
            None => update.when_absent("pair_id"),
        };
        self.write(id, update)
    }

    /// The write that gives a usable grant of this pair to further credentials. The grant returns to the schedule if it
    /// was not there, as if it had been unused since `idle_since`.
    pub fn hand_over(
        &self,
        id: GrantId,
        pair: &PairId,
        idle_since: Timestamp,
    ) -> Result<Write, Error> {
        let update = scheduled(id, idle_since)
            .when_equal("state", text("active"))
            .when_equal("pair_id", text(pair))
            .when_absent("closed");
        self.write(id, update)
    }

    /// The write that returns a usable grant to the schedule, because its credential is restored. The grant counts
    /// as unused since its last access token.
    pub fn resume_keep_alive(&self, id: GrantId, seen: &StoredGrant) -> Result<Write, Error> {
        // The row does not say when Zoom issued the access token. Its expiry is at most an hour later, which is close
        // enough.
        let idle_since = Timestamp::from_millis(seen.access_expires_at);
        let update = scheduled(id, idle_since)
            .when_equal("state", text("active"))
            .when_absent("closed")
            .when_equal("generation", number(&seen.generation()));
        self.write(id, update)
    }

    /// Removes a grant, which was taken until `taken`, from the schedule. [`Self::resume_keep_alive`] is the inverse.
    pub async fn stop_keep_alive(&self, id: GrantId, taken: Timestamp) -> Result<(), Error> {
        let update = Update::new()
            .remove("due_shard")
            .when_equal("idle_since", text(&taken));
        match self.update(id, update).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Puts a grant into the schedule.
fn scheduled(id: GrantId, idle_since: Timestamp) -> Update {
    Update::new()
        .set("idle_since", text(&idle_since))
        .set("due_shard", text(&due_shard(id)))
}
