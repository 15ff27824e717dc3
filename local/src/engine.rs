//! The DynamoDB-compatible engine: dynoxide, in this process, over HTTP.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

pub use dynoxide::Database;
use dynoxide::actions::get_records::GetRecordsRequest;
use dynoxide::actions::get_shard_iterator::GetShardIteratorRequest;
use dynoxide::streams::{shard_id, stream_arn};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// How often rows past their TTL are swept. AWS promises a few days; people watching do not wait so long.
const SWEEP: Duration = Duration::from_mins(1);

/// Why the engine could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened, or is none of the engine's.
    #[error("cannot open the database: {0}")]
    Open(String),
    /// The server ended.
    #[error("the database server ended: {0}")]
    Serve(String),
    /// The table has no stream, or the engine cannot read it.
    #[error("cannot read the stream: {0}")]
    Stream(String),
}

/// Opens the engine: in a file, or in memory.
pub fn open(file: Option<&Path>) -> Result<Database, Error> {
    let database = match file {
        Some(file) => Database::new(&file.to_string_lossy()),
        None => Database::memory(),
    };
    database.map_err(|error| Error::Open(error.to_string()))
}

/// Serves the engine until `shutdown`, and sweeps what is past its TTL meanwhile.
pub async fn serve(
    listener: TcpListener,
    database: Database,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let swept = database.clone();
    let sweeper = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(SWEEP);
        loop {
            ticks.tick().await;
            let swept = swept.clone();
            let done = tokio::task::spawn_blocking(move || swept.sweep_ttl()).await;
            if let Ok(Err(error)) = done {
                tracing::warn!(%error, "rows past their TTL were not swept");
            }
        }
    });
    let served = dynoxide::server::serve_with_shutdown(listener, database, shutdown).await;
    sweeper.abort();
    served.map_err(Error::Serve)
}

/// The stream of a table, from its beginning.
pub struct Stream {
    database: Database,
    at: String,
    next: Option<String>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Stream");
        shown.field("at", &self.at).finish_non_exhaustive()
    }
}

impl Stream {
    /// Of a table that was made with one.
    pub fn open(database: Database, table: &str) -> Result<Self, Error> {
        let begin = GetShardIteratorRequest {
            // The engine tells streams apart by their tables, and not by their labels.
            stream_arn: stream_arn(table, ""),
            shard_id: shard_id(table),
            shard_iterator_type: "TRIM_HORIZON".to_owned(),
            sequence_number: None,
        };
        let made = database.get_shard_iterator(begin);
        let at = made.map_err(unreadable)?.shard_iterator;
        Ok(Self {
            database,
            at: at.ok_or_else(|| unreadable("no iterator"))?,
            next: None,
        })
    }

    /// The records that come next, as Lambda gives them to a function, if there are any. The same again, until
    /// [`Self::advance`].
    pub fn batch(&mut self) -> Result<Option<Value>, Error> {
        let wanted = GetRecordsRequest {
            shard_iterator: self.at.clone(),
            limit: Some(100),
        };
        let found = self.database.get_records(wanted).map_err(unreadable)?;
        self.next = found.next_shard_iterator;
        Ok((!found.records.is_empty()).then(|| json!({ "Records": found.records })))
    }

    /// Goes past the records that were read last.
    pub fn advance(&mut self) {
        if let Some(next) = self.next.take() {
            self.at = next;
        }
    }
}

fn unreadable(error: impl fmt::Display) -> Error {
    Error::Stream(error.to_string())
}
