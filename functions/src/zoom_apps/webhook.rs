//! `POST /webhooks/zoom/{client_id}`: what Zoom tells an app.
//!
//! Anyone may call it, and nobody is believed but who holds an app's secret token. A team's own secret verifies for that
//! team alone, so nobody's event touches another's credentials. Headers, time and body are read first: nonsense costs
//! nothing, an app that nobody registered one read, and a false signature one opened secret a minute, which is kept.
//!
//! Zoom tells an event again until it hears 2xx within 3 s. So each step says by itself whether it is still to be done:
//! the tokens first, then the event, which has the same id each time, and last the credential, on its version.

use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use shared::credential::{ClientId, Credential, ReconnectReason, State, TeamId};
use shared::envelope::{Binding, Envelope, Sealed, SecretId};
use shared::error::Error;
use shared::event::{Event, EventDetails, EventId};
use shared::grants::cache::Cache;
use shared::secret::WebhookSecret;
use shared::stores::{self, Credentials, Events, Secrets, StoredCredential};
use shared::timestamp::Timestamp;
use shared::zoom::webhook::{
    ChallengeResponse, EventBody, SIGNATURE_WINDOW, Signature, WebhookEvent,
};

use crate::http::error::{ApiError, ErrorBody};
use crate::http::reply::{self, Reply};
use crate::http::request::Request;
use crate::http::schema::ClientIdInPath;

/// What the logs call it.
pub const ROUTE: &str = "POST /webhooks/zoom/{client_id}";

/// Largest body that is looked at.
const MAX_BYTES: usize = 256 * 1024;
/// How many teams may hold one app, as far as its webhooks go.
const TEAMS: u16 = 100;
/// How many teams, or credentials of one, are seen to at a time.
const AT_ONCE: usize = 16;
/// How often a credential is tried that changes meanwhile.
const ROUNDS: usize = 5;

/// Secret tokens that are open in memory, so that a storm of webhooks is none at KMS. Wiped when they go.
///
/// A row is read each time all the same: one that was replaced or deleted is believed no longer.
pub type Opened = Cache<String, (Sealed, WebhookSecret)>;

/// Hears what Zoom tells an app
///
/// Enter this URL at Zoom as the app's event notification endpoint. `endpoint.url_validation` is answered;
/// `app_deauthorized` destroys the user's tokens; `user.deactivated` and `user.deleted` turn the user's credentials
/// invalid; anything else is heard and forgotten. The signature is over the body's bytes and at most 5 minutes old.
#[utoipa::path(
    post,
    path = "/webhooks/zoom/{client_id}",
    operation_id = "zoomWebhook",
    tag = "Zoom apps",
    request_body(content = EventBody, content_type = "application/json"),
    params(
        ("client_id" = inline(ClientIdInPath), Path, description = "The app's client id"),
        ("x-zm-signature" = String, Header, description = "`v0=` and the HMAC-SHA256 of `v0:`, timestamp, `:` and body, in hex"),
        ("x-zm-request-timestamp" = String, Header, description = "Seconds since 1970"),
    ),
    responses(
        (status = 200, description = "The answer to `endpoint.url_validation`", body = ChallengeResponse),
        (status = 204, description = "Heard, and done what there was to do"),
        (status = 400, description = "No event of Zoom's", body = ErrorBody),
        (status = 401, description = "Not signed by Zoom for an app that is registered here", body = ErrorBody),
        (status = 413, description = "More than 256 KB", body = ErrorBody),
        (status = 500, description = "Ours to mend", body = ErrorBody),
        (status = 503, description = "Temporarily unavailable: Zoom tells it again", body = ErrorBody),
    ),
    security(()),
)]
pub async fn handle(
    credentials: &Credentials,
    secrets: &Secrets,
    events: &Events,
    envelope: &Envelope,
    opened: &Opened,
    window: Duration,
    request: &Request,
) -> Reply {
    let signature = signature(request, window)?;
    let client_id = request.client_id().map_err(|_| refused("no such app"))?;
    let body = request.body()?;
    if body.len() > MAX_BYTES {
        return Err(ApiError::BodyTooLarge);
    }
    let notice =
        WebhookEvent::parse(body).map_err(|rule| ApiError::Validation { at: "body", rule })?;
    if let WebhookEvent::Deauthorized { client_id: of, .. } = &notice
        && of != client_id.as_str()
    {
        return Err(ApiError::validation(
            "body/payload/client_id",
            "must be the app's that the URL names",
        ));
    }

    // One more says whether there are more.
    let mut teams = secrets.teams_of_app(&client_id, TEAMS + 1).await?;
    if teams.len() > usize::from(TEAMS) {
        teams.truncate(usize::from(TEAMS));
        let request_id = request.id();
        tracing::error!(
            request_id,
            "too many teams hold this app: some are not told"
        );
    }
    let opening = teams.into_iter().map(|team| async {
        let opened = open(secrets, envelope, opened, &team, &client_id).await;
        (team, opened)
    });
    let mut opening = pin!(stream::iter(opening).buffer_unordered(AT_ONCE));
    let (mut believers, mut failed, mut broken) = (Vec::new(), None, None);
    while let Some((team, outcome)) = opening.next().await {
        match outcome {
            Ok(Some(secret)) if signature.verifies(&secret, body) => believers.push((team, secret)),
            Ok(_) => {}
            // Telling it again reads no row that cannot be read; the other teams are not to suffer for it.
            Err(error @ ApiError::Vault(Error::Internal(_))) => {
                tracing::error!(
                    request_id = request.id(),
                    team = team.as_str(),
                    cause = error.cause(),
                    "the secret token of a team's app cannot be read: register the app again"
                );
                broken = Some(error);
            }
            Err(error) => failed = Some(error),
        }
    }
    let Some((_, secret)) = believers.first() else {
        let error = failed.or(broken);
        return Err(error.unwrap_or_else(|| refused("signature")));
    };

    if let WebhookEvent::Challenge { plain_token } = notice {
        return reply::bare(&ChallengeResponse::new(secret, plain_token));
    }
    let doing = believers.iter().map(|(team, _)| {
        let run = Run {
            credentials,
            secrets,
            events,
            request,
            team,
            client_id: &client_id,
            signed_at: signature.signed_at(),
        };
        run.act(&notice)
    });
    let doing: Vec<_> = doing.collect();
    let done = all(stream::iter(doing).buffer_unordered(AT_ONCE)).await;
    // What could not be done is told again, and what was done is not done twice.
    match (failed, done) {
        (Some(error), _) => Err(error),
        (None, done) => Ok(done.map(|()| reply::empty())?),
    }
}

