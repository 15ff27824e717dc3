//! The table `requests`: what is counted and remembered for a while. Partition key `request_id`, TTL
//! `expires_at`, nothing secret: keys, codes and bodies are in it as SHA-256 only.

mod sessions;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::ReturnValue;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::sessions::{NewSession, Session, SessionApp, Taken};
use super::expression::Update;
use super::transaction::{Outcome, Write};
use super::{
    Counted, Error, Item, PATIENCE, Part, Transaction, failed, from_item, number, text, to_item,
};
use crate::credential::{CredentialId, TeamId};
use crate::timestamp::Timestamp;

/// How long an idempotency row answers repeats.
const REMEMBERED: Duration = Duration::from_hours(24);
/// How long the rows of a rate window are kept.
const COUNTED: Duration = Duration::from_mins(1);

/// How a call stands against its team's rate. Windows are whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Calls allowed in a window.
    pub limit: u32,
    /// Calls left in this window.
    pub remaining: u32,
    /// Seconds until the window ends, rounded up.
    pub reset: u64,
    /// Whether this call is one of them.
    pub admitted: bool,
}

impl Admission {
    /// The `hits`th call of a window against `limit`.
    pub fn of(hits: u32, limit: u32) -> Self {
        Self {
            limit,
            remaining: limit.saturating_sub(hits),
            reset: 1,
            admitted: hits <= limit,
        }
    }
}

/// What makes two requests the same one. Two claims with the same name are one request.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The SHA-256, in hex, of the caller's key or of what stands in for it.
    pub name: String,
    /// The SHA-256, in hex, of the request.
    pub request: String,
    /// Whether another request under this name is refused. Not where the name is a code: that works once,
    /// whatever comes with it.
    pub refuses_another: bool,
}

/// An idempotency row, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct ClaimRow {
    request_id: String,
    holder: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_progress_until: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_id: Option<CredentialId>,
    expires_at: i64,
}

/// A rate window, as far as it is read.
#[derive(Deserialize)]
struct Window {
    hits: u32,
}

/// What has become of a claim.
#[derive(Debug)]
pub enum Claimed {
    /// It is ours: go on, then [`Requests::done`] or [`Requests::release`].
    Ours(Held),
    /// It was done before.
    Done(Before),
    /// The same request, or another authorization of the same credential, is running.
    Running {
        /// How long it may still take.
        wait: Duration,
    },
    /// The name was used for another request.
    Reused,
}

/// What an earlier request under the same name did.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    /// The credential that it made or changed.
    pub made: CredentialId,
    /// Whether it asked for the same as this one.
    pub same: bool,
}

/// Rows that are ours until the invocation ends.
#[derive(Clone, Debug, Default)]
pub struct Held {
    holder: Uuid,
    claim: Option<String>,
    lock: Option<String>,
}

/// The table `requests`.
#[derive(Clone, Debug)]
pub struct Requests {
    client: Client,
    table: String,
}

impl Requests {
    /// `table` is the table's name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Counts a call of `team` in the window of this second; answers how many it is now.
    pub async fn count(&self, team: &TeamId, counted: Counted) -> Result<u32, Error> {
        let kind = match counted {
            Counted::Changes => "rate",
            Counted::Mints => "mint",
        };
        let now = Timestamp::now();
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(
                "request_id",
                text(&format!("{kind}#{team}#{}", now.as_seconds())),
            )
            .update_expression("ADD hits :one SET expires_at = :end")
            .expression_attribute_values(":one", number(&1))
            .expression_attribute_values(":end", number(&now.plus(COUNTED).as_seconds()))
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(|error| failed("UpdateItem", error))?;
        from_item::<Window>(answer.attributes.unwrap_or_default()).map(|window| window.hits)
    }

