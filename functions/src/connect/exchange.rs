//! The exchange of a session's authorization code: for a new credential, or for a new grant of an existing credential.

use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use shared::authorize::{AppToUse, Authorizer, NewApp, NewCredential, NewGrant, stored_app};
use shared::credential::{CredentialId, GrantId};
use shared::envelope::{Binding, DataKey, Envelope, SecretId};
use shared::error::{Error, Missing};
use shared::event::{Change, EventKind};
use shared::secret::{AppCredentials, AuthorizationCode, ClientSecret, SessionSecret};
use shared::stores::{
    CredentialChanges, Credentials, ExtraChange, Secrets, Session, SessionApp, StoredCredential,
    Write,
};
use shared::zoom::Authorization;

use crate::connect::page::lost_race;
use crate::http::error::ApiError;

/// An exchange that is ready to run. All data keys are at hand, so KMS cannot fail between Zoom's answer and the
/// commit.
#[expect(
    clippy::large_enum_variant,
    reason = "an invocation has one value, and does not move it around"
)]
pub(crate) enum CodeExchange {
    Create(NewCredential, NewGrant),
    Reauthorize(StoredCredential, AppToUse, NewGrant, CredentialChanges),
}

impl CodeExchange {
    /// Makes the data keys and opens the secrets. Fails with [`Missing::Credential`] if the session's credential is
    /// gone, has another app by now, or is no longer visible to the key that created the session.
    pub(crate) async fn prepare(
        credentials: &Credentials,
        secrets: &Secrets,
        envelope: &Envelope,
        session: &Session,
        code: AuthorizationCode,
    ) -> Result<Self, ApiError> {
        let preparation = ExchangePreparation {
            credentials,
            secrets,
            envelope,
            session,
        };
        let (stored, opened) =
            tokio::try_join!(preparation.stored_credential(), preparation.open_secrets())?;
        let parameters = &session.parameters;
        let id = parameters.reconnects.unwrap_or_else(CredentialId::generate);
        let grant_id = GrantId::generate();
        let (app, grant_key) = tokio::try_join!(
            preparation.app(id, stored.as_ref(), opened.client_secret),
            preparation.data_key(SecretId::Grant(grant_id)),
        )?;
        let grant = NewGrant {
            authorization: Authorization {
                code,
                redirect_uri: parameters.redirect_uri.clone(),
                code_verifier: Some(opened.code_verifier),
            },
            id: grant_id,
            key: grant_key,
        };
        let (name, extra) = (parameters.name.clone(), parameters.extra.clone());
        match (parameters.reconnects, stored, app, name) {
            (None, _, AppToUse::New(app), Some(name)) => {
                let extra = extra.and_then(ExtraChange::into_extra);
                let new = NewCredential {
                    account: None,
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
            _ => Err(ApiError::internal(
                "a connect session has neither a name nor a credential",
            )),
        }
    }

    /// The credential that the exchange creates or changes.
    pub(crate) fn credential_id(&self) -> CredentialId {
        match self {
            Self::Create(new, _) => new.id,
            Self::Reauthorize(seen, ..) => seen.credential.credential_id,
        }
    }

    /// What the exchange does, and the names of the fields that it sets, for the audit trail.
    pub(crate) fn change(&self) -> Change {
        match self {
            Self::Create(new, _) => {
                let mut fields = vec!["name", "client_id", "client_secret", "authorization"];
                fields.extend(new.extra.is_some().then_some("extra"));
                Change::new(EventKind::Created, fields)
            }
            Self::Reauthorize(_, app, _, changes) => {
                let mut fields = changes.fields();
                if matches!(app, AppToUse::New(_)) {
                    fields.extend(["client_id", "client_secret"]);
                }
                fields.push("authorization");
                Change::new(EventKind::Updated, fields)
            }
        }
    }

    /// Exchanges the code and stores the credential. `writes` are part of the same transaction.
    pub(crate) async fn run(
        self,
        authorizer: Authorizer<'_>,
        writes: Vec<Write>,
    ) -> Result<StoredCredential, Error> {
        match self {
            Self::Create(new, grant) => authorizer.create(new, Some(grant), writes).await,
            Self::Reauthorize(seen, app, grant, changes) => {
                authorizer
                    .reauthorize(seen, app, grant, changes, writes)
                    .await
            }
        }
    }
}

/// Reads, opens and makes what an exchange needs.
struct ExchangePreparation<'a> {
    credentials: &'a Credentials,
    secrets: &'a Secrets,
    envelope: &'a Envelope,
    session: &'a Session,
}

impl ExchangePreparation<'_> {
    /// The credential that the session authorizes again, or whose app it uses. `None` if the session names none.
    async fn stored_credential(&self) -> Result<Option<StoredCredential>, ApiError> {
        let parameters = &self.session.parameters;
        let id = match parameters.app {
            SessionApp::OfCredential(id) => Some(id),
            SessionApp::Own => parameters.reconnects,
        };
        let Some(id) = id else { return Ok(None) };
        let stored = self.credentials.get(&parameters.team, id).await?;
        let stored = stored.and_then(|stored| stored.through(&parameters.filter));
        Ok(Some(stored.ok_or(Missing::Credential)?))
    }

    /// Opens the sealed secrets of the session.
    async fn open_secrets(&self) -> Result<SessionSecret, ApiError> {
        let binding = self.binding(SecretId::Session(self.session.id));
        // The row is destroyed when the session has connected, so another request must have been first.
        let row = self.secrets.session_secret(binding.secret.clone()).await?;
        let row = row.ok_or(lost_race())?;
        Ok(self
            .envelope
            .open(&binding, &row.sealed)
            .await?
            .try_into()?)
    }

    /// The app that the code is exchanged with. `client_secret` is the secret that came with the session.
    ///
    /// A credential that keeps its app keeps its sealed secret, so only a new app and a new credential get a data key.
    async fn app(
        &self,
        id: CredentialId,
        stored: Option<&StoredCredential>,
        client_secret: Option<ClientSecret>,
    ) -> Result<AppToUse, ApiError> {
        let parameters = &self.session.parameters;
        let client_secret = client_secret.filter(|_| parameters.app == SessionApp::Own);
        let needs_key = client_secret.is_some() || parameters.reconnects.is_none();
        let key = needs_key.then(|| self.data_key(SecretId::App(id)));
        let app = async {
            if let Some(client_secret) = client_secret {
                return Ok(AppCredentials {
                    client_id: parameters.client_id.clone(),
                    client_secret,
                });
            }
            // The code works only with the app that the user consented to.
            let stored = stored.filter(|stored| stored.client_id == parameters.client_id);
            let stored = stored.ok_or(Missing::Credential)?;
            let app = stored_app(self.secrets, self.envelope, &parameters.team, stored);
            Ok::<_, ApiError>(app.await?)
        };
        let key = OptionFuture::from(key).map(Option::transpose);
        let (app, key) = tokio::try_join!(app, key)?;
        Ok(match key {
            Some(key) => AppToUse::New(NewApp { app, key }),
            None => AppToUse::Stored(app),
        })
    }

    async fn data_key(&self, secret: SecretId) -> Result<DataKey, ApiError> {
        Ok(self.envelope.data_key(self.binding(secret)).await?)
    }

    fn binding(&self, secret: SecretId) -> Binding {
        Binding::new(&self.session.parameters.team, secret)
    }
}
