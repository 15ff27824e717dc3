//! Runs a handler between API Gateway's event and its answer: adds the answer's headers, writes one log line a request,
//! and turns a panic into a 500. The Lambdas and the local gateway share this code.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use http::{HeaderValue, Response};
use lambda_http::aws_lambda_events::apigw::ApiGatewayProxyResponse;
use lambda_http::{Body, Context, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use shared::config;
use shared::invocation::ActivityCounts;
use shared::meter::{self, Service};
use shared::timestamp::Timestamp;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::endpoints::{Endpoint, Function};
use crate::http::error::{ApiError, ServiceFailure};
use crate::http::pages;
use crate::http::reply::{self, Reply};
use crate::http::request::{ErrorFormat, Event, Request};
use crate::metrics::EmbeddedMetrics;
use crate::powers::ProcessEnvironment;

/// How long a Lambda may take to open connections before it asks for its first event.
const WARM_UP_TIME: Duration = Duration::from_secs(1);

/// Starts the log, and builds a function's powers from the process's environment.
pub fn start<F: Function>() -> Result<F, config::Error> {
    init_logging();
    F::new(&ProcessEnvironment::new()?)
}

/// Runs the Lambda of an endpoint until its sandbox ends. This is all of its `main`.
///
/// The connections that requests will use are opened first, while Lambda lends a whole CPU. Requests open the
/// connections that fail or take too long.
pub async fn run<E: Endpoint>() -> Result<(), lambda_http::Error> {
    let endpoint = &start::<E>()?;
    // tests/measure/startup.py measures the time between these two lines separately.
    tracing::debug!("opening connections");
    tokio::time::timeout(WARM_UP_TIME, endpoint.warm())
        .await
        .ok();
    tracing::debug!("opened connections");
    let handler = |request: Request| async move { endpoint.handle(&request).await };
    lambda_http::lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| async {
        Ok::<_, Infallible>(invoke(E::ROUTE, event, handler).await)
    }))
    .await
}

/// Runs a Lambda that a schedule invokes, until its sandbox ends. The handler gets the deadline and the id of each
/// invocation. A person who invokes the function by hand sees its answer. `warm` opens connections, as in [`run`].
pub async fn run_scheduled<F, T, E>(
    warm: impl Future,
    handler: impl Fn(Timestamp, String) -> F,
) -> Result<(), lambda_http::Error>
where
    F: Future<Output = Result<T, E>>,
    T: Serialize,
    E: Into<lambda_http::Error>,
{
    tokio::time::timeout(WARM_UP_TIME, warm).await.ok();
    lambda_http::lambda_runtime::run(service_fn(|event: LambdaEvent<IgnoredAny>| {
        let context = event.context;
        // Boxed, as below.
        let report = Box::pin(handler(deadline(&context), context.request_id));
        async { report.await.map_err(Into::into) }
    }))
    .await
}

/// Runs a Lambda that a stream or a queue invokes, until its sandbox ends. The handler gets each batch, and the
/// deadline and the id of the invocation. Its answer tells Lambda what to repeat. `warm` opens connections, as in
/// [`run`].
pub async fn run_batches<F, B, T>(
    warm: impl Future,
    handler: impl Fn(B, Timestamp, String) -> F,
) -> Result<(), lambda_http::Error>
where
    F: Future<Output = T>,
    B: DeserializeOwned,
    T: Serialize,
{
    tokio::time::timeout(WARM_UP_TIME, warm).await.ok();
    lambda_http::lambda_runtime::run(service_fn(|event: LambdaEvent<B>| {
        // Boxed: the SDK's futures nest deeper than the compiler computes layouts for.
        let context = event.context;
        let report = handler(event.payload, deadline(&context), context.request_id);
        let report = Box::pin(report);
        async { Ok::<_, Infallible>(report.await) }
    }))
    .await
}

/// When Lambda stops an invocation.
fn deadline(context: &Context) -> Timestamp {
    Timestamp::from_millis(i64::try_from(context.deadline).unwrap_or(i64::MAX))
}

