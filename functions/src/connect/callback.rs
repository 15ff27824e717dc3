//! `GET /connect/callback`: Zoom sends users back to this address.
//!
//! The order of the steps keeps a crash harmless:
//! 1. State and cookie must match the session before anything else of the request is read.
//! 2. All data keys are made and all secrets opened before the state is consumed.
//! 3. The state is consumed, once, before the code is sent to Zoom.
//! 4. One transaction stores the credential and marks the session as connected.
//! 5. The session's sealed secrets are destroyed.
//!
//! A crash leaves a session that can be reloaded, or one that is `interrupted` and can be started again, or one that is
//! connected.

use shared::authorize::Authorizer;
use shared::cause::chain;
use shared::config::Url;
use shared::connect::{BrowserKey, ConnectFailure, OAuthState};
use shared::credential::{CredentialId, Name};
use shared::envelope::{Envelope, SecretId};
use shared::error::{Blamed, Down, Error, Missing};
use shared::event::Actor;
use shared::secret::AuthorizationCode;
use shared::stores::{
    self, Credentials, Events, HeldClaim, Pairs, Requests, Secrets, Session, SessionClaim,
    StoredCredential,
};
use shared::timestamp::Timestamp;
use shared::zoom::Zoom;

use crate::connect::exchange::CodeExchange;
use crate::connect::page::{COOKIE, forget_link, link_of, lost_race};
use crate::connect::scopes::Permissions;
use crate::http::error::{ApiError, ConnectRefusal};
use crate::http::idempotency::{Claimed, release_on_failure};
use crate::http::pages::{self, BrandView, ConnectedPage};
use crate::http::reply::Reply;
use crate::http::request::{ErrorFormat, FailedConnect, Request};

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "GET /connect/callback";

/// Stores the user's credential, and sends the browser to the team's return URL or shows a page.
///
/// A visit without a state comes from the button "Add" in Zoom's Marketplace. Nobody can know for whom its code is, so
/// the code is not used.
pub async fn handle(
    requests: &Requests,
    credentials: &Credentials,
    pairs: &Pairs,
    secrets: &Secrets,
    events: &Events,
    envelope: &Envelope,
    zoom: &Zoom,
    recovery_capsules: bool,
    landing_url: Option<&Url>,
    request: &Request,
) -> Reply {
    request.answer_errors_as(ErrorFormat::Page);
    if request.query("state").is_none() {
        return pages::added(landing_url);
    }
    let (state, browser) = state_and_browser(request)?;
    let session = requests.session(state.session()).await?;
    let session = session.filter(|session| session.was_started_with(&state, &browser));
    let session = session.ok_or(ConnectRefusal::StateMismatch)?;
    request.note_team(&session.parameters.team);

    let callback = Callback {
        requests,
        credentials,
        pairs,
        secrets,
        events,
        envelope,
        zoom,
        recovery_capsules,
        request,
        session: &session,
        state,
        browser,
    };
    request
        .invocation()
        .act_as(Actor::ConnectSession(session.id));
    if let Some(id) = session.credential {
        return callback.answer_again(id).await;
    }
    match consent(request, &session)? {
        Consent::Given(code) => callback.connect(code).await,
        Consent::AlreadyFailed(failure) => Err(callback.failed(failure)),
        Consent::Refused(failure) => Err(callback.fail_without_code(failure).await?),
    }
}

/// The state in the query and the browser key in the cookie, if both are well-formed. Reads no table.
pub(crate) fn state_and_browser(
    request: &Request,
) -> Result<(OAuthState, BrowserKey), ConnectRefusal> {
    let state = request.query("state").map(OAuthState::parse);
    let browser = request.cookie(COOKIE).map(BrowserKey::parse);
    match (state, browser) {
        (Some(Ok(state)), Some(Ok(browser))) => Ok((state, browser)),
        _ => Err(ConnectRefusal::StateMismatch),
    }
}

/// What the user decided at Zoom.
enum Consent {
    /// The user consented. The code must be exchanged.
    Given(AuthorizationCode),
    /// The session has failed before.
    AlreadyFailed(ConnectFailure),
    /// The user came back without a code.
    Refused(ConnectFailure),
}

fn consent(request: &Request, session: &Session) -> Result<Consent, ConnectRefusal> {
    let now = Timestamp::now();
    if let Some(wait) = session.exchange_time_left(now) {
        return Err(ConnectRefusal::InProgress { wait });
    }
    if let Some(failure) = session.failure(now) {
        return Ok(Consent::AlreadyFailed(failure));
    }
    if session.is_over(now) {
        return Ok(Consent::AlreadyFailed(ConnectFailure::Expired));
    }
    let code = || AuthorizationCode::try_from(request.query("code")?.to_owned()).ok();
    Ok(match request.query("error") {
        Some("access_denied") => Consent::Refused(ConnectFailure::AccessDenied),
        Some("invalid_scope") => Consent::Refused(ConnectFailure::MissingScope),
        Some(_) => Consent::Refused(ConnectFailure::ZoomRefused),
        None => match code() {
            Some(code) => Consent::Given(code),
            // Zoom always sends a code or an error, so this request is not from Zoom. The state stays unused.
            None => return Err(ConnectRefusal::StateMismatch),
        },
    })
}

