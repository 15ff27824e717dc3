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

/// Reads all rows that a scan finds.
pub(super) async fn scan_all(scan: ScanFluentBuilder) -> Result<Vec<Item>, Error> {
    let mut pages = scan.consistent_read(true).into_paginator().items().send();
    let mut rows = Vec::new();
    while let Some(row) = pages.next().await {
        rows.push(row.map_err(|error| failed("Scan", error))?);
    }
    Ok(rows)
}

/// Reads up to `limit` rows of one partition, in descending order of the sort key. Also returns the sort key after
/// which the next page begins, if there is a next page.
///
/// A page may be short or empty and still have a next page, because a filter runs after the limit.
pub(super) async fn query_newest<T: DeserializeOwned, I: DeserializeOwned>(
    query: QueryFluentBuilder,
    limit: u16,
    sort_key: &str,
    id: impl Fn(&T) -> I,
) -> Result<(Vec<T>, Option<I>), Error> {
    let query = query
        // One more row than requested shows whether there is a next page.
        .limit(i32::from(limit) + 1)
        .scan_index_forward(false)
        .consistent_read(true);
    let answer = query.send().await.map_err(|error| failed("Query", error))?;
    let rows = answer.items.unwrap_or_default().into_iter();
    let mut rows = rows.map(from_item).collect::<Result<Vec<T>, Error>>()?;
    let limit = usize::from(limit);
    let next = if rows.len() > limit {
        rows.truncate(limit);
        rows.last().map(id)
    } else {
        let end = answer.last_evaluated_key;
        let id = end.and_then(|mut end| end.remove(sort_key));
        let id = id.map(serde_dynamo::from_attribute_value).transpose();
        id.map_err(Error::Shape)?
    };
    Ok((rows, next))
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
