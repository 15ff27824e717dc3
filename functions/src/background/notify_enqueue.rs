//! The function that reads the stream of the table `events`, and puts notifications into the queue.
//!
//! A record that cannot be read is reported and skipped. Lambda would otherwise repeat it for hours, and the records
//! behind it would wait.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use shared::cause::chain;
use shared::credential::TeamId;
use shared::event::EventRecord;
use shared::notification::{MessageId, Notification, NotificationKind};
use shared::queue::NotificationQueue;
use shared::stores::{EventStreamRecord, Secrets};
use shared::timestamp::Timestamp;
use tokio::time::timeout;

use super::report::Report;

/// The name of the function in the logs.
pub const NAME: &str = "notify-enqueue";

/// Time kept for the report.
const REPORT_TIME: Duration = Duration::from_secs(2);
/// How many ids of refusals are kept in memory.
const MAX_REMEMBERED_REFUSALS: usize = 10_000;

/// A batch of the stream's records, in their order.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Batch {
    records: Vec<EventStreamRecord>,
}

/// The notifications `app.refused` that were put into the queue. A refused app fails every mint, and all failures of a
/// credential in one hour have one id.
#[derive(Debug, Default)]
pub struct SentRefusals(Mutex<HashSet<MessageId>>);

impl SentRefusals {
    fn contains(&self, id: &MessageId) -> bool {
        let ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.contains(id)
    }

    fn remember(&self, id: MessageId) {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() >= MAX_REMEMBERED_REFUSALS {
            ids.clear();
        }
        ids.insert(id);
    }
}

/// Handles one record at a time. Stops at the first record that fails, or shortly before `deadline`. `id` names the
/// invocation in the logs.
pub async fn handle(
    secrets: &Secrets,
    notification_queue: &NotificationQueue,
    sent_refusals: &SentRefusals,
    batch: Batch,
    deadline: Timestamp,
    id: &str,
) -> Report {
    let deadline = deadline.minus(REPORT_TIME);
    for record in batch.records {
        let sequence_number = record.sequence_number().to_owned();
        // The error may quote the row, so it is not logged.
        let Ok(event) = record.new_event() else {
            tracing::error!(
                request_id = id,
                route = NAME,
                sequence_number,
                stream_records_skipped = 1_u32,
                "a record of the stream of events cannot be read and is skipped: nobody is notified of this event"
            );
            continue;
        };
        let Some((team, event)) = event else { continue };
        let time_left = Timestamp::now().until(deadline);
        let enqueued = enqueue(secrets, notification_queue, sent_refusals, &team, &event);
        let enqueued = timeout(time_left, enqueued).await;
        let cause = match enqueued {
            Ok(Ok(())) => continue,
            Ok(Err(cause)) => cause,
            Err(_) => "out of time".to_owned(),
        };
        tracing::error!(
            request_id = id,
            route = NAME,
            team = %team,
            cause,
            "a notification could not be put into the queue and will be retried"
        );
        return Report::failed([sequence_number]);
    }
    Report::default()
}

/// Puts the notifications about an event into the queue, if the team's endpoint wants them. Returns the cause of a
/// failure, for the log.
async fn enqueue(
    secrets: &Secrets,
    queue: &NotificationQueue,
    sent_refusals: &SentRefusals,
    team: &TeamId,
    event: &EventRecord,
) -> Result<(), String> {
    let mut notifications = Notification::about(team, event);
    notifications.retain(|it| !sent_refusals.contains(&it.id));
    if notifications.is_empty() {
        return Ok(());
    }
    let endpoint = secrets.notification_endpoint(team).await;
    let Some(endpoint) = endpoint.map_err(|error| chain(&error))? else {
        return Ok(());
    };
    for notification in notifications {
        if endpoint.wants(notification.kind) {
            let sent = queue.send(&notification).await;
            sent.map_err(|error| chain(&error))?;
            if notification.kind == NotificationKind::AppRefused {
                sent_refusals.remember(notification.id);
            }
        }
    }
    Ok(())
}
