//! The store of the table: what the other files build on.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};

use super::row::StoredPair;
use crate::credential::TeamId;
use crate::pair::PairId;
use crate::stores::error::{Error, failed};
use crate::stores::expression::Update;
use crate::stores::item::{Item, from_item, text};
use crate::stores::row_lock::retry_while_locked;
use crate::stores::transaction::{RowKind, Transaction, Write};

/// The table `pairs`.
#[derive(Clone, Debug)]
pub struct Pairs {
    pub(super) client: Client,
    pub(super) table: String,
}

/// The result of a conditional update.
pub(super) enum RowUpdate {
    /// The update was applied. Holds the row after the update.
    Applied(StoredPair),
    /// The condition failed. Holds the current row, if there is one.
    Refused(Option<StoredPair>),
}

impl Pairs {
    /// Creates a store for the table that is named `table` in AWS.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Reads a pair's row. `None` if the pair has no credential, and had none for days.
    pub async fn get(&self, id: &PairId) -> Result<Option<StoredPair>, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(id.as_str())))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        answer.item.map(from_item).transpose()
    }

    /// Begins a transaction with this write.
    pub fn begin(&self, first: Write) -> Transaction<'_> {
        Transaction::new(&self.client, first)
    }

    /// Updates a row on its condition. Retries while a transaction locks the row.
    pub(super) async fn update(&self, id: &PairId, update: Update) -> Result<RowUpdate, Error> {
        let update = update.build();
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(id.as_str())))
            .update_expression(update.update)
            .set_condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match retry_while_locked(|| request.clone().send()).await {
            Ok(answer) => {
                let row = from_item(answer.attributes.unwrap_or_default())?;
                Ok(RowUpdate::Applied(row))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    let row = refused.item.clone().map(from_item).transpose()?;
                    Ok(RowUpdate::Refused(row))
                }
                _ => Err(failed("UpdateItem", error)),
            },
        }
    }

    pub(super) fn write(&self, id: &PairId, update: Update) -> Result<Write, Error> {
        let (kind, key) = (RowKind::Pair, key(id.as_str()));
        Write::update(kind, &self.table, key, update.build())
    }

    pub(super) fn check(&self, id: &PairId, check: Update) -> Result<Write, Error> {
        let (kind, key) = (RowKind::Pair, key(id.as_str()));
        Write::check(kind, &self.table, key, check.build())
    }
}

/// The condition that the row exists and belongs to the team. A credential's row that was forged with the id of
/// another team's pair must not change that pair.
pub(super) fn when_of_team(update: Update, team: &TeamId) -> Update {
    update
        .when_present("pair_id")
        .when_equal("team_id", text(team))
}

pub(super) fn key(id: &str) -> Item {
    HashMap::from([("pair_id".to_owned(), AttributeValue::S(id.to_owned()))])
}
