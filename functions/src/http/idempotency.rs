//! Idempotency: a request that a caller repeats takes effect once.
//!
//! The header `Idempotency-Key` identifies a request. Without the header, the authorization code identifies it, because
//! a code works once at Zoom. A retry after a lost answer gets the first result instead of Zoom's `invalid_grant`.

use std::future::Future;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use shared::cause::chain;
use shared::stores::{
    ClaimOutcome, EarlierRequest, HeldClaim, IdempotencyClaim, RequestName, Requests,
};

use crate::http::error::ApiError;
use crate::http::request::Request;
use crate::http::schema::IdempotencyKey;

/// The longest `retry-after` while the same request is in progress. Most requests end sooner than their invocation may.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(2);
/// The name of the header in error messages.
const HEADER: &str = "headers/idempotency-key";

/// A SHA-256 over a list of parts. The hash covers each part's length, so two different lists have different hashes.
pub(crate) struct Fingerprint(Context);

impl Fingerprint {
    pub(crate) fn new(domain: &str) -> Self {
        Self(Context::new(&SHA256)).and(domain.as_bytes())
    }

    pub(crate) fn and(mut self, part: &[u8]) -> Self {
        self.0.update(&part.len().to_be_bytes());
        self.0.update(part);
        self
    }

    /// As [`Self::and`]. A missing part and an empty part give different hashes.
    pub(crate) fn and_maybe(self, part: Option<&[u8]>) -> Self {
        match part {
            Some(part) => self.and(b"some").and(part),
            None => self.and(b"none"),
        }
    }

    /// The hash in hex.
    pub(crate) fn finish(self) -> String {
        use std::fmt::Write;

        self.0
            .finish()
            .as_ref()
            .iter()
            .fold(String::with_capacity(64), |mut hex, byte| {
                // Writing to a string cannot fail.
                write!(hex, "{byte:02x}").ok();
                hex
            })
    }
}

/// The hashes of a request, by which a repeated request is recognised.
pub(crate) struct RequestHashes {
    /// Identifies the request if it has no `Idempotency-Key`. `None` without an authorization code.
    pub(crate) code: Option<Fingerprint>,
    /// What the request asks for, without `secrets`.
    pub(crate) body: Fingerprint,
    /// The client secret and the code verifier. They only prove who asks, so a request with a code that differs in
    /// nothing else is the same request.
    pub(crate) secrets: Fingerprint,
}

/// The claim that identifies the request by the caller's key, or else by its code. `None` if the request has neither.
pub(crate) fn claim(
    request: &Request,
    hashes: RequestHashes,
) -> Result<Option<IdempotencyClaim>, ApiError> {
    let body = hashes.body.finish();
    let Some(header) = request.header("idempotency-key") else {
        return Ok(hashes.code.map(|code| IdempotencyClaim {
            key_hash: code.finish(),
            request_hash: body,
            named_by: RequestName::Code,
        }));
    };
    let key = IdempotencyKey::try_from(header);
    let IdempotencyKey(key) = key.map_err(|rule| ApiError::Validation { at: HEADER, rule })?;
    let key_hash = Fingerprint::new("idempotency-key")
        .and(key.as_bytes())
        .finish();
    let request_hash = Fingerprint::new("request")
        .and(body.as_bytes())
        .and(hashes.secrets.finish().as_bytes())
        .and(key.as_bytes())
        .finish();
    Ok(Some(IdempotencyClaim {
        key_hash,
        request_hash,
        named_by: RequestName::Key,
    }))
}

/// Whether the request must be carried out.
pub(crate) enum Claimed {
    /// This invocation holds the claim and carries the request out.
    New(HeldClaim),
    /// An earlier request with the same key or code has completed.
    Completed(EarlierRequest),
}

impl Claimed {
    /// Fails if the same request is in progress, or if the key belongs to another request.
    pub(crate) fn from_outcome(outcome: ClaimOutcome) -> Result<Self, ApiError> {
        match outcome {
            ClaimOutcome::Acquired(held) => Ok(Self::New(held)),
            ClaimOutcome::AlreadyDone(earlier) => Ok(Self::Completed(earlier)),
            ClaimOutcome::InProgress { wait } => Err(ApiError::InProgress {
                wait: wait.min(MAX_RETRY_AFTER),
            }),
            ClaimOutcome::KeyReused => Err(ApiError::IdempotencyKeyReused),
        }
    }
}

/// Notes that the answer shows what `earlier` made. Fails if `earlier` used the code and asked for something else. Call
/// it only if the caller may see the credential: the failure tells that the team has used the code.
pub(crate) fn replay(request: &Request, earlier: EarlierRequest) -> Result<(), ApiError> {
    if !earlier.is_same {
        return Err(ApiError::CodeReused);
    }
    request.note_replay();
    Ok(())
}

/// Does `work` under a claim. If it fails, releases the claim, so that the caller can retry at once.
pub(crate) async fn release_on_failure<T, E>(
    requests: &Requests,
    held: &HeldClaim,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let result = work.await;
    if result.is_err()
        && let Err(error) = requests.release(held).await
    {
        tracing::warn!(
            cause = chain(&error),
            "an idempotency claim was not released and ends by itself"
        );
    }
    result
}
