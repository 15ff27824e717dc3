//! What stands between API Gateway and a handler, in a Lambda as on a laptop: the answer's headers, the
//! one log line, and the panic that becomes a 500.

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
use shared::meter::{self, Service as Called};
use shared::timestamp::Timestamp;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::http::error::{ApiError, ServiceFailure};
use crate::http::pages;
use crate::http::reply::{self, Reply};
use crate::http::request::{Event, Reader, Request};
use crate::metrics::EmbeddedMetrics;

/// How long a Lambda may open connections before it asks for its first event.
const WARM_UP: Duration = Duration::from_secs(1);

/// Runs a Lambda until its sandbox ends. `route` is what the log line calls it.
///
/// `warm` comes first: it opens the connections that requests will use, while Lambda lends a whole CPU. What
/// fails of it or takes too long is left to the requests.
pub async fn run<F>(
    route: &'static str,
    warm: impl Future,
    handler: impl Fn(Request) -> F,
) -> Result<(), lambda_http::Error>
where
    F: Future<Output = Reply> + Send,
{
    // tests/measure/startup.py weighs what lies between these two lines apart.
    tracing::debug!("opening connections");
    tokio::time::timeout(WARM_UP, warm).await.ok();
    tracing::debug!("opened connections");
    lambda_http::lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| async {
        Ok::<_, Infallible>(invoke(route, event, &handler).await)
    }))
    .await
}

/// Runs a Lambda that a schedule invokes, until its sandbox ends. The handler is given the deadline and the id of each
/// invocation; what it answers is seen by whoever invokes the function by hand. `warm` is as in [`run`].
pub async fn run_scheduled<F, T, E>(
    warm: impl Future,
    handler: impl Fn(Timestamp, String) -> F,
) -> Result<(), lambda_http::Error>
where
    F: Future<Output = Result<T, E>>,
    T: Serialize,
    E: Into<lambda_http::Error>,
{
    tokio::time::timeout(WARM_UP, warm).await.ok();
    lambda_http::lambda_runtime::run(service_fn(|event: LambdaEvent<IgnoredAny>| {
        let context = event.context;
        let report = handler(deadline(&context), context.request_id);
        async { report.await.map_err(Into::into) }
    }))
    .await
}

/// Runs a Lambda that a stream invokes, until its sandbox ends. The handler is given each batch, and the deadline and
/// the id of the invocation; what it answers says where the next begins. `warm` is as in [`run`].
pub async fn run_stream<F, B, T>(
    warm: impl Future,
    handler: impl Fn(B, Timestamp, String) -> F,
) -> Result<(), lambda_http::Error>
where
    F: Future<Output = T>,
    B: DeserializeOwned,
    T: Serialize,
{
    tokio::time::timeout(WARM_UP, warm).await.ok();
    lambda_http::lambda_runtime::run(service_fn(|event: LambdaEvent<B>| {
        // Boxed: the SDK's futures nest deeper than the compiler computes layouts for.
        let context = event.context;
        let report = handler(event.payload, deadline(&context), context.request_id);
        let report = Box::pin(report);
        async { Ok::<_, Infallible>(report.await) }
    }))
    .await
}

/// When an invocation is stopped.
fn deadline(context: &Context) -> Timestamp {
    Timestamp::from_millis(i64::try_from(context.deadline).unwrap_or(i64::MAX))
}

