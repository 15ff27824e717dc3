//! The function that takes notifications from the queue, and sends them to the endpoints of teams.
//!
//! A batch is sent all at once, so an endpoint that does not answer delays no other one. After a failure, the message
//! stays in the queue and is hidden until its next attempt. SQS counts the attempts.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use serde::Deserialize;
use shared::cause::chain;
use shared::delivery::{Call, Delivery, Failure};
use shared::envelope::{self, Binding, Envelope, Sealed, SecretId};
use shared::event::{Actor, Event, EventDetails};
use shared::notification::{Notification, NotificationKind, SigningSecret};
use shared::queue::NotificationQueue;
use shared::random::random_bytes;
use shared::stores::{Events, NotificationEndpoint, Secrets};
use shared::timestamp::Timestamp;
use tokio::time::timeout;

use super::report::Report;

/// The name of the function in the logs.
pub const NAME: &str = "notify-deliver";

/// How long to wait after each failed attempt, in seconds. Together about 24 hours.
const RETRY_AFTER_SECONDS: [u64; 10] =
    [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 21_600, 36_000];
/// After so many attempts, SQS moves a message to the dead-letter queue. `template.yaml` has the same number.
pub const MAX_ATTEMPTS: usize = RETRY_AFTER_SECONDS.len() + 1;

/// Time kept for the report.
const REPORT_TIME: Duration = Duration::from_secs(2);

/// A batch of messages from the queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Batch {
    records: Vec<Message>,
}

/// A message, as Lambda passes it to the function.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(rename = "messageId")]
    id: String,
    receipt_handle: String,
    body: String,
    attributes: Attributes,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    approximate_receive_count: String,
}

/// What an attempt came to.
enum Outcome {
    Delivered,
    /// The team has no endpoint any more, or wants other kinds.
    Unwanted,
    Failed(Failure),
    /// The vault itself failed. The text is for the log.
    VaultFailed(String),
}

/// Sends all messages at once, until shortly before `deadline`. `id` names the invocation in the logs.
pub async fn handle(
    secrets: &Secrets,
    events: &Events,
    envelope: &Envelope,
    delivery: &Delivery,
    notification_queue: &NotificationQueue,
    batch: Batch,
    deadline: Timestamp,
    id: &str,
) -> Report {
    let courier = Courier {
        secrets,
        events,
        envelope,
        delivery,
        queue: notification_queue,
        deadline: deadline.minus(REPORT_TIME),
        id,
    };
    let attempts = batch.records.iter().map(async |message| {
        let stays = courier.handle(message).await;
        stays.then(|| message.id.clone())
    });
    Report::failed(join_all(attempts).await.into_iter().flatten())
}

struct Courier<'a> {
    secrets: &'a Secrets,
    events: &'a Events,
    envelope: &'a Envelope,
    delivery: &'a Delivery,
    queue: &'a NotificationQueue,
    deadline: Timestamp,
    id: &'a str,
}

