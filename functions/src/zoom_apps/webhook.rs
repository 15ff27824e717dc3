//! `POST /webhooks/zoom/{client_id}`: the webhooks that Zoom sends for an app.
//!
//! Anyone may call this endpoint, so only a signature with the app's secret token counts. Each team has registered its
//! own secret token. A signature that one team's token verifies changes that team's credentials only.
//!
//! Cheap checks come first: headers, timestamp and body cost nothing, an unregistered app costs one read. A wrong
//! signature costs at most one KMS call a minute for each team, because opened secret tokens stay in memory.
//!
//! Zoom repeats a webhook until it gets a 2xx within 3 seconds, so every step is idempotent. See
//! `event_handler.rs`.

use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use shared::credential::{ClientId, TeamId};
use shared::envelope::{Binding, Envelope, Sealed, SecretId};
use shared::error::Error;
use shared::event::Actor;
use shared::grants::cache::Cache;
use shared::secret::WebhookSecret;
use shared::stores::{Credentials, Events, Pairs, Secrets};
use shared::timestamp::Timestamp;
use shared::zoom::webhook::{ChallengeResponse, EventBody, Signature, WebhookEvent};

use crate::http::error::{ApiError, ErrorBody};
use crate::http::reply::{self, Reply};
use crate::http::request::Request;
use crate::http::schema::ClientIdInPath;
use crate::zoom_apps::event_handler::{CONCURRENT_CHANGES, EventHandler, last_failure};

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "POST /webhooks/zoom/{client_id}";

/// The largest body that is parsed.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// For how many teams one webhook of an app is handled.
const MAX_TEAMS: u16 = 100;

/// Opened secret tokens in memory, so that many webhooks do not cause many KMS calls.
///
/// The row is still read for every webhook. So a secret token that was replaced or deleted does not verify any more.
pub type OpenedSecrets = Cache<String, (Sealed, WebhookSecret)>;

/// Receives Zoom's webhooks of an app
///
/// Enter this URL at Zoom as the app's event notification endpoint. The vault answers `endpoint.url_validation`. For
/// `app_deauthorized`, it destroys the user's tokens. For `user.deactivated` and `user.deleted`, it marks the user's
/// credentials as invalid. It accepts all other events and ignores them. The signature covers the body's bytes, and
/// must not be older than 5 minutes.
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
    pairs: &Pairs,
    secrets: &Secrets,
    events: &Events,
    envelope: &Envelope,
    opened: &OpenedSecrets,
    window: Duration,
    request: &Request,
) -> Reply {
    let signature = signature(request, window)?;
    let client_id = request.client_id().map_err(|_| refused("no such app"))?;
    let body = request.body()?;
    let event = parse_event(body, &client_id)?;

    let verifier = Verifier {
        secrets,
        envelope,
        opened,
        request,
        client_id: &client_id,
    };
    let accepted = verifier.verified_teams(&signature, body).await?;
    let Some((_, secret)) = accepted.teams.first() else {
        let error = accepted.failed.or(accepted.corrupt);
        return Err(error.unwrap_or_else(|| refused("signature")));
    };
    if let WebhookEvent::Challenge { plain_token } = event {
        return reply::bare(&ChallengeResponse::new(secret, plain_token));
    }

    request
        .invocation()
        .act_as(Actor::Webhook(client_id.clone()));
    let handlers = accepted.teams.iter().map(|(team, _)| {
        let handler = EventHandler {
            credentials,
            pairs,
            secrets,
            events,
            request,
            team,
            client_id: &client_id,
            signed_at: signature.signed_at(),
        };
        handler.handle(&event)
    });
    let handlers: Vec<_> = handlers.collect();
    let handled = last_failure(stream::iter(handlers).buffer_unordered(CONCURRENT_CHANGES)).await;
    // After an error, Zoom repeats the webhook, and each team handles what it has not handled yet.
    if let Some(error) = accepted.failed {
        return Err(error);
    }
    handled?;
    Ok(reply::empty())
}

fn refused(why: &'static str) -> ApiError {
    ApiError::WebhookRefused { why }
}

