//! An emulator of AWS KMS. It speaks the JSON 1.1 protocol over HTTP, so that the real SDK works against it.
//!
//! The emulator is faithful where this project depends on KMS: AES-256-GCM, bound encryption contexts, key states,
//! aliases, rotation, AWS's limits, and AWS's names of operations, fields and errors.
//!
//! It differs from KMS on purpose in three points:
//! - It does not check signatures. Everybody who reaches the port may use the keys, so bind a loopback address. The
//!   local stack also requires its access key id.
//! - It never deletes a key, even after the date of a scheduled deletion.
//! - It does not support `DryRun`, `Recipient`, asymmetric keys, key policies and grants. It refuses such a request,
//!   or ignores the field if the field could only narrow access.
//!
//! The emulator does not log. It records [`KmsCall`]s for tests, without plaintexts and ciphertexts.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State as Extract, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;
use uuid::Uuid;

use self::{
    key_ring::KeyRing,
    operations::{Handler, OperationInput},
};

mod blob;
mod key_file;
mod key_ring;
mod operations;
mod service_error;
#[cfg(test)]
mod tests;

pub use self::service_error::{Failure, ServiceError};

/// Larger than any valid request. The largest valid field is a key policy of 32 KiB.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Limits the memory for recorded calls: the local stack can run for weeks.
const MAX_RECORDED_CALLS: usize = 1 << 16;

/// Why the emulator could not start, or could not do what a Rust caller asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key file cannot be read or written.
    #[error("cannot {action} the key file {}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The key file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Not only the owner has permissions on the key file.
    ///
    /// The emulator does not repair the mode silently, because somebody may have read the keys already.
    #[error("other users have access to the key file {} (mode {mode:03o}): run chmod 600 on it", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The emulator did not write this key file.
    ///
    /// The emulator never overwrites such a file: it may hold the only copy of a key.
    #[error("the key file {} is malformed: {problem}", path.display())]
    Malformed {
        /// The key file.
        path: PathBuf,
        /// The position or the broken rule. Never quotes the content of the file.
        problem: String,
    },
    /// The error that AWS would have returned.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// A request that the emulator answered, and its outcome. Holds no plaintext and no ciphertext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsCall {
    /// AWS's name of the operation, or `Unknown`.
    pub operation: &'static str,
    /// The ARN of the requested key, or of the key of the blob. The requested name if there is no such key.
    pub key: Option<String>,
    /// The encryption context. For `ReEncrypt`, the context of the source.
    pub context: BTreeMap<String, String>,
    /// For `ReEncrypt`, the key of the new blob.
    pub destination_key: Option<String>,
    /// For `ReEncrypt`, the context of the new blob.
    pub destination_context: BTreeMap<String, String>,
    /// AWS's name of the error, if the call failed.
    pub outcome: Result<(), &'static str>,
}

/// The emulator. Clones share their keys, recorded calls and injected failures.
#[derive(Clone)]
pub struct Emulator {
    default_key: Arc<str>,
    state: Arc<Mutex<EmulatorState>>,
}

struct EmulatorState {
    key_ring: KeyRing,
    key_file: Option<PathBuf>,
    calls: VecDeque<KmsCall>,
    /// How many of the next calls fail, and how.
    failing: Option<(usize, Failure)>,
}

impl Emulator {
    /// Opens the key file. A missing file is created with one new key and mode 0600. `None` keeps all keys in memory.
    ///
    /// Only one process at a time may use a file: a second process would overwrite the changes of the first.
    pub fn open(key_file: Option<PathBuf>) -> Result<Self, Error> {
        let key_ring = match &key_file {
            None => KeyRing::with_new_key()?,
            Some(path) => match key_file::read(path)? {
                Some(key_ring) => key_ring,
                None => key_file::write(path, KeyRing::with_new_key()?)?,
            },
        };

        Ok(Self {
            default_key: key_ring.first().arn.as_str().into(),
            state: Arc::new(Mutex::new(EmulatorState {
                key_ring,
                key_file,
                calls: VecDeque::new(),
                failing: None,
            })),
        })
    }

    /// The ARN of the first key.
    pub fn default_key(&self) -> String {
        self.default_key.as_ref().to_owned()
    }

    /// Creates another key, and returns its ARN.
    pub fn create_key(&self) -> Result<String, Error> {
        self.state()
            .change(|key_ring| Ok(key_ring.create(String::new())?.arn.clone()))
    }

    /// Enables or disables a key. `key` is an id, an ARN or an alias.
    pub fn set_enabled(&self, key: &str, enabled: bool) -> Result<(), Error> {
        self.state()
            .change(|key_ring| key_ring.key_mut(key)?.set_enabled(enabled))
    }

