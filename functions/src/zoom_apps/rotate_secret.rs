//! `POST /v2/zoom-apps/{client_id}/rotate-secret`
//!
//! A call seals the new secret for as many credentials as it has time for, the oldest first. The answer has the cursor
//! for the next call. Each credential is one transaction. Sealing a secret twice does no harm, so a call that crashed
//! can be repeated.

use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use shared::attention::APP_REFUSED;
use shared::authorize::NewApp;
use shared::credential::{CredentialId, TeamId};
use shared::envelope::Envelope;
use shared::error::{Down, Error};
use shared::event::{Change, EventKind, Target};
use shared::grants::mint::ANSWER_TIME;
use shared::secret::{AppCredentials, ClientSecret};
use shared::stores::{Credentials, Events, Keys, Requests, Secrets, StoredCredential};
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

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "POST /v2/zoom-apps/{client_id}/rotate-secret";

/// How long a call works after Zoom has accepted the secret. API Gateway waits 29 seconds in all.
const MAX_WORK_TIME: Duration = Duration::from_secs(15);
/// How many rows are read at a time.
const PAGE_SIZE: i32 = 100;
/// How many credentials are changed at a time.
const CONCURRENT_CREDENTIALS: usize = 16;
/// How often a credential is tried that changes concurrently.
const MAX_ATTEMPTS: usize = 5;
/// How long one transaction is retried. The next call continues with the credential that failed.
const COMMIT_TIME: Duration = Duration::from_secs(3);

/// An app's new client secret. Unknown fields are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct RotateSecret {
    /// The client secret as it is at Zoom now.
    #[schema(write_only)]
    client_secret: ClientSecret,
}

impl RotateSecret {
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
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
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        let cursor = query::cursor(request, List::Rotation)?;
        Ok(Self {
            cursor: cursor.map(CredentialId::from_bytes),
        })
    }
}

/// The result of a call.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Rotation {
    /// How many credentials of the app this call handled, including deleted credentials that can be restored.
    credentials: u32,
    /// How many of them have the new secret now.
    resealed: u32,
    /// How many of them had an error because of the old secret. The error is cleared.
    healed: u32,
    /// How many of them failed. The next call begins with the first of them.
    failed: u32,
    /// How many more credentials of the app this call left out, because their rows have an unknown shape. The log names
    /// them. No request can use them.
    unreadable: u32,
    /// Whether every readable credential of the app has the new secret. If not, call again, with the cursor from the
    /// header `x-next-cursor` if the answer has one.
    done: bool,
}

/// The result for one credential.
enum ResealOutcome {
    Resealed {
        /// Whether an error because of the old secret was cleared.
        healed: bool,
    },
    /// The credential is purged, or has another app by now.
    Skipped,
}

/// Rotates an app's client secret
///
/// Call this after you have changed the secret at Zoom. The vault checks the secret at Zoom, and then stores it in
/// every credential of the team with this client id. It clears errors that the old secret caused. Repeat the call with
/// the cursor until `done` is true. The call is idempotent.
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
    events: &Events,
    envelope: &Envelope,
    zoom: &Zoom,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let team = caller.team;
    let input = caller.may_act_for_team().and_then(|()| {
        let app = AppCredentials {
            client_id: request.client_id()?,
            client_secret: RotateSecret::of(request)?.client_secret,
        };
        Ok((app, RotationQuery::of(request)?.cursor))
    });
    let (app, after) =
        access::admit_change(keys, requests, &caller, request, input, async |it| Ok(it)).await?;

    let checked = zoom.check_app(&app, request.time_left(ANSWER_TIME)).await;
    checked.map_err(Error::from_grant_use)?;
    let rotator = Rotator {
        credentials,
        secrets,
        events,
        envelope,
        request,
        team,
        app: &app,
        until: Timestamp::now().plus(MAX_WORK_TIME.min(request.time_left(ANSWER_TIME))),
    };
    let progress = rotator.rotate(after).await?;

    let cursor = progress.after.map(|id| List::Rotation.after(id.as_bytes()));
    reply::page(progress.rotation, cursor)
}

/// How far a call has come.
struct Progress {
    rotation: Rotation,
    /// The next page begins after this credential. `None` is the first page, and the end.
    after: Option<CredentialId>,
}

/// Rotates the secret for one call.
struct Rotator<'a> {
    credentials: &'a Credentials,
    secrets: &'a Secrets,
    events: &'a Events,
    envelope: &'a Envelope,
    request: &'a Request,
    team: &'a TeamId,
    app: &'a AppCredentials,
    /// When the call stops.
    until: Timestamp,
}

