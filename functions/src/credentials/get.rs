//! `GET /v2/zoom-credentials/{id}`

use shared::credential::{Credential, CredentialId};
use shared::error::Missing;
use shared::stores::{Credentials, Keys};

use crate::http::access::{self, Needs};
use crate::http::error::ApiError;
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
pub async fn handle(keys: &Keys, credentials: &Credentials, request: &Request) -> Reply {
    // The API key names the team, so key and credential are read at the same time. Nothing is answered before
    // the key is verified.
    let key = access::api_key(request)?;
    let id = request.credential_id();

    let (verified, found) = tokio::join!(access::verify(keys, &key, request), async {
        Ok::<_, ApiError>(credentials.get(key.team(), id?).await?)
    });
    Needs::Read.met_by(verified?)?;
    let found = found?.ok_or(Missing::Credential)?;

    reply::ok(found.credential)
}
