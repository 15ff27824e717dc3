//! What a callback does with the code: a new credential, or a new grant for one that exists.

use futures_util::future::OptionFuture;
use futures_util::{FutureExt, TryFutureExt};
use shared::authorize::{AppToUse, Authorizer, NewApp, NewCredential, NewGrant, stored_app};
use shared::credential::{CredentialId, GrantId, TeamId};
use shared::envelope::{Binding, DataKey, Envelope, SecretId};
use shared::error::{Error, Missing};
use shared::secret::{AppCredentials, AuthorizationCode, SessionSecret};
use shared::stores::{
    CredentialChanges, Credentials, ExtraChange, Secrets, Session, SessionApp, StoredCredential,
    Write,
};
use shared::zoom::Authorization;

use crate::connect::page::SOON;
use crate::http::error::{ApiError, ConnectRefusal};

/// What is to be done with the code, with every key for it at hand: nothing that can fail at KMS is left for later.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of them an invocation, and it is not moved about"
)]
pub(crate) enum Plan {
    Create(NewCredential, NewGrant),
    Reauthorize(StoredCredential, AppToUse, NewGrant, CredentialChanges),
}

impl Plan {
    /// Not found where what the session was made for is not there any more, or is another app's.
    pub(crate) async fn prepare(
        credentials: &Credentials,
        secrets: &Secrets,
        envelope: &Envelope,
        session: &Session,
        code: AuthorizationCode,
    ) -> Result<Self, ApiError> {
        let team = &session.parameters.team;
        let named = match session.parameters.app {
            SessionApp::OfCredential(id) => Some(id),
            SessionApp::Own => session.parameters.reconnects,
        };
        let named = named.map(|id| async move {
            let stored = credentials.get(team, id).await?;
            Ok::<_, ApiError>(stored.ok_or(Missing::Credential)?)
        });
        let (named, opened) = tokio::try_join!(
            OptionFuture::from(named).map(Option::transpose),
            open(secrets, envelope, session)
        )?;
        let new_app = match (opened.client_secret, session.parameters.app) {
            (Some(client_secret), SessionApp::Own) => Some(AppCredentials {
                client_id: session.parameters.client_id.clone(),
                client_secret,
            }),
            _ => None,
        };
        let stored_app = match (&new_app, &named) {
            // The code is for the app that the user consented to.
            (None, Some(of)) if of.client_id == session.parameters.client_id => {
                Some(stored_app(secrets, envelope, team, of).map_err(ApiError::from))
            }
            (None, _) => return Err(ApiError::Vault(Error::NotFound(Missing::Credential))),
            (Some(_), _) => None,
        };
        let id = session
            .parameters
            .reconnects
            .unwrap_or_else(CredentialId::generate);
        let grant_id = GrantId::generate();
        // A credential that keeps its app keeps its sealed secret.
        let seals_app = new_app.is_some() || session.parameters.reconnects.is_none();
        let app_key = seals_app.then(|| app_key(envelope, team, id));
        let (stored_app, grant_key, app_key) = tokio::try_join!(
            OptionFuture::from(stored_app).map(Option::transpose),
            grant_key(envelope, team, grant_id),
            OptionFuture::from(app_key).map(Option::transpose),
        )?;
        let grant = NewGrant {
            authorization: Authorization {
                code,
                redirect_uri: session.parameters.redirect_uri.clone(),
                code_verifier: Some(opened.code_verifier),
            },
            id: grant_id,
            key: grant_key,
        };
        let app = match (new_app.or(stored_app), app_key) {
            (Some(app), Some(key)) => AppToUse::New(NewApp { app, key }),
            (Some(app), None) => AppToUse::Stored(app),
            (None, _) => return Err(ApiError::Vault(Error::NotFound(Missing::Credential))),
        };
        let (name, extra) = (
            session.parameters.name.clone(),
            session.parameters.extra.clone(),
        );
        match (session.parameters.reconnects, named, app, name) {
            (None, _, AppToUse::New(app), Some(name)) => {
                let extra = extra.and_then(ExtraChange::into_extra);
                let new = NewCredential {
                    id,
                    name,
                    extra,
                    app,
                };
                Ok(Self::Create(new, grant))
            }
            (Some(_), Some(seen), app, name) => {
                let changes = CredentialChanges { name, extra };
                Ok(Self::Reauthorize(seen, app, grant, changes))
            }
            _ => Err(ApiError::internal("a session names no credential")),
        }
    }

    /// The credential that it makes or changes.
    pub(crate) fn target(&self) -> CredentialId {
        match self {
            Self::Create(new, _) => new.id,
            Self::Reauthorize(seen, ..) => seen.credential.credential_id,
        }
    }

    pub(crate) async fn carry_out(
        self,
        authorizer: Authorizer<'_>,
        along: Vec<Write>,
    ) -> Result<StoredCredential, Error> {
        match self {
            Self::Create(new, grant) => authorizer.create(new, Some(grant), along).await,
            Self::Reauthorize(seen, app, grant, changes) => {
                authorizer
                    .reauthorize(seen, app, grant, changes, along)
                    .await
            }
        }
    }
}

/// What was sealed for the session.
async fn open(
    secrets: &Secrets,
    envelope: &Envelope,
    session: &Session,
) -> Result<SessionSecret, ApiError> {
    let binding = Binding {
        team: session.parameters.team.clone(),
        secret: SecretId::Session(session.id),
    };
    // The row goes with the end of the session, so another request must have ended the session just now.
    let row = secrets.session_secret(binding.secret.clone()).await?;
    let row = row.ok_or(ApiError::Connect(ConnectRefusal::Busy { wait: SOON }))?;
    Ok(envelope.open(&binding, &row.sealed).await?.try_into()?)
}

async fn grant_key(envelope: &Envelope, team: &TeamId, id: GrantId) -> Result<DataKey, ApiError> {
    let binding = Binding {
        team: team.clone(),
        secret: SecretId::Grant(id),
    };
    Ok(envelope.data_key(binding).await?)
}

async fn app_key(
    envelope: &Envelope,
    team: &TeamId,
    id: CredentialId,
) -> Result<DataKey, ApiError> {
    let binding = Binding {
        team: team.clone(),
        secret: SecretId::App(id),
    };
    Ok(envelope.data_key(binding).await?)
}
