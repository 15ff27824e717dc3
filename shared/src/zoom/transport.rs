//! Sends a request to Zoom and reads the answer.

use std::time::{Duration, Instant};

use reqwest::{Client, Request, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::answer::{self, ErrorAnswer};
use super::connection::Connection;
use super::error::{Error, Fault};
use crate::meter::{self, Service};

/// A call is repeated only if Zoom has at least this long to answer.
const MIN_REPEAT_TIME: Duration = Duration::from_secs(1);
/// Longest tracking id that is kept.
const MAX_TRACKING_ID_BYTES: usize = 128;

/// What Zoom answered to a request.
pub(super) enum Answer<T> {
    /// A status of 2xx, with the parsed body and Zoom's id of the call.
    Success(T, Option<String>),
    /// Any other status except a redirect, or a status of 2xx with Zoom's error object.
    Refusal(Box<ErrorAnswer>),
}

/// Sends a request once and reads the answer. An `Err` is a fault that says nothing about the request itself.
pub(super) async fn call<T: DeserializeOwned>(request: RequestBuilder) -> Result<Answer<T>, Error> {
    let (client, request) = request.build_split();
    execute(&client, request.map_err(without_answer)?).await
}

/// As [`call`], for a request that Zoom may receive twice. If the connection breaks, the request is sent once more, on
/// a new connection of `fresh`. Both tries together take at most `timeout`.
///
/// A reused connection may have been closed while the Lambda was frozen. So a broken connection says nothing about
/// Zoom.
pub(super) async fn call_repeatable<T: DeserializeOwned>(
    request: RequestBuilder,
    fresh: &Client,
    timeout: Duration,
) -> Result<Answer<T>, Error> {
    let began = Instant::now();
    let (client, request) = request.timeout(timeout).build_split();
    let request = request.map_err(without_answer)?;
    let again = request.try_clone();
    let broken = match execute(&client, request).await {
        Err(error) if error.is_broken_connection() => error,
        answer => return answer,
    };
    let time_left = timeout.saturating_sub(began.elapsed());
    match again {
        Some(mut again) if time_left >= MIN_REPEAT_TIME => {
            *again.timeout_mut() = Some(time_left);
            execute(fresh, again).await
        }
        Some(_) | None => Err(broken),
    }
}

async fn execute<T: DeserializeOwned>(
    client: &Client,
    request: Request,
) -> Result<Answer<T>, Error> {
    meter::count(Service::Zoom);
    read(client.execute(request).await.map_err(without_answer)?).await
}

/// As [`call`], on an open connection.
pub(super) async fn call_on<T: DeserializeOwned>(
    connection: Connection,
    request: RequestBuilder,
    time_left: Duration,
) -> Result<Answer<T>, Error> {
    let request = request.build().map_err(without_answer)?;
    meter::count(Service::Zoom);
    let answer = async { read(connection.send(request).await?).await };
    timeout(time_left, answer)
        .await
        .unwrap_or(Err(Error::Timeout))
}

/// Reads the answer of a server.
pub(super) async fn read<T: DeserializeOwned>(response: Response) -> Result<Answer<T>, Error> {
    let status = response.status();
    let tracking_id = tracking_id(&response);
    let failed = |source| Error::Failed {
        source,
        tracking_id: tracking_id.clone(),
    };
    if status.is_redirection() {
        return Err(failed(Fault::Status {
            status: status.as_u16(),
            code: None,
        }));
    }
    let refusal = ErrorAnswer::from_head(&response, tracking_id.clone());
    let body = match answer::body(response).await {
        Ok(body) => body,
        Err(answer::ReadError::TooLong) => return Err(failed(Fault::AnswerTooLong)),
        Err(answer::ReadError::Gzip) => return Err(failed(Fault::MalformedAnswer)),
        Err(answer::ReadError::Connection(error)) if error.is_timeout() => {
            return Err(Error::Timeout);
        }
        Err(answer::ReadError::Connection(error)) => {
            return Err(failed(Fault::ConnectionBroken(error.without_url().into())));
        }
    };
    if status.is_success()
        && let Some(parsed) = answer::object(&body)
    {
        return Ok(Answer::Success(parsed, tracking_id));
    }
    let refusal = refusal.with_body(&body);
    if status.is_success() && refusal.code().is_none() {
        return Err(failed(Fault::MalformedAnswer));
    }
    Ok(Answer::Refusal(Box::new(refusal)))
}

/// The error of a request that received no answer.
fn without_answer(error: reqwest::Error) -> Error {
    let error = error.without_url();
    if error.is_connect() {
        Error::Unreachable(error.into())
    } else if error.is_timeout() {
        Error::Timeout
    } else {
        Error::Failed {
            source: Fault::ConnectionBroken(error.into()),
            tracking_id: None,
        }
    }
}

/// Zoom's id of the call, for Zoom's support.
fn tracking_id(response: &Response) -> Option<String> {
    let id = response.headers().get("x-zm-trackingid")?.to_str().ok()?;
    let is_printable =
        id.len() <= MAX_TRACKING_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic());
    is_printable.then(|| id.to_owned())
}

/// `path` below the base URL, which may have a path of its own.
pub(super) fn join_path(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let prefix = base.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{prefix}{path}"));
    url
}
