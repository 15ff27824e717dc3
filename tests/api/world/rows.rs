//! Rows of tables, as DynamoDB has them.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;

/// A row.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Whether a row of the table `requests` only counts calls, or says when a key was used. `row` holds its id.
pub(crate) fn is_count(row: &str) -> bool {
    ["rate#", "mint#", "read#", "used#"]
        .iter()
        .any(|kind| row.contains(kind))
}

/// A string or number attribute of a row, as text.
pub(crate) fn attribute<'a>(item: &'a Item, name: &str) -> &'a str {
    let value = &item[name];
    let text = value.as_s().or_else(|_| value.as_n());
    text.unwrap()
}

/// A row as text, with the attributes in a stable order, also within maps.
pub(crate) fn sorted_text(item: &Item) -> String {
    let sorted: BTreeMap<_, _> = item
        .iter()
        .map(|(name, value)| {
            let map = value.as_m().map(sorted_text);
            (name, map.unwrap_or_else(|value| format!("{value:?}")))
        })
        .collect();
    format!("{sorted:?}")
}
