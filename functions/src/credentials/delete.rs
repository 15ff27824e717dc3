//! `DELETE /v2/zoom-credentials/{id}`

use std::time::Duration;

use serde::Serialize;
use shared::credential::CredentialId;
use shared::delete::delete;
use shared::error::Missing;
use shared::stores::{Credentials, Events, Keys, Pairs, Requests};
use utoipa::ToSchema;

use crate::http::access;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingError, ReadErrors, WriteErrors};

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "DELETE /v2/zoom-credentials/{id}";

/// The answer to a deletion.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedCredential {
    /// The result for people.
    #[schema(example = "Zoom credential deleted successfully")]
    message: &'static str,
}

/// Deletes a credential
///
/// No read returns the credential any more. Its sealed data stays as long as the credential can be restored: 30 days,
/// unless the operator has configured another time.
#[utoipa::path(
    delete,
    path = "/v2/zoom-credentials/{id}",
    operation_id = "deleteZoomCredential",
    tag = "Zoom credentials",
    params(
        ("id" = inline(CredentialId), Path, description = "The credential's id"),
    ),
    responses(
        (status = 200, description = "It is gone from every read", body = Success<DeletedCredential>),
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
    events: &Events,
    restorable: Duration,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let team = key.team();
    let id = request.credential_id();
    let (caller, seen) = access::verify_and_get(keys, credentials, &key, request, id).await?;
    let invocation = request.invocation();
    let seen = seen.and_then(|seen| caller.visible(seen));
    let seen = access::admit_change(keys, requests, &caller, request, seen, async |seen| {
        Ok(seen)
    })
    .await?;
    let id = seen.credential.credential_id;

    if !delete(
        credentials,
        pairs,
        events,
        invocation,
        team,
        id,
        Some(seen),
        restorable,
    )
    .await?
    {
        return Err(Missing::Credential.into());
    }

    reply::ok(DeletedCredential {
        message: "Zoom credential deleted successfully",
    })
}
