//! The DynamoDB-compatible engine: dynoxide, in this process, over HTTP.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use dynoxide::Database;
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
