//! `PATCH /v2/zoom-credentials/{id}`

use shared::credential::{ClientId, CredentialType, GrantId, TeamId};
use shared::envelope::{Binding, DataKey, Envelope, SecretId};
use shared::extra::Extra;
use shared::secret::{AppCredentials, ClientSecret, Plaintext};
use shared::stores::{
    AppSecret, Changes, Credentials, ExtraChange, Keys, Part, Requests, Secrets, Stored,
};
use shared::zoom::{Authorization, Zoom};

use crate::access::{self, Needs};
use crate::authorization::{self, Grant};
use crate::body::Fields;
use crate::error::ApiError;
use crate::idempotency::{self, Fingerprint};
use crate::openapi::{
    BodyErrors, IdempotencyHeader, MissingError, OneCredential, ReadErrors, UpdateCredential,
    WriteErrors, ZoomErrors,
};
use crate::reply::{self, Reply};
use crate::request::Request;

/// What the logs call it.
pub const ROUTE: &str = "PATCH /v2/zoom-credentials/{id}";

/// What the body asks for.
#[derive(Debug)]
struct Input {
    changes: Changes,
    app: Option<AppCredentials>,
    authorization: Option<Authorization>,
}

impl Input {
    fn of(request: &Request) -> Result<Self, ApiError> {
        let fields = Fields::of_optional(request)?;
        let app = match (
            fields.optional("body/client_id")?,
            fields.optional("body/client_secret")?,
        ) {
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
            changes: Changes {
                name: fields.optional("body/name")?,
                extra: fields.extra()?,
            },
            app,
            authorization: authorization::of(&fields)?,
        })
    }

    /// Another app would orphan the user's grant, so it takes a new authorization.
    fn fits(&self, seen: &Stored) -> Result<(), ApiError> {
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
    fn code(&self, seen: &Stored) -> Option<Fingerprint> {
        let authorization = self.authorization.as_ref()?;
        let app = self
            .app
            .as_ref()
            .map_or(&seen.client_id, |app| &app.client_id);
        let target = seen.credential.credential_id.to_string();
        Some(authorization::fingerprint(authorization, &target, app))
    }

    /// What the request is compared by when its idempotency key comes again.
    fn fingerprint(&self, seen: &Stored) -> Fingerprint {
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
    App { app: AppCredentials, key: DataKey },
    /// A new grant; with `secret_key`, under a client secret that is new too.
    Authorize {
        authorization: Authorization,
        app: AppCredentials,
        secret_key: Option<DataKey>,
        grant_id: GrantId,
        grant_key: DataKey,
    },
}

impl Plan {
    async fn prepare(
        secrets: &Secrets,
        envelope: &Envelope,
        team: &TeamId,
        seen: &Stored,
        app: Option<AppCredentials>,
        authorization: Option<Authorization>,
    ) -> Result<Self, ApiError> {
        let secret = Binding {
            team: team.clone(),
            secret: SecretId::App(seen.credential.credential_id),
        };
        match (app, authorization) {
            (None, None) => Ok(Self::Fields),
            (Some(app), None) => Ok(Self::App {
                app,
                key: envelope.data_key(secret).await?,
            }),
            (app, Some(authorization)) => {
                let grant_id = GrantId::generate();
                let grant = Binding {
                    team: team.clone(),
                    secret: SecretId::Grant(grant_id),
                };
                let secret_of_app = async {
                    match app {
                        Some(app) => Ok((app, Some(envelope.data_key(secret).await?))),
                        None => Ok::<_, ApiError>((
                            stored_app(secrets, envelope, &secret, seen).await?,
                            None,
                        )),
                    }
                };
                let grant_key = async { Ok(envelope.data_key(grant).await?) };
                let ((app, secret_key), grant_key) = tokio::try_join!(secret_of_app, grant_key)?;
                Ok(Self::Authorize {
                    authorization,
                    app,
                    secret_key,
                    grant_id,
                    grant_key,
                })
            }
        }
    }
}

/// The app as it is stored.
async fn stored_app(
    secrets: &Secrets,
    envelope: &Envelope,
    binding: &Binding,
    seen: &Stored,
) -> Result<AppCredentials, ApiError> {
    let sealed = secrets.app(binding.secret).await?.sealed;
    let client_secret = ClientSecret::try_from(envelope.open(binding, &sealed).await?)?;
    Ok(AppCredentials {
        client_id: seen.client_id.clone(),
        client_secret,
    })
}

/// A client secret as it is stored. The credential's version numbers its generations.
fn sealed_app(
    team: &TeamId,
    seen: &Stored,
    key: DataKey,
    app: &AppCredentials,
) -> Result<AppSecret, ApiError> {
    let sealed = key.seal(seen.version + 1, &Plaintext::from(&app.client_secret))?;
    Ok(AppSecret {
        team_id: team.clone(),
        sealed,
    })
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
    request_body(content = UpdateCredential, content_type = "application/json"),
    params(
        ("id" = String, Path, format = "uuid", description = "The credential's id"),
        IdempotencyHeader,
    ),
    responses(
        (status = 200, description = "The credential as it is now", body = OneCredential),
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
    envelope: &Envelope,
    zoom: &Zoom,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let team = key.team();
    let id = request.credential_id();
    let (verified, seen) = tokio::join!(access::verify(keys, &key, request, Needs::Full), async {
        Ok::<_, ApiError>(credentials.get(team, id?).await?)
    });
    verified?;
    let (seen, changes, claim, plan) = access::admitted(keys, requests, team, request, async {
        let input = Input::of(request)?;
        let seen = seen?;
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
    let id = seen.credential.credential_id;

    let updated = match plan {
        Plan::Fields if changes.is_empty() => seen,
        Plan::Fields => credentials.change(team, id, changes).await?,
        Plan::App { app, key } => {
            let secret = secrets.put_app(id, &sealed_app(team, &seen, key, &app)?)?;
            let transaction = credentials
                .change_app(team, &seen, &app.client_id, changes)?
                .and(secret);
            let committed = authorization::commit(transaction, request, false).await?;
            let updated = credentials.get(team, id).await?;
            committed.map(|()| updated)?
        }
        Plan::Authorize {
            authorization,
            app,
            secret_key,
            grant_id,
            grant_key,
        } => {
            let claimed = requests
                .claim(team, claim.as_ref(), Some(id), request.deadline())
                .await?;
            let held = match idempotency::standing(claimed)? {
                Ok(held) => held,
                Err(made) => return reply::ok(credentials.get(team, made).await?.credential),
            };
            idempotency::holding(requests, &held, async {
                let new_app = secret_key.is_some().then_some(&app.client_id);
                let secret = match secret_key {
                    Some(key) => Some(secrets.put_app(id, &sealed_app(team, &seen, key, &app)?)?),
                    None => None,
                };
                let grant = Grant::obtain(zoom, request, grant_id, &app, &authorization).await?;

                let tokens = secrets.insert_grant(grant.id, &grant.seal(team, grant_key)?)?;
                let mut seen = seen;
                loop {
                    let transaction = credentials
                        .reauthorize(team, &seen, new_app, &grant.authorized(), changes.clone())?
                        .and(tokens.clone())
                        .and_maybe(secret.clone())
                        .and_maybe(requests.done(&held, id)?)
                        .and_maybe(requests.unlock(&held)?);
                    match authorization::commit(transaction, request, true).await? {
                        Ok(()) => break,
                        // Pointed at another grant meanwhile, by a sibling's authorization: ours is as new,
                        // and the lock says that no other of this credential runs.
                        Err(Part::Credential) => {
                            seen = still(&seen, credentials.get(team, id).await?, new_app)?;
                        }
                        Err(part) => return Err(part.into()),
                    }
                }

                match grant
                    .complete(credentials, zoom, request, team, &app.client_id, id)
                    .await
                {
                    Some(updated) => Ok(updated),
                    None => Ok(credentials.get(team, id).await?),
                }
            })
            .await?
        }
    };

    reply::ok(updated.credential)
}

/// What is seen now, if the tokens just obtained still fit it: they are of the app that was seen, unless a
/// new one comes with them.
fn still(seen: &Stored, now: Stored, new_app: Option<&ClientId>) -> Result<Stored, ApiError> {
    let moved = now.grant != seen.grant;
    let fits = new_app.is_some() || now.client_id == seen.client_id;
    if moved && fits {
        Ok(now)
    } else {
        Err(ApiError::Conflict)
    }
}
