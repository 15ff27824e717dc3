//! Broken answers, for injected faults.

use std::future::ready;
use std::io;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Map, Value};

const BYTES_PER_MEGABYTE: usize = 1_000_000;
/// Larger than any answer of the sandbox.
const MAX_ANSWER_BYTES: usize = 1_000_000;

/// The outcome of a call: an answer, or a closed connection.
pub(super) enum CallOutcome {
    Answered(Response),
    Dropped,
}

impl CallOutcome {
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(response) => Some(response.status().as_u16()),
            Self::Dropped => None,
        }
    }
}

impl IntoResponse for CallOutcome {
    fn into_response(self) -> Response {
        match self {
            Self::Answered(response) => response,
            Self::Dropped => dropped(),
        }
    }
}

/// Closes the connection without sending a byte.
///
/// hyper buffers the head and reads the body before it flushes. If the body fails, hyper closes the connection without
/// sending the head. A test checks this.
fn dropped() -> Response {
    Body::from_stream(stream::once(ready(Err::<Bytes, _>(reset())))).into_response()
}

/// Sends the head and half of the body, and then closes the connection. The yield makes hyper flush the first half.
pub(super) async fn truncated(answer: Response) -> CallOutcome {
    let (mut head, body) = answer.into_parts();
    let body = to_bytes(body, MAX_ANSWER_BYTES).await.unwrap_or_default();
    head.headers
        .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let half = body.slice(..body.len() / 2);
    let broken_half = stream::once(async {
        tokio::task::yield_now().await;
        Err(reset())
    });
    let body = Body::from_stream(stream::once(ready(Ok(half))).chain(broken_half));
    CallOutcome::Answered(Response::from_parts(head, body))
}

pub(super) async fn huge(answer: Response, megabytes: usize) -> CallOutcome {
    let padding = "x".repeat(megabytes.saturating_mul(BYTES_PER_MEGABYTE));
    with_field(answer, &format!("\"padding\":\"{padding}\"")).await
}

/// Adds nested arrays. They are built as text, because dropping a `Value` of this depth would overflow the stack.
pub(super) async fn nested(answer: Response, depth: usize) -> CallOutcome {
    with_field(
        answer,
        &format!("\"nested\":{}{}", "[".repeat(depth), "]".repeat(depth)),
    )
    .await
}

pub(super) async fn overridden(
    answer: Response,
    set: Map<String, Value>,
    remove: &[String],
) -> CallOutcome {
    rewritten(answer, |mut object| {
        object.extend(set);
        object.retain(|field, _| !remove.contains(field));
        Value::Object(object).to_string()
    })
    .await
}

async fn with_field(answer: Response, field: &str) -> CallOutcome {
    rewritten(answer, |object| {
        let text = Value::Object(object).to_string();
        match text.strip_prefix('{') {
            Some("}") | None => format!("{{{field}}}"),
            Some(others) => format!("{{{field},{others}"),
        }
    })
    .await
}

/// Changes the body, and keeps status and headers. A body that is not a JSON object counts as an empty object.
async fn rewritten(
    answer: Response,
    rewrite: impl FnOnce(Map<String, Value>) -> String,
) -> CallOutcome {
    let (mut head, body) = answer.into_parts();
    let body = to_bytes(body, MAX_ANSWER_BYTES).await.unwrap_or_default();
    let object = serde_json::from_slice(&body).unwrap_or_default();
    head.headers.remove(CONTENT_LENGTH);
    CallOutcome::Answered(Response::from_parts(head, Body::from(rewrite(object))))
}

fn reset() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}
