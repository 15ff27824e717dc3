//! `POST /v2/zoom-connect-sessions`

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use shared::config::Url;
use shared::connect::{LinkToken, ReturnUrl, SessionId, ZoomUserHash};
use shared::credential::{ClientId, CredentialId, Name, RedirectUri, TeamId};
use shared::envelope::{Binding, DataKey, Envelope, SecretId};
use shared::error::{Error, Missing};
use shared::event::{Change, EventKind, Target};
use shared::extra::ExtraFilter;
use shared::secret::{AppCredentials, ClientSecret, CodeVerifier, Plaintext, SessionSecret};
use shared::stores::{
    Credentials, Events, ExtraChange, Keys, NewSession, Requests, Secrets, SessionApp,
    SessionSecretRow, StoredCredential, TRANSACTION_TIMEOUT, Team,
};
use shared::timestamp::Timestamp;
use utoipa::ToSchema;

use crate::http::access::{self, Caller};
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingError, ReadErrors, UnreadableBodyErrors, WriteErrors};

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "POST /v2/zoom-connect-sessions";

/// How long a user can connect after the session was created.
const SESSION_LIFETIME: Duration = Duration::from_mins(30);
/// How long after the session's end DynamoDB's TTL removes the sealed secrets.
const SECRETS_RETENTION: Duration = Duration::from_hours(1);

/// The user to connect, and the Zoom app. Unknown fields are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct CreateConnectSession {
    /// Your name for the credential; the page shows the name to the user. Required without `credential_id`.
    #[schema(nullable = false)]
    name: Option<Name>,
    /// The Zoom app's client id, with `client_secret`.
    #[schema(nullable = false)]
    client_id: Option<ClientId>,
    /// The Zoom app's client secret, with `client_id`.
    #[schema(write_only, nullable = false)]
    client_secret: Option<ClientSecret>,
    /// Instead of `client_id` and `client_secret`: a credential of the team, whose app is used.
    #[schema(nullable = false)]
    app_credential_id: Option<CredentialId>,
    /// The name of the Zoom app, as Zoom shows it. The page shows the name to the user.
    #[schema(nullable = false)]
    app_name: Option<Name>,
    /// The credential to connect again. It keeps its id. It keeps its app, unless the body names another.
    #[schema(nullable = false)]
    credential_id: Option<CredentialId>,
    /// Your own JSON object. With `credential_id` the object replaces the credential's, and null clears it.
    #[schema(value_type = Option<HashMap<String, Value>>)]
    extra: Option<ExtraChange>,
    /// Where the user goes in the end. The vault adds to the query `session_id`, and `credential_id` or `error`. It
    /// adds `user_changed` if another Zoom user came. The operator must have allowed the URL's origin for the team.
    /// Without a return URL, a page shows the outcome.
    #[schema(nullable = false)]
    return_url: Option<ReturnUrl>,
}

impl CreateConnectSession {
    fn of(request: &Request) -> Result<Self, ApiError> {
        let fields = Fields::of(request)?;
        Ok(Self {
            client_id: fields.optional("body/client_id")?,
            client_secret: fields.optional("body/client_secret")?,
            app_credential_id: fields.optional("body/app_credential_id")?,
            app_name: fields.optional("body/app_name")?,
            credential_id: fields.optional("body/credential_id")?,
            name: fields.optional("body/name")?,
            extra: fields.extra()?,
            return_url: fields.optional("body/return_url")?,
        })
    }
}

/// The body, with what belongs together put together.
#[derive(Debug)]
pub(crate) struct Input {
    name: Option<Name>,
    extra: Option<ExtraChange>,
    app: App,
    app_name: Option<Name>,
    reconnects: Option<CredentialId>,
    return_url: Option<ReturnUrl>,
}

/// The Zoom app that the user is to consent to.
#[derive(Debug)]
enum App {
    New(AppCredentials),
    Of(CredentialId),
}

