//! `GET /connect/callback`: where Zoom sends users back to.
//!
//! State and cookie must be those that belong together, before anything is read of what Zoom says. Keys are made and
//! secrets opened before the state is consumed; it is consumed once, before the code is sent; and that the session ended
//! well is written in the transaction that stores the credential. What was sealed for it goes after that. So a crash
//! leaves a session that can be reloaded, one that is `interrupted` and can be started again, or one that is done.

use shared::authorize::Authorizer;
use shared::cause::chain;
use shared::connect::{BrowserKey, ConnectFailure, OAuthState};
use shared::credential::CredentialId;
use shared::envelope::{Envelope, SecretId};
use shared::error::{Blamed, Down, Error, Missing};
use shared::secret::AuthorizationCode;
use shared::stores::{
    self, Credentials, Events, Requests, Secrets, Session, SessionClaim, StoredCredential,
};
use shared::timestamp::Timestamp;
use shared::zoom::Zoom;

use crate::connect::page::{COOKIE, SOON};
use crate::connect::plan::Plan;
use crate::http::error::{ApiError, ConnectRefusal};
use crate::http::idempotency;
use crate::http::pages::{self, Connected};
use crate::http::reply::Reply;
use crate::http::request::{Reader, Request, TurnedAway};

/// What the logs call it.
pub const ROUTE: &str = "GET /connect/callback";

/// Stores the user's credential, and says so.
pub async fn handle(
    requests: &Requests,
    credentials: &Credentials,
    secrets: &Secrets,
    events: &Events,
    envelope: &Envelope,
    zoom: &Zoom,
    request: &Request,
) -> Reply {
    request.trail().reader.get_or_init(|| Reader::Browser);
    let (state, browser) = brought(request)?;
    let session = requests.session(state.session()).await?;
    let session = session.ok_or(refused(ConnectRefusal::AnotherBrowser))?;
    if !session.was_started_with(&state, &browser) {
        return Err(refused(ConnectRefusal::AnotherBrowser));
    }
    let team = &session.parameters.team;
    request.trail().team.get_or_init(|| team.clone());
    if let Some(id) = session.credential {
        forget(secrets, request, &session).await;
        let stored = credentials.get(team, id).await?;
        return connected(&session, id, stored.as_ref());
    }
    let code = match outcome(request, &session)? {
        Outcome::Code(code) => code,
        Outcome::Known(failure) => return Err(turned(request, &session, failure)),
        Outcome::Refusal(failure) => {
            let away = requests.fail_without_code(session.id, &state, &browser, failure);
            first(away.await)?;
            return Err(turned(request, &session, failure));
        }
    };

    let plan = match Plan::prepare(credentials, secrets, envelope, &session, code).await {
        Err(ApiError::Vault(Error::NotFound(Missing::Credential))) => {
            let failure = ConnectFailure::CredentialChanged;
            let away = requests.fail_without_code(session.id, &state, &browser, failure);
            first(away.await)?;
            return Err(turned(request, &session, failure));
        }
        plan => plan?,
    };
    let id = plan.target();
    request.trail().credential.get_or_init(|| id);
    let claimed = requests.claim(
        team,
        None,
        session.parameters.reconnects,
        request.deadline(),
    );
    let held =
        idempotency::standing(claimed.await?)?.map_err(|_| ApiError::Vault(Error::Conflict))?;
    let stored = idempotency::holding(requests, &held, async {
        let taken = requests.claim_session(session.id, &state, &browser, request.deadline());
        let taken = first(taken.await)?;
        let finished = requests.finish_session(taken, id)?;
        let authorizer = Authorizer {
            credentials,
            secrets,
            events,
            zoom,
            invocation: request.invocation(),
            team,
        };
        let mut along = vec![finished];
        along.extend(requests.unlock(&held)?);
        let error = match plan.carry_out(authorizer, along).await {
            Ok(stored) => return Ok(Some(stored)),
            Err(error) => error,
        };
        let failure = failure(&error);
        if fail(requests, request, &session, taken, failure).await {
            return Ok(None);
        }
        turned(request, &session, failure);
        Err(ApiError::from(error))
    })
    .await?;
    forget(secrets, request, &session).await;
    connected(&session, id, stored.as_ref())
}

/// The state and the cookie that the browser brought, if both can be. Reads nothing.
fn brought(request: &Request) -> Result<(OAuthState, BrowserKey), ApiError> {
    let state = request.query("state").map(OAuthState::parse);
    let browser = request.cookie(COOKIE).map(BrowserKey::parse);
    match (state, browser) {
        (Some(Ok(state)), Some(Ok(browser))) => Ok((state, browser)),
        _ => Err(refused(ConnectRefusal::AnotherBrowser)),
    }
}

/// What there is to do for a user whose state and cookie are right.
enum Outcome {
    /// To spend this code.
    Code(AuthorizationCode),
    /// To say what is known already.
    Known(ConnectFailure),
    /// To write down that the user has no code.
    Refusal(ConnectFailure),
}

