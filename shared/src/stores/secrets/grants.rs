//! Grant rows: one truth about each authorization, fenced by its generation.
//!
//! Whoever refreshes takes the lease and leaves an `attempt` before the refresh token is spent, and commits on the
//! generation alone. Every method is one call and says what the row was; what to make of it is the refresh's.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Secrets, attributes, key};
use crate::credential::{CredentialId, GrantId, Reconnect, TeamId};
use crate::envelope::{Sealed, SecretId};
use crate::stores::expression::Update;
use crate::stores::transaction::{Transaction, Write};
use crate::stores::{Error, Item, LAST_TRY, Part, failed, from_item, number, text};
use crate::timestamp::Timestamp;

/// What the stashed pair's attributes begin with.
const STASH: &str = "alt_";
/// The stashed pair's attributes.
const STASHED: [&str; 4] = ["alt_dek", "alt_kid", "alt_sealed", "alt_generation"];
/// The index that finds the grants that have not been refreshed for long. Keys `due_shard`, `refreshed_at`.
const BY_DUE: &str = "by-due";
/// A sealed secret's attributes.
const SEALED: [&str; 4] = ["dek", "kid", "sealed", "generation"];

/// Whether a grant can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantState {
    /// It works, as far as anyone knows.
    Active,
    /// Zoom refuses its tokens: the user has to authorize again.
    Reconnect(Reconnect),
}

/// The right to refresh, for as long as an invocation can last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whose.
    pub holder: Uuid,
    /// When it ends, in milliseconds: after the holder's invocation.
    pub until: i64,
}

/// Says that a generation's refresh token may have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// By whom.
    pub id: Uuid,
    /// Of which generation.
    pub generation: u64,
    /// When it was about to be, in milliseconds.
    pub at: i64,
}

/// A grant's row.
#[derive(Clone, Debug)]
pub struct StoredGrant {
    /// The credential it was authorized for. Others may point at it too, and this one may have left it.
    pub credential_id: CredentialId,
    /// The tokens. None where they were destroyed: then the user has to authorize again.
    pub sealed: Option<Sealed>,
    /// When the access token ends, in milliseconds.
    pub access_expires_at: i64,
    /// When the code was sent to Zoom, in milliseconds.
    pub authorize_sent_at: i64,
    /// What the schedule sorts it by: when Zoom last gave it tokens, or the time that it was put off to.
    pub refreshed_at: Option<Timestamp>,
    /// The user's REST host, where Zoom named one.
    pub api_url: Option<String>,
    /// Whether it can be used.
    pub state: GrantState,
    /// Who refreshes it now.
    pub lease: Option<Lease>,
    /// A refresh of this generation that did not end.
    pub attempt: Option<Attempt>,
    /// A pair that came too late to be committed, but may be the one that lives. Sealed as the generation that it
    /// would have been, which may be long past.
    pub stash: Option<Sealed>,
    generation: u64,
    writer: Option<Uuid>,
}

#[derive(Deserialize)]
struct Row {
    credential_id: CredentialId,
    access_expires_at: i64,
    authorize_sent_at: i64,
    refreshed_at: Option<Timestamp>,
    api_url: Option<String>,
    generation: u64,
    state: RowState,
    reason: Option<Reconnect>,
    lease_id: Option<Uuid>,
    lease_until: Option<i64>,
    attempt: Option<Attempt>,
    writer: Option<Uuid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RowState {
    Active,
    Reconnect,
}

impl StoredGrant {
    fn read(item: Item) -> Result<Self, Error> {
        let sealed: Option<Sealed> = pair(&item, "").map(from_item).transpose()?;
        let stash = pair(&item, STASH).map(from_item).transpose()?;
        let row: Row = from_item(item)?;
        let generation = row.generation;
        Ok(Self {
            state: match row.state {
                RowState::Active if sealed.is_none() => {
                    let broken = serde::de::Error::custom("an active grant has no tokens");
                    return Err(Error::Shape(broken));
                }
                RowState::Active => GrantState::Active,
                RowState::Reconnect => {
                    GrantState::Reconnect(row.reason.unwrap_or(Reconnect::Revoked))
                }
            },
            lease: row
                .lease_id
                .zip(row.lease_until)
                .map(|(holder, until)| Lease { holder, until }),
            attempt: row
                .attempt
                .filter(|attempt| attempt.generation == generation),
            credential_id: row.credential_id,
            sealed,
            access_expires_at: row.access_expires_at,
            authorize_sent_at: row.authorize_sent_at,
            refreshed_at: row.refreshed_at,
            api_url: row.api_url,
            stash,
            generation,
            writer: row.writer,
        })
    }

