//! The log as JSON lines, and the metrics in them: CloudWatch's embedded metric format.
//!
//! CloudWatch reads metrics out of a line that says in `_aws` which of its fields are some. So a metric is a field
//! of a log line whose name is among `METRICS`, and costs no call.

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

/// What CloudWatch finds them under, by function.
const NAMESPACE: &str = "ZoomCredentials";

/// Every field that is a metric, and its unit.
const METRICS: [(&str, &str); 20] = [
    ("latency_ms", "Milliseconds"),
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
    ("keep_alive_left", "Count"),
];

/// Formats each event as one line of JSON, its fields at the top; as metrics too, where it has any.
#[derive(Debug)]
pub struct EmbeddedMetrics {
    function: Option<String>,
}

impl EmbeddedMetrics {
    /// `function` is the Lambda whose metrics they are; outside of one, numbers are just numbers.
    pub fn new(function: Option<String>) -> Self {
        Self { function }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: Timestamp,
    level: SerializeLevel<'a>,
    #[serde(flatten)]
    fields: SerializeFieldMap<'a, Event<'a>>,
    #[serde(flatten)]
    metrics: Option<Directive<'a>>,
}

/// What makes a line's fields metrics.
#[derive(Serialize)]
struct Directive<'a> {
    /// Their one dimension.
    function: &'a str,
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
        let mut present = Present::default();
        event.record(&mut present);
        let function = self.function.as_deref().filter(|_| !present.0.is_empty());
        let line = Line {
            timestamp,
            level: event.metadata().level().as_serde(),
            fields: event.field_map(),
            metrics: function.map(|function| Directive {
                function,
                _aws: json!({
                    "Timestamp": timestamp.as_millis(),
                    "CloudWatchMetrics": [{
                        "Namespace": NAMESPACE,
                        "Dimensions": [["function"]],
                        "Metrics": present.0,
                    }],
                }),
            }),
        };
        let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// The metrics that an event has, as the directive names them.
#[derive(Default)]
struct Present(Vec<Value>);

impl Visit for Present {
    fn record_debug(&mut self, field: &Field, _: &dyn fmt::Debug) {
        let metric = METRICS.iter().find(|(name, _)| *name == field.name());
        self.0
            .extend(metric.map(|(name, unit)| json!({ "Name": name, "Unit": unit })));
    }
}
