//! The functions that the schedule, the streams and the queue invoke.

use std::time::Duration;

use ::functions::endpoints::{API_TIME_OUT, REFRESH_TIME_OUT};
use serde_json::Value;
use shared::cause::chain;
use shared::timestamp::Timestamp;
use shared::{keep_alive, stores};
use uuid::Uuid;

use super::Gateway;
use crate::engine::Stream;

/// How often the schedule runs.
const SCHEDULE_INTERVAL: Duration = Duration::from_mins(5);
/// How often a stream is read.
const STREAM_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often the queue is read.
const QUEUE_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The time-out of a scheduled run. It is shorter than in AWS, because a shutdown waits for the run.
const SCHEDULE_TIME_OUT: Duration = REFRESH_TIME_OUT;

impl Gateway {
    /// Runs the scheduled function for grants that have not been used for the time `unused`. A pair's grants may be
    /// revoked once its last deletion is `revoke_after` ago.
    pub async fn keep_alive(
        &self,
        unused: Duration,
        revoke_after: Duration,
        time_out: Duration,
    ) -> Result<keep_alive::Report, stores::Error> {
        let deadline = Timestamp::now().plus(time_out);
        let id = Uuid::new_v4().to_string();
        let function = self.keep_alive.get(&self.services);
        function.run_for(unused, revoke_after, deadline, &id).await
    }

    /// Invokes the stream's function with a batch, as Lambda gives it. Answers whether every record was handled.
    pub async fn purge(&self, batch: Value) -> Result<bool, serde_json::Error> {
        self.purge_within(batch, API_TIME_OUT).await
    }

    /// As [`Self::purge`], with a time-out.
    pub async fn purge_within(
        &self,
        batch: Value,
        time_out: Duration,
    ) -> Result<bool, serde_json::Error> {
        let batch = serde_json::from_value(batch)?;
        let id = Uuid::new_v4().to_string();
        let deadline = Timestamp::now().plus(time_out);
        let function = self.purge.get(&self.services);
        let report = function.run(batch, deadline, &id).await;
        Ok(report.batch_item_failures.is_empty())
    }

    /// Invokes the function on the stream of `events` with a batch, as Lambda gives it. Answers whether every record
    /// was handled.
    pub async fn notify_enqueue(&self, batch: Value) -> Result<bool, serde_json::Error> {
        let batch = serde_json::from_value(batch)?;
        let id = Uuid::new_v4().to_string();
        let deadline = Timestamp::now().plus(API_TIME_OUT);
        let function = self.notify_enqueue.get(&self.services);
        let report = function.run(batch, deadline, &id).await;
        Ok(report.batch_item_failures.is_empty())
    }

    /// Receives a batch from the queue of notifications, and invokes the queue's function with it. Deletes the messages
    /// that did not fail, as Lambda does. Answers whether a message was visible.
    pub async fn notify_deliver(&self) -> Result<bool, serde_json::Error> {
        let queue = &self.services.notifications.queue;
        let Some(received) = queue.receive() else {
            return Ok(false);
        };
        self.deliver(received).await.map(|()| true)
    }

    async fn deliver(&self, received: Value) -> Result<(), serde_json::Error> {
        let records = received
            .get("Records")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let ids = records.filter_map(|record| Some(record["messageId"].as_str()?.to_owned()));
        let ids: Vec<String> = ids.collect();
        let batch = serde_json::from_value(received)?;
        let id = Uuid::new_v4().to_string();
        let deadline = Timestamp::now().plus(API_TIME_OUT);
        let function = self.notify_deliver.get(&self.services);
        let report = function.run(batch, deadline, &id).await;
        let failed = report.batch_item_failures.into_iter();
        let failed: Vec<String> = failed.map(|it| it.item_identifier).collect();
        let queue = &self.services.notifications.queue;
        queue.delete_all_but(&ids, &failed);
        Ok(())
    }

    /// Feeds the queue of notifications to its function, many batches at a time, as Lambda does. Dropping the future
    /// ends it, but no batch that has begun.
    pub async fn deliver_notifications(self) {
        loop {
            tokio::time::sleep(QUEUE_POLL_INTERVAL).await;
            while let Some(received) = self.services.notifications.queue.receive() {
                let gateway = self.clone();
                self.invocations.spawn(async move {
                    if let Err(error) = gateway.deliver(received).await {
                        tracing::error!(
                            cause = chain(&error),
                            "a batch of the queue is unreadable"
                        );
                    }
                });
            }
        }
    }

    /// Feeds the stream of `credentials` to its function. Dropping the future ends it. The batch that was being handled
    /// is handled again later.
    pub async fn follow(self, stream: Stream) {
        follow(stream, |batch| {
            let gateway = self.clone();
            async move { gateway.purge(batch).await }
        })
        .await;
    }

    /// As [`Self::follow`], for the stream of `events`.
    pub async fn follow_events(self, stream: Stream) {
        follow(stream, |batch| {
            let gateway = self.clone();
            async move { gateway.notify_enqueue(batch).await }
        })
        .await;
    }

    /// Runs the scheduled function every five minutes. Dropping the future ends the schedule, but no run that has
    /// begun.
    pub async fn schedule(self, unused: Duration, revoke_after: Duration) {
        loop {
            tokio::time::sleep(SCHEDULE_INTERVAL).await;
            let gateway = self.clone();
            let run = self.invocations.spawn(async move {
                let run = gateway.keep_alive(unused, revoke_after, SCHEDULE_TIME_OUT);
                if let Err(error) = run.await {
                    tracing::error!(cause = chain(&error), "grants are not kept alive");
                }
            });
            // A panic in the run has been logged.
            run.await.ok();
        }
    }
}

/// Feeds a stream to a function, for ever.
async fn follow<F>(mut stream: Stream, handle: impl Fn(Value) -> F)
where
    F: Future<Output = Result<bool, serde_json::Error>>,
{
    loop {
        tokio::time::sleep(STREAM_POLL_INTERVAL).await;
        let handled = match stream.batch() {
            Ok(None) => continue,
            Ok(Some(batch)) => handle(batch).await,
            Err(error) => {
                tracing::error!(cause = chain(&error), "the stream cannot be read");
                return;
            }
        };
        match handled {
            Ok(true) => stream.advance(),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(
                    cause = chain(&error),
                    "a record of the stream is unreadable"
                );
                stream.advance();
            }
        }
    }
}