    /// Takes an idempotency row, and with `reauthorize` that credential's lock, both until `until`, in one
    /// transaction. With neither to take, nothing is written.
    pub async fn claim(
        &self,
        team: &TeamId,
        claim: Option<&Claim>,
        reauthorize: Option<CredentialId>,
        until: Timestamp,
    ) -> Result<Claimed, Error> {
        let now = Timestamp::now();
        let held = Held {
            holder: Uuid::new_v4(),
            claim: claim.map(|claim| format!("idem#{team}#{}", claim.name)),
            lock: reauthorize.map(|id| format!("reauth#{team}#{id}")),
        };
        let hash = claim.map(|claim| claim.request.clone());
        let rows = [
            (Part::Idempotency, &held.claim, hash),
            (Part::ReauthorizationLock, &held.lock, None),
        ];
        let writes = rows.into_iter().filter_map(|(part, id, request_hash)| {
            let row = ClaimRow {
                request_id: id.clone()?,
                holder: held.holder,
                request_hash,
                in_progress_until: Some(until.as_millis()),
                credential_id: None,
                expires_at: now.plus(REMEMBERED).as_seconds(),
            };
            Some(self.take(part, &row, now))
        });
        let mut writes = writes.collect::<Result<Vec<Write>, Error>>()?.into_iter();
        let Some(first) = writes.next() else {
            return Ok(Claimed::Ours(held));
        };
        let transaction = writes.fold(Transaction::new(&self.client, first), Transaction::and);

        match transaction.run(now.plus(PATIENCE)).await? {
            Outcome::Committed => Ok(Claimed::Ours(held)),
            Outcome::Refused(part, row) => {
                let row: ClaimRow = from_item(row.unwrap_or_default())?;
                Ok(standing(part, &row, claim, now))
            }
        }
    }

    /// Lets go of what is held, so that the same request can be made again at once.
    pub async fn release(&self, held: &Held) -> Result<(), Error> {
        let rows = [
            (Part::Idempotency, &held.claim),
            (Part::ReauthorizationLock, &held.lock),
        ];
        let writes = rows
            .into_iter()
            .filter_map(|(part, id)| Some(self.drop_row(part, id.as_deref()?, held.holder)));
        let mut writes = writes.collect::<Result<Vec<Write>, Error>>()?.into_iter();
        let Some(first) = writes.next() else {
            return Ok(());
        };
        let transaction = writes.fold(Transaction::new(&self.client, first), Transaction::and);
        // A refusal means that it is no longer ours: then there is nothing to let go of.
        transaction.commit(Timestamp::now()).await.map(drop)
    }

    /// The write that remembers what the request made or changed, if its row is still ours.
    pub fn done(&self, held: &Held, made: CredentialId) -> Result<Option<Write>, Error> {
        let Some(id) = &held.claim else {
            return Ok(None);
        };
        let update = Update::new()
            .set("credential_id", text(&made))
            .remove("in_progress_until")
            .when_equal("holder", text(&held.holder))
            .build();
        Write::update(Part::Idempotency, &self.table, key(id), update).map(Some)
    }

    /// The write that lets go of the credential's lock, if it is still ours.
    pub fn unlock(&self, held: &Held) -> Result<Option<Write>, Error> {
        held.lock
            .as_ref()
            .map(|id| self.drop_row(Part::ReauthorizationLock, id, held.holder))
            .transpose()
    }

    /// Takes a row that does not exist, was abandoned in progress, or is past its time.
    fn take(&self, part: Part, row: &ClaimRow, now: Timestamp) -> Result<Write, Error> {
        let free =
            "attribute_not_exists(request_id) OR in_progress_until < :now OR expires_at < :today";
        let values = HashMap::from([
            (":now".to_owned(), number(&now.as_millis())),
            (":today".to_owned(), number(&now.as_seconds())),
        ]);
        Write::put(part, &self.table, to_item(row)?, Some(free), values)
    }

    fn drop_row(&self, part: Part, id: &str, holder: Uuid) -> Result<Write, Error> {
        // A row that is done keeps answering repeats: only what is in progress is let go.
        let mine = "holder = :me AND attribute_exists(in_progress_until)";
        let values = HashMap::from([(":me".to_owned(), text(&holder))]);
        Write::delete(part, &self.table, key(id), mine, values)
    }
}

/// What a row that could not be taken says.
fn standing(part: Part, row: &ClaimRow, claim: Option<&Claim>, now: Timestamp) -> Claimed {
    let claim = claim.filter(|_| part == Part::Idempotency);
    let same = claim.is_none_or(|claim| row.request_hash.as_ref() == Some(&claim.request));
    if !same && claim.is_some_and(|claim| claim.refuses_another) {
        return Claimed::Reused;
    }
    match (row.in_progress_until, row.credential_id) {
        (None, Some(made)) => Claimed::Done(Before { made, same }),
        (until, _) => Claimed::Running {
            wait: now.until(Timestamp::from_millis(until.unwrap_or_default())),
        },
    }
}

fn key(id: &str) -> Item {
    HashMap::from([("request_id".to_owned(), text(id))])
}
