//! `GET /v2/zoom-connect-sessions/{id}`

use serde::Serialize;
use shared::connect::{ConnectFailure, SessionId, SessionStatus};
use shared::credential::CredentialId;
use shared::error::{Error, Missing};
use shared::stores::{Credentials, ExtraChange, Keys, Requests, Session};
use shared::timestamp::Timestamp;
use utoipa::ToSchema;

use crate::http::access::{self, Caller};
use crate::http::error::ApiError;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingSessionError, ReadErrors};

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "GET /v2/zoom-connect-sessions/{id}";

/// A connect session and its outcome so far.
#[derive(Serialize, ToSchema)]
pub struct ConnectSession {
    /// The session's id.
    session_id: SessionId,
    /// The session's status.
    status: SessionStatus,
    /// The credential that the session connected.
    #[schema(required = true)]
    credential_id: Option<CredentialId>,
    /// Whether the credential's Zoom user differs from the user at the time when the session was created. Null if one
    /// of the two users is unknown.
    #[schema(required = true)]
    user_changed: Option<bool>,
    /// Why the session failed or expired.
    #[schema(required = true)]
    error: Option<ConnectFailure>,
    /// When the session was created.
    created_at: Timestamp,
    /// When the session ends. A day later, the session cannot be read any more.
    expires_at: Timestamp,
    /// When the session connected or failed.
    #[schema(required = true)]
    finished_at: Option<Timestamp>,
}

impl ConnectSession {
    fn new(session: &Session, user_changed: Option<bool>) -> Self {
        let now = Timestamp::now();
        Self {
            session_id: session.id,
            status: session.status(now),
            credential_id: session.credential,
            user_changed,
            error: session.failure(now),
            created_at: session.id.created_at(),
            expires_at: session.parameters.ends_at,
            finished_at: session.finished_at,
        }
    }
}

/// Gets a connect session
///
/// A `failed` session can still succeed: until it expires, the user can open the same URL again.
#[utoipa::path(
    get,
    path = "/v2/zoom-connect-sessions/{id}",
    operation_id = "getZoomConnectSession",
    tag = "Connect sessions",
    params(
        ("id" = inline(SessionId), Path, description = "The session's id"),
    ),
    responses(
        (status = 200, description = "The session as it is now", body = Success<ConnectSession>),
        ReadErrors,
        MissingSessionError,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let id = request.session_id();
    let (verified, session) = tokio::join!(access::verify(keys, &key, request), async {
        Ok::<_, ApiError>(requests.session(id?).await?)
    });
    let caller = verified?;
    let session = access::admit_read(requests, &caller, request, session).await?;
    let session = session.ok_or(Missing::ConnectSession)?;
    if session.parameters.team != *caller.team || !sees(credentials, &caller, &session).await? {
        return Err(ApiError::Vault(Error::NotFound(Missing::ConnectSession)));
    }
    let user_changed = user_changed(credentials, &session).await?;
    reply::ok(ConnectSession::new(&session, user_changed))
}

/// Whether the key can see the credential that the session connects or creates.
async fn sees(
    credentials: &Credentials,
    caller: &Caller<'_>,
    session: &Session,
) -> Result<bool, ApiError> {
    if caller.sees_all() {
        return Ok(true);
    }
    let parameters = &session.parameters;
    let Some(id) = parameters.reconnects else {
        let extra = parameters.extra.clone().and_then(ExtraChange::into_extra);
        return Ok(caller.may_store(extra.as_ref()).is_ok());
    };
    let stored = credentials.get(caller.team, id).await?;
    Ok(stored.is_some_and(|stored| caller.sees(&stored.credential)))
}

/// Whether the credential's Zoom user has changed. Reads the credential only if the earlier user is known.
async fn user_changed(
    credentials: &Credentials,
    session: &Session,
) -> Result<Option<bool>, ApiError> {
    let team = &session.parameters.team;
    let Some((id, _)) = session
        .credential
        .zip(session.parameters.known_user.as_ref())
    else {
        return Ok(None);
    };
    let stored = credentials.get(team, id).await?;
    Ok(stored.and_then(|stored| session.user_changed(&stored.credential)))
}
