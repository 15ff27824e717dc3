//! `PATCH /v2/zoom-credentials/{id}`

use shared::authorize::{self, AppToUse, Authorizer, NewApp, NewGrant};
use shared::credential::{
    ClientId, Credential, CredentialId, CredentialType, GrantId, Name, RedirectUri, TeamId,
};
use shared::envelope::{Binding, Envelope, SecretId};
use shared::error::{Error, Missing};
use shared::extra::Extra;
use shared::secret::{AppCredentials, AuthorizationCode, ClientSecret};
use shared::stores::{
    CommitOutcome, CredentialChanges, Credentials, Events, ExtraChange, IdempotencyClaim, Keys,
    Requests, Secrets, StoredCredential,
};
use shared::zoom::{Authorization, Zoom};
use utoipa::ToSchema;

use crate::credentials::authorization;
use crate::http::access;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::idempotency::{self, Fingerprint};
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{BodyErrors, MissingError, ReadErrors, WriteErrors, ZoomErrors};

/// What the logs call it.
pub const ROUTE: &str = "PATCH /v2/zoom-credentials/{id}";

/// The changes. A field that is missing stays as it is. Unknown fields are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct UpdateCredential {
    /// A new name.
    #[schema(nullable = false)]
    name: Option<Name>,
    /// The Zoom app's client id, with `client_secret`. Another app on a user credential needs a new authorization.
    #[schema(nullable = false)]
    client_id: Option<ClientId>,
    /// The Zoom app's client secret, with `client_id`. The vault encrypts the secret and never shows it.
    #[schema(write_only, nullable = false)]
    client_secret: Option<ClientSecret>,
    /// The code of a new authorization, by any Zoom user: fresh tokens, state `active`, errors cleared.
    #[schema(write_only, nullable = false)]
    authorization_code: Option<AuthorizationCode>,
    /// The redirect URI to which Zoom sent the user, character by character. Required with `authorization_code`.
    #[schema(nullable = false)]
    redirect_uri: Option<RedirectUri>,
    /// Replaces your JSON object as a whole; null clears it.
    #[schema(value_type = Option<HashMap<String, Value>>)]
    extra: Option<ExtraChange>,
}

impl UpdateCredential {
    fn of(request: &Request) -> Result<Self, ApiError> {
        let fields = Fields::of_optional(request)?;
        Ok(Self {
            client_id: fields.optional("body/client_id")?,
            client_secret: fields.optional("body/client_secret")?,
            name: fields.optional("body/name")?,
            extra: fields.extra()?,
            redirect_uri: fields.optional("body/redirect_uri")?,
            authorization_code: fields.optional("body/authorization_code")?,
        })
    }
}

/// The body, with what belongs together put together.
#[derive(Debug)]
struct Input {
    changes: CredentialChanges,
    app: Option<AppCredentials>,
    authorization: Option<Authorization>,
}

impl Input {
    fn of(request: &Request) -> Result<Self, ApiError> {
        let body = UpdateCredential::of(request)?;
        let app = match (body.client_id, body.client_secret) {
            (Some(client_id), Some(client_secret)) => Some(AppCredentials {
                client_id,
                client_secret,
            }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(ApiError::validation(
                    "body/client_secret",
                    "is required with client_id",
                ));
            }
            (None, Some(_)) => {
                return Err(ApiError::validation(
                    "body/client_id",
                    "is required with client_secret",
                ));
            }
        };
        Ok(Self {
            changes: CredentialChanges {
                name: body.name,
                extra: body.extra,
            },
            app,
            authorization: authorization::of(body.authorization_code, body.redirect_uri)?,
        })
    }

    /// Another app would orphan the user's grant, so it takes a new authorization.
    fn fits(&self, seen: &StoredCredential) -> Result<(), ApiError> {
        let is_users = seen.credential.credential_type == CredentialType::User;
        let moves = self
            .app
            .as_ref()
            .is_some_and(|app| app.client_id != seen.client_id);
        if is_users && moves && self.authorization.is_none() {
            return Err(ApiError::validation(
                "body/client_id",
                "must be the user credential's own, unless authorization_code comes with it",
            ));
        }
        Ok(())
    }

    /// What the request is known by where it has no idempotency key.
    fn code(&self, seen: &StoredCredential) -> Option<Fingerprint> {
        let authorization = self.authorization.as_ref()?;
        let app = self
            .app
            .as_ref()
            .map_or(&seen.client_id, |app| &app.client_id);
        let target = seen.credential.credential_id.to_string();
        Some(authorization::fingerprint(authorization, &target, app))
    }

