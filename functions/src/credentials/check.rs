//! `POST /v2/zoom-credentials/{id}/check`

use serde::Serialize;
use shared::credential::{CredentialId, State};
use shared::error::Missing;
use shared::event::Actor;
use shared::grants::check::{Capabilities, check};
use shared::grants::{Context, Grants};
use shared::stores::{Keys, Requests};
use shared::timestamp::Timestamp;
use shared::token::MeetingId;
use utoipa::ToSchema;

use crate::http::access;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{BodyErrors, MissingError, ReadErrors, WriteErrors};
use crate::http::terms;

/// What the logs call it.
pub const ROUTE: &str = "POST /v2/zoom-credentials/{id}/check";

/// What a check can use. Unknown fields are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct CheckCredential {
    /// The meeting to mint a local recording token for. Without a meeting, the scopes decide.
    #[schema(nullable = false)]
    meeting_id: Option<MeetingId>,
}

impl CheckCredential {
    fn of(request: &Request) -> Result<Self, ApiError> {
        let fields = Fields::of_optional(request)?;
        Ok(Self {
            meeting_id: fields.optional("body/meeting_id")?,
        })
    }
}

/// How a credential is, found out by using it.
#[derive(Serialize, ToSchema)]
#[schema(as = CredentialHealth)]
pub(crate) struct Health {
    /// Which credential.
    credential_id: CredentialId,
    /// When it was found out.
    checked_at: Timestamp,
    /// The credential's state after it: a check mends what it finds.
    state: State,
    /// What the credential can be used for, one by one.
    capabilities: Capabilities,
}

/// Checks a credential
///
/// Without a bot: refreshes the grant if that is due, reads the user's profile, and mints and throws away one token of
/// each kind. A profile that was not known yet, or has changed, is stored. An app credential's client id and secret
/// are tried.
#[utoipa::path(
    post,
    path = "/v2/zoom-credentials/{id}/check",
    operation_id = "checkZoomCredential",
    tag = "Zoom credentials",
    params(
        ("id" = inline(CredentialId), Path, description = "The credential's id"),
    ),
    request_body(content = Option<CheckCredential>, content_type = "application/json"),
    responses(
        (status = 200, description = "How the credential is: good or bad, the check itself went well", body = Success<Health>),
        ReadErrors,
        MissingError,
        WriteErrors,
        BodyErrors,
    )
)]
pub async fn handle(keys: &Keys, requests: &Requests, grants: &Grants, request: &Request) -> Reply {
    let key = access::api_key(request)?;
    let team = key.team();
    let permission = access::verify(keys, &key, request).await?;
    let (stored, meeting) = access::admitted(keys, requests, team, request, permission, async {
        let id = request.credential_id()?;
        let meeting = CheckCredential::of(request)?.meeting_id;
        let stored = grants.credentials().get(team, id).await?;
        Ok((stored.ok_or(Missing::Credential)?, meeting))
    })
    .await?;
    let id = stored.credential.credential_id;
    let terms = terms::of_api_caller(Actor::Check(key.hash().id()).into());
    let context = Context {
        grants,
        invocation: request.invocation(),
        team,
        terms: &terms,
    };

    let capabilities = check(context, stored, meeting).await?;

    let checked = grants.credentials().get(team, id).await?;
    let state = checked.ok_or(Missing::Credential)?.credential.state;
    reply::ok(Health {
        credential_id: id,
        checked_at: Timestamp::now(),
        state,
        capabilities,
    })
}