/// The signature in the headers, if it is fresh. Each header must come once.
pub(crate) fn signature(request: &Request, window: Duration) -> Result<Signature, ApiError> {
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

pub(crate) fn parse_event(body: &[u8], client_id: &ClientId) -> Result<WebhookEvent, ApiError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(ApiError::BodyTooLarge);
    }
    let event =
        WebhookEvent::parse(body).map_err(|rule| ApiError::Validation { at: "body", rule })?;
    if let WebhookEvent::Deauthorized { client_id: of, .. } = &event
        && of != client_id.as_str()
    {
        let rule = "must be the client id in the webhook's URL";
        return Err(ApiError::validation("body/payload/client_id", rule));
    }
    Ok(event)
}

/// Checks a signature with the secret tokens of all teams that have registered the app.
struct Verifier<'a> {
    secrets: &'a Secrets,
    envelope: &'a Envelope,
    opened: &'a OpenedSecrets,
    request: &'a Request,
    client_id: &'a ClientId,
}

/// The teams whose secret token verifies the signature.
#[derive(Default)]
struct VerifiedTeams {
    teams: Vec<(TeamId, WebhookSecret)>,
    /// Why the secret token of another team could not be read now. A retry by Zoom may succeed.
    failed: Option<ApiError>,
    /// Why the secret token of another team can never be read. A retry by Zoom cannot repair a corrupt row, so this
    /// does not fail the webhook for the other teams.
    corrupt: Option<ApiError>,
}

impl Verifier<'_> {
    async fn verified_teams(
        &self,
        signature: &Signature,
        body: &[u8],
    ) -> Result<VerifiedTeams, ApiError> {
        let opening = self.registered_teams().await?.into_iter();
        let opening = opening.map(|team| async {
            let opened = self.open(&team).await;
            (team, opened)
        });
        let mut opening = pin!(stream::iter(opening).buffer_unordered(CONCURRENT_CHANGES));
        let mut verified = VerifiedTeams::default();
        while let Some((team, opened)) = opening.next().await {
            match opened {
                Ok(Some(secret)) if signature.verifies(&secret, body) => {
                    verified.teams.push((team, secret));
                }
                Ok(_) => {}
                Err(error @ ApiError::Vault(Error::Internal(_))) => {
                    tracing::error!(
                        request_id = self.request.id(),
                        team = team.as_str(),
                        cause = error.cause(),
                        "the secret token of a team's app cannot be read: register the app again"
                    );
                    verified.corrupt = Some(error);
                }
                Err(error) => verified.failed = Some(error),
            }
        }
        Ok(verified)
    }

    /// The teams that have registered the app.
    async fn registered_teams(&self) -> Result<Vec<TeamId>, ApiError> {
        // One more than the limit, to find out whether there are too many.
        let teams = self.secrets.teams_of_app(self.client_id, MAX_TEAMS + 1);
        let mut teams = teams.await?;
        if teams.len() > usize::from(MAX_TEAMS) {
            teams.truncate(usize::from(MAX_TEAMS));
            tracing::error!(
                request_id = self.request.id(),
                "too many teams have registered this app: the webhook is not handled for all of them"
            );
        }
        Ok(teams)
    }

    /// Opens the secret token of a team's app. `None` if the team has deleted the app.
    async fn open(&self, team: &TeamId) -> Result<Option<WebhookSecret>, ApiError> {
        let Some(sealed) = self.secrets.webhook_secret(team, self.client_id).await? else {
            return Ok(None);
        };
        let binding = Binding::new(
            team,
            SecretId::Webhook(team.clone(), self.client_id.clone()),
        );
        let id = binding.secret.to_string();
        if let Some((_, secret)) = self.opened.get(&id, |(of, _)| *of == sealed) {
            return Ok(Some(secret));
        }
        let secret = WebhookSecret::try_from(self.envelope.open(&binding, &sealed).await?)?;
        self.opened.insert(id, (sealed, secret.clone()));
        Ok(Some(secret))
    }
}
