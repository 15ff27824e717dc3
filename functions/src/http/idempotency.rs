//! A request that is sent twice is done once.
//!
//! The caller's `Idempotency-Key` names a request; without one, an authorization is named by its code, which
//! works once at Zoom: a repeat after a lost answer must return the first result, not `invalid_grant`.

use std::future::Future;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use shared::cause::chain;
use shared::stores::{ClaimOutcome, EarlierRequest, HeldClaim, IdempotencyClaim, Requests};

use crate::http::error::ApiError;
use crate::http::request::Request;
use crate::http::schema::IdempotencyKey;

/// A running request takes a moment, and only one that crashed the rest of its time: worth asking again soon.
const ASK_AGAIN: Duration = Duration::from_secs(2);
const AT: &str = "headers/idempotency-key";

/// Parts that are hashed, each with its length, so that no two lists of parts hash alike.
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

    /// As [`Self::and`]; no part hashes differently from an empty one.
    pub(crate) fn and_maybe(self, part: Option<&[u8]>) -> Self {
        match part {
            Some(part) => self.and(b"some").and(part),
            None => self.and(b"none"),
        }
    }

    /// In hex.
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

/// What names this request: the caller's key, or else `code`; and `body`, what it asks for.
pub(crate) fn claim(
    request: &Request,
    code: Option<Fingerprint>,
    body: Fingerprint,
) -> Result<Option<IdempotencyClaim>, ApiError> {
    let Some(header) = request.header("idempotency-key") else {
        return Ok(code.map(|code| IdempotencyClaim {
            key_hash: code.finish(),
            request_hash: body.finish(),
            refuses_other_requests: false,
        }));
    };
    let key = IdempotencyKey::try_from(header);
    let IdempotencyKey(key) = key.map_err(|rule| ApiError::Validation { at: AT, rule })?;
    let key_hash = Fingerprint::new("idempotency-key")
        .and(key.as_bytes())
        .finish();
    Ok(Some(IdempotencyClaim {
        key_hash,
        request_hash: body.and(key.as_bytes()).finish(),
        refuses_other_requests: true,
    }))
}

/// Our hold on the request, or what it did before.
pub(crate) fn standing(
    claimed: ClaimOutcome,
) -> Result<Result<HeldClaim, EarlierRequest>, ApiError> {
    match claimed {
        ClaimOutcome::Acquired(held) => Ok(Ok(held)),
        ClaimOutcome::AlreadyDone(before) => Ok(Err(before)),
        ClaimOutcome::InProgress { wait } => Err(ApiError::Running {
            wait: wait.min(ASK_AGAIN),
        }),
        ClaimOutcome::KeyReused => Err(ApiError::IdempotencyKeyReused),
    }
}

/// Does `work`; where it fails, lets go of the request, so that it can be made again at once.
pub(crate) async fn holding<T, E>(
    requests: &Requests,
    held: &HeldClaim,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let done = work.await;
    if done.is_err()
        && let Err(error) = requests.release(held).await
    {
        tracing::warn!(
            cause = chain(&error),
            "an idempotency row was not let go; it ends by itself"
        );
    }
    done
}
