//! Checks the API key, its permission and the team's rate limit.

use std::future::Future;

use shared::api_key::{ApiKey, Permission};
use shared::credential::TeamId;
use shared::stores::{Admission, Keys, RateKind, Requests};

use crate::http::error::ApiError;
use crate::http::request::Request;

/// The header that carries the API key.
pub(crate) const API_KEY: &str = "x-meeting-baas-api-key";

/// What an operation requires of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Needs {
    /// Reading.
    Read,
    /// Minting tokens.
    Mint,
    /// Changes.
    Full,
}

impl Needs {
    /// Fails if the key's permission does not cover the operation.
    pub(crate) fn met_by(self, permission: Permission) -> Result<(), ApiError> {
        match (self, permission) {
            (_, Permission::Full)
            | (Self::Read, Permission::Read)
            | (Self::Mint, Permission::Mint) => Ok(()),
            (Self::Full | Self::Mint, Permission::Read)
            | (Self::Read | Self::Full, Permission::Mint) => Err(ApiError::Forbidden),
        }
    }
}

/// The key that the caller sent. Fails if it is missing, malformed or sent twice. Reads no table.
pub(crate) fn api_key(request: &Request) -> Result<ApiKey, ApiError> {
    let text = request.only_header(API_KEY).ok_or(ApiError::Unauthorized)?;
    ApiKey::parse(text).map_err(|_| ApiError::Unauthorized)
}

/// The permission of a known key. Until this succeeds, the key's team is only a claim of the caller.
pub(crate) async fn verify(
    keys: &Keys,
    key: &ApiKey,
    request: &Request,
) -> Result<Permission, ApiError> {
    let permission = keys.permission(key).await?;
    let permission = permission.ok_or(ApiError::Unauthorized)?;
    request.note_team(key.team());
    Ok(permission)
}

/// Checks that the key may change things, counts the call against the team's rate of changes, and does `work` in the
/// meantime. If the call is over the limit, the result of `work` is dropped. So `work` must change nothing.
pub(crate) async fn admit_change<T>(
    keys: &Keys,
    requests: &Requests,
    team: &TeamId,
    request: &Request,
    permission: Permission,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    // Boxed: a future with several SDK calls is large, and each layer would copy it on the stack.
    let work = Box::pin(async {
        Needs::Full.met_by(permission)?;
        work.await
    });
    admit(keys, requests, team, request, RateKind::Mutations, work).await
}

/// Counts a call against one of the team's rates, and does `work` in the meantime. `work` must change nothing.
pub(crate) async fn admit<T>(
    keys: &Keys,
    requests: &Requests,
    team: &TeamId,
    request: &Request,
    kind: RateKind,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let hits = requests.count(team, kind);
    let (hits, limit, work) = tokio::join!(hits, keys.rate(team, kind), work);
    let admission = Admission::of(hits?, limit?);
    request.record().admission.get_or_init(|| admission);
    if admission.admitted {
        work
    } else {
        Err(ApiError::RateLimited(admission))
    }
}
