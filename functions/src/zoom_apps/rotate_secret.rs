//! `POST /v2/zoom-apps/{client_id}/rotate-secret`
//!
//! As many credentials as a call has time for, oldest first; the answer says where the next call goes on. Each is one
//! transaction, and sealing one again changes nothing, so a call that died is repeated as it was.

use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use shared::credential::{CredentialId, TeamId};
use shared::envelope::{Binding, Envelope, SecretId};
use shared::secret::{AppCredentials, ClientSecret, Plaintext};
use shared::stores::{AppSecret, Credentials, Keys, Requests, Secrets, StoredCredential};
use shared::timestamp::Timestamp;
use shared::zoom::Zoom;
use utoipa::ToSchema;

use crate::http::access;
use crate::http::body::Fields;
use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{
    AppErrors, ClientIdInPath, ReadErrors, UnreadableBodyErrors, WriteErrors, ZoomErrors,
};
use shared::error::{Down, Error};
use shared::grants::mint::ANSWER_TIME;
use shared::grants::record::APP_REFUSED;

/// What the logs call it.
pub const ROUTE: &str = "POST /v2/zoom-apps/{client_id}/rotate-secret";

/// How long a call goes on: the gateway waits 29 s, and Zoom was asked before.
const BUDGET: Duration = Duration::from_secs(15);
/// How many rows are read at a time.
const PAGE: i32 = 100;
/// How many credentials are sealed at a time.
const AT_ONCE: usize = 16;
/// How often one is tried that changes meanwhile.
const ROUNDS: usize = 5;
/// How long one transaction is tried, and no longer: the next call goes on with the one that failed.
const PATIENCE: Duration = Duration::from_secs(3);

/// An app's new client secret. Unknown fields are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct RotateSecret {
    /// The client secret as it is at Zoom now.
    #[schema(write_only)]
    client_secret: ClientSecret,
}

impl RotateSecret {
    fn of(request: &Request) -> Result<Self, ApiError> {
        Ok(Self {
            client_secret: Fields::of(request)?.required("body/client_secret")?,
        })
    }
}

/// Where to go on.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RotationQuery {
    /// Where the call before ended: the value of that call's header `x-next-cursor`.
    #[param(value_type = Option<query::RotationCursor>, inline)]
    cursor: Option<CredentialId>,
}

impl RotationQuery {
    fn of(request: &Request) -> Result<Self, ApiError> {
        let cursor = query::cursor(request, List::Rotation)?;
        Ok(Self {
            cursor: cursor.map(CredentialId::from_bytes),
        })
    }
}

/// What a call came to.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Rotation {
    /// Credentials of the app that this call met, deleted ones that can be restored included.
    credentials: u32,
    /// Those that have the new secret now.
    resealed: u32,
    /// Those of them that the old secret had failed, and that say so no more.
    healed: u32,
    /// Those that were left for the next call, which begins with the first of them.
    failed: u32,
    /// Whether every credential of the app has the new secret. Otherwise call again, with the cursor from the header
    /// `x-next-cursor` where it has one.
    done: bool,
}

/// What became of one credential.
enum Became {
    Resealed {
        healed: bool,
    },
    /// It is gone, or of another app by now.
    NotOurs,
}

/// Gives an app's credentials its new client secret
///
/// After the secret was changed at Zoom. It is checked with Zoom, and then sealed for every credential of the team with
/// this client id; what had failed for the old secret is healed. Repeat it with the cursor until it is `done`. To repeat
/// a call does no harm.
#[utoipa::path(
    post,
    path = "/v2/zoom-apps/{client_id}/rotate-secret",
    operation_id = "rotateZoomAppSecret",
    tag = "Zoom apps",
    request_body(content = RotateSecret, content_type = "application/json"),
    params(
        ("client_id" = inline(ClientIdInPath), Path, description = "The app's client id"),
        RotationQuery,
    ),
    responses(
        (status = 200, description = "How far it is", body = Success<Rotation>),
        ReadErrors,
        AppErrors,
        WriteErrors,
        UnreadableBodyErrors,
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
    let permission = access::verify(keys, &key, request).await?;
    let team = key.team();
    let (app, after) = access::admitted(keys, requests, team, request, permission, async {
        let app = AppCredentials {
            client_id: request.client_id()?,
            client_secret: RotateSecret::of(request)?.client_secret,
        };
        Ok((app, RotationQuery::of(request)?.cursor))
    })
    .await?;

    let checked = zoom.check_app(&app, request.time_left(ANSWER_TIME)).await;
    checked.map_err(Error::from_grant_use)?;
    let run = Run {
        credentials,
        secrets,
        envelope,
        request,
        team,
        app: &app,
        until: Timestamp::now().plus(BUDGET.min(request.time_left(ANSWER_TIME))),
    };
    let (rotation, next) = run.rotate(after).await?;

    reply::page(rotation, next.map(|id| List::Rotation.after(id.as_bytes())))
}

