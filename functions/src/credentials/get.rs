//! `GET /v2/zoom-credentials/{id}`

use shared::credential::{Credential, CredentialId};
use shared::stores::{Credentials, Keys, Requests};

use crate::http::access;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingError, ReadErrors};

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "GET /v2/zoom-credentials/{id}";

/// Gets a credential
///
/// Answers 404 if the credential is deleted or belongs to another team.
#[utoipa::path(
    get,
    path = "/v2/zoom-credentials/{id}",
    operation_id = "getZoomCredential",
    tag = "Zoom credentials",
    params(
        ("id" = inline(CredentialId), Path, description = "The credential's id"),
    ),
    responses(
        (status = 200, description = "The credential", body = Success<Credential>),
        ReadErrors,
        MissingError,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let id = request.credential_id();

    let (caller, found) = access::verify_and_get(keys, credentials, &key, request, id).await?;
    let found = access::admit_read(requests, &caller, request, found).await?;
    let found = caller.visible(found)?;

    reply::ok(found.credential)
}
