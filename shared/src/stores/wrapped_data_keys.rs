//! The wrapped data keys of all rows of `secrets`. An operator uses this store to move them to another KMS key.
//!
//! The store cannot open a data key. It scans the table, which no function may do. An index of the KMS keys would
//! cost a second write with every refresh. Such an index may also be stale, so it could not prove that no row is
//! left.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use serde::Deserialize;

use super::expression::Update;
use crate::credential::TeamId;
use crate::envelope::sealed::WrappedKey;
use crate::stores::error::{Error, failed};
use crate::stores::item::{Item, Listed, from_item, parse_rows, text};

/// Matches rows with a data key that a KMS key other than `:kid` wraps.
const UNDER_OTHER_KEY: &str =
    "(attribute_exists(kid) AND kid <> :kid) OR (attribute_exists(alt_kid) AND alt_kid <> :kid)";

/// Which data key of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySlot {
    /// The data key of the current secret.
    Current,
    /// The data key of a grant's stashed pair.
    Stash,
}

impl KeySlot {
    fn attributes(self) -> (&'static str, &'static str) {
        match self {
            Self::Current => ("dek", "kid"),
            Self::Stash => ("alt_dek", "alt_kid"),
        }
    }
}

/// A row with data keys that another KMS key wraps.
#[derive(Clone, Debug)]
pub struct WrappedRow {
    /// The key of the row.
    pub secret_id: String,
    /// The team of the row.
    pub team: TeamId,
    /// The wrapped data keys: one, or two if the row has a stash.
    pub keys: Vec<(KeySlot, WrappedKey)>,
}

/// A page of rows.
#[derive(Debug)]
pub struct WrappedRowPage {
    /// The rows.
    pub rows: Vec<WrappedRow>,
    /// The ids of the rows of unknown shape, which are left out.
    pub unreadable: Vec<String>,
    /// The next page begins after this row. `None` on the last page.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct WrappedKeyAttributes {
    secret_id: String,
    team_id: TeamId,
    #[serde(default, with = "serde_bytes")]
    dek: Option<Vec<u8>>,
    kid: Option<String>,
    #[serde(default, with = "serde_bytes")]
    alt_dek: Option<Vec<u8>>,
    alt_kid: Option<String>,
}

/// The data keys in the table `secrets`, with the power to scan the table and to replace the keys.
#[derive(Clone, Debug)]
pub struct WrappedDataKeys {
    client: Client,
    table: String,
}

impl WrappedDataKeys {
    /// Creates a store for the table `secrets`, which is named `table` in AWS.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Counts the rows with a data key that a KMS key other than `kid`, an ARN, wraps. The count is consistent.
    pub async fn count_rows_under_other_keys(&self, kid: &str) -> Result<u64, Error> {
        let mut pages = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression(UNDER_OTHER_KEY)
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

    /// Reads a page of the same rows. A page may be empty and still have a next page.
    pub async fn rows_under_other_keys(
        &self,
        kid: &str,
        after: Option<&str>,
    ) -> Result<WrappedRowPage, Error> {
        let after = after.map(|id| HashMap::from([("secret_id".to_owned(), text(&id))]));
        let answer = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression(UNDER_OTHER_KEY)
            .projection_expression("secret_id, team_id, dek, kid, alt_dek, alt_kid")
            .expression_attribute_values(":kid", AttributeValue::S(kid.to_owned()))
            .set_exclusive_start_key(after)
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("Scan", error))?;
        let items = answer.items.unwrap_or_default();
        let parse = |item| parse_row(item, kid);
        let Listed { rows, unreadable } = parse_rows(items, (&self.table, "secret_id"), parse);
        Ok(WrappedRowPage {
            rows,
            unreadable,
            next: answer
                .last_evaluated_key
                .and_then(|key| key.get("secret_id")?.as_s().ok().cloned()),
        })
    }

    /// Replaces a row's data key with `new` if the row still has `old`. Returns whether the key was replaced.
    pub async fn replace(
        &self,
        secret_id: &str,
        slot: KeySlot,
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
                // The row has changed or is about to change. The next pass handles it.
                Some(
                    UpdateItemError::ConditionalCheckFailedException(_)
                    | UpdateItemError::TransactionConflictException(_),
                ) => Ok(false),
                _ => Err(failed("UpdateItem", error)),
            },
        }
    }
}

fn parse_row(item: Item, kid: &str) -> Result<WrappedRow, Error> {
    let row: WrappedKeyAttributes = from_item(item)?;
    let keys = [
        (KeySlot::Current, row.dek.zip(row.kid)),
        (KeySlot::Stash, row.alt_dek.zip(row.alt_kid)),
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
