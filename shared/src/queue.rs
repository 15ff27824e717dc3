//! The queue of notifications that wait for their delivery. Only this module calls SQS.
//!
//! SQS delivers a message at least once. A message whose delivery fails stays in the queue, invisible until its next
//! attempt. After the last attempt, SQS moves the message to the dead-letter queue.

use std::time::Duration;

use aws_sdk_sqs::Client;

use crate::notification::Notification;

/// A call to SQS failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The message is no JSON.
    #[error("the notification cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// SQS is down, does not answer, or refuses the call.
    #[error("SQS {operation} failed")]
    Sqs {
        /// The name of the call.
        operation: &'static str,
        /// The error from the AWS SDK.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The queue.
#[derive(Clone, Debug)]
pub struct NotificationQueue {
    client: Client,
    url: String,
}

impl NotificationQueue {
    /// The queue at this URL.
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Adds a notification.
    ///
    /// The team is the message's group. SQS then serves the messages of other teams first while one team has many
    /// messages in flight (a "fair queue").
    pub async fn send(&self, notification: &Notification) -> Result<(), Error> {
        let sent = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_group_id(notification.team.to_string())
            .message_body(serde_json::to_string(notification)?)
            .send()
            .await;
        sent.map(drop).map_err(|source| Error::Sqs {
            operation: "SendMessage",
            source: source.into(),
        })
    }

    /// Hides a received message for this time. SQS shows it again afterwards, unless it is deleted.
    pub async fn postpone(&self, receipt: &str, by: Duration) -> Result<(), Error> {
        let seconds = i32::try_from(by.as_secs()).unwrap_or(i32::MAX);
        let changed = self
            .client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt)
            .visibility_timeout(seconds)
            .send()
            .await;
        changed.map(drop).map_err(|source| Error::Sqs {
            operation: "ChangeMessageVisibility",
            source: source.into(),
        })
    }
}

/// The dead-letter queue: notifications that failed for a day.
#[derive(Clone, Debug)]
pub struct LostNotifications {
    client: Client,
    arn: String,
}

impl LostNotifications {
    /// The queue with this ARN.
    pub fn new(client: Client, arn: String) -> Self {
        Self { client, arn }
    }

    /// Lets SQS move all messages back to the queue of notifications, where each has new attempts. Returns how many
    /// there are, as SQS estimates it. `None` if SQS does not say.
    pub async fn redrive(&self) -> Result<Option<u64>, Error> {
        // Without a destination, SQS moves the messages to the queue that they came from.
        let started = self.client.start_message_move_task().source_arn(&self.arn);
        started.send().await.map_err(|source| Error::Sqs {
            operation: "StartMessageMoveTask",
            source: source.into(),
        })?;
        let listed = self.client.list_message_move_tasks().source_arn(&self.arn);
        let listed = listed.send().await.map_err(|source| Error::Sqs {
            operation: "ListMessageMoveTasks",
            source: source.into(),
        })?;
        let newest = listed.results.and_then(|tasks| tasks.into_iter().next());
        let number = newest.and_then(|task| task.approximate_number_of_messages_to_move);
        Ok(number.and_then(|number| u64::try_from(number).ok()))
    }
}
