//! Rows as DynamoDB's attribute maps, and the two ways to read many of them.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, failed};

/// A row.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The rows of a list, and the rows that are missing from it.
#[derive(Debug)]
pub struct Listed<T> {
    /// The rows that this version of the vault can read.
    pub rows: Vec<T>,
    /// The ids of the rows of unknown shape.
    pub unreadable: Vec<String>,
}

/// Parses the rows of a list. A row of unknown shape must not hide the others, so it is left out and logged. `id` names
/// the attribute that identifies a row.
pub(super) fn parse_rows<T>(
    items: impl IntoIterator<Item = Item>,
    (table, id): (&str, &str),
    parse: impl Fn(Item) -> Result<T, Error>,
) -> Listed<T> {
    let (mut rows, mut unreadable) = (Vec::new(), Vec::new());
    for item in items {
        let row_id = item.get(id).and_then(|id| id.as_s().ok()).cloned();
        if let Ok(row) = parse(item) {
            rows.push(row);
        } else {
            let row_id = row_id.unwrap_or_default();
            log_unreadable(table, &row_id);
            unreadable.push(row_id);
        }
    }
    Listed { rows, unreadable }
}

/// Logs a row that is missing from a list. Names the id only: an error of the parser may quote any attribute.
pub(super) fn log_unreadable(table: &str, row_id: &str) {
    tracing::warn!(
        unreadable_rows = 1_u32,
        table,
        row_id,
        "a row of unknown shape is left out of a list"
    );
}

/// Reads the rows that a scan finds, page by page, so that only one page is in memory. Calls `visit` with each row that
/// can be read. Returns the ids of the others.
pub(super) async fn scan_each<T>(
    scan: ScanFluentBuilder,
    (table, id): (&str, &str),
    parse: impl Fn(Item) -> Result<T, Error>,
    mut visit: impl FnMut(T),
) -> Result<Vec<String>, Error> {
    let scan = scan.table_name(table).consistent_read(true);
    let mut pages = scan.into_paginator().send();
    let mut unreadable = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| failed("Scan", error))?;
        let page = parse_rows(page.items.unwrap_or_default(), (table, id), &parse);
        page.rows.into_iter().for_each(&mut visit);
        unreadable.extend(page.unreadable);
    }
    Ok(unreadable)
}

/// Reads up to `limit` rows of one partition, in descending order of the sort key. Also returns the sort key after
/// which the next page begins, if there is a next page.
///
/// A page may be short or empty and still have a next page, because a filter runs after the limit, and rows of unknown
/// shape are left out.
pub(super) async fn query_newest<T: DeserializeOwned, I: DeserializeOwned>(
    query: QueryFluentBuilder,
    limit: u16,
    (table, sort_key): (&str, &str),
) -> Result<(Vec<T>, Option<I>), Error> {
    let query = query
        .table_name(table)
        // One more row than requested shows whether there is a next page.
        .limit(i32::from(limit) + 1)
        .scan_index_forward(false);
    let answer = query.send().await.map_err(|error| failed("Query", error))?;
    let mut items = answer.items.unwrap_or_default();
    let limit = usize::from(limit);
    let next = if items.len() > limit {
        items.truncate(limit);
        items.last().map(|end| key_of(end, sort_key)).transpose()
    } else {
        let end = answer.last_evaluated_key;
        end.map(|end| key_of(&end, sort_key)).transpose()
    };
    let page = parse_rows(items, (table, sort_key), from_item);
    Ok((page.rows, next?))
}

/// Reads one key attribute of a row.
pub(super) fn key_of<I: DeserializeOwned>(item: &Item, attribute: &str) -> Result<I, Error> {
    let id = item.get(attribute).cloned();
    let id = id.unwrap_or_else(|| AttributeValue::Null(true));
    serde_dynamo::from_attribute_value(id).map_err(Error::Shape)
}

pub(super) fn to_item(row: impl Serialize) -> Result<Item, Error> {
    serde_dynamo::to_item(row).map_err(Error::Shape)
}

pub(super) fn from_item<T: DeserializeOwned>(item: Item) -> Result<T, Error> {
    serde_dynamo::from_item(item).map_err(Error::Shape)
}

pub(super) fn text(value: &(impl ToString + ?Sized)) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

pub(super) fn number(value: &impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
