//! `POST /v2/zoom-credentials/{id}/restore`

use shared::credential::{Credential, CredentialId};
use shared::error::Missing;
use shared::restore::restore;
use shared::stores::{Credentials, Events, Keys, Pairs, Requests, Secrets};

use crate::http::access;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingError, ReadErrors, WriteErrors};

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "POST /v2/zoom-credentials/{id}/restore";

/// Restores a deleted credential
///
/// Works for 30 days after the deletion, unless the operator has configured another time. The credential comes back
/// with all its data and token URLs, and can mint at once. If its grant has died in the meantime, it comes back
/// `invalid`, and its `last_error_message` begins with the reason. Then the user must authorize again.
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
    pairs: &Pairs,
    secrets: &Secrets,
    events: &Events,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let team = caller.team;
    let id = request.credential_id();
    let admitted = access::admit_change(keys, requests, &caller, request, id, async |id| Ok(id));
    let id = admitted.await?;

    let (invocation, filter) = (request.invocation(), caller.filter());
    let restored = restore(
        credentials,
        pairs,
        secrets,
        events,
        invocation,
        team,
        id,
        filter,
    );

    let restored = restored.await?.ok_or(Missing::Credential)?;
    reply::ok(restored.credential)
}