/// One visit of a browser whose state and cookie match the session.
struct Callback<'a> {
    requests: &'a Requests,
    credentials: &'a Credentials,
    pairs: &'a Pairs,
    secrets: &'a Secrets,
    events: &'a Events,
    envelope: &'a Envelope,
    zoom: &'a Zoom,
    recovery_capsules: bool,
    request: &'a Request,
    session: &'a Session,
    state: OAuthState,
    browser: BrowserKey,
}

impl Callback<'_> {
    /// Answers a browser that reloads the page of a connected session.
    async fn answer_again(&self, id: CredentialId) -> Reply {
        self.destroy_session_secrets().await;
        let team = &self.session.parameters.team;
        let stored = self.credentials.get(team, id).await?;
        self.connected(id, stored.as_ref())
    }

    /// Exchanges the code and stores the credential.
    async fn connect(&self, code: AuthorizationCode) -> Reply {
        let (requests, session) = (self.requests, self.session);
        let prepared =
            CodeExchange::prepare(self.credentials, self.secrets, self.envelope, session, code);
        let exchange = match prepared.await {
            Err(ApiError::Vault(Error::NotFound(Missing::Credential))) => {
                let failure = ConnectFailure::CredentialChanged;
                return Err(self.fail_without_code(failure).await?);
            }
            prepared => prepared?,
        };
        let id = exchange.credential_id();
        self.request.note_credential(id);

        let parameters = &session.parameters;
        let deadline = self.request.deadline();
        let claim = requests.claim(&parameters.team, None, parameters.reconnects, deadline);
        let held = match Claimed::from_outcome(claim.await?)? {
            Claimed::New(held) => held,
            // Without an idempotency key, the claim is only a lock, and a lock is never completed.
            Claimed::Completed(_) => return Err(ApiError::Vault(Error::Conflict)),
        };
        let stored = release_on_failure(requests, &held, self.carry_out(exchange, &held)).await?;
        self.destroy_session_secrets().await;
        self.connected(id, stored.as_ref())
    }

    /// Claims the session and carries the exchange out. `None` if the commit has succeeded although its answer was
    /// lost.
    async fn carry_out(
        &self,
        exchange: CodeExchange,
        held: &HeldClaim,
    ) -> Result<Option<StoredCredential>, ApiError> {
        let (requests, session) = (self.requests, self.session);
        let deadline = self.request.deadline();
        let claim = requests.claim_session(session.id, &self.state, &self.browser, deadline);
        let claim = consumed_first(claim.await)?;
        let finished = requests.finish_session(claim, exchange.credential_id())?;
        let authorizer = Authorizer {
            credentials: self.credentials,
            pairs: self.pairs,
            secrets: self.secrets,
            events: self.events,
            zoom: self.zoom,
            invocation: self.request.invocation(),
            team: &session.parameters.team,
            capsules: self.recovery_capsules,
        };
        let change = exchange.change();
        let id = exchange.credential_id();
        let team = &session.parameters.team;
        let event = self.request.change(self.events, team, Some(id), change)?;
        let mut writes = vec![finished, event];
        writes.extend(requests.unlock(held)?);
        let error = match exchange.run(authorizer, writes).await {
            Ok(stored) => return Ok(Some(stored)),
            Err(error) => error,
        };
        let failure = session_failure(&error);
        if self.fail_unless_connected(claim, failure).await {
            return Ok(None);
        }
        // The browser gets the failure of the session. The log gets the error.
        self.failed(failure);
        Err(error.into())
    }

    /// Marks the session as failed, unless the commit has succeeded and only its answer was lost. Returns whether the
    /// session is connected.
    ///
    /// Best effort: a session that is claimed and not marked becomes `interrupted` when the claim's time is over.
    async fn fail_unless_connected(&self, claim: SessionClaim, failure: ConnectFailure) -> bool {
        let Err(error) = self.requests.fail_session(claim, failure).await else {
            return false;
        };
        if matches!(error, stores::Error::Conflict)
            && let Ok(Some(now)) = self.requests.session(self.session.id).await
            && now.credential.is_some()
        {
            return true;
        }
        let (request_id, cause) = (self.request.id(), chain(&error));
        tracing::warn!(
            request_id,
            cause,
            "a failed connect session could not be marked as failed"
        );
        false
    }

    /// Consumes the state and marks the session as failed, before a code is sent. Returns the error to answer.
    async fn fail_without_code(&self, failure: ConnectFailure) -> Result<ApiError, ApiError> {
        let failing =
            self.requests
                .fail_without_code(self.session.id, &self.state, &self.browser, failure);
        consumed_first(failing.await)?;
        Ok(self.failed(failure))
    }

    /// The error for a session that has failed. Also sets where the browser goes, or what the page says.
    fn failed(&self, failure: ConnectFailure) -> ApiError {
        let (id, parameters) = (self.session.id, &self.session.parameters);
        let return_url = parameters.return_url.as_ref();
        let return_url = return_url.map(|url| url.with_outcome(id, &[("error", failure.as_str())]));
        let failed_connect = &self.request.record().failed_connect;
        failed_connect.get_or_init(|| FailedConnect {
            team: BrandView::of_session(parameters).team.to_owned(),
            brand: parameters.brand.clone(),
            link: link_of(self.request, self.session),
            failure,
            return_url,
            link_works_until: parameters.ends_at,
        });
        ApiError::Connect(if failure == ConnectFailure::Expired {
            ConnectRefusal::Expired
        } else {
            ConnectRefusal::Failed(failure)
        })
    }

    /// Sends the browser to the team's return URL, or shows who is connected.
    fn connected(&self, id: CredentialId, stored: Option<&StoredCredential>) -> Reply {
        let session = self.session;
        let credential = stored.map(|stored| &stored.credential);
        let is_another_user = credential.and_then(|it| session.user_changed(it)) == Some(true);
        let mut response = self.connected_page(id, stored, is_another_user)?;
        forget_link(&mut response, self.request, session)?;
        Ok(response)
    }

    fn connected_page(
        &self,
        id: CredentialId,
        stored: Option<&StoredCredential>,
        is_another_user: bool,
    ) -> Reply {
        let (session, parameters) = (self.session, &self.session.parameters);
        let credential = stored.map(|stored| &stored.credential);
        if let Some(url) = parameters.return_url.as_ref() {
            let id = id.to_string();
            let mut outcome = vec![("credential_id", id.as_str())];
            outcome.extend(is_another_user.then_some(("user_changed", "true")));
            return pages::see_other(&url.with_outcome(session.id, &outcome));
        }
        let user =
            credential.and_then(|it| it.zoom_display_name.as_ref().or(it.zoom_email.as_ref()));
        let scopes = credential.and_then(|it| it.scopes.as_deref());
        // The first user repairs a mix-up, and did nothing wrong.
        let repairs = stored.is_some_and(StoredCredential::is_first_user_again);
        let page = ConnectedPage {
            brand: BrandView::of_session(parameters),
            label: parameters.label.as_str(),
            user: user.map(String::as_str),
            is_another_user: is_another_user && !repairs,
            app_name: parameters.app_name.as_ref().map(Name::as_str),
            permissions: Permissions::of(scopes.unwrap_or_default()),
            client_id: parameters.client_id.as_str(),
            problem: credential.and_then(|it| it.last_error_message.as_deref()),
        };
        pages::ok(&page, parameters.brand.logo.as_ref())
    }

    /// Destroys the sealed secrets of a connected session. Best effort: otherwise DynamoDB's TTL removes them.
    async fn destroy_session_secrets(&self) {
        let id = SecretId::Session(self.session.id);
        let team = &self.session.parameters.team;
        if let Err(error) = self.secrets.purge(team, id).await {
            let (request_id, cause) = (self.request.id(), chain(&error));
            tracing::warn!(
                request_id,
                cause,
                "a connect session's secrets are left to DynamoDB's TTL"
            );
        }
    }
}

/// The failure of a session whose code could not be exchanged or stored.
fn session_failure(error: &Error) -> ConnectFailure {
    if let Error::CodeRefused { blamed, .. } = error {
        return match blamed {
            Blamed::App => ConnectFailure::AppMisconfigured,
            Blamed::Grant => ConnectFailure::CodeRefused,
        };
    }
    let zoom_failed = matches!(
        error,
        Error::ZoomUnavailable { .. }
            | Error::ZoomTimeout { .. }
            | Error::Unavailable {
                source: Down::Zoom(_),
                ..
            }
    );
    if zoom_failed {
        ConnectFailure::ZoomUnavailable
    } else if matches!(
        error,
        Error::Conflict
            | Error::AuthorizationNotTaken
            | Error::NotFound(Missing::Credential | Missing::AuthorizedCredential)
    ) {
        ConnectFailure::CredentialChanged
    } else {
        ConnectFailure::Internal
    }
}

/// Maps a conflict to a lost race: another request has consumed the state first, and finishes the session.
fn consumed_first<T>(consumed: Result<T, stores::Error>) -> Result<T, ApiError> {
    match consumed {
        Err(stores::Error::Conflict) => Err(lost_race().into()),
        consumed => Ok(consumed?),
    }
}