impl Input {
    /// The names of the fields that are set, for the audit trail.
    fn fields(&self) -> Vec<&'static str> {
        let mut fields = Vec::new();
        fields.extend(self.name.is_some().then_some("name"));
        fields.extend(self.extra.is_some().then_some("extra"));
        match self.app {
            App::New(_) => fields.extend(["client_id", "client_secret"]),
            App::Of(_) if self.reconnects.is_none() => fields.push("app_credential_id"),
            App::Of(_) => {}
        }
        fields.extend(self.app_name.is_some().then_some("app_name"));
        fields.extend(self.reconnects.is_some().then_some("credential_id"));
        fields.extend(self.return_url.is_some().then_some("return_url"));
        fields
    }

    /// Fails if the caller could not see the credential.
    fn allowed_to(self, caller: &Caller<'_>) -> Result<Self, ApiError> {
        let extra = self.extra.clone().map(ExtraChange::into_extra);
        match (self.reconnects, extra) {
            // The credential keeps its own `extra`.
            (Some(_), None) => {}
            (_, extra) => caller.may_store(extra.flatten().as_ref())?,
        }
        Ok(self)
    }

    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        let body = CreateConnectSession::of(request)?;
        let missing = |at| ApiError::validation(at, "is required");
        let (named, reconnects) = (body.app_credential_id, body.credential_id);
        let app = match (body.client_id, body.client_secret, named.or(reconnects)) {
            (Some(client_id), Some(client_secret), _) if named.is_none() => {
                App::New(AppCredentials {
                    client_id,
                    client_secret,
                })
            }
            (Some(_), Some(_), _) => {
                return Err(ApiError::validation(
                    "body/app_credential_id",
                    "must NOT come with client_id",
                ));
            }
            (Some(_), None, _) => {
                return Err(ApiError::validation(
                    "body/client_secret",
                    "is required with client_id",
                ));
            }
            (None, Some(_), _) => {
                return Err(ApiError::validation(
                    "body/client_id",
                    "is required with client_secret",
                ));
            }
            (None, None, Some(of)) => App::Of(of),
            (None, None, None) => {
                return Err(ApiError::validation(
                    "body/client_id",
                    "is required, unless app_credential_id or credential_id says whose app is used",
                ));
            }
        };
        if named.is_some() && reconnects.is_some() {
            return Err(ApiError::validation(
                "body/app_credential_id",
                "must NOT come with credential_id",
            ));
        }
        if body.name.is_none() && reconnects.is_none() {
            return Err(missing("body/name"));
        }
        Ok(Self {
            name: body.name,
            extra: body.extra,
            app,
            app_name: body.app_name,
            reconnects,
            return_url: body.return_url,
        })
    }

    /// The credential that must exist: the session authorizes it again, or uses its app.
    fn existing_credential(&self) -> Option<CredentialId> {
        let app = match self.app {
            App::New(_) => None,
            App::Of(id) => Some(id),
        };
        self.reconnects.or(app)
    }
}

/// A new connect session. No other answer shows its URL.
#[derive(Serialize, ToSchema)]
pub struct CreatedConnectSession {
    /// The session's id. Use it to read the session's outcome.
    session_id: SessionId,
    /// The URL for the user to open. Anyone who has it can connect a Zoom account. The vault shows it once and stores a
    /// hash.
    #[schema(format = "uri", example = "https://vault.example.com/connect/zcl_…")]
    connect_url: String,
    /// The address that Zoom sends the user to. It must be one of the Zoom app's redirect URLs, letter by letter.
    #[schema(format = "uri", example = "https://vault.example.com/connect/callback")]
    redirect_uri: String,
    /// When the session ends.
    expires_at: Timestamp,
}

impl CreatedConnectSession {
    #[expect(
        clippy::disallowed_methods,
        reason = "the caller who creates the session sees its URL once"
    )]
    fn new(
        id: SessionId,
        base: &str,
        link: &SecretString,
        redirect_uri: String,
        ends_at: Timestamp,
    ) -> Self {
        Self {
            session_id: id,
            connect_url: format!("{base}/connect/{}", link.expose_secret()),
            redirect_uri,
            expires_at: ends_at,
        }
    }
}

