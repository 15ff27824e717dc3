//! The wrapped data keys of all rows, without what they open: what moving them to another KMS key takes.
//!
//! By scans, which only an operator may make. An index of them would cost a second write with every refresh, and
//! could not say consistently that nothing is left.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use serde::Deserialize;

use super::Secrets;
use crate::credential::TeamId;
use crate::envelope::WrappedKey;
use crate::stores::expression::Update;
use crate::stores::{Error, Item, failed, from_item, text};

/// The rows that have a key that another KMS key than `:kid` wrapped.
const WRAPPED_ELSEWHERE: &str =
    "(attribute_exists(kid) AND kid <> :kid) OR (attribute_exists(alt_kid) AND alt_kid <> :kid)";

/// Which of a row's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// That of the secret in use.
    Current,
    /// That of a grant's stashed pair.
    Stash,
}

impl Slot {
    fn attributes(self) -> (&'static str, &'static str) {
        match self {
            Self::Current => ("dek", "kid"),
            Self::Stash => ("alt_dek", "alt_kid"),
        }
    }
}

/// A row's keys that another KMS key wrapped.
#[derive(Clone, Debug)]
pub struct WrappedRow {
    /// The row's key, as it stands in the table.
    pub secret_id: String,
    /// Whose it is.
    pub team: TeamId,
    /// One key, or where a pair is stashed two.
    pub keys: Vec<(Slot, WrappedKey)>,
}

/// Some rows.
#[derive(Debug)]
pub struct WrappedPage {
    /// The rows.
    pub rows: Vec<WrappedRow>,
    /// After which row the next page begins, if there is one.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    secret_id: String,
    team_id: TeamId,
    #[serde(default, with = "serde_bytes")]
    dek: Option<Vec<u8>>,
    kid: Option<String>,
    #[serde(default, with = "serde_bytes")]
    alt_dek: Option<Vec<u8>>,
    alt_kid: Option<String>,
}

impl Secrets {
    /// How many rows have a key that another KMS key than `kid`, an ARN, wrapped. Consistent.
    pub async fn count_wrapped_elsewhere(&self, kid: &str) -> Result<u64, Error> {
        let mut pages = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression(WRAPPED_ELSEWHERE)
            .expression_attribute_values(":kid", AttributeValue::S(kid.to_owned()))
            .select(Select::Count)
            .consistent_read(true)
            .into_paginator()
            .send();
        let mut rows = 0;
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("Scan", error))?;
            rows += u64::try_from(page.count).unwrap_or_default();
        }
        Ok(rows)
    }

    /// The same rows, page by page; a page may be empty and still have a next.
    pub async fn wrapped_elsewhere(
        &self,
        kid: &str,
        after: Option<&str>,
    ) -> Result<WrappedPage, Error> {
        let after = after.map(|id| HashMap::from([("secret_id".to_owned(), text(&id))]));
        let answer = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression(WRAPPED_ELSEWHERE)
            .projection_expression("secret_id, team_id, dek, kid, alt_dek, alt_kid")
            .expression_attribute_values(":kid", AttributeValue::S(kid.to_owned()))
            .set_exclusive_start_key(after)
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("Scan", error))?;
        let rows = answer.items.unwrap_or_default().into_iter();
        Ok(WrappedPage {
            rows: rows
                .map(|item| read(item, kid))
                .collect::<Result<_, Error>>()?,
            next: answer
                .last_evaluated_key
                .and_then(|key| key.get("secret_id")?.as_s().ok().cloned()),
        })
    }

    /// Puts `new` in the place of a row's key, if that is still `old`; whether it was.
    pub async fn rewrap(
        &self,
        secret_id: &str,
        slot: Slot,
        old: &WrappedKey,
        new: WrappedKey,
    ) -> Result<bool, Error> {
        let (dek, kid) = slot.attributes();
        let bytes = |dek: &[u8]| AttributeValue::B(Blob::new(dek));
        let update = Update::new()
            .set(dek, bytes(&new.dek))
            .set(kid, AttributeValue::S(new.kid))
            .when_equal(dek, bytes(&old.dek))
            .build();
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("secret_id", text(&secret_id))
            .update_expression(update.update)
            .set_condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                // Written or deleted meanwhile, or about to be: the next pass sees.
                Some(
                    UpdateItemError::ConditionalCheckFailedException(_)
                    | UpdateItemError::TransactionConflictException(_),
                ) => Ok(false),
                _ => Err(failed("UpdateItem", error)),
            },
        }
    }
}

fn read(item: Item, kid: &str) -> Result<WrappedRow, Error> {
    let row: Row = from_item(item)?;
    let keys = [
        (Slot::Current, row.dek.zip(row.kid)),
        (Slot::Stash, row.alt_dek.zip(row.alt_kid)),
    ];
    let keys = keys
        .into_iter()
        .filter_map(|(slot, key)| key.map(|(dek, kid)| (slot, WrappedKey { dek, kid })))
        .filter(|(_, key)| key.kid != kid);
    Ok(WrappedRow {
        secret_id: row.secret_id,
        team: row.team_id,
        keys: keys.collect(),
    })
}
