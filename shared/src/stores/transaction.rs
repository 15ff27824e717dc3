//! Writes of several stores that happen together or not at all.

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

use super::expression::Built;
use super::{Error, Item, LAST_TRY, failed};
use crate::timestamp::Timestamp;

/// Which row of a transaction a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A row of `credentials`.
    Credential,
    /// A sealed client secret.
    App,
    /// Sealed tokens.
    Grant,
    /// An idempotency row.
    Idempotency,
    /// The lock that makes re-authorizing one credential serial.
    ReauthorizationLock,
    /// How a connect session stands.
    ConnectSession,
    /// The sealed secrets of a connect session.
    SessionSecret,
}

/// One write of one store.
#[derive(Clone, Debug)]
pub struct Write {
    part: Part,
    item: TransactWriteItem,
}

impl Write {
    pub(super) fn put(
        part: Part,
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
            part,
            item: TransactWriteItem::builder().put(put).build(),
        })
    }

    pub(super) fn update(part: Part, table: &str, key: Item, update: Built) -> Result<Self, Error> {
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
            part,
            item: TransactWriteItem::builder().update(update).build(),
        })
    }

    /// No write, but a condition that the row must meet when the others are made.
    pub(super) fn check(part: Part, table: &str, key: Item, check: Built) -> Result<Self, Error> {
        let check = ConditionCheck::builder()
            .table_name(table)
            .set_key(Some(key))
            .condition_expression(check.condition.unwrap_or_default())
            .set_expression_attribute_names(Some(check.names))
            .set_expression_attribute_values(Some(check.values))
            .build()
            .map_err(malformed)?;
        Ok(Self {
            part,
            item: TransactWriteItem::builder().condition_check(check).build(),
        })
    }

    pub(super) fn delete(
        part: Part,
        table: &str,
        key: Item,
        condition: &str,
        values: Item,
    ) -> Result<Self, Error> {
        let delete = Delete::builder()
            .table_name(table)
            .set_key(Some(key))
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values))
            .build()
            .map_err(malformed)?;
        Ok(Self {
            part,
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

/// How a transaction ended, where DynamoDB could say.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Every write was made.
    Committed,
    /// None was: this part's condition did not hold. With the row as it stands, where there is one.
    Refused(Part, Option<Item>),
}

/// Writes that are made together. The order does not matter, but one row may be written only once.
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

    /// Adds a write, where there is one to add.
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

    /// Leaves out the write of `part`.
    #[must_use]
    pub fn without(mut self, part: Part) -> Self {
        self.writes.retain(|write| write.part != part);
        self
    }

    /// Makes the writes. `Err(Refused)` names the part whose condition did not hold; nothing was written.
    ///
    /// Contention, throttling and outages are retried, 50 ms to 1 s apart, until `until`; one try is made, for half a
    /// second, even when it has passed. All tries carry one token, so an answer that was lost is not done twice.
    pub async fn commit(self, until: Timestamp) -> Result<Result<(), Part>, Error> {
        Ok(match self.run(until).await? {
            Outcome::Committed => Ok(()),
            Outcome::Refused(part, _) => Err(part),
        })
    }

    pub(super) async fn run(self, until: Timestamp) -> Result<Outcome, Error> {
        let token = Uuid::new_v4().to_string();
        let mut pause = Duration::from_millis(50);
        loop {
            let left = Timestamp::now().until(until).max(LAST_TRY);
            let error = match timeout(left, self.attempt(&token)).await {
                Ok(Err(error @ Error::Unavailable { .. })) => error,
                Ok(outcome) => return outcome,
                Err(elapsed) => Error::silent("TransactWriteItems", elapsed),
            };
            if Timestamp::now().plus(pause) >= until {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn attempt(&self, token: &str) -> Result<Outcome, Error> {
        let items = self.writes.iter().map(|write| write.item.clone()).collect();
        let sent = self
            .client
            .transact_write_items()
            .client_request_token(token)
            .set_transact_items(Some(items));
        let Err(error) = sent.send().await else {
            return Ok(Outcome::Committed);
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

    /// The first write whose condition failed; the reasons come in the writes' order.
    fn refused(&self, reasons: &[CancellationReason]) -> Option<Outcome> {
        let mut refused = self.writes.iter().zip(reasons);
        let (write, reason) =
            refused.find(|(_, reason)| reason.code() == Some("ConditionalCheckFailed"))?;
        Some(Outcome::Refused(write.part, reason.item.clone()))
    }
}

fn is_contention(reason: &str) -> bool {
    matches!(
        reason,
        "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded"
    )
}