    /// What the request is compared by when its idempotency key comes again.
    fn fingerprint(&self, seen: &StoredCredential) -> Fingerprint {
        let app = self.app.as_ref();
        let authorization = self.authorization.as_ref();
        let extra = self.changes.extra.clone().map(ExtraChange::into_extra);
        Fingerprint::new("update")
            .and(seen.credential.credential_id.as_bytes())
            .and_maybe(
                self.changes
                    .name
                    .as_ref()
                    .map(|name| name.as_str().as_bytes()),
            )
            .and_maybe(app.map(|app| app.client_id.as_str().as_bytes()))
            .and_maybe(app.map(|app| app.client_secret.fingerprint()).as_deref())
            .and_maybe(authorization.map(|it| it.code.fingerprint()).as_deref())
            .and_maybe(authorization.map(|it| it.redirect_uri.as_str().as_bytes()))
            .and_maybe(
                extra
                    .as_ref()
                    .map(|it| it.as_ref().map_or("null", Extra::as_json).as_bytes()),
            )
    }
}

/// What is to be done, with every key for it at hand: nothing that can fail at KMS is left for later.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of them an invocation, and it is not moved about"
)]
enum Plan {
    /// Name and extra, or nothing at all.
    Fields,
    /// Another client secret, or on an app credential another app.
    App(NewApp),
    /// A new grant, and perhaps a new client secret with it.
    Authorize(Reauthorization),
}

/// What a new authorization takes.
struct Reauthorization {
    app: AppToUse,
    grant: NewGrant,
}

impl Plan {
    async fn prepare(
        secrets: &Secrets,
        envelope: &Envelope,
        team: &TeamId,
        seen: &StoredCredential,
        app: Option<AppCredentials>,
        authorization: Option<Authorization>,
    ) -> Result<Self, ApiError> {
        let secret = Binding {
            team: team.clone(),
            secret: SecretId::App(seen.credential.credential_id),
        };
        let Some(authorization) = authorization else {
            return match app {
                None => Ok(Self::Fields),
                Some(app) => Ok(Self::App(NewApp {
                    app,
                    key: envelope.data_key(secret).await?,
                })),
            };
        };
        let grant_id = GrantId::generate();
        let grant = Binding {
            team: team.clone(),
            secret: SecretId::Grant(grant_id),
        };
        let app = async {
            if let Some(app) = app {
                let key = envelope.data_key(secret).await?;
                Ok(AppToUse::New(NewApp { app, key }))
            } else {
                let app = authorize::stored_app(secrets, envelope, team, seen).await?;
                Ok(AppToUse::Stored(app))
            }
        };
        let grant_key = async { Ok::<_, ApiError>(envelope.data_key(grant).await?) };
        let (app, grant_key) = tokio::try_join!(app, grant_key)?;
        Ok(Self::Authorize(Reauthorization {
            app,
            grant: NewGrant {
                authorization,
                id: grant_id,
                key: grant_key,
            },
        }))
    }
}

/// Changes a credential
///
/// Fields that are left out stay. An authorization code makes a new grant: the tokens are fresh, the
/// credential is a user's, active and without errors.
#[utoipa::path(
    patch,
    path = "/v2/zoom-credentials/{id}",
    operation_id = "updateZoomCredential",
    tag = "Zoom credentials",
    request_body(content = Option<UpdateCredential>, content_type = "application/json"),
    params(
        ("id" = inline(CredentialId), Path, description = "The credential's id"),
        ("Idempotency-Key" = Option<String>, Header, nullable = false, description = "As for `POST`. The vault reads the key only if the body has an authorization code: without a code, a PATCH can be repeated as it is."),
    ),
    responses(
        (status = 200, description = "The credential as it is now", body = Success<Credential>),
        ReadErrors,
        MissingError,
        WriteErrors,
        BodyErrors,
        ZoomErrors,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    secrets: &Secrets,
    events: &Events,
    envelope: &Envelope,
    zoom: &Zoom,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let team = key.team();
    let id = request.credential_id();
    let (verified, seen) = tokio::join!(access::verify(keys, &key, request), async {
        Ok::<_, ApiError>(credentials.get(team, id?).await?)
    });
    let permission = verified?;
    let (seen, changes, claim, plan) =
        access::admitted(keys, requests, team, request, permission, async {
            let input = Input::of(request)?;
            let seen = seen?.ok_or(Missing::Credential)?;
            input.fits(&seen)?;
            let claim = match input.code(&seen) {
                Some(code) => idempotency::claim(request, Some(code), input.fingerprint(&seen))?,
                None => None,
            };
            let plan = Plan::prepare(
                secrets,
                envelope,
                team,
                &seen,
                input.app,
                input.authorization,
            )
            .await?;
            Ok((seen, input.changes, claim, plan))
        })
        .await?;

    let writing = Writing {
        requests,
        credentials,
        secrets,
        events,
        zoom,
        request,
        team,
    };
    let updated = match plan {
        Plan::Fields if changes.is_empty() => seen,
        Plan::Fields => {
            let id = seen.credential.credential_id;
            let updated = credentials.change(team, id, changes).await?;
            updated.ok_or(Missing::Credential)?
        }
        Plan::App(app) => writing.change_app(seen, app, changes).await?,
        Plan::Authorize(new) => {
            writing
                .authorize(seen, new, claim.as_ref(), changes)
                .await?
        }
    };

    reply::ok(updated.credential)
}

