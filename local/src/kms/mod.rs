//! A stand-in for AWS KMS: its JSON 1.1 protocol over HTTP, spoken well enough that the real SDK
//! cannot tell the difference.
//!
//! Faithful where this project depends on KMS: real AES-256-GCM, an encryption context that is
//! bound, key states, aliases, rotation, AWS's names of operations, fields and errors, and AWS's
//! limits. Three things differ on purpose. Signatures are not checked: whoever reaches the port may
//! use the keys, so it belongs on a loopback address. A key whose deletion is scheduled never dies,
//! however long one waits. And what would need more of KMS (`DryRun`, `Recipient`, keys that are
//! not symmetric, key policies, grants) is refused or, where it only narrows access, ignored.
//!
//! Nothing here logs. What a test may ask for afterwards is in [`Call`], which has room for neither
//! plaintext nor ciphertext.

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
    operations::{Handler, Request},
    ring::Ring,
};

mod blob;
mod key_file;
mod operations;
mod refusal;
mod ring;
#[cfg(test)]
mod tests;

pub use self::refusal::{Failure, Refusal};

/// More than the largest honest request (a key policy of 32 KiB) can take.
const MAX_BODY: usize = 64 * 1024;
/// The latest calls are kept, older ones forgotten: the local stack may run for weeks.
const MAX_CALLS: usize = 1 << 16;

/// Why the emulator could not start, or could not do what Rust code asked of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk said no.
    #[error("cannot {action} the key file {}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner have rights on the key file. It is refused rather than repaired:
    /// whoever could read the keys may have them already.
    #[error("others may use the key file {} (mode {mode:03o}): chmod 600 it", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file is not what this emulator writes. It is never overwritten: it may hold the only
    /// copy of a key.
    #[error("the key file {} is malformed: {problem}", path.display())]
    Malformed {
        /// The key file.
        path: PathBuf,
        /// Where, or which rule it breaks; never what it holds.
        problem: String,
    },
    /// What AWS would have answered.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// One request the emulator answered: who was asked for what, and how it ended. Never a plaintext,
/// never a ciphertext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// AWS's name of the operation, or `Unknown`.
    pub operation: &'static str,
    /// ARN of the key that was named, or that made the blob; the name as it was given if there is
    /// no such key.
    pub key: Option<String>,
    /// The encryption context; of a `ReEncrypt`, the source's.
    pub context: BTreeMap<String, String>,
    /// Of a `ReEncrypt`, the key that seals anew.
    pub destination_key: Option<String>,
    /// Of a `ReEncrypt`, the context that is bound anew.
    pub destination_context: BTreeMap<String, String>,
    /// AWS's name of the error, if it was one.
    pub outcome: Result<(), &'static str>,
}

/// The emulator. Clones share keys, calls and faults.
#[derive(Clone)]
pub struct Emulator {
    default_key: Arc<str>,
    state: Arc<Mutex<State>>,
}

struct State {
    ring: Ring,
    key_file: Option<PathBuf>,
    calls: VecDeque<Call>,
    failing: Option<(usize, Failure)>,
}

impl Emulator {
    /// Opens the key file, or makes it (mode 0600, one fresh key) if it is missing; `None` keeps
    /// the keys in memory only.
    ///
    /// One process at a time: two that write the same file lose each other's changes.
    pub fn open(key_file: Option<PathBuf>) -> Result<Self, Error> {
        let ring = match &key_file {
            None => Ring::fresh()?,
            Some(path) => match key_file::read(path)? {
                Some(ring) => ring,
                None => key_file::write(path, Ring::fresh()?)?,
            },
        };

        Ok(Self {
            default_key: ring.first().arn.as_str().into(),
            state: Arc::new(Mutex::new(State {
                ring,
                key_file,
                calls: VecDeque::new(),
                failing: None,
            })),
        })
    }

    /// ARN of the key that was made first.
    pub fn default_key(&self) -> String {
        self.default_key.as_ref().to_owned()
    }

    /// Makes another key and answers its ARN.
    pub fn create_key(&self) -> Result<String, Error> {
        self.state()
            .change(|ring| Ok(ring.create(String::new())?.arn.clone()))
    }