fn refused(why: &'static str) -> ApiError {
    ApiError::WebhookRefused { why }
}

/// The two headers, each of which came once, of a moment ago.
fn signature(request: &Request, window: Duration) -> Result<Signature, ApiError> {
    let signature = request.only_header("x-zm-signature");
    let timestamp = request.only_header("x-zm-request-timestamp");
    let signature = signature.zip(timestamp);
    let signature = signature.and_then(|(signature, at)| Signature::parse(signature, at));
    let signature = signature.ok_or(refused("headers"))?;
    if signature.is_fresh(Timestamp::now(), window) {
        Ok(signature)
    } else {
        Err(refused("time"))
    }
}

/// The secret token of a team's app; none where the app is gone.
async fn open(
    secrets: &Secrets,
    envelope: &Envelope,
    opened: &Opened,
    team: &TeamId,
    client_id: &ClientId,
) -> Result<Option<WebhookSecret>, ApiError> {
    let Some(sealed) = secrets.webhook_secret(team, client_id).await? else {
        return Ok(None);
    };
    let binding = Binding {
        team: team.clone(),
        secret: SecretId::Webhook(team.clone(), client_id.clone()),
    };
    let id = binding.secret.to_string();
    if let Some((_, secret)) = opened.get(&id, |(of, _)| *of == sealed) {
        return Ok(Some(secret));
    }
    let secret = WebhookSecret::try_from(envelope.open(&binding, &sealed).await?)?;
    opened.insert(id, (sealed, secret.clone()));
    Ok(Some(secret))
}

/// One event, in one team.
struct Run<'a> {
    credentials: &'a Credentials,
    secrets: &'a Secrets,
    events: &'a Events,
    request: &'a Request,
    team: &'a TeamId,
    client_id: &'a ClientId,
    signed_at: Timestamp,
}

/// What a credential says whose user took the authorization back.
const DEAUTHORIZED: &str = "deauthorized: the user removed the app at Zoom, and the tokens were destroyed. The user must authorize \
     again.";

