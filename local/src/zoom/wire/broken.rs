//! Answers that no honest server gives.

use std::future::ready;
use std::io;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Map, Value};

const MEGABYTE: usize = 1_000_000;
/// Larger than any answer of ours.
const LARGEST_ANSWER: usize = 1_000_000;

/// What becomes of a call.
pub(super) enum Outcome {
    Answered(Response),
    Dropped,
}

impl Outcome {
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(response) => Some(response.status().as_u16()),
            Self::Dropped => None,
        }
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        match self {
            Self::Answered(response) => response,
            Self::Dropped => dropped(),
        }
    }
}

/// A connection that closes without a byte of answer. hyper writes the head into a buffer, asks for the body before it
/// flushes, and closes when the body fails: nothing was sent. A test holds it to that.
fn dropped() -> Response {
    Body::from_stream(stream::once(ready(Err::<Bytes, _>(reset())))).into_response()
}

/// Head, half of the body, end of the connection. The yield makes hyper flush what it has.
pub(super) async fn truncated(answer: Response) -> Outcome {
    let (mut head, body) = answer.into_parts();
    let body = to_bytes(body, LARGEST_ANSWER).await.unwrap_or_default();
    head.headers
        .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let half = body.slice(..body.len() / 2);
    let torn = stream::once(async {
        tokio::task::yield_now().await;
        Err(reset())
    });
    let body = Body::from_stream(stream::once(ready(Ok(half))).chain(torn));
    Outcome::Answered(Response::from_parts(head, body))
}

pub(super) async fn huge(answer: Response, megabytes: usize) -> Outcome {
    let padding = "x".repeat(megabytes.saturating_mul(MEGABYTE));
    with_field(answer, &format!("\"padding\":\"{padding}\"")).await
}

/// Built as text: a `Value` of this depth would overflow the stack when dropped.
pub(super) async fn nested(answer: Response, depth: usize) -> Outcome {
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
) -> Outcome {
    rewritten(answer, |mut object| {
        object.extend(set);
        object.retain(|field, _| !remove.contains(field));
        Value::Object(object).to_string()
    })
    .await
}

async fn with_field(answer: Response, field: &str) -> Outcome {
    rewritten(answer, |object| {
        let text = Value::Object(object).to_string();
        match text.strip_prefix('{') {
            Some("}") | None => format!("{{{field}}}"),
            Some(others) => format!("{{{field},{others}"),
        }
    })
    .await
}

/// Keeps status and headers. An answer that is no JSON object is taken for an empty one.
async fn rewritten(
    answer: Response,
    rewrite: impl FnOnce(Map<String, Value>) -> String,
) -> Outcome {
    let (mut head, body) = answer.into_parts();
    let body = to_bytes(body, LARGEST_ANSWER).await.unwrap_or_default();
    let object = serde_json::from_slice(&body).unwrap_or_default();
    head.headers.remove(CONTENT_LENGTH);
    Outcome::Answered(Response::from_parts(head, Body::from(rewrite(object))))
}

fn reset() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}