/// Handles one event: API Gateway's event in, its answer out, never an error.
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
    let (trail, invocation) = (request.trail().clone(), request.invocation().clone());

    // Boxed: the SDK's futures nest deeper than the compiler computes layouts for.
    let outcome = AssertUnwindSafe(handler(request).boxed()).catch_unwind();
    let reply = meter::measure(trail.meter.clone(), outcome).await;
    let reply = reply.unwrap_or_else(|_| Err(ApiError::internal("the handler panicked")));
    let error = reply.as_ref().err();
    let outcome = error.and_then(ApiError::service_failure);
    let (code, cause) = (error.map(ApiError::code), error.and_then(ApiError::cause));
    let mut response = reply.unwrap_or_else(|error| match trail.reader.get() {
        Some(Reader::PlainText) => reply::plain_error(&error),
        Some(Reader::Browser) => pages::error(&error, trail.turned_away.get()),
        None => reply::error(&error),
    });

    let headers = response.headers_mut();
    headers.extend(reply::security_headers());
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-request-id", id);
    }
    if let Some(admission) = trail.admission.get() {
        headers.insert("x-ratelimit-limit", admission.limit.into());
        headers.insert("x-ratelimit-remaining", admission.remaining.into());
        headers.insert("x-ratelimit-reset", admission.reset.into());
    }

    let line = Line {
        request_id: &id,
        route,
        team: trail.team.get().map(ToString::to_string),
        credential_id: trail.credential.get().map(ToString::to_string),
        status: response.status().as_u16(),
        latency_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        dynamodb_calls: trail.meter.calls(Called::DynamoDb),
        kms_calls: trail.meter.calls(Called::Kms),
        zoom_calls: trail.meter.calls(Called::Zoom),
        outcome,
        activity: invocation.activity().counts(),
    };
    line.log(code, cause.as_deref());
    proxied(response)
}

/// An answer as API Gateway takes it.
fn proxied(response: Response<String>) -> ApiGatewayProxyResponse {
    let (parts, body) = response.into_parts();
    let mut answer = ApiGatewayProxyResponse::default();
    answer.status_code = parts.status.as_u16().into();
    answer.multi_value_headers = parts.headers;
    answer.body = Some(Body::Text(body));
    answer
}

/// What is said of every request, once. Its numbers are metrics: see [`mod@crate::metrics`].
struct Line<'a> {
    request_id: &'a str,
    route: &'static str,
    team: Option<String>,
    credential_id: Option<String>,
    status: u16,
    latency_ms: u64,
    dynamodb_calls: u32,
    kms_calls: u32,
    zoom_calls: u32,
    outcome: Option<ServiceFailure>,
    activity: ActivityCounts,
}

impl Line<'_> {
    /// At info, and where the fault is not the caller's at error; with the code and the cause of a failure.
    fn log(&self, code: Option<&str>, cause: Option<&str>) {
        let counted = |outcome| (self.outcome == Some(outcome)).then_some(1);
        macro_rules! line {
            ($level:ident, $words:literal) => {
                tracing::$level!(
                    request_id = self.request_id,
                    route = self.route,
                    team = self.team,
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
                    webhook_refused = counted(ServiceFailure::WebhookRefused),
                    $words
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

/// Says of a panic where it was, and not what: its words may quote what the code held.
pub fn hush_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        tracing::error!(at, "panicked");
    }));
}

/// Logs on standard output: as JSON lines with the metrics of `AWS_LAMBDA_FUNCTION_NAME` in them, or as text where
/// `AWS_LAMBDA_LOG_FORMAT` is `Text`; from `AWS_LAMBDA_LOG_LEVEL` (default `INFO`) up.
///
/// Libraries are heard at `INFO` at the most, whatever the level: below that, Lambda's own runtime logs events
/// whole, API key, client secret and code included.
pub fn init_logging() {
    hush_panics();
    let level = config::optional("AWS_LAMBDA_LOG_LEVEL").and_then(|level| level.parse().ok());
    let level = level.unwrap_or(Level::INFO);
    let heard = Targets::new()
        .with_default(level.min(Level::INFO))
        .with_targets([("functions", level), ("shared", level)]);
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false);
    // Fails only where a subscriber is installed already, which then is the one to use.
    if config::optional("AWS_LAMBDA_LOG_FORMAT")
        .is_some_and(|format| format.eq_ignore_ascii_case("text"))
    {
        let text = builder.with_ansi(false).finish();
        text.with(heard).try_init().ok();
    } else {
        let function = config::optional("AWS_LAMBDA_FUNCTION_NAME");
        let json = builder
            .event_format(EmbeddedMetrics::new(function))
            .finish();
        json.with(heard).try_init().ok();
    }
}