impl Run<'_> {
    async fn act(self, notice: &WebhookEvent) -> Result<(), stores::Error> {
        // Nothing that was signed by now is of a later time, whatever it says; clocks may differ.
        let at = |said: &Option<Timestamp>| match said {
            Some(said) => (*said).min(self.signed_at.plus(SIGNATURE_WINDOW)),
            None => self.signed_at,
        };
        match notice {
            WebhookEvent::Deauthorized {
                user_id, at: said, ..
            } => self.deauthorized(user_id, at(said)).await,
            WebhookEvent::UserGone {
                user_id,
                change,
                at: said,
            } => self.mark_user_gone(user_id, change, at(said)).await,
            WebhookEvent::Challenge { .. } | WebhookEvent::Other => Ok(()),
        }
    }

    /// A user took back the authorization `at` that time. What was authorized since is left alone.
    async fn deauthorized(&self, user_id: &str, at: Timestamp) -> Result<(), stores::Error> {
        let holders = self.all_of_user(user_id).await?;
        let done = holders
            .into_iter()
            .map(|holder| self.destroy(holder, user_id, at));
        all(stream::iter(done).buffer_unordered(AT_ONCE)).await
    }

    async fn destroy(
        &self,
        mut holder: StoredCredential,
        user_id: &str,
        at: Timestamp,
    ) -> Result<(), stores::Error> {
        let Self {
            credentials,
            secrets,
            team,
            ..
        } = *self;
        let id = holder.credential.credential_id;
        for _ in 0..ROUNDS {
            if let Some(grant) = holder.grant {
                let row = secrets.grant(grant.id).await?;
                if row
                    .as_ref()
                    .is_some_and(|row| row.authorize_sent_at > at.as_millis())
                {
                    return Ok(());
                }
                if row.is_some_and(|row| row.sealed.is_some()) {
                    secrets
                        .destroy(team, grant.id, ReconnectReason::Deauthorized)
                        .await?;
                }
            }
            if is_blank(&holder.credential) {
                return Ok(());
            }
            self.record(&holder, ReconnectReason::Deauthorized, at)
                .await?;
            match credentials.deauthorize(team, &holder, DEAUTHORIZED).await {
                Ok(()) => {
                    self.request.invocation().activity().deauthorized();
                    self.log(&holder, "a user took the authorization back: tokens destroyed, address and name blanked");
                    return Ok(());
                }
                Err(stores::Error::Conflict | stores::Error::NotFound) => {}
                Err(error) => return Err(error),
            }
            let now = credentials.get_including_deleted(team, id).await?;
            match now.filter(|now| now.is_of(self.client_id, user_id)) {
                Some(now) => holder = now,
                None => return Ok(()),
            }
        }
        Err(stores::Error::Conflict)
    }

    /// A user is gone since `at`. The grants stay: should the user come back, a mint that works heals the credential.
    async fn mark_user_gone(
        &self,
        user_id: &str,
        change: &str,
        at: Timestamp,
    ) -> Result<(), stores::Error> {
        let holders = self.all_of_user(user_id).await?;
        let word = ReconnectReason::UserGone.as_str();
        let message = format!("{word}: Zoom says that the user was {change}");
        let done = holders
            .into_iter()
            .map(|holder| self.invalidate(holder, &message, at));
        all(stream::iter(done).buffer_unordered(AT_ONCE)).await
    }

    async fn invalidate(
        &self,
        holder: StoredCredential,
        message: &str,
        at: Timestamp,
    ) -> Result<(), stores::Error> {
        let authorized_since = holder
            .grant
            .is_some_and(|grant| grant.authorized_at > at.as_millis());
        if holder.credential.state == State::Invalid || authorized_since {
            return Ok(());
        }
        self.record(&holder, ReconnectReason::UserGone, at).await?;
        match self
            .credentials
            .mark_user_gone(self.team, &holder, message)
            .await
        {
            Ok(()) => {
                self.request
                    .invocation()
                    .activity()
                    .turned_invalid(ReconnectReason::UserGone);
                self.log(&holder, "a user is gone: the credential is invalid");
                Ok(())
            }
            // Told by another at once, or changed: if the user is gone, its next use says so too.
            Err(stores::Error::Conflict | stores::Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn all_of_user(&self, user_id: &str) -> Result<Vec<StoredCredential>, stores::Error> {
        self.credentials
            .all_of_user(self.team, self.client_id, user_id)
            .await
    }

    /// Writes the event down. However often it is told, it is the same one.
    async fn record(
        &self,
        holder: &StoredCredential,
        reason: ReconnectReason,
        at: Timestamp,
    ) -> Result<(), stores::Error> {
        let (id, word) = (holder.credential.credential_id, reason.as_str());
        let grant = holder
            .grant
            .map(|grant| grant.id.to_string())
            .unwrap_or_default();
        let event = Event {
            id: EventId::derived(at, &format!("{word}#{id}#{grant}")),
            details: EventDetails::StateChange {
                reason: Some(reason),
            },
        };
        self.events.record(self.team, id, &event).await
    }

    fn log(&self, holder: &StoredCredential, what: &'static str) {
        tracing::info!(
            request_id = self.request.id(),
            team = self.team.as_str(),
            credential_id = %holder.credential.credential_id,
            "{what}"
        );
    }
}

/// Whether nothing is left to do: it says why, and names nobody.
fn is_blank(credential: &Credential) -> bool {
    let says = credential.last_error_message.as_deref();
    credential.state == State::Invalid
        && says.is_some_and(|message| message.starts_with(ReconnectReason::Deauthorized.as_str()))
        && credential.zoom_email.is_none()
        && credential.zoom_display_name.is_none()
}

/// All of them, whatever becomes of one; the last failure.
async fn all(
    mut outcomes: impl StreamExt<Item = Result<(), stores::Error>> + Unpin,
) -> Result<(), stores::Error> {
    let mut total = Ok(());
    while let Some(outcome) = outcomes.next().await {
        if outcome.is_err() {
            total = outcome;
        }
    }
    total
}