    /// Serves KMS at `POST /`. Any other request gets a 404.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", post(call).fallback(not_found))
            .fallback(not_found)
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(self.clone())
    }

    /// The last 65 536 calls, the oldest first.
    pub fn calls(&self) -> Vec<KmsCall> {
        self.state().calls.iter().cloned().collect()
    }

    /// Makes the next `count` calls fail. `usize::MAX` means until [`stop_failing`](Self::stop_failing).
    ///
    /// Replaces an earlier injected failure. Each retry of a client counts as a call.
    pub fn fail_next(&self, count: usize, error: Failure) {
        self.state().failing = Some((count, error));
    }

    /// Removes the failure that [`fail_next`](Self::fail_next) injected.
    pub fn stop_failing(&self) {
        self.state().failing = None;
    }

    /// Ignores a poisoned lock: each change happens on a copy, so the state is always complete.
    fn state(&self) -> MutexGuard<'_, EmulatorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Emulator")
            .field("default_key", &self.default_key)
            .finish_non_exhaustive()
    }
}

impl EmulatorState {
    /// Answers a request, and records it.
    fn answer(&mut self, target: Option<&str>, body: &[u8]) -> operations::Answer {
        let (operation, handler) = operations::find(target).unzip();
        let request = OperationInput::parse(body);
        let result = match (self.take_failure(), handler, &request) {
            (Some(failure), ..) => Err(failure.into()),
            (None, None, _) => Err(ServiceError::UnknownOperation),
            (None, Some(_), Err(error)) => Err(error.clone()),
            (None, Some(Handler::Reads(handle)), Ok(request)) => handle(&self.key_ring, request),
            (None, Some(Handler::Changes(handle)), Ok(request)) => self
                .change(|key_ring| handle(key_ring, request))
                .map_err(ServiceError::from),
        };

        let outcome = result.as_ref().map(drop).map_err(ServiceError::name);
        self.record(
            operation.unwrap_or("Unknown"),
            request.unwrap_or_default(),
            outcome,
        );
        result
    }

    /// Applies a change to the memory and the file, or to neither.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut KeyRing) -> Result<T, ServiceError>,
    ) -> Result<T, Error> {
        let mut key_ring = self.key_ring.clone();
        let value = change(&mut key_ring)?;
        self.key_ring = match &self.key_file {
            None => key_ring,
            Some(path) => key_file::write(path, key_ring)?,
        };
        Ok(value)
    }

    fn take_failure(&mut self) -> Option<Failure> {
        self.failing
            .as_mut()
            .filter(|(left, _)| *left > 0)
            .map(|(left, failure)| {
                *left -= 1;
                *failure
            })
    }

    fn record(
        &mut self,
        operation: &'static str,
        request: OperationInput,
        outcome: Result<(), &'static str>,
    ) {
        let OperationInput {
            key_id,
            source_key_id,
            target_key_id,
            ..
        } = request;
        let (context, source_context) = (
            request.encryption_context,
            request.source_encryption_context,
        );
        let arn = |name: String| {
            self.key_ring
                .key(&name)
                .map(|key| key.arn.clone())
                .unwrap_or(name)
        };
        let blob = request.ciphertext_blob.as_deref();
        let blob_key = blob
            .and_then(|blob| self.key_ring.key_of(blob))
            .map(|(key, _)| key.arn.clone());
        let call = KmsCall {
            operation,
            key: key_id
                .or(source_key_id)
                .or(target_key_id)
                .map(arn)
                .or(blob_key),
            context: context.or(source_context).unwrap_or_default(),
            destination_key: request.destination_key_id.map(arn),
            destination_context: request.destination_encryption_context.unwrap_or_default(),
            outcome,
        };
        if self.calls.len() >= MAX_RECORDED_CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }
}

/// The only route. It blocks for microseconds of encryption or for one small file, so it needs no own thread.
async fn call(
    Extract(emulator): Extract<Emulator>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let target = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok());
    let result = match body {
        Ok(body) => emulator.state().answer(target, &body),
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(ServiceError::TooLarge)
        }
        Err(_) => Err(ServiceError::Serialization),
    };
    match result {
        Ok(Some(answer)) => reply(StatusCode::OK, answer.to_string()),
        Ok(None) => reply(StatusCode::OK, String::new()),
        Err(error) => error_reply(error.status(), &error),
    }
}

/// Answers a client that only warms up its connection.
async fn not_found() -> Response {
    error_reply(StatusCode::NOT_FOUND, &ServiceError::UnknownOperation)
}

fn error_reply(status: StatusCode, error: &ServiceError) -> Response {
    reply(
        status,
        json!({ "__type": error.name(), "message": error.to_string() }).to_string(),
    )
}

fn reply(status: StatusCode, body: String) -> Response {
    let mut response =
        (status, [(CONTENT_TYPE, "application/x-amz-json-1.1")], body).into_response();
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}