    /// Enables or disables a key, named as in any request: by id, ARN or alias.
    pub fn set_enabled(&self, key: &str, enabled: bool) -> Result<(), Error> {
        self.state()
            .change(|ring| ring.key_mut(key)?.set_enabled(enabled))
    }

    /// `POST /` is KMS; anything else is answered with a harmless 404.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", post(call).fallback(nothing_here))
            .fallback(nothing_here)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(self.clone())
    }

    /// What was asked, oldest first; the last 65 536 calls.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.iter().cloned().collect()
    }

    /// The next `count` calls fail, whatever they ask; `usize::MAX` means until
    /// [`heal`](Self::heal). It replaces what an earlier call ordered. A client that retries uses
    /// up several.
    pub fn fail_next(&self, count: usize, error: Failure) {
        self.state().failing = Some((count, error));
    }

    /// Ends what [`fail_next`](Self::fail_next) began.
    pub fn heal(&self) {
        self.state().failing = None;
    }

    /// Every change is made on a copy and then put in place, so a poisoned lock still guards a
    /// whole state.
    fn state(&self) -> MutexGuard<'_, State> {
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

impl State {
    /// Answers one request and remembers it.
    fn answer(&mut self, target: Option<&str>, body: &[u8]) -> operations::Answer {
        let (operation, handler) = operations::find(target).unzip();
        let request = Request::parse(body);
        let result = match (self.injected(), handler, &request) {
            (Some(failure), ..) => Err(failure.into()),
            (None, None, _) => Err(Refusal::UnknownOperation),
            (None, Some(_), Err(refusal)) => Err(refusal.clone()),
            (None, Some(Handler::Reads(handle)), Ok(request)) => handle(&self.ring, request),
            (None, Some(Handler::Changes(handle)), Ok(request)) => self
                .change(|ring| handle(ring, request))
                .map_err(Refusal::from),
        };

        let outcome = result.as_ref().map(drop).map_err(Refusal::name);
        self.remember(
            operation.unwrap_or("Unknown"),
            request.unwrap_or_default(),
            outcome,
        );
        result
    }

    /// All or nothing, in memory and in the file.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Ring) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        let mut ring = self.ring.clone();
        let value = change(&mut ring)?;
        self.ring = match &self.key_file {
            None => ring,
            Some(path) => key_file::write(path, ring)?,
        };
        Ok(value)
    }

    fn injected(&mut self) -> Option<Failure> {
        self.failing
            .as_mut()
            .filter(|(left, _)| *left > 0)
            .map(|(left, failure)| {
                *left -= 1;
                *failure
            })
    }

    fn remember(
        &mut self,
        operation: &'static str,
        request: Request,
        outcome: Result<(), &'static str>,
    ) {
        let Request {
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
            self.ring
                .key(&name)
                .map(|key| key.arn.clone())
                .unwrap_or(name)
        };
        let blob = request.ciphertext_blob.as_deref();
        let sealer = blob
            .and_then(|blob| self.ring.sealer(blob))
            .map(|(key, _)| key.arn.clone());
        let call = Call {
            operation,
            key: key_id
                .or(source_key_id)
                .or(target_key_id)
                .map(arn)
                .or(sealer),
            context: context.or(source_context).unwrap_or_default(),
            destination_key: request.destination_key_id.map(arn),
            destination_context: request.destination_encryption_context.unwrap_or_default(),
            outcome,
        };
        if self.calls.len() >= MAX_CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }
}

/// The one route. The work is microseconds of cipher, or for a change one small file, so it is done
/// in place under the lock.
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
            Err(Refusal::TooLarge)
        }
        Err(_) => Err(Refusal::Serialization),
    };
    match result {
        Ok(Some(answer)) => reply(StatusCode::OK, answer.to_string()),
        Ok(None) => reply(StatusCode::OK, String::new()),
        Err(refusal) => refuse(refusal.status(), &refusal),
    }
}

/// For whoever knocks to warm up a connection.
async fn nothing_here() -> Response {
    refuse(StatusCode::NOT_FOUND, &Refusal::UnknownOperation)
}

fn refuse(status: StatusCode, refusal: &Refusal) -> Response {
    reply(
        status,
        json!({ "__type": refusal.name(), "message": refusal.to_string() }).to_string(),
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