fn outcome(request: &Request, session: &Session) -> Result<Outcome, ApiError> {
    let now = Timestamp::now();
    if let Some(wait) = session.exchange_time_left(now) {
        return Err(refused(ConnectRefusal::Busy { wait }));
    }
    if let Some(failure) = session.failure(now) {
        return Ok(Outcome::Known(failure));
    }
    if session.is_over(now) {
        return Ok(Outcome::Known(ConnectFailure::Expired));
    }
    let code = || AuthorizationCode::try_from(request.query("code")?.to_owned()).ok();
    Ok(match request.query("error") {
        Some("access_denied") => Outcome::Refusal(ConnectFailure::AccessDenied),
        Some("invalid_scope") => Outcome::Refusal(ConnectFailure::MissingScope),
        Some(_) => Outcome::Refusal(ConnectFailure::ZoomRefused),
        None => match code() {
            Some(code) => Outcome::Code(code),
            // Not from Zoom, whatever it is: the state is left for what is.
            None => return Err(refused(ConnectRefusal::AnotherBrowser)),
        },
    })
}

/// Back to the team's site with the credential's id, or to a page that says who is connected.
fn connected(session: &Session, id: CredentialId, stored: Option<&StoredCredential>) -> Reply {
    let credential = stored.map(|stored| &stored.credential);
    let is_another = credential.and_then(|it| session.user_changed(it)) == Some(true);
    if let Some(url) = session.parameters.return_url.as_ref() {
        let id = id.to_string();
        let mut outcome = vec![("credential_id", id.as_str())];
        outcome.extend(is_another.then_some(("user_changed", "true")));
        return pages::see_other(&url.with_outcome(session.id, &outcome));
    }
    let name = credential.and_then(|it| it.zoom_display_name.as_ref().or(it.zoom_email.as_ref()));
    pages::ok(&Connected {
        team: session.parameters.team.as_str(),
        label: session.parameters.label.as_str(),
        user: name.map(String::as_str),
        is_another,
        client_id: session.parameters.client_id.as_str(),
        note: credential.and_then(|it| it.last_error_message.as_deref()),
    })
}

/// Has the browser told how the session ended.
fn turned(request: &Request, session: &Session, failure: ConnectFailure) -> ApiError {
    let url = session.parameters.return_url.as_ref();
    request.trail().turned_away.get_or_init(|| TurnedAway {
        failure,
        to: url.map(|url| url.with_outcome(session.id, &[("error", failure.as_str())])),
        again_until: session.parameters.ends_at,
    });
    refused(if failure == ConnectFailure::Expired {
        ConnectRefusal::Over
    } else {
        ConnectRefusal::NoCode(failure)
    })
}

/// What an authorization that failed is to the session.
fn failure(error: &Error) -> ConnectFailure {
    if let Error::CodeRefused { blamed, .. } = error {
        return match blamed {
            Blamed::App => ConnectFailure::AppMisconfigured,
            Blamed::Grant => ConnectFailure::CodeRefused,
        };
    }
    let zooms = matches!(
        error,
        Error::ZoomUnavailable { .. }
            | Error::ZoomTimeout { .. }
            | Error::Unavailable {
                source: Down::Zoom(_),
                ..
            }
    );
    if zooms {
        ConnectFailure::ZoomUnavailable
    } else if matches!(
        error,
        Error::Conflict | Error::NotFound(Missing::Credential)
    ) {
        ConnectFailure::CredentialChanged
    } else {
        ConnectFailure::Internal
    }
}

/// Says why the session has not ended well, or answers that it has: the commit may have been made though its answer was
/// lost. Best effort: a session that is taken and not finished is `interrupted` when its time is over.
async fn fail(
    requests: &Requests,
    request: &Request,
    session: &Session,
    taken: SessionClaim,
    failure: ConnectFailure,
) -> bool {
    let Err(error) = requests.fail_session(taken, failure).await else {
        return false;
    };
    if matches!(error, stores::Error::Conflict)
        && let Ok(Some(now)) = requests.session(session.id).await
        && now.credential.is_some()
    {
        return true;
    }
    let (request_id, cause) = (request.id(), chain(&error));
    tracing::warn!(
        request_id,
        cause,
        "a connect session does not say yet why it failed"
    );
    false
}

/// Destroys what was sealed for the session, once it is connected. Best effort: DynamoDB's TTL does it otherwise.
async fn forget(secrets: &Secrets, request: &Request, session: &Session) {
    let id = SecretId::Session(session.id);
    if let Err(error) = secrets.purge(&session.parameters.team, id).await {
        let (request_id, cause) = (request.id(), chain(&error));
        tracing::warn!(
            request_id,
            cause,
            "a connect session's secrets are left to DynamoDB's TTL"
        );
    }
}

/// The state was ours to consume, or someone else did it first and is the one who finishes.
fn first<T>(consumed: Result<T, stores::Error>) -> Result<T, ApiError> {
    match consumed {
        Err(stores::Error::Conflict) => Err(refused(ConnectRefusal::Busy { wait: SOON })),
        consumed => Ok(consumed?),
    }
}

fn refused(refused: ConnectRefusal) -> ApiError {
    ApiError::Connect(refused)
}
