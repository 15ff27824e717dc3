//! `POST /v2/zoom-credentials/{id}/check`

use serde::Serialize;
use shared::credential::{CredentialId, State};
use shared::error::Missing;
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

/// The method and path, which also name the endpoint in the log.
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

/// The result of a check.
#[derive(Serialize, ToSchema)]
pub(crate) struct CredentialHealth {
    /// The credential's id.
    credential_id: CredentialId,
    /// When the check ended.
    checked_at: Timestamp,
    /// The credential's state after the check. The check corrects a state that is out of date.
    state: State,
    /// What the credential can be used for.
    capabilities: Capabilities,
}

/// Checks a credential
///
/// Shows whether bots can use the credential. The check refreshes the grant if that is due, reads the user's profile,
/// and mints and drops one token of each type. It stores a profile that is new or has changed. For an app credential,
/// it tries the client id and secret at Zoom. For an account-level credential, it requests an access token, and looks
/// at the app's scopes.
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
        (status = 200, description = "How the credential is: good or bad, the check itself went well", body = Success<CredentialHealth>),
        ReadErrors,
        MissingError,
        WriteErrors,
        BodyErrors,
    )
)]
pub async fn handle(keys: &Keys, requests: &Requests, grants: &Grants, request: &Request) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let team = caller.team;
    let input = request
        .credential_id()
        .and_then(|id| Ok((id, CheckCredential::of(request)?.meeting_id)));
    let work = async |(id, meeting)| {
        let stored = caller.visible(grants.credentials().get(team, id).await?)?;
        Ok((stored, meeting))
    };
    let admitted =
        access::admit_change_with_settings(keys, requests, &caller, request, input, work);
    let (settings, (stored, meeting)) = admitted.await?;
    let id = stored.credential.credential_id;
    let terms = terms::of_api_caller();
    let context = Context {
        grants,
        invocation: request.invocation(),
        team,
        terms: &terms,
    };

    let capabilities = check(context, stored, meeting, settings.account_onbehalf).await?;

    let checked = grants.credentials().get(team, id).await?;
    let state = checked.ok_or(Missing::Credential)?.credential.state;
    reply::ok(CredentialHealth {
        credential_id: id,
        checked_at: Timestamp::now(),
        state,
        capabilities,
    })
}
