//! A transaction: writes of several stores that are all made, or none of them.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};
use tokio::time::timeout;
use uuid::Uuid;

use super::expression::BuiltUpdate;
use crate::stores::error::{Error, failed};
use crate::stores::item::Item;
use crate::timestamp::Timestamp;

/// How long a transaction retries if no spent code or token depends on it. The time allows one try without an answer
/// and two more tries.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a try may take if the caller's time is over. Every operation makes at least one try.
pub(super) const LAST_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(500);

/// The kinds of rows that a transaction writes. A refused transaction names the kind of the row whose condition
/// failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// A row of `credentials`.
    Credential,
    /// A sealed client secret.
    App,
    /// Sealed tokens.
    Grant,
    /// An idempotency row.
    Idempotency,
    /// The lock that lets one authorization of a credential run at a time.
    ReauthorizationLock,
    /// The state of a connect session.
    ConnectSession,
    /// The sealed secrets of a connect session.
    SessionSecret,
    /// A row of `pairs`.
    Pair,
    /// The row that remembers that a credential was counted out.
    Gone,
    /// The state of an import.
    Import,
    /// An event.
    Event,
    /// An API key.
    Key,
    /// A team's settings.
    Team,
    /// A token URL.
    TokenUrl,
}

/// One write of one store.
#[derive(Clone, Debug)]
pub struct Write {
    kind: RowKind,
    item: TransactWriteItem,
}

impl Write {
    pub(super) fn put(
        kind: RowKind,
        table: &str,
        item: Item,
        condition: Option<&str>,
        values: Item,
    ) -> Result<Self, Error> {
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(item))
            .set_condition_expression(condition.map(str::to_owned))
            .set_expression_attribute_values((!values.is_empty()).then_some(values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(malformed)?;
        Ok(Self {
            kind,
            item: TransactWriteItem::builder().put(put).build(),
        })
    }

    pub(super) fn update(
        kind: RowKind,
        table: &str,
        key: Item,
        update: BuiltUpdate,
    ) -> Result<Self, Error> {
        let update = Update::builder()
            .table_name(table)
            .set_key(Some(key))
            .update_expression(update.update)
            .set_condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(malformed)?;
        Ok(Self {
            kind,
            item: TransactWriteItem::builder().update(update).build(),
        })
    }

    /// A check that writes nothing. The row must meet the condition, or the transaction is refused.
    pub(super) fn check(
        kind: RowKind,
        table: &str,
        key: Item,
        check: BuiltUpdate,
    ) -> Result<Self, Error> {
        let check = ConditionCheck::builder()
            .table_name(table)
            .set_key(Some(key))
            .condition_expression(check.condition.unwrap_or_default())
            .set_expression_attribute_names(Some(check.names))
            .set_expression_attribute_values((!check.values.is_empty()).then_some(check.values))
            .build()
            .map_err(malformed)?;
        Ok(Self {
            kind,
            item: TransactWriteItem::builder().condition_check(check).build(),
        })
    }

    pub(super) fn delete(
        kind: RowKind,
        table: &str,
        key: Item,
        condition: BuiltUpdate,
    ) -> Result<Self, Error> {
        let delete = Delete::builder()
            .table_name(table)
            .set_key(Some(key))
            .set_condition_expression(condition.condition)
            .set_expression_attribute_names(Some(condition.names))
            .set_expression_attribute_values(Some(condition.values))
            .build()
            .map_err(malformed)?;
        Ok(Self {
            kind,
            item: TransactWriteItem::builder().delete(delete).build(),
        })
    }
}

fn malformed(error: BuildError) -> Error {
    Error::Refused {
        operation: "TransactWriteItems",
        source: error.into(),
    }
}

/// The outcome of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a refused transaction has written nothing"]
pub enum CommitOutcome {
    /// All writes were made.
    Committed,
    /// No write was made, because the condition on the row of this kind failed.
    Refused(RowKind),
}

impl CommitOutcome {
    /// Whether the writes were made.
    pub fn is_committed(self) -> bool {
        self == Self::Committed
    }

    /// Maps a refused transaction to [`Error::Conflict`].
    pub fn or_conflict(self) -> Result<(), Error> {
        match self {
            Self::Committed => Ok(()),
            Self::Refused(_) => Err(Error::Conflict),
        }
    }
}

/// The outcome of a transaction, with the row whose condition failed.
#[derive(Debug)]
pub(super) enum DetailedOutcome {
    /// All writes were made.
    Committed,
    /// No write was made, because the condition on the row of this kind failed.
    Refused {
        /// The kind of the row.
        kind: RowKind,
        /// The current row, if it exists.
        row: Option<Item>,
        /// The kinds of all rows whose condition failed, each with its position among the writes of its kind.
        all: Vec<(RowKind, usize)>,
    },
}

/// Writes that are made together. Their order does not matter. Each row may be written only once.
#[derive(Clone, Debug)]
pub struct Transaction<'a> {
    client: &'a Client,
    writes: Vec<Write>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(client: &'a Client, first: Write) -> Self {
        Self {
            client,
            writes: vec![first],
        }
    }