    /// Which pair of tokens is the current one.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether somebody holds the lease.
    pub fn is_leased(&self, now: Timestamp) -> bool {
        self.lease
            .is_some_and(|lease| lease.until >= now.as_millis())
    }
}

/// The pair whose attributes begin with `prefix`, under the names that a sealed secret has.
fn pair(item: &Item, prefix: &str) -> Option<Item> {
    let mut pair: Item = HashMap::new();
    for name in SEALED {
        let value = item.get(&format!("{prefix}{name}"))?;
        pair.insert(name.to_owned(), value.clone());
    }
    Some(pair)
}

/// A grant that has not been refreshed for long, as the index knows it: it may be a moment behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose.
    pub team: TeamId,
    /// Which.
    pub grant: GrantId,
}

/// A row of the index `by-due`.
#[derive(Deserialize)]
struct DueRow {
    secret_id: String,
    team_id: TeamId,
}

impl TryFrom<DueRow> for Due {
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

/// A grant's row at a moment: whoever joins it or refreshes it makes it another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Moment {
    generation: Option<u64>,
    adoptions: Option<u64>,
}

/// What became of an attempt to take the lease.
#[derive(Debug)]
pub enum Acquired {
    /// It is ours, and the attempt is on the row.
    Ours {
        /// Whether an attempt of this generation was there before: its outcome is unknown.
        after_another: bool,
        /// Whether a pair was stashed then.
        stash: bool,
    },
    /// The row has moved or the lease is held.
    Refused(Box<StoredGrant>),
}

/// A new pair for a grant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewPair {
    /// The pair, sealed as the generation that follows.
    pub sealed: Sealed,
    /// When the access token ends, in milliseconds.
    pub access_expires_at: i64,
    /// The user's REST host, where Zoom named one.
    pub api_url: Option<String>,
    /// When Zoom gave it.
    pub refreshed_at: Timestamp,
    /// Whether it was written down elsewhere first and comes late: someone may have sent its predecessor again
    /// meanwhile, and should Zoom refuse it, then for that reason.
    pub late: bool,
}

/// What became of a new pair.
#[derive(Debug)]
pub enum Kept {
    /// It is on the row.
    Stored {
        /// Whether the row said that the user has to authorize again: its credentials have to be told.
        revived: bool,
    },
    /// The row has moved on.
    Moved(Box<StoredGrant>),
}