/// What a change that touches secrets works with.
struct Writing<'a> {
    requests: &'a Requests,
    credentials: &'a Credentials,
    secrets: &'a Secrets,
    events: &'a Events,
    zoom: &'a Zoom,
    request: &'a Request,
    team: &'a TeamId,
}

impl Writing<'_> {
    /// The credential as it is now.
    async fn read(&self, id: CredentialId) -> Result<StoredCredential, ApiError> {
        let stored = self.credentials.get(self.team, id).await?;
        Ok(stored.ok_or(Missing::Credential)?)
    }

    /// Stores another client secret, and on an app credential another app. The latter waits for an authorization
    /// that is running under the app as it is: that one's tokens would fit nothing.
    async fn change_app(
        &self,
        seen: StoredCredential,
        new: NewApp,
        changes: CredentialChanges,
    ) -> Result<StoredCredential, ApiError> {
        let id = seen.credential.credential_id;
        let moves = new.app.client_id != seen.client_id;
        let claimed = self.requests.claim(
            self.team,
            None,
            moves.then_some(id),
            self.request.deadline(),
        );
        let held = match idempotency::standing(claimed.await?)? {
            Ok(held) => held,
            Err(before) => return self.read(before.credential).await,
        };
        idempotency::holding(self.requests, &held, async {
            let client_id = new.app.client_id.clone();
            let secret = self
                .secrets
                .put_app_secret(id, &new.sealed(self.team, seen.version + 1)?)?;
            let (after, transaction) = self
                .credentials
                .change_app(self.team, &seen, &client_id, changes)?;
            let transaction = transaction
                .and(secret)
                .and_maybe(self.requests.unlock(&held)?);
            match authorize::commit(transaction, self.request.invocation(), false).await? {
                CommitOutcome::Committed => {
                    Ok(authorize::read_after_commit(self.credentials, self.team, after).await)
                }
                CommitOutcome::Refused(_) => {
                    // Whoever was first may have deleted it, which is another answer.
                    self.read(id).await?;
                    Err(ApiError::Vault(Error::Conflict))
                }
            }
        })
        .await
    }

    /// Spends a code and stores the new grant.
    async fn authorize(
        &self,
        seen: StoredCredential,
        new: Reauthorization,
        claim: Option<&IdempotencyClaim>,
        changes: CredentialChanges,
    ) -> Result<StoredCredential, ApiError> {
        let id = seen.credential.credential_id;
        let claimed = self
            .requests
            .claim(self.team, claim, Some(id), self.request.deadline());
        let held = match idempotency::standing(claimed.await?)? {
            Ok(held) => held,
            Err(before) if before.is_same => {
                return self.read(before.credential).await;
            }
            // The code was spent by an earlier request; what this one asks besides is still to be done.
            Err(_) => {
                return match new.app {
                    AppToUse::New(app) => self.change_app(seen, app, changes).await,
                    AppToUse::Stored(_) => {
                        let updated = self.credentials.change(self.team, id, changes).await?;
                        Ok(updated.ok_or(Missing::Credential)?)
                    }
                };
            }
        };
        let stored = idempotency::holding(self.requests, &held, async {
            let authorizer = Authorizer {
                credentials: self.credentials,
                secrets: self.secrets,
                events: self.events,
                zoom: self.zoom,
                invocation: self.request.invocation(),
                team: self.team,
            };
            let along = [
                self.requests.complete_claim(&held, id)?,
                self.requests.unlock(&held)?,
            ];
            let along = along.into_iter().flatten().collect();
            let stored = authorizer.reauthorize(seen, new.app, new.grant, changes, along);
            stored.await
        });
        Ok(stored.await?)
    }
}