    /// Adds a write.
    #[must_use]
    pub fn and(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Adds a write, if there is a write to add.
    #[must_use]
    pub fn and_maybe(mut self, write: Option<Write>) -> Self {
        self.writes.extend(write);
        self
    }

    /// Adds writes.
    #[must_use]
    pub fn and_all(mut self, writes: impl IntoIterator<Item = Write>) -> Self {
        self.writes.extend(writes);
        self
    }

    /// Adds the writes of another transaction.
    #[must_use]
    pub fn and_transaction(mut self, other: Self) -> Self {
        self.writes.extend(other.writes);
        self
    }

    /// Removes the write of a row of this kind.
    #[must_use]
    pub fn without(mut self, kind: RowKind) -> Self {
        self.writes.retain(|write| write.kind != kind);
        self
    }

    /// Makes the writes.
    ///
    /// Retries contention, throttling and outages until `until`, with 50 ms to 1 s between the tries. If `until` has
    /// passed, makes one try of half a second. All tries carry the same client request token, so DynamoDB does not
    /// apply a transaction twice if its response was lost.
    pub async fn commit(self, until: Timestamp) -> Result<CommitOutcome, Error> {
        Ok(match self.run(until).await? {
            DetailedOutcome::Committed => CommitOutcome::Committed,
            DetailedOutcome::Refused { kind, .. } => CommitOutcome::Refused(kind),
        })
    }

    /// Does the same as [`Self::commit`], but leaves out writes of rows of `kind` whose condition failed. Returns their
    /// positions among the writes of that kind.
    pub async fn commit_without_refused(
        mut self,
        kind: RowKind,
        until: Timestamp,
    ) -> Result<(CommitOutcome, Vec<usize>), Error> {
        let positions = self
            .writes
            .iter()
            .filter(|write| write.kind == kind)
            .count();
        let mut left: Vec<usize> = (0..positions).collect();
        let mut refused = Vec::new();
        loop {
            if left.is_empty() {
                return Ok((CommitOutcome::Refused(kind), refused));
            }
            let now = match self.clone().run(until).await? {
                DetailedOutcome::Committed => return Ok((CommitOutcome::Committed, refused)),
                DetailedOutcome::Refused { all, .. } => all,
            };
            if let Some(other) = now.iter().find(|(refused, _)| *refused != kind) {
                return Ok((CommitOutcome::Refused(other.0), refused));
            }
            let now: Vec<usize> = now.into_iter().map(|(_, position)| position).collect();
            let mut position = 0;
            self.writes.retain(|write| {
                let is_refused = write.kind == kind && now.contains(&position);
                position += usize::from(write.kind == kind);
                !is_refused
            });
            refused.extend(now.iter().filter_map(|position| left.get(*position)));
            let mut position = 0;
            left.retain(|_| {
                position += 1;
                !now.contains(&(position - 1))
            });
        }
    }

    /// Does the same as [`Self::commit`] and returns the row whose condition failed.
    pub(super) async fn run(self, until: Timestamp) -> Result<DetailedOutcome, Error> {
        let token = Uuid::new_v4().to_string();
        let mut pause = Duration::from_millis(50);
        loop {
            let left = Timestamp::now().until(until).max(LAST_ATTEMPT_TIMEOUT);
            let outcome = timeout(left, self.attempt(&token))
                .await
                .unwrap_or_else(|elapsed| Err(Error::timed_out("TransactWriteItems", elapsed)));
            let error = match outcome {
                Err(error @ Error::Unavailable { .. }) => error,
                outcome => return outcome,
            };
            if Timestamp::now().plus(pause) >= until {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn attempt(&self, token: &str) -> Result<DetailedOutcome, Error> {
        let items = self.writes.iter().map(|write| write.item.clone()).collect();
        let sent = self
            .client
            .transact_write_items()
            .client_request_token(token)
            .set_transact_items(Some(items));
        let Err(error) = sent.send().await else {
            return Ok(DetailedOutcome::Committed);
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                let reasons = cancelled.cancellation_reasons();
                match self.refused(reasons) {
                    Some(refused) => Ok(refused),
                    None if reasons
                        .iter()
                        .filter_map(CancellationReason::code)
                        .any(is_contention) =>
                    {
                        Err(Error::Unavailable {
                            operation: "TransactWriteItems",
                            source: error.into(),
                        })
                    }
                    None => Err(Error::Refused {
                        operation: "TransactWriteItems",
                        source: error.into(),
                    }),
                }
            }
            _ => Err(failed("TransactWriteItems", error)),
        }
    }

    /// Finds the first write whose condition failed. The reasons are in the order of the writes.
    fn refused(&self, reasons: &[CancellationReason]) -> Option<DetailedOutcome> {
        let failed = |reason: &&CancellationReason| reason.code() == Some("ConditionalCheckFailed");
        let mut refused = self.writes.iter().zip(reasons);
        let (write, reason) = refused.find(|(_, reason)| failed(reason))?;
        let mut all = Vec::new();
        for (position, (write, reason)) in self.writes.iter().zip(reasons).enumerate() {
            let before = self.writes.iter().take(position);
            let position = before.filter(|other| other.kind == write.kind).count();
            if failed(&reason) {
                all.push((write.kind, position));
            }
        }
        Some(DetailedOutcome::Refused {
            kind: write.kind,
            row: reason.item.clone(),
            all,
        })
    }
}

fn is_contention(reason: &str) -> bool {
    matches!(
        reason,
        "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded"
    )
}
