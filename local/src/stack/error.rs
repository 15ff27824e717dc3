//! Why the stack did not start, or stopped.

use std::path::PathBuf;

use shared::cause::chain;
use shared::{config, stores};

use crate::{engine, kms, tables, zoom};

/// Why the stack did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program listens on the port.
    #[error(
        "port {port} is in use: stop the program that listens there, or choose another port with {flag} \
         (0 picks a free port)"
    )]
    PortTaken {
        /// The port.
        port: u16,
        /// The flag that sets the port.
        flag: &'static str,
    },
    /// The operating system refuses to listen on the port.
    #[error("cannot listen on port {port}")]
    Listen {
        /// The port.
        port: u16,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// Another stack uses the data directory.
    #[error("another local stack uses {}: stop it, or choose another directory with --data-dir", .0.display())]
    DirectoryInUse(PathBuf),
    /// A file or directory cannot be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// The failed action, such as `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// Only one of Zoom's two base URLs is set.
    #[error("set both ZOOM_OAUTH_BASE_URL and ZOOM_API_BASE_URL, or neither")]
    HalfOfZoom,
    /// The key file is missing, but the database has secrets that only its keys can decrypt.
    #[error(
        "{} is missing, and the database beside it holds secrets that need it: restore the file, or delete the \
         directory to start with no data", .0.display()
    )]
    KeysMissing(PathBuf),
    /// The database is of an earlier version, which was never released.
    #[error(
        "{} was written by an earlier version of this program, which was never released: delete the directory to start \
         with no data", .0.display()
    )]
    EarlierVersion(PathBuf),
    /// The file `api-key` does not contain an API key.
    #[error("{} does not contain an API key: delete the file to get a new key", .0.display())]
    MalformedKey(PathBuf),
    /// The database engine failed.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The KMS emulator failed.
    #[error(transparent)]
    Kms(#[from] kms::Error),
    /// The Zoom sandbox failed.
    #[error(transparent)]
    Zoom(#[from] zoom::Error),
    /// The tables are missing and cannot be created.
    #[error("cannot use the DynamoDB at {endpoint} (--dynamodb, AWS_ENDPOINT_URL_DYNAMODB)")]
    Tables {
        /// The DynamoDB endpoint.
        endpoint: String,
        /// The error of the table.
        source: tables::Error,
    },
    /// The team or the API key cannot be read or stored.
    #[error("cannot create the API key: {}", chain(.0))]
    Keys(#[from] stores::Error),
    /// KMS does not have the envelope key, and cannot create it.
    #[error(
        "KMS has no usable envelope key: check the endpoint (--kms, AWS_ENDPOINT_URL_KMS) and the key \
         (--envelope-key, ENVELOPE_KEY_ID): {0}"
    )]
    EnvelopeKey(String),
    /// The operating system returned no random bytes.
    #[error("cannot make an access key id: {}", chain(.0))]
    Random(#[from] shared::random::RandomError),
    /// The clients cannot be built from the configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
}