impl Rotator<'_> {
    /// Handles page after page, until the time is over or a credential fails. Fails only if the call made no progress:
    /// a caller that repeats a failed call begins where the failed call began.
    async fn rotate(&self, after: Option<CredentialId>) -> Result<Progress, ApiError> {
        let rotation = Rotation::default();
        let mut progress = Progress { rotation, after };
        loop {
            if let Err(error) = self.reseal_page(&mut progress).await {
                if progress.rotation.resealed == 0 && progress.after == after {
                    return Err(error);
                }
                // The answer has the progress, so only the log has the error.
                let (request_id, cause) = (self.request.id(), error.cause());
                tracing::warn!(
                    request_id,
                    cause,
                    "the rotation of a client secret stopped before its end"
                );
                return Ok(progress);
            }
            if progress.rotation.done || Timestamp::now() >= self.until {
                return Ok(progress);
            }
        }
    }

    /// Handles one page. After a failure, the progress ends before the first credential that failed.
    async fn reseal_page(&self, progress: &mut Progress) -> Result<(), ApiError> {
        let client_id = &self.app.client_id;
        let page = self
            .credentials
            .page_of_app(self.team, client_id, progress.after, PAGE_SIZE);
        let (page, next) = self.in_time(page).await?;
        let work = page.rows.into_iter().map(async |stored| {
            let id = stored.credential.credential_id;
            (id, self.in_time(self.reseal(stored)).await)
        });
        let mut work = pin!(stream::iter(work).buffered(CONCURRENT_CREDENTIALS));
        let rotation = &mut progress.rotation;
        let mut failed = None;
        while let Some((id, outcome)) = work.next().await {
            match outcome {
                Ok(ResealOutcome::Resealed { healed }) => {
                    rotation.credentials += 1;
                    rotation.resealed += 1;
                    rotation.healed += u32::from(healed);
                }
                Ok(ResealOutcome::Skipped) => {}
                Err(error) => {
                    rotation.credentials += 1;
                    rotation.failed += 1;
                    failed = Some(error);
                }
            }
            if failed.is_none() {
                progress.after = Some(id);
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        rotation.unreadable += u32::try_from(page.unreadable.len()).unwrap_or(u32::MAX);
        progress.after = next;
        rotation.done = next.is_none();
        Ok(())
    }

    /// Drops a call that would end after the time for the answer. That does no harm: the next call of the rotation
    /// repeats the work.
    async fn in_time<T, E: Into<ApiError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ApiError> {
        let left = Timestamp::now().until(self.until);
        let done = tokio::time::timeout(left, work).await;
        let out_of_time = |_| ApiError::Vault(Error::unavailable(Down::OutOfTime));
        done.map_err(out_of_time)?.map_err(Into::into)
    }

    /// Seals the secret for one credential, under a data key of its own.
    async fn reseal(&self, mut stored: StoredCredential) -> Result<ResealOutcome, ApiError> {
        let Self {
            credentials,
            secrets,
            envelope,
            events,
            request,
            team,
            ..
        } = *self;
        let id = stored.credential.credential_id;
        for _ in 0..MAX_ATTEMPTS {
            if Timestamp::now() >= self.until {
                return Err(ApiError::Vault(Error::unavailable(Down::OutOfTime)));
            }
            let app = NewApp::prepare(envelope, team, id, self.app.clone()).await?;
            let app = app.sealed(team, stored.version + 1)?;
            let message = stored.credential.last_error_message.as_deref();
            let healed = message.is_some_and(|message| message.starts_with(APP_REFUSED));
            let transaction = credentials.begin_secret_replacement(team, &stored, healed)?;
            let (target, fields) = (self.app.client_id.clone(), vec!["client_secret"]);
            let change = Change::of(Target::ZoomApp(target), EventKind::SecretRotated, fields);
            let event = request.change(events, team, Some(id), change)?;
            let transaction = transaction
                .and(secrets.put_app_secret(id, &app)?)
                .and(event);
            let until = Timestamp::now().plus(COMMIT_TIME);
            if transaction.commit(until).await?.is_committed() {
                return Ok(ResealOutcome::Resealed { healed });
            }
            // The credential has changed concurrently, and may have another app now.
            let now = credentials.get_including_deleted(team, id).await?;
            match now.filter(|now| now.client_id == self.app.client_id) {
                Some(now) => stored = now,
                None => return Ok(ResealOutcome::Skipped),
            }
        }
        Err(ApiError::Vault(Error::Conflict))
    }
}
