//! What is logged on the thread of a test.

use std::cell::RefCell;
use std::io::Write;
use std::sync::{Arc, Mutex, Once};

use functions::metrics::EmbeddedMetrics;
use serde_json::Value;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

thread_local! {
    /// Where this thread's log goes, and from which level. Each test has its own thread.
    static RECORDING: RefCell<Option<(Level, Log)>> = const { RefCell::new(None) };
}

/// Everything that is logged on this thread while a recording runs.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

/// Ends the recording when dropped.
pub(crate) struct Recording;

impl Drop for Recording {
    fn drop(&mut self) {
        RECORDING.set(None);
    }
}

impl Log {
    /// Logs as the functions do, into this log, until the guard is dropped.
    ///
    /// One subscriber serves all tests. If subscribers came and went with the threads, `tracing` would sometimes forget
    /// the levels of the other threads.
    pub(crate) fn record(&self, level: Level) -> Recording {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let heard = |metadata: &Metadata<'_>| {
                RECORDING.with_borrow(|it| {
                    it.as_ref()
                        .is_some_and(|(level, _)| metadata.level() <= level)
                })
            };
            let format = EmbeddedMetrics::new(Some("a-stack".to_owned()));
            let lines = fmt::layer().event_format(format).with_writer(|| {
                RECORDING
                    .with_borrow(|it| it.as_ref().map(|(_, log)| log.clone()).unwrap_or_default())
            });
            let filter = dynamic_filter_fn(move |metadata, _| heard(metadata));
            tracing_subscriber::registry()
                .with(lines.with_filter(filter))
                .init();
        });
        RECORDING.set(Some((level, self.clone())));
        Recording
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    /// The log lines of requests.
    pub(crate) fn requests(&self) -> Vec<Value> {
        let lines: Vec<Value> = String::from_utf8(self.bytes())
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        lines
            .into_iter()
            .filter(|line| line.get("route").is_some())
            .collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