impl Courier<'_> {
    /// Tries to deliver a message. Returns whether the message stays in the queue.
    async fn handle(&self, message: &Message) -> bool {
        let attempt = message.attributes.approximate_receive_count.parse();
        let attempt = attempt.unwrap_or(MAX_ATTEMPTS);
        let Ok(notification) = serde_json::from_str::<Notification>(&message.body) else {
            tracing::error!(
                request_id = self.id,
                route = NAME,
                message_id = message.id,
                "a message of the queue cannot be read: it goes to the dead-letter queue after its last attempt"
            );
            return true;
        };
        let time_left = Timestamp::now().until(self.deadline);
        let outcome = timeout(time_left, self.attempt(&notification)).await;
        let outcome = outcome.unwrap_or_else(|_| Outcome::VaultFailed("out of time".to_owned()));
        self.conclude(message, &notification, attempt, outcome)
            .await
    }

    async fn attempt(&self, notification: &Notification) -> Outcome {
        let endpoint = self.secrets.notification_endpoint(&notification.team).await;
        let endpoint = match endpoint {
            Ok(Some(endpoint)) if endpoint.wants(notification.kind) => endpoint,
            Ok(_) => return Outcome::Unwanted,
            Err(error) => return Outcome::VaultFailed(chain(&error)),
        };
        let now = Timestamp::now();
        let (body, signatures) = match self.signed(notification, &endpoint, now).await {
            Ok(signed) => signed,
            Err(cause) => return Outcome::VaultFailed(cause),
        };
        let call = Call {
            id: &notification.id,
            at: now.as_seconds(),
            signatures: &signatures,
            body,
        };
        match self.delivery.post(&endpoint.url, call).await {
            Ok(()) => Outcome::Delivered,
            Err(failure) => Outcome::Failed(failure),
        }
    }

    /// The body and its signatures, one for each secret. Returns the cause of a failure, for the log.
    async fn signed(
        &self,
        notification: &Notification,
        endpoint: &NotificationEndpoint,
        now: Timestamp,
    ) -> Result<(String, String), String> {
        let body = notification.body().map_err(|error| chain(&error))?;
        let binding = Binding::new(
            &notification.team,
            SecretId::Notification(notification.team.clone()),
        );
        let open = async |sealed: &Sealed| {
            let opened = self.envelope.open(&binding, sealed).await;
            let opened = opened.map_err(|error| self.not_opened(&error))?;
            SigningSecret::try_from(opened).map_err(|error| chain(&error))
        };
        let secrets = try_join_all(endpoint.secrets(now).map(open)).await?;
        let signatures: Vec<String> = secrets
            .iter()
            .map(|secret| secret.sign(&notification.id, now.as_seconds(), &body))
            .collect();
        Ok((body, signatures.join(" ")))
    }

    /// The cause, for the log. A failure of KMS also gets a line of its own, with its metric.
    fn not_opened(&self, error: &envelope::Error) -> String {
        let cause = chain(error);
        if let envelope::Error::Kms { .. } = error {
            tracing::warn!(
                request_id = self.id,
                route = NAME,
                cause,
                kms_failed = 1_u32,
                "KMS did not open the secret that signs notifications"
            );
        }
        cause
    }

    /// Logs what an attempt came to, and plans the next one. Returns whether the message stays in the queue.
    async fn conclude(
        &self,
        message: &Message,
        notification: &Notification,
        attempt: usize,
        outcome: Outcome,
    ) -> bool {
        let (failure, cause) = match outcome {
            Outcome::Unwanted => return false,
            Outcome::Delivered => {
                tracing::info!(
                    request_id = self.id,
                    route = NAME,
                    team = %notification.team,
                    webhook_id = %notification.id,
                    kind = %notification.kind,
                    attempt,
                    notifications_delivered = 1_u32,
                    "delivered a notification"
                );
                return false;
            }
            Outcome::Failed(failure) => (Some(failure), failure.to_string()),
            Outcome::VaultFailed(cause) => (None, cause),
        };
        // A person waits for a test, and learns of its failure from the event.
        let is_test = notification.kind == NotificationKind::EndpointTest && failure.is_some();
        if attempt >= MAX_ATTEMPTS || is_test {
            return self
                .give_up(message, notification, attempt, failure, cause)
                .await;
        }
        tracing::warn!(
            request_id = self.id,
            route = NAME,
            team = %notification.team,
            webhook_id = %notification.id,
            kind = %notification.kind,
            attempt,
            code = failure.map(Failure::code),
            cause,
            notification_attempts_failed = 1_u32,
            "a notification was not delivered and will be tried again"
        );
        self.postpone(message, retry_after(attempt)).await;
        true
    }

    /// Records that a notification is not tried again. A test is dropped. SQS moves every other message to the
    /// dead-letter queue when it would be received again.
    async fn give_up(
        &self,
        message: &Message,
        notification: &Notification,
        attempt: usize,
        failure: Option<Failure>,
        cause: String,
    ) -> bool {
        let is_test = notification.kind == NotificationKind::EndpointTest;
        tracing::error!(
            request_id = self.id,
            route = NAME,
            team = %notification.team,
            webhook_id = %notification.id,
            kind = %notification.kind,
            attempt,
            code = failure.map(Failure::code),
            cause,
            notification_attempts_failed = 1_u32,
            notifications_lost = (!is_test).then_some(1_u32),
            "a notification was not delivered and will not be tried again"
        );
        let code = failure.map_or("VAULT_FAILED", Failure::code);
        let details = EventDetails::NotificationFailed { code };
        let event = Event::new(Some(Actor::Schedule), self.id.to_owned(), details);
        let credential = notification.data.credential_id;
        let recorded = self
            .events
            .record(&notification.team, credential, &event)
            .await;
        if let Err(error) = recorded {
            tracing::error!(
                request_id = self.id,
                route = NAME,
                cause = chain(&error),
                "the event of a lost notification could not be recorded"
            );
        }
        if !is_test {
            self.postpone(message, Duration::ZERO).await;
        }
        !is_test
    }

    /// Hides a message until its next attempt. If this fails, the queue shows the message after its own visibility
    /// time-out.
    async fn postpone(&self, message: &Message, by: Duration) {
        if let Err(error) = self.queue.postpone(&message.receipt_handle, by).await {
            tracing::warn!(
                request_id = self.id,
                route = NAME,
                cause = chain(&error),
                "the time of the next attempt could not be set"
            );
        }
    }
}

/// How long to wait after this attempt: the table's time, and up to a tenth more, so that messages that failed together
/// do not come back together.
fn retry_after(attempt: usize) -> Duration {
    let seconds = RETRY_AFTER_SECONDS
        .get(attempt.saturating_sub(1))
        .copied()
        .unwrap_or_default();
    let byte = random_bytes::<1>().map_or(0, |random| random.iter().copied().sum());
    Duration::from_secs(seconds + seconds * u64::from(byte) / 2_560)
}
