//! The log as JSON lines, and the metrics in them: CloudWatch's embedded metric format.
//!
//! A log line lists in its field `_aws` which of its fields are metrics, and CloudWatch reads them from there. Every
//! field whose name is in `METRICS` is a metric. So a metric costs no call. All functions of a stack write the same
//! metrics: CloudWatch bills each combination of a name and a dimension, and an alarm needs one sum.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};
use shared::timestamp::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_serde::fields::{AsMap, SerializeFieldMap};
use tracing_serde::{AsSerde, SerializeLevel};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// CloudWatch's namespace of the metrics.
const NAMESPACE: &str = "ZoomCredentials";

/// The fields that are metrics, with their units.
const METRICS: [(&str, &str); 28] = [
    ("dynamodb_calls", "Count"),
    ("kms_calls", "Count"),
    ("zoom_calls", "Count"),
    ("kms_failed", "Count"),
    ("zoom_failed", "Count"),
    ("zoom_silent", "Count"),
    ("zoom_limited", "Count"),
    ("zoom_app_refused", "Count"),
    ("zoom_grant_refused", "Count"),
    ("minted", "Count"),
    ("refreshed", "Count"),
    ("turned_invalid", "Count"),
    ("refresh_outcome_lost", "Count"),
    ("deauthorized", "Count"),
    ("webhook_refused", "Count"),
    ("grants_not_stored", "Count"),
    ("kept_alive", "Count"),
    ("keep_alive_failed", "Count"),
    ("keep_alive_put_off", "Count"),
    ("keep_alive_left", "Count"),
    ("keep_alive_overdue", "Seconds"),
    ("pair_counts_wrong", "Count"),
    ("stream_records_skipped", "Count"),
    ("two_grants_alive", "Count"),
    ("unreadable_rows", "Count"),
    ("notifications_delivered", "Count"),
    ("notification_attempts_failed", "Count"),
    ("notifications_lost", "Count"),
];

/// Formats each log event as one line of JSON, with its fields at the top level. Adds `_aws` if a field is a metric.
#[derive(Debug)]
pub struct EmbeddedMetrics {
    stack: Option<String>,
}

impl EmbeddedMetrics {
    /// `stack` names the stack whose metrics these are. Without it, no line has metrics.
    pub fn new(stack: Option<String>) -> Self {
        Self { stack }
    }
}

#[derive(Serialize)]
struct JsonLine<'a> {
    timestamp: Timestamp,
    level: SerializeLevel<'a>,
    /// The release of the vault that wrote the line.
    version: &'static str,
    #[serde(flatten)]
    fields: SerializeFieldMap<'a, Event<'a>>,
    #[serde(flatten)]
    metrics: Option<Directive<'a>>,
}

/// The part of a line that makes its fields metrics.
#[derive(Serialize)]
struct Directive<'a> {
    /// The only dimension of the metrics.
    stack: &'a str,
    _aws: Value,
}

impl<S, N> FormatEvent<S, N> for EmbeddedMetrics
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let timestamp = Timestamp::now();
        let mut present = PresentMetrics::default();
        event.record(&mut present);
        let stack = self.stack.as_deref().filter(|_| !present.0.is_empty());
        let line = JsonLine {
            timestamp,
            level: event.metadata().level().as_serde(),
            version: env!("CARGO_PKG_VERSION"),
            fields: event.field_map(),
            metrics: stack.map(|stack| Directive {
                stack,
                _aws: json!({
                    "Timestamp": timestamp.as_millis(),
                    "CloudWatchMetrics": [{
                        "Namespace": NAMESPACE,
                        "Dimensions": [["stack"]],
                        "Metrics": present.0,
                    }],
                }),
            }),
        };
        let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// The metrics among an event's fields, in CloudWatch's format.
#[derive(Default)]
struct PresentMetrics(Vec<Value>);

impl Visit for PresentMetrics {
    fn record_debug(&mut self, field: &Field, _: &dyn fmt::Debug) {
        let metric = METRICS.iter().find(|(name, _)| *name == field.name());
        self.0
            .extend(metric.map(|(name, unit)| json!({ "Name": name, "Unit": unit })));
    }
}