/// Creates a connect session
///
/// The answer has a URL for a Zoom user to open. The vault creates a credential when the user has consented at Zoom.
#[utoipa::path(
    post,
    path = "/v2/zoom-connect-sessions",
    operation_id = "createZoomConnectSession",
    tag = "Connect sessions",
    request_body(content = CreateConnectSession, content_type = "application/json"),
    responses(
        (status = 201, description = "The new session", body = Success<CreatedConnectSession>),
        ReadErrors,
        MissingError,
        WriteErrors,
        UnreadableBodyErrors,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    secrets: &Secrets,
    events: &Events,
    envelope: &Envelope,
    public: Option<&Url>,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let team = caller.team;
    let id = SessionId::generate();
    let input = Input::of(request).and_then(|input| input.allowed_to(&caller));
    let work = async |input: Input| {
        let existing = input.existing_credential();
        let stored = existing.map(|id| stored_credential(credentials, &caller, id));
        let (stored, data_key) = tokio::try_join!(
            OptionFuture::from(stored).map(Option::transpose),
            data_key(envelope, team, id),
        )?;
        if stored.as_ref().is_some_and(|it| it.account().is_some()) {
            let at = match input.reconnects {
                Some(_) => "body/credential_id",
                None => "body/app_credential_id",
            };
            let rule = "must NOT name an account-level credential: no user authorizes its app";
            return Err(ApiError::validation(at, rule));
        }
        Ok((input, stored, data_key))
    };
    let admitted =
        access::admit_change_with_settings(keys, requests, &caller, request, input, work);
    let (settings, (input, stored, data_key)) = admitted.await?;
    check_return_url(&settings, input.return_url.as_ref())?;
    let base = request.base(public, "/v2/zoom-connect-sessions")?;

    let link = LinkToken::generate(id).map_err(ApiError::internal)?;
    let redirect_uri = format!("{base}/connect/callback");
    let creator = (caller.key_id().to_string(), caller.filter().clone());
    let (fields, reconnects) = (input.fields(), input.reconnects);
    let (session, secret) =
        new_session(id, settings, creator, input, stored, redirect_uri.clone())?;
    let ends_at = session.ends_at;
    let sealed = SessionSecretRow {
        team_id: team.clone(),
        sealed: data_key.seal(1, &Plaintext::try_from(&secret)?)?,
        purge_at: ends_at.plus(SECRETS_RETENTION).as_seconds(),
    };
    let target = Target::ConnectSession(id);
    let change = Change::of(target, EventKind::SessionCreated, fields);
    let event = request.change(events, team, reconnects, change)?;
    requests
        .insert_session(id, &link, session)?
        .and(secrets.insert_session_secret(id, &sealed)?)
        .and(event)
        .commit(Timestamp::now().plus(TRANSACTION_TIMEOUT))
        .await?
        .or_conflict()?;

    reply::created(CreatedConnectSession::new(
        id,
        &base,
        &link.into_text(),
        redirect_uri,
        ends_at,
    ))
}

/// The new session and its secrets. `stored` is the credential that the session authorizes again, or whose app it uses.
fn new_session(
    id: SessionId,
    settings: Team,
    (created_by, filter): (String, ExtraFilter),
    input: Input,
    stored: Option<StoredCredential>,
    redirect_uri: String,
) -> Result<(NewSession, SessionSecret), ApiError> {
    let (app, client_id, client_secret) = match (input.app, &stored) {
        (App::New(app), _) => (SessionApp::Own, app.client_id, Some(app.client_secret)),
        (App::Of(of), Some(stored)) => {
            (SessionApp::OfCredential(of), stored.client_id.clone(), None)
        }
        (App::Of(_), None) => return Err(ApiError::Vault(Error::NotFound(Missing::Credential))),
    };
    let reconnected = stored.as_ref().filter(|_| input.reconnects.is_some());
    let known_user = reconnected
        .and_then(|stored| stored.credential.zoom_user_id.as_deref())
        .map(|user| ZoomUserHash::of(id, user));
    let scopes = reconnected.and_then(|stored| stored.credential.scopes.clone());
    let label = match (&input.name, stored) {
        (Some(name), _) => name.clone(),
        (None, Some(stored)) => stored.credential.name,
        (None, None) => return Err(ApiError::validation("body/name", "is required")),
    };
    let code_verifier = CodeVerifier::generate().map_err(ApiError::internal)?;
    let session = NewSession {
        team: settings.team_id,
        brand: settings.brand,
        name: input.name,
        label,
        extra: input.extra,
        client_id,
        app,
        app_name: input.app_name,
        scopes,
        reconnects: input.reconnects,
        known_user,
        redirect_uri: RedirectUri::try_from(redirect_uri).map_err(ApiError::internal)?,
        return_url: input.return_url,
        code_challenge: code_verifier.challenge(),
        ends_at: id.created_at().plus(SESSION_LIFETIME),
        created_by,
        filter,
    };
    let secret = SessionSecret {
        client_secret,
        code_verifier,
    };
    Ok((session, secret))
}

async fn stored_credential(
    credentials: &Credentials,
    caller: &Caller<'_>,
    id: CredentialId,
) -> Result<StoredCredential, ApiError> {
    caller.visible(credentials.get(caller.team, id).await?)
}

/// Refuses a return URL unless the operator has allowed its origin for the team.
fn check_return_url(settings: &Team, url: Option<&ReturnUrl>) -> Result<(), ApiError> {
    if url.is_none_or(|url| url.has_origin_in(&settings.return_origins)) {
        Ok(())
    } else {
        Err(ApiError::validation(
            "body/return_url",
            "must be of an origin that the team has allowed: the operator allows it with teams set --return-origin",
        ))
    }
}

async fn data_key(envelope: &Envelope, team: &TeamId, id: SessionId) -> Result<DataKey, ApiError> {
    let binding = Binding::new(team, SecretId::Session(id));
    Ok(envelope.data_key(binding).await?)
}
