//! The function that reads the stream of the table `credentials`, and cleans up after each change.
//!
//! A record that cannot be read is reported and skipped. Lambda would otherwise repeat it for hours, and the records
//! behind it would wait.

use std::time::Duration;

use serde::Deserialize;
use shared::cause::chain;
use shared::event::Actor;
use shared::purge::Cleanup;
use shared::stores::{CleanupTrigger, Events, Pairs, Secrets, StreamRecord, TokenUrls, Trail};
use shared::timestamp::Timestamp;
use tokio::time::timeout;

use super::report::Report;

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

/// Cleans up after one record at a time. Stops at the first record that fails, or shortly before `deadline`. `id` names
/// the invocation in the logs.
pub async fn handle(
    pairs: &Pairs,
    secrets: &Secrets,
    token_urls: &TokenUrls,
    events: &Events,
    batch: Batch,
    deadline: Timestamp,
    id: &str,
) -> Report {
    let trail = Trail {
        events: events.clone(),
        actor: Actor::Schedule,
        request_id: id.to_owned(),
    };
    let mut cleanup = Cleanup::new(pairs, secrets, token_urls, &trail);
    let deadline = deadline.minus(REPORT_TIME);
    for record in batch.records {
        let sequence_number = record.sequence_number().to_owned();
        // The error may quote the row, so it is not logged.
        let Ok(trigger) = record.cleanup_trigger() else {
            tracing::error!(
                request_id = id,
                route = NAME,
                sequence_number,
                stream_records_skipped = 1_u32,
                "a record of the stream cannot be read and is skipped: read the record, then run \
                 `zoom-vault credentials sweep`"
            );
            continue;
        };
        let Some(trigger) = trigger else { continue };
        if let Err(cause) = clean_up(&mut cleanup, &trigger, deadline, id).await {
            tracing::error!(
                request_id = id,
                route = NAME,
                cause,
                "the cleanup after a change of a credential failed and will be retried"
            );
            return Report::failed([sequence_number]);
        }
    }
    Report::default()
}

/// Cleans up after one record. Returns the cause of a failure, for the log.
async fn clean_up(
    cleanup: &mut Cleanup<'_>,
    trigger: &CleanupTrigger,
    deadline: Timestamp,
    id: &str,
) -> Result<(), String> {
    let time_left = Timestamp::now().until(deadline);
    let cleaned_up = timeout(time_left, cleanup.clean_up_after(trigger)).await;
    let cleaned_up = cleaned_up.map_err(|_| "out of time".to_owned())?;
    cleaned_up.map_err(|error| chain(&error))?;
    if let CleanupTrigger::Purged(remains) = trigger {
        tracing::info!(
            request_id = id,
            route = NAME,
            team = %remains.team,
            credential_id = %remains.credential,
            "purged"
        );
    }
    Ok(())
}
