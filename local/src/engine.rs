//! The DynamoDB-compatible engine: dynoxide, in this process, served over HTTP.

use std::fmt;
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Router};
use dynoxide::actions::get_records::GetRecordsRequest;
use dynoxide::actions::get_shard_iterator::GetShardIteratorRequest;
use dynoxide::streams::{shard_id, stream_arn};
pub use dynoxide::{Database, ImportOptions};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use shared::cause::chain;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// How often the engine deletes rows past their TTL. AWS takes up to a few days; a developer wants to see it happen.
const TTL_SWEEP_INTERVAL: Duration = Duration::from_mins(1);
/// The largest batch of stream records.
const MAX_BATCH_RECORDS: usize = 100;

/// Why the engine could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened, or is not a database of this engine.
    #[error("cannot open the database: {0}")]
    Open(String),
    /// The HTTP server stopped.
    #[error("the database server stopped: {0}")]
    Serve(String),
    /// The table has no stream, or the engine cannot read it.
    #[error("cannot read the stream: {0}")]
    Stream(String),
}

/// Opens a database in this file, or in memory.
pub fn open(file: Option<&Path>) -> Result<Database, Error> {
    let database = match file {
        Some(file) => Database::new(&file.to_string_lossy()),
        None => Database::memory(),
    };
    database.map_err(|error| Error::Open(error.to_string()))
}

/// The database as a router, for a server that checks requests first.
///
/// dynoxide serves only a listener, and answers everybody who connects to it. So each request gets a listener of its
/// own. Nobody else knows its port, and it closes with the answer.
pub fn router(database: Database) -> Router {
    Router::new().fallback(async move |request: Request| {
        let answer = answer(database.clone(), request).await;
        answer.unwrap_or_else(|error| {
            tracing::error!(cause = chain(&*error), "the database engine did not answer");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        })
    })
}

async fn answer(database: Database, request: Request) -> Result<Response, BoxError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let stream = TcpStream::connect(listener.local_addr()?).await?;
    // Otherwise the operating system would keep the two ports of each request for a minute.
    stream.set_zero_linger()?;
    let (answered, is_answered) = oneshot::channel::<()>();
    let shutdown = async {
        // An error means that the answer has arrived, or that nobody waits for it.
        is_answered.await.ok();
    };
    tokio::spawn(dynoxide::server::serve_with_shutdown(
        listener, database, shutdown,
    ));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    drop(answered);
    let body = body.collect().await?.to_bytes();
    Ok(Response::from_parts(head, Body::from(body)))
}

/// Serves the database until `shutdown`, and deletes rows past their TTL.
pub async fn serve(
    listener: TcpListener,
    database: Database,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let sweeper = tokio::spawn(sweep_expired(database.clone()));
    let served = dynoxide::server::serve_with_shutdown(listener, database, shutdown).await;
    sweeper.abort();
    served.map_err(Error::Serve)
}

/// Deletes rows past their TTL, for ever.
pub async fn sweep_expired(database: Database) {
    let mut ticks = tokio::time::interval(TTL_SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        let database = database.clone();
        let swept = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
        if let Ok(Err(error)) = swept {
            tracing::warn!(%error, "cannot delete the rows past their TTL");
        }
    }
}

/// Reads the stream of a table.
pub struct Stream {
    database: Database,
    /// The iterator of the current batch.
    iterator: String,
    /// The iterator after the current batch.
    next_iterator: Option<String>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Stream");
        debug
            .field("iterator", &self.iterator)
            .finish_non_exhaustive()
    }
}

impl Stream {
    /// Opens the stream of a table at its beginning. Fails if the table was created without a stream.
    pub fn open(database: Database, table: &str) -> Result<Self, Error> {
        Self::open_at(database, table, "TRIM_HORIZON")
    }

    /// Opens the stream of a table after its last record: for a function whose work must not be repeated at each start.
    pub fn open_at_end(database: Database, table: &str) -> Result<Self, Error> {
        Self::open_at(database, table, "LATEST")
    }

    fn open_at(database: Database, table: &str, position: &str) -> Result<Self, Error> {
        let request = GetShardIteratorRequest {
            // The engine identifies a stream by its table, and ignores the label in the ARN.
            stream_arn: stream_arn(table, ""),
            shard_id: shard_id(table),
            shard_iterator_type: position.to_owned(),
            sequence_number: None,
        };
        let answer = database.get_shard_iterator(request);
        let iterator = answer.map_err(unreadable)?.shard_iterator;
        Ok(Self {
            database,
            iterator: iterator.ok_or_else(|| unreadable("no iterator"))?,
            next_iterator: None,
        })
    }

    /// The next records, in the form in which Lambda passes them to a function; `None` if there are none.
    ///
    /// Returns the same records again until [`Self::advance`] is called.
    pub fn batch(&mut self) -> Result<Option<Value>, Error> {
        let request = GetRecordsRequest {
            shard_iterator: self.iterator.clone(),
            limit: Some(MAX_BATCH_RECORDS),
        };
        let answer = self.database.get_records(request).map_err(unreadable)?;
        self.next_iterator = answer.next_shard_iterator;
        Ok((!answer.records.is_empty()).then(|| json!({ "Records": answer.records })))
    }

    /// Moves past the records of the last batch.
    pub fn advance(&mut self) {
        if let Some(next) = self.next_iterator.take() {
            self.iterator = next;
        }
    }
}

fn unreadable(error: impl fmt::Display) -> Error {
    Error::Stream(error.to_string())
}