/// One call.
struct Run<'a> {
    credentials: &'a Credentials,
    secrets: &'a Secrets,
    envelope: &'a Envelope,
    request: &'a Request,
    team: &'a TeamId,
    app: &'a AppCredentials,
    until: Timestamp,
}

impl Run<'_> {
    /// Page after page, while there is time and nothing fails; and the credential after which the next call goes on, if
    /// one was done before the first that failed. It is an error where nothing came of it at all.
    async fn rotate(
        &self,
        mut after: Option<CredentialId>,
    ) -> Result<(Rotation, Option<CredentialId>), ApiError> {
        let Self {
            credentials, team, ..
        } = *self;
        let mut rotation = Rotation::default();
        loop {
            let page = credentials.page_of_app(team, &self.app.client_id, after, PAGE);
            let (holders, next) = match page.await {
                Ok(page) => page,
                Err(error) if rotation.resealed == 0 => return Err(error.into()),
                Err(error) => {
                    self.warn(&error.into());
                    return Ok((rotation, after));
                }
            };
            let mut failed = None;
            let work = holders.into_iter().map(async |holder| {
                let id = holder.credential.credential_id;
                (id, self.reseal(holder).await)
            });
            let mut work = pin!(stream::iter(work).buffered(AT_ONCE));
            while let Some((id, outcome)) = work.next().await {
                match outcome {
                    Ok(Became::Resealed { healed }) => {
                        rotation.credentials += 1;
                        rotation.resealed += 1;
                        rotation.healed += u32::from(healed);
                    }
                    Ok(Became::NotOurs) => {}
                    Err(error) => {
                        rotation.credentials += 1;
                        rotation.failed += 1;
                        failed = Some(error);
                    }
                }
                if failed.is_none() {
                    after = Some(id);
                }
            }
            match failed {
                Some(error) if rotation.resealed == 0 => return Err(error),
                Some(error) => {
                    self.warn(&error);
                    return Ok((rotation, after));
                }
                None => after = next,
            }
            rotation.done = after.is_none();
            if rotation.done || Timestamp::now() >= self.until {
                return Ok((rotation, after));
            }
        }
    }

    /// The answer says how far it is, and the log why no further.
    fn warn(&self, error: &ApiError) {
        let (request_id, cause) = (self.request.id(), error.cause());
        tracing::warn!(
            request_id,
            cause,
            "a client secret is not rotated to the end"
        );
    }

    /// Seals the secret for one credential, under a data key of its own.
    async fn reseal(&self, mut holder: StoredCredential) -> Result<Became, ApiError> {
        let Self {
            credentials,
            secrets,
            envelope,
            team,
            ..
        } = *self;
        let id = holder.credential.credential_id;
        for _ in 0..ROUNDS {
            if Timestamp::now() >= self.until {
                return Err(ApiError::Vault(Error::unavailable(Down::OutOfTime)));
            }
            let binding = Binding {
                team: team.clone(),
                secret: SecretId::App(id),
            };
            let data_key = envelope.data_key(binding).await?;
            let secret = Plaintext::from(&self.app.client_secret);
            // The credential's version numbers its generations.
            let app = AppSecret {
                team_id: team.clone(),
                sealed: data_key.seal(holder.version + 1, &secret)?,
            };
            let failed = holder.credential.last_error_message.as_deref();
            let healed = failed.is_some_and(|message| message.starts_with(APP_REFUSED));
            let transaction = credentials.begin_secret_replacement(team, &holder, healed)?;
            let transaction = transaction.and(secrets.put_app_secret(id, &app)?);
            if transaction
                .commit(Timestamp::now().plus(PATIENCE))
                .await?
                .is_committed()
            {
                return Ok(Became::Resealed { healed });
            }
            // It has changed meanwhile: as it is now, it may be another app's.
            let now = credentials.get_including_deleted(team, id).await?;
            match now.filter(|now| now.client_id == self.app.client_id) {
                Some(now) => holder = now,
                None => return Ok(Became::NotOurs),
            }
        }
        Err(ApiError::Vault(Error::Conflict))
    }
}