/// Handles one event of API Gateway. A failure is an answer too.
pub async fn invoke<F>(
    route: &'static str,
    event: LambdaEvent<Event>,
    handler: impl FnOnce(Request) -> F,
) -> ApiGatewayProxyResponse
where
    F: Future<Output = Reply> + Send,
{
    let started = Instant::now();
    let deadline = deadline(&event.context);
    let request = Request::new(event.payload, event.context.request_id, deadline);
    let id = request.id().to_owned();
    let (record, invocation) = (request.record().clone(), request.invocation().clone());

    // Boxed: the SDK's futures nest deeper than the compiler computes layouts for.
    let answer = AssertUnwindSafe(handler(request).boxed()).catch_unwind();
    let reply = meter::measure(record.meter.clone(), answer).await;
    let reply = reply.unwrap_or_else(|_| Err(ApiError::internal("the handler panicked")));
    let error = reply.as_ref().err();
    let service_failure = error.and_then(ApiError::service_failure);
    let (code, cause) = (error.map(ApiError::code), error.and_then(ApiError::cause));
    let mut response = reply.unwrap_or_else(|error| match record.error_format.get() {
        Some(ErrorFormat::PlainText) => reply::plain_error(&error),
        Some(ErrorFormat::Page) => pages::error(&error, record.failed_connect.get()),
        None => reply::error(&error),
    });

    let headers = response.headers_mut();
    for (name, value) in reply::security_headers() {
        // The console's files may be kept by browsers.
        headers.entry(name).or_insert(value);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-request-id", id);
    }
    if record.is_replay.get().is_some() {
        let replayed = HeaderValue::from_static("true");
        headers.insert("idempotent-replayed", replayed);
    }
    if let Some(admission) = record.admission.get() {
        headers.insert("x-ratelimit-limit", admission.limit.into());
        headers.insert("x-ratelimit-remaining", admission.remaining.into());
        headers.insert("x-ratelimit-reset", admission.reset.into());
    }

    let line = RequestLine {
        request_id: &id,
        route,
        team: record.team.get().map(ToString::to_string),
        key_id: record.key.get().map(ToString::to_string),
        credential_id: record.credential.get().map(ToString::to_string),
        status: response.status().as_u16(),
        latency_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        dynamodb_calls: record.meter.calls(Service::DynamoDb),
        kms_calls: record.meter.calls(Service::Kms),
        zoom_calls: record.meter.calls(Service::Zoom),
        service_failure,
        activity: invocation.activity().counts(),
    };
    line.log(code, cause.as_deref());
    proxied(response)
}

/// An answer in API Gateway's format.
fn proxied(response: Response<String>) -> ApiGatewayProxyResponse {
    let (parts, body) = response.into_parts();
    let mut answer = ApiGatewayProxyResponse::default();
    answer.status_code = parts.status.as_u16().into();
    answer.multi_value_headers = parts.headers;
    answer.body = Some(Body::Text(body));
    answer
}

/// The log line of a request. Its numbers are metrics: see [`mod@crate::metrics`].
struct RequestLine<'a> {
    request_id: &'a str,
    route: &'static str,
    team: Option<String>,
    key_id: Option<String>,
    credential_id: Option<String>,
    status: u16,
    latency_ms: u64,
    dynamodb_calls: u32,
    kms_calls: u32,
    zoom_calls: u32,
    service_failure: Option<ServiceFailure>,
    activity: ActivityCounts,
}

impl RequestLine<'_> {
    /// Logs the line: at the level error if the status is 5xx, and at info otherwise. `code` and `cause` describe a
    /// failure.
    fn log(&self, code: Option<&str>, cause: Option<&str>) {
        let counted = |failure| (self.service_failure == Some(failure)).then_some(1);
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    request_id = self.request_id,
                    route = self.route,
                    team = self.team,
                    key_id = self.key_id,
                    credential_id = self.credential_id,
                    status = self.status,
                    code,
                    cause,
                    latency_ms = self.latency_ms,
                    dynamodb_calls = self.dynamodb_calls,
                    kms_calls = self.kms_calls,
                    zoom_calls = self.zoom_calls,
                    kms_failed = counted(ServiceFailure::KmsFailed),
                    zoom_failed = counted(ServiceFailure::ZoomFailed),
                    zoom_silent = counted(ServiceFailure::ZoomSilent),
                    zoom_limited = counted(ServiceFailure::ZoomLimited),
                    zoom_app_refused = counted(ServiceFailure::ZoomAppRefused),
                    zoom_grant_refused = counted(ServiceFailure::ZoomGrantRefused),
                    minted = self.activity.minted,
                    refreshed = self.activity.refreshed,
                    turned_invalid = self.activity.turned_invalid,
                    refresh_outcome_lost = self.activity.outcome_lost,
                    deauthorized = self.activity.deauthorized,
                    user_replaced = self.activity.user_replaced,
                    webhook_refused = counted(ServiceFailure::WebhookRefused),
                    $message
                )
            };
        }
        if self.status < 500 {
            line!(info, "request");
        } else {
            line!(error, "request failed");
        }
    }
}

/// Logs the place of a panic, and not its message, because the message may quote a secret.
pub fn hush_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        tracing::error!(at, "panicked");
    }));
}

/// Logs on standard output, from the level `AWS_LAMBDA_LOG_LEVEL` up (default `INFO`). The lines are JSON and contain
/// the metrics of the stack `STACK_NAME`. If `AWS_LAMBDA_LOG_FORMAT` is `Text`, they are text.
///
/// Libraries log at `INFO` or above only. Below `INFO`, Lambda's own runtime logs whole events, with API keys, client
/// secrets and codes.
pub fn init_logging() {
    hush_panics();
    let level = config::optional("AWS_LAMBDA_LOG_LEVEL").and_then(|level| level.parse().ok());
    let level = level.unwrap_or(Level::INFO);
    let targets = Targets::new()
        .with_default(level.min(Level::INFO))
        .with_targets([("functions", level), ("shared", level)]);
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false);
    // `try_init` fails only if a subscriber is installed already. Then that subscriber is used.
    if config::optional("AWS_LAMBDA_LOG_FORMAT")
        .is_some_and(|format| format.eq_ignore_ascii_case("text"))
    {
        let text = builder.with_ansi(false).finish();
        text.with(targets).try_init().ok();
    } else {
        let stack = config::optional("STACK_NAME");
        let json = builder.event_format(EmbeddedMetrics::new(stack)).finish();
        json.with(targets).try_init().ok();
    }
}
