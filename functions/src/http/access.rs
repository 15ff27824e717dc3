//! Who calls, what their key lets them do, and how often.

use std::future::Future;

use shared::api_key::{ApiKey, Permission};
use shared::credential::TeamId;
use shared::stores::{Admission, Keys, RateKind, Requests};

use crate::http::error::ApiError;
use crate::http::request::Request;

/// The header the key comes in.
pub(crate) const API_KEY: &str = "x-meeting-baas-api-key";

/// What an operation asks of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Needs {
    /// To look.
    Read,
    /// To mint tokens.
    Mint,
    /// To change something.
    Full,
}

impl Needs {
    /// Refuses a key that does not cover the operation.
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

/// The key the caller sent, if it is well-formed and the only one. Reads nothing.
pub(crate) fn api_key(request: &Request) -> Result<ApiKey, ApiError> {
    let text = request.only_header(API_KEY).ok_or(ApiError::Unauthorized)?;
    ApiKey::parse(text).map_err(|_| ApiError::Unauthorized)
}

/// What the key may do, if it is known. Until this is `Ok`, the team is only a claim.
pub(crate) async fn verify(
    keys: &Keys,
    key: &ApiKey,
    request: &Request,
) -> Result<Permission, ApiError> {
    let permission = keys.permission(key).await?;
    let permission = permission.ok_or(ApiError::Unauthorized)?;
    request.trail().team.get_or_init(|| key.team().clone());
    Ok(permission)
}

/// Counts a mutating call against its team's rate, and does `work` meanwhile, which the key's `permission` must
/// cover. Where the call is one too many the work is for nothing, so it must change nothing.
pub(crate) async fn admitted<T>(
    keys: &Keys,
    requests: &Requests,
    team: &TeamId,
    request: &Request,
    permission: Permission,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    // Boxed: what works with several SDK calls at once is large, and would lie on the stack once for each layer.
    let work = Box::pin(async {
        Needs::Full.met_by(permission)?;
        work.await
    });
    counted(keys, requests, team, request, RateKind::Mutations, work).await
}

/// Counts a call against one of its team's rates, and does `work` meanwhile, which must change nothing.
pub(crate) async fn counted<T>(
    keys: &Keys,
    requests: &Requests,
    team: &TeamId,
    request: &Request,
    counted: RateKind,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let hits = requests.count(team, counted);
    let (hits, limit, work) = tokio::join!(hits, keys.rate(team, counted), work);
    let admission = Admission::of(hits?, limit?);
    request.trail().admission.get_or_init(|| admission);
    if admission.admitted {
        work
    } else {
        Err(ApiError::RateLimited(admission))
    }
}
