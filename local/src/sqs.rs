//! The queue of notifications: an emulator of one SQS queue and its dead-letter queue.
//!
//! It speaks the JSON 1.0 protocol over HTTP for the calls that the functions make, `SendMessage` and
//! `ChangeMessageVisibility`, and for the redrive of the operator's program, `StartMessageMoveTask` and
//! `ListMessageMoveTasks`. The gateway takes the part of Lambda, which receives and deletes messages, in this process.
//!
//! It is faithful where the functions depend on SQS: a received message is hidden for a time, a message that is not
//! deleted comes back, each receipt is counted, and a message that was received too often goes to the dead-letter
//! queue. It differs from SQS on purpose: it keeps messages in memory, checks no signatures, and delivers in order.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use functions::background::notify_deliver::MAX_ATTEMPTS;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::timestamp::Timestamp;
use uuid::Uuid;

/// The URL of the queue. The emulator has only one, and ignores the host.
pub const QUEUE_URL: &str = "http://sqs.local/000000000000/notifications";
/// The ARN of the dead-letter queue.
pub const LOST_NOTIFICATIONS_ARN: &str = "arn:aws:sqs:us-east-1:000000000000:lost-notifications";
/// How long a received message is hidden, as in `template.yaml`.
const VISIBILITY_TIMEOUT: Duration = Duration::from_mins(3);
/// The largest batch that Lambda gives to the function, as in `template.yaml`.
const BATCH_SIZE: usize = 10;

/// The queue. Clones share their messages.
#[derive(Clone, Default)]
pub struct Queue(Arc<Mutex<Messages>>);

#[derive(Default)]
struct Messages {
    waiting: VecDeque<Message>,
    dead: Vec<Message>,
    /// How many messages the last redrive moved.
    moved: usize,
    /// How far the clock of the queue is ahead.
    ahead: Duration,
}

struct Message {
    id: String,
    receipt: String,
    body: String,
    receives: usize,
    visible_at: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage {
    message_body: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeMessageVisibility {
    receipt_handle: String,
    visibility_timeout: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfDeadLetterQueue {
    source_arn: String,
}

impl Messages {
    fn now(&self) -> Timestamp {
        Timestamp::now().plus(self.ahead)
    }

    fn send(&mut self, body: String) -> String {
        let id = Uuid::new_v4().to_string();
        let visible_at = self.now();
        self.waiting.push_back(Message {
            id: id.clone(),
            receipt: String::new(),
            body,
            receives: 0,
            visible_at,
        });
        id
    }

    /// Returns whether the receipt is that of a message's last receipt.
    fn change_visibility(&mut self, receipt: &str, by: Duration) -> bool {
        let visible_at = self.now().plus(by);
        let mut waiting = self.waiting.iter_mut();
        match waiting.find(|message| message.receipt == receipt) {
            Some(message) => {
                message.visible_at = visible_at;
                true
            }
            None => false,
        }
    }

    /// Moves all messages of the dead-letter queue back.
    fn redrive(&mut self) -> Value {
        let dead = std::mem::take(&mut self.dead);
        self.moved = dead.len();
        for message in dead {
            self.send(message.body);
        }
        json!({ "TaskHandle": Uuid::new_v4().to_string() })
    }

    /// The last redrive.
    fn redrives(&self) -> Value {
        json!({ "Results": [{
            "Status": "COMPLETED",
            "SourceArn": LOST_NOTIFICATIONS_ARN,
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.moved,
        }] })
    }

    fn receive(&mut self) -> Vec<Value> {
        let now = self.now();
        let mut received = Vec::new();
        for mut message in std::mem::take(&mut self.waiting) {
            let is_due = message.visible_at <= now && received.len() < BATCH_SIZE;
            if is_due && message.receives >= MAX_ATTEMPTS {
                self.dead.push(message);
                continue;
            }
            if is_due {
                message.receives += 1;
                message.receipt = Uuid::new_v4().to_string();
                message.visible_at = now.plus(VISIBILITY_TIMEOUT);
                received.push(json!({
                    "messageId": message.id,
                    "receiptHandle": message.receipt,
                    "body": message.body,
                    "attributes": { "ApproximateReceiveCount": message.receives.to_string() },
                    "eventSource": "aws:sqs",
                }));
            }
            self.waiting.push_back(message);
        }
        received
    }
}

impl Queue {
    fn messages(&self) -> MutexGuard<'_, Messages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves SQS at `POST /`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", post(call))
            .with_state(self.clone())
    }

    /// Receives a batch, as Lambda passes it to the function. `None` if no message is visible.
    pub fn receive(&self) -> Option<Value> {
        let received = self.messages().receive();
        (!received.is_empty()).then(|| json!({ "Records": received }))
    }

    /// Deletes the messages of a batch, except those that failed.
    pub fn delete_all_but(&self, batch: &[String], failed: &[String]) {
        let is_done = |id: &String| batch.contains(id) && !failed.contains(id);
        let mut messages = self.messages();
        messages.waiting.retain(|message| !is_done(&message.id));
    }

    /// Moves the clock of the queue forward.
    pub fn advance(&self, by: Duration) {
        self.messages().ahead += by;
    }

    /// The bodies of the messages that wait, visible or not.
    pub fn waiting(&self) -> Vec<String> {
        let messages = self.messages();
        messages.waiting.iter().map(|it| it.body.clone()).collect()
    }

    /// The bodies of the messages in the dead-letter queue.
    pub fn dead(&self) -> Vec<String> {
        let messages = self.messages();
        messages.dead.iter().map(|it| it.body.clone()).collect()
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages = self.messages();
        f.debug_struct("Queue")
            .field("waiting", &messages.waiting.len())
            .field("dead", &messages.dead.len())
            .finish_non_exhaustive()
    }
}

async fn call(State(queue): State<Queue>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok());
    let answer = match target {
        Some("AmazonSQS.SendMessage") => serde_json::from_slice(&body)
            .ok()
            .map(|SendMessage { message_body }| {
                json!({ "MessageId": queue.messages().send(message_body) })
            }),
        Some("AmazonSQS.ChangeMessageVisibility") => {
            serde_json::from_slice(&body)
                .ok()
                .and_then(|change: ChangeMessageVisibility| {
                    let by = Duration::from_secs(change.visibility_timeout);
                    let changed = queue
                        .messages()
                        .change_visibility(&change.receipt_handle, by);
                    changed.then(|| json!({}))
                })
        }
        Some("AmazonSQS.StartMessageMoveTask") => {
            is_dead_letter_queue(&body).then(|| queue.messages().redrive())
        }
        Some("AmazonSQS.ListMessageMoveTasks") => {
            is_dead_letter_queue(&body).then(|| queue.messages().redrives())
        }
        Some(_) | None => None,
    };
    let (status, answer) = match answer {
        Some(answer) => (StatusCode::OK, answer),
        None => (
            StatusCode::BAD_REQUEST,
            json!({ "__type": "com.amazonaws.sqs#InvalidParameterValue", "message": "not emulated" }),
        ),
    };
    let content_type = HeaderValue::from_static("application/x-amz-json-1.0");
    (status, [(CONTENT_TYPE, content_type)], answer.to_string()).into_response()
}

fn is_dead_letter_queue(body: &[u8]) -> bool {
    let named = serde_json::from_slice(body);
    named.is_ok_and(|named: OfDeadLetterQueue| named.source_arn == LOST_NOTIFICATIONS_ARN)
}
