//! `POST /v2/zoom-credentials/{id}/restore`

use shared::credential::{Credential, CredentialId};
use shared::error::Missing;
use shared::restore::restore;
use shared::stores::{Credentials, Events, Keys, Requests, Secrets};

use crate::http::access;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingError, ReadErrors, WriteErrors};

/// What the logs call it.
pub const ROUTE: &str = "POST /v2/zoom-credentials/{id}/restore";

/// Restores a deleted credential
///
/// For 30 days after its deletion, unless the operator has set another time, and with all that it had, token URLs
/// included. It mints at once. Where its grant was revoked or lost meanwhile it comes back `invalid`, and its
/// `last_error_message` begins with the reason: then the user has to authorize again.
#[utoipa::path(
    post,
    path = "/v2/zoom-credentials/{id}/restore",
    operation_id = "restoreZoomCredential",
    tag = "Zoom credentials",
    params(
        ("id" = inline(CredentialId), Path, description = "The credential's id"),
    ),
    responses(
        (status = 200, description = "The credential, as it is now", body = Success<Credential>),
        ReadErrors,
        MissingError,
        WriteErrors,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    secrets: &Secrets,
    events: &Events,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let permission = access::verify(keys, &key, request).await?;
    let id = access::admitted(keys, requests, key.team(), request, permission, async {
        request.credential_id()
    })
    .await?;

    let restored = restore(credentials, secrets, events, key.team(), id).await?;

    let restored = restored.ok_or(Missing::Credential)?;
    reply::ok(restored.credential)
}
