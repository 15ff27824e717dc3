//! What a function answers to Lambda about a batch.

use serde::Serialize;

/// Tells Lambda which items of a batch failed. In a stream, Lambda continues at the first of them. In a queue, Lambda
/// deletes all other messages. Empty if nothing failed.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The items that failed.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// An item that failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// The sequence number of a record in a stream, or the id of a message in a queue.
    pub item_identifier: String,
}

impl Report {
    /// These items failed.
    pub fn failed(items: impl IntoIterator<Item = String>) -> Self {
        let failure = |item_identifier| BatchItemFailure { item_identifier };
        Self {
            batch_item_failures: items.into_iter().map(failure).collect(),
        }
    }
}
