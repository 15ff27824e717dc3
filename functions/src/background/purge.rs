//! The function that reads the stream of the table `credentials`, and destroys what deleted credentials leave behind.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::cause::chain;
use shared::purge::Cleanup;
use shared::stores::{CleanupTrigger, Credentials, Secrets, StreamRecord, TokenUrls};
use shared::timestamp::Timestamp;
use tokio::time::timeout;

/// The name of the function in the logs.
pub const NAME: &str = "purge";

/// Time kept for the report.
const REPORT_TIME: Duration = Duration::from_secs(2);

/// A batch of the stream's records, in their order.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Batch {
    records: Vec<StreamRecord>,
}

/// Tells Lambda to continue at the first record that failed. Empty if no record failed.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The first record that failed.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// A record that failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// The record's sequence number.
    pub item_identifier: String,
}

/// Cleans up after one record at a time. Stops at the first record that fails, or shortly before `deadline`. `id` names
/// the invocation in the logs.
pub async fn handle(
    credentials: &Credentials,
    secrets: &Secrets,
    token_urls: &TokenUrls,
    batch: Batch,
    deadline: Timestamp,
    id: &str,
) -> Report {
    let records = batch.records.into_iter();
    let records: Vec<_> = records
        .map(|record| {
            (
                record.sequence_number().to_owned(),
                record.cleanup_trigger(),
            )
        })
        .collect();
    let changes = records
        .iter()
        .filter_map(|(_, change)| change.as_ref().ok()?.as_ref());
    let mut cleanup = Cleanup::new(credentials, secrets, token_urls, changes);
    let deadline = deadline.minus(REPORT_TIME);
    for (sequence_number, change) in &records {
        let cause = match change {
            Ok(None) => continue,
            Ok(Some(change)) => {
                let left = Timestamp::now().until(deadline);
                match timeout(left, cleanup.clean_up_after(change)).await {
                    Ok(Ok(())) => {
                        log_purged(change, id);
                        continue;
                    }
                    Ok(Err(error)) => chain(&error),
                    Err(_) => "out of time".to_owned(),
                }
            }
            Err(error) => chain(error),
        };
        tracing::error!(
            request_id = id,
            route = NAME,
            cause,
            "the cleanup after a change of a credential failed and will be retried"
        );
        return Report {
            batch_item_failures: vec![BatchItemFailure {
                item_identifier: sequence_number.clone(),
            }],
        };
    }
    Report::default()
}

fn log_purged(change: &CleanupTrigger, id: &str) {
    if let CleanupTrigger::Purged(remains) = change {
        tracing::info!(
            request_id = id,
            route = NAME,
            team = %remains.team,
            credential_id = %remains.credential,
            "purged"
        );
    }
}