impl Secrets {
    /// A grant's row.
    pub async fn grant(&self, id: GrantId) -> Result<StoredGrant, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(SecretId::Grant(id))))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        StoredGrant::read(answer.item.ok_or(Error::NotFound)?)
    }

    /// Takes the lease of an active grant of this generation, and leaves the attempt. An older unfinished attempt
    /// stays: it is the evidence that the token may have been spent.
    pub async fn acquire(
        &self,
        id: GrantId,
        generation: u64,
        lease: Lease,
        now: Timestamp,
    ) -> Result<Acquired, Error> {
        let me = lease.holder;
        let attempt = Attempt {
            id: me,
            generation,
            at: now.as_millis(),
        };
        let attempt = serde_dynamo::to_attribute_value(attempt).map_err(Error::Shape)?;
        let update = Update::new()
            .set("lease_id", text(&me))
            .set("lease_until", number(&lease.until))
            .set_if_absent("attempt", attempt)
            .when_equal("generation", number(&generation))
            .when_equal("state", text("active"))
            .when_absent_or_less("lease_until", number(&now.as_millis()));
        // Also one of ours, where we were here before and never heard what came of it.
        let written = (me, now.as_millis());
        let older = |row: &StoredGrant| {
            let attempt = row.attempt.map(|attempt| (attempt.id, attempt.at));
            attempt.is_some_and(|attempt| attempt != written)
        };
        match self.update(id, update).await? {
            Ok(before) => Ok(Acquired::Ours {
                after_another: older(&before),
                stash: before.stash.is_some(),
            }),
            // Our own acquire, whose answer was lost.
            Err(now) if now.lease.is_some_and(|lease| lease.holder == me) => Ok(Acquired::Ours {
                after_another: older(&now),
                stash: now.stash.is_some(),
            }),
            Err(now) => Ok(Acquired::Refused(Box::new(now))),
        }
    }

    /// Lets go of the lease, if it is still this holder's; of the attempt too, where `forget` says that the token
    /// was surely not spent.
    pub async fn release(&self, id: GrantId, holder: Uuid, forget: bool) -> Result<(), Error> {
        let update = Update::new()
            .remove("lease_id")
            .remove("lease_until")
            .when_equal("lease_id", text(&holder));
        let update = if forget {
            update.remove("attempt")
        } else {
            update
        };
        // Refused means that it is no longer ours: then there is nothing to let go of.
        self.update(id, update).await.map(drop)
    }

    /// Writes the pair that follows `generation`, and whatever ends with it. On the generation alone: a holder whose
    /// lease has ended may have the only pair that lives. Tried until `until`, whatever goes wrong.
    ///
    /// The stash goes only where `drop_stash` says that it was there when the refresh began, and so is older than this
    /// pair: one that came since may be the successor of what Zoom gave us.
    pub async fn commit(
        &self,
        id: GrantId,
        generation: u64,
        pair: &NewPair,
        writer: Uuid,
        drop_stash: bool,
        until: Timestamp,
    ) -> Result<Kept, Error> {
        let mut update = Update::new();
        // Zoom need not name it again.
        if let Some(api_url) = &pair.api_url {
            update = update.set("api_url", text(api_url));
        }
        for (name, value) in attributes(&pair.sealed) {
            update = update.set(name, value);
        }
        let doubt = pair.late.then(|| {
            serde_dynamo::to_attribute_value(Attempt {
                id: writer,
                generation: pair.sealed.generation(),
                at: pair.refreshed_at.as_millis(),
            })
        });
        let doubt = doubt.transpose().map_err(Error::Shape)?;
        if drop_stash {
            for name in STASHED {
                update = update.remove(name);
            }
        }
        let update = update
            .set("generation", number(&pair.sealed.generation()))
            .set("access_expires_at", number(&pair.access_expires_at))
            .set("writer", text(&writer))
            .set("state", text("active"))
            .set("refreshed_at", text(&pair.refreshed_at))
            .set("due_shard", text(&due_shard(id)))
            .remove("lease_id")
            .remove("lease_until")
            .assign("attempt", doubt)
            .remove("reason")
            .when_equal("generation", number(&generation));
        match self.insist(id, &update, until).await? {
            Ok(before) => Ok(Kept::Stored {
                revived: before.state != GrantState::Active,
            }),
            // Our own write, whose answer was lost.
            Err(now) if now.writer == Some(writer) => Ok(Kept::Stored { revived: false }),
            Err(now) => Ok(Kept::Moved(Box::new(now))),
        }
    }

    /// Keeps a pair beside those that were committed first: whichever lives, it is not lost. An earlier one there is
    /// never overwritten, and beside tokens that were destroyed none is put. Tried until `until`.
    pub async fn stash(
        &self,
        id: GrantId,
        sealed: &Sealed,
        until: Timestamp,
    ) -> Result<Kept, Error> {
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
            Ok(before) => Ok(Kept::Stored {
                revived: before.state != GrantState::Active,
            }),
            Err(now) if now.stash.as_ref() == Some(sealed) => Ok(Kept::Stored { revived: false }),
            Err(now) => Ok(Kept::Moved(Box::new(now))),
        }
    }

    /// Destroys a grant's tokens, the stashed ones too, and their data keys: its user has to authorize again, for this
    /// `reason`. Where they are destroyed already, or the row is gone, all is as it should be.
    ///
    /// The generation rises, so that whoever refreshes meanwhile commits nothing any more; and nothing is stashed
    /// beside tokens that are not there. A grant of another team is left alone, as in [`Self::purge`].
    pub async fn destroy(
        &self,
        team: &TeamId,
        id: GrantId,
        reason: Reconnect,
    ) -> Result<(), Error> {
        let mut update = Update::new()
            .set("state", text("reconnect"))
            .set("reason", text(reason.as_str()))
            .increment("generation", 1)
            .when_equal("team_id", text(team))
            .when_present("sealed");
        for name in ["sealed", "dek", "kid"].into_iter().chain(STASHED) {
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

    /// The write that says that the user has to authorize again: if the grant is as it was `seen`, stash included. Zoom
    /// has refused the stashed pair too.
    pub fn declare(
        &self,
        id: GrantId,
        seen: &StoredGrant,
        reason: Reconnect,
    ) -> Result<Write, Error> {
        let update = Update::new()
            .set("state", text("reconnect"))
            .set("reason", text(reason.as_str()))
            .remove("due_shard")
            .when_equal("generation", number(&seen.generation()))
            .when_equal("state", text("active"));
        let update = match &seen.stash {
            None => update.when_absent("alt_sealed"),
            // Refused as well: it makes room for one that comes late. Its key may have been wrapped anew since.
            Some(stash) => {
                let [_, _, (_, bytes)] = attributes(stash);
                STASHED
                    .into_iter()
                    .fold(update, Update::remove)
                    .when_equal("alt_sealed", bytes)
            }
        };
        Write::update(
            Part::Grant,
            &self.table,
            key(SecretId::Grant(id)),
            update.build(),
        )
    }

    /// As [`Self::declare`], of a grant that deleted credentials alone have: they are told when they are restored.
    pub fn declare_unused(
        &self,
        id: GrantId,
        seen: &StoredGrant,
        reason: Reconnect,
    ) -> Result<Transaction<'_>, Error> {
        let write = self.declare(id, seen, reason)?;
        Ok(Transaction::new(&self.client, write))
    }

    /// The check that a grant can be used, or that it cannot, when a transaction is made.
    pub fn still(&self, id: GrantId, usable: bool) -> Result<Write, Error> {
        let state = if usable { "active" } else { "reconnect" };
        let check = Update::new().when_equal("state", text(state)).build();
        Write::check(Part::Grant, &self.table, key(SecretId::Grant(id)), check)
    }

    /// Up to `limit` grants of a shard that were last refreshed before `before`, the longest ago first.
    pub async fn due(
        &self,
        shard: String,
        before: Timestamp,
        limit: u16,
    ) -> Result<Vec<Due>, Error> {
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

    /// Has an active grant that could not be refreshed come up again as if it had been, then: `refreshed_at` is what
    /// the index sorts by, and nothing else reads it.
    pub async fn put_off(&self, id: GrantId, refreshed_at: Timestamp) -> Result<(), Error> {
        let update = Update::new()
            .set("refreshed_at", text(&refreshed_at))
            .when_equal("state", text("active"))
            .when_less("refreshed_at", text(&refreshed_at));
        self.update(id, update).await.map(drop)
    }

    /// How a grant's row is at this moment, for [`Self::purge_grant`]; read before who has the grant.
    pub async fn moment(&self, id: GrantId) -> Result<Moment, Error> {
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
        answer.item.map_or(Ok(Moment::default()), from_item)
    }

    /// As [`Self::purge`], of a grant that nobody has, if it is as it was at that moment; else `Conflict`: somebody may
    /// have joined it since, and it is to be found out again who has it.
    pub async fn purge_grant(
        &self,
        team: &TeamId,
        id: GrantId,
        moment: Moment,
    ) -> Result<(), Error> {
        let as_it_was = |condition: Update, name, value: Option<u64>| match value {
            Some(value) => condition.when_equal(name, number(&value)),
            None => condition.when_absent(name),
        };
        let condition = Update::new().when_equal("team_id", text(team));
        let condition = as_it_was(condition, "generation", moment.generation);
        let condition = as_it_was(condition, "adoptions", moment.adoptions).build();
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
                    // Gone, or another team's.
                    _ => Ok(()),
                }
            }
            _ => Err(failed("DeleteItem", error)),
        }
    }

    /// Has an active grant come up first in the schedule's next run: nobody mints with it any more. A grant of another
    /// team is left alone, as in [`Self::purge`].
    pub async fn hasten(&self, team: &TeamId, id: GrantId) -> Result<(), Error> {
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

    /// The write that gives an active grant another credential; [`Self::purge_grant`] learns of it. It is kept alive from
    /// then on, though it may have been at rest: as one whose access token ends then.
    pub fn join(&self, id: GrantId, access_expires_at: Timestamp) -> Result<Write, Error> {
        let update = Update::new()
            .set("refreshed_at", text(&access_expires_at))
            .set("due_shard", text(&due_shard(id)))
            .count("adoptions")
            .when_equal("state", text("active"));
        Write::update(
            Part::Grant,
            &self.table,
            key(SecretId::Grant(id)),
            update.build(),
        )
    }

    /// The write that puts an active grant back into what is kept alive, as long idle as it is: its credential is
    /// restored.
    pub fn resume(&self, id: GrantId, seen: &StoredGrant) -> Result<Write, Error> {
        // An access token lives an hour: that is near enough to when it was given.
        let idle_since = Timestamp::from_millis(seen.access_expires_at);
        let update = Update::new()
            .set("refreshed_at", text(&idle_since))
            .set("due_shard", text(&due_shard(id)))
            .when_equal("state", text("active"))
            .when_equal("generation", number(&seen.generation()));
        Write::update(
            Part::Grant,
            &self.table,
            key(SecretId::Grant(id)),
            update.build(),
        )
    }

    /// Takes a grant out of what is kept alive, if it is as it was `seen`. Whoever restores a credential puts its grant
    /// back: [`Self::resume`].
    pub async fn rest(&self, id: GrantId, seen: &StoredGrant) -> Result<(), Error> {
        let update = Update::new()
            .remove("due_shard")
            .when_equal("generation", number(&seen.generation()));
        let update = match &seen.refreshed_at {
            Some(at) => update.when_equal("refreshed_at", text(at)),
            None => update.when_absent("refreshed_at"),
        };
        self.update(id, update).await.map(drop)
    }

    /// As [`Self::update`], again and again until `until` and not a moment longer: the pair at hand exists nowhere else,
    /// and whoever holds it must still have time to write it down elsewhere.
    async fn insist(
        &self,
        id: GrantId,
        update: &Update,
        until: Timestamp,
    ) -> Result<Result<StoredGrant, StoredGrant>, Error> {
        let mut pause = Duration::from_millis(50);
        loop {
            let left = Timestamp::now().until(until).max(LAST_TRY);
            let error = match timeout(left, self.update(id, update.clone())).await {
                Ok(Err(Error::NotFound)) => return Err(Error::NotFound),
                Ok(Ok(outcome)) => return Ok(outcome),
                Ok(Err(error)) => error,
                Err(elapsed) => Error::silent("UpdateItem", elapsed),
            };
            if Timestamp::now().plus(pause) >= until {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Updates a row: what it was before, or what it is where the condition does not hold.
    async fn update(
        &self,
        id: GrantId,
        update: Update,
    ) -> Result<Result<StoredGrant, StoredGrant>, Error> {
        let update = update.build();
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(SecretId::Grant(id))))
            .update_expression(update.update)
            .set_condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(answer) => {
                let before = answer.attributes.ok_or(Error::NotFound)?;
                StoredGrant::read(before).map(Ok)
            }
            Err(error) => refused(error).and_then(StoredGrant::read).map(Err),
        }
    }
}

/// The row that a condition did not hold for.
fn refused(error: SdkError<UpdateItemError>) -> Result<Item, Error> {
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
            refused.item.clone().ok_or(Error::NotFound)
        }
        _ => Err(failed("UpdateItem", error)),
    }
}

fn stash_attributes(sealed: &Sealed) -> [(&'static str, AttributeValue); 4] {
    let [(_, dek), (_, kid), (_, bytes)] = attributes(sealed);
    let generation = number(&sealed.generation());
    let [a, b, c, d] = STASHED;
    [(a, dek), (b, kid), (c, bytes), (d, generation)]
}

/// The part of the index `by-due` that a grant is in: one of sixteen, so that no partition is hot.
pub(super) fn due_shard(id: GrantId) -> String {
    id.to_string().chars().take(1).collect()
}

/// Every shard of the index `by-due`.
pub fn due_shards() -> impl Iterator<Item = String> {
    (0..16).map(|shard| format!("{shard:x}"))
}
