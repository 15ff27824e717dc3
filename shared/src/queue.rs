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
