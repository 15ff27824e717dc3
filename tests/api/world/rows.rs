//! Rows of tables, as DynamoDB has them.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use local::engine::ImportOptions;
use serde_json::{Map, Value, json};

use super::World;

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

impl World {
    /// Imports `count` copies of a credential's row, each changed by `change`, which gets the number of the copy. An
    /// import writes no records into the stream.
    pub(crate) fn copy_row(
        &self,
        id: &str,
        count: usize,
        change: impl Fn(usize, &mut Map<String, Value>),
    ) {
        let request = json!({ "TableName": "credentials" });
        let request = serde_json::from_value(request).unwrap();
        let rows = serde_json::to_value(self.database.scan(request).unwrap()).unwrap();
        let mut rows = rows["Items"].as_array().unwrap().iter();
        let row = rows.find(|row| row["credential_id"]["S"] == id).unwrap();
        let copies: Vec<_> = (0..count)
            .map(|number| {
                let mut copy = row.as_object().unwrap().clone();
                change(number, &mut copy);
                serde_json::from_value(copy.into()).unwrap()
            })
            .collect();
        let options = ImportOptions::default();
        let imported = self.database.import_items("credentials", copies, options);
        assert_eq!(imported.unwrap().items_imported, count);
    }
}
