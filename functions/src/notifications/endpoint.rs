//! `PUT`, `GET` and `DELETE /v2/notification-endpoint`, and `POST /v2/notification-endpoint/test`. One function serves
//! all of them.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use shared::envelope::{Binding, Envelope, SecretId};
use shared::error::Missing;
use shared::event::{Change, EventKind};
use shared::notification::{AddressRule, EndpointUrl, NotificationKind, SigningSecret};
use shared::secret::Plaintext;
use shared::stores::{EndpointSecret, Events, Keys, NotificationEndpoint, Requests, Secrets};
use shared::timestamp::Timestamp;
use utoipa::ToSchema;

use crate::http::access;
use crate::http::body::Fields;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingEndpointError, ReadErrors, UnreadableBodyErrors, WriteErrors};

/// The method and path, which also name the endpoint in the log. `ANY`, because one function serves every method.
pub const ROUTE: &str = "ANY /v2/notification-endpoint";
/// The method and path of a test.
pub const TEST_ROUTE: &str = "ANY /v2/notification-endpoint/test";
const TEST_PATH: &str = "/v2/notification-endpoint/test";

/// How long the earlier secret signs too after a rotation.
const ROTATION_TIME: Duration = Duration::from_hours(24);

/// Sets, shows, deletes or tests a team's endpoint.
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    secrets: &Secrets,
    events: &Events,
    envelope: &Envelope,
    notification_addresses: AddressRule,
    request: &Request,
) -> Reply {
    if request.is_of(TEST_PATH) {
        return match request.method() {
            "POST" => test(keys, requests, secrets, events, request).await,
            _ => Err(ApiError::MethodNotAllowed { allow: "POST" }),
        };
    }
    match request.method() {
        "PUT" => {
            let rule = notification_addresses;
            put(keys, requests, secrets, events, envelope, rule, request).await
        }
        "GET" => get(keys, requests, secrets, request).await,
        "DELETE" => delete(keys, requests, secrets, events, request).await,
        _ => Err(ApiError::MethodNotAllowed {
            allow: "DELETE, GET, PUT",
        }),
    }
}

/// An endpoint for notifications. Unknown fields are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct PutNotificationEndpoint {
    /// Where the vault sends notifications with `POST`. An `https` URL of a public host. The vault follows no
    /// redirects.
    url: EndpointUrl,
    /// The kinds of notifications. All kinds if the field is missing.
    #[schema(nullable = false, min_items = 1, max_items = 8)]
    kinds: Option<Vec<NotificationKind>>,
    /// Makes a new secret. The earlier secret signs too for 24 hours.
    #[schema(nullable = false)]
    rotate: Option<bool>,
}

impl PutNotificationEndpoint {
    pub(crate) fn of(request: &Request, rule: AddressRule) -> Result<Self, ApiError> {
        let fields = Fields::of(request)?;
        let at = "body/url";
        let url: EndpointUrl = fields.required(at)?;
        rule.check(&url)
            .map_err(|rule| ApiError::Validation { at, rule })?;
        Ok(Self {
            url,
            kinds: fields.choice("body/kinds", &NotificationKind::CHOICE)?,
            rotate: fields.boolean("body/rotate")?,
        })
    }

    /// The kinds that the team wants, each once.
    fn kinds(&self) -> Vec<NotificationKind> {
        let all = NotificationKind::CHOICE.into_iter();
        let wanted = |kind: &NotificationKind| {
            let kinds = self.kinds.as_ref();
            kinds.is_none_or(|kinds| kinds.contains(kind))
        };
        all.filter(wanted).collect()
    }
}

/// The endpoint for a team's notifications.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotificationEndpoint)]
pub(crate) struct EndpointView {
    /// Where the vault sends notifications.
    url: EndpointUrl,
    /// The kinds of notifications that the vault sends.
    kinds: Vec<NotificationKind>,
    /// When the endpoint was changed.
    updated_at: Timestamp,
    /// The secret that signs notifications. Only in the answer to the call that made the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^whsec_[A-Za-z0-9+/]{43}=$", nullable = false)]
    secret: Option<String>,
}

impl EndpointView {
    #[expect(
        clippy::disallowed_methods,
        reason = "the caller who makes the secret sees it once"
    )]
    fn new(stored: NotificationEndpoint, secret: Option<&SecretString>) -> Self {
        Self {
            url: stored.url,
            kinds: stored.kinds,
            updated_at: stored.updated_at,
            secret: secret.map(|secret| secret.expose_secret().to_owned()),
        }
    }
}

/// Sets the endpoint for notifications
///
/// The vault then tells your server what happens to credentials, with signed calls as Standard Webhooks define them.
/// The first call makes a secret and shows it once. Later calls keep the secret, unless `rotate` is true.
#[utoipa::path(
    put,
    path = "/v2/notification-endpoint",
    operation_id = "putNotificationEndpoint",
    tag = "Notifications",
    request_body(content = PutNotificationEndpoint, content_type = "application/json"),
    responses(
        (status = 200, description = "The endpoint is set", body = Success<EndpointView>),
        (status = 405, description = "The answer to every method but `DELETE`, `GET` and `PUT`", body = ErrorBody),
        (status = 409, description = "The endpoint was made or deleted meanwhile. Try again", body = ErrorBody),
        ReadErrors,
        WriteErrors,
        UnreadableBodyErrors,
    )
)]
pub(crate) async fn put(
    keys: &Keys,
    requests: &Requests,
    secrets: &Secrets,
    events: &Events,
    envelope: &Envelope,
    notification_addresses: AddressRule,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let team = caller.team;
    let input = caller
        .may_act_for_team()
        .and_then(|()| PutNotificationEndpoint::of(request, notification_addresses));
    let admitted = access::admit_change(keys, requests, &caller, request, input, async |it| Ok(it));
    let input = admitted.await?;

    let exists = secrets.notification_endpoint(team).await?.is_some();
    let makes_secret = !exists || input.rotate == Some(true);
    let (change, shown) = if makes_secret {
        let secret = SigningSecret::generate().map_err(|_| ApiError::internal("no random"))?;
        let binding = Binding::new(team, SecretId::Notification(team.clone()));
        let now = Timestamp::now();
        // The time serves as the generation, so that each secret has another one.
        let generation = u64::try_from(now.as_millis()).unwrap_or(0);
        let data_key = envelope.data_key(binding).await?;
        let sealed = data_key.seal(generation, &Plaintext::from(&secret))?;
        let change = if exists {
            EndpointSecret::Rotated(sealed, now.plus(ROTATION_TIME))
        } else {
            EndpointSecret::New(sealed)
        };
        (change, Some(secret.shown_once()))
    } else {
        (EndpointSecret::Kept, None)
    };
    let kinds = input.kinds();
    let stored = secrets
        .put_notification_endpoint(team, &input.url, &kinds, &change)
        .await?;
    let mut changed = vec!["url", "kinds"];
    changed.extend(makes_secret.then_some("secret"));
    request
        .record_change(events, team, Change::new(EventKind::EndpointSet, changed))
        .await?;

    reply::ok(EndpointView::new(stored, shown.as_ref()))
}

/// Shows the endpoint for notifications
///
/// The answer does not show the secret.
#[utoipa::path(
    get,
    path = "/v2/notification-endpoint",
    operation_id = "getNotificationEndpoint",
    tag = "Notifications",
    responses(
        (status = 200, description = "The endpoint", body = Success<EndpointView>),
        (status = 405, description = "The answer to every method but `DELETE`, `GET` and `PUT`", body = ErrorBody),
        ReadErrors,
        MissingEndpointError,
    )
)]
pub(crate) async fn get(
    keys: &Keys,
    requests: &Requests,
    secrets: &Secrets,
    request: &Request,
) -> Reply {
    // The API key names the team, so key and endpoint are read at the same time. Nothing is answered before the key is
    // verified.
    let key = access::api_key(request)?;

    let (verified, read) = tokio::join!(access::verify(keys, &key, request), async {
        Ok::<_, ApiError>(secrets.notification_endpoint(key.team()).await?)
    });
    let stored = access::admit_read(requests, &verified?, request, read).await?;
    let stored = stored.ok_or(Missing::NotificationEndpoint)?;

    reply::ok(EndpointView::new(stored, None))
}

/// The answer to a deletion or a test.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotificationEndpointMessage)]
pub(crate) struct EndpointMessage {
    /// The result for people.
    #[schema(example = "Notification endpoint deleted successfully")]
    message: &'static str,
}

/// Deletes the endpoint for notifications
///
/// The vault forgets the URL and the secrets. Notifications that wait for another attempt are dropped.
#[utoipa::path(
    delete,
    path = "/v2/notification-endpoint",
    operation_id = "deleteNotificationEndpoint",
    tag = "Notifications",
    responses(
        (status = 200, description = "The endpoint is deleted", body = Success<EndpointMessage>),
        (status = 405, description = "The answer to every method but `DELETE`, `GET` and `PUT`", body = ErrorBody),
        ReadErrors,
        MissingEndpointError,
        WriteErrors,
    )
)]
pub(crate) async fn delete(
    keys: &Keys,
    requests: &Requests,
    secrets: &Secrets,
    events: &Events,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let input = caller.may_act_for_team();
    let admitted = access::admit_change(keys, requests, &caller, request, input, async |it| Ok(it));
    admitted.await?;

    if !secrets.delete_notification_endpoint(caller.team).await? {
        return Err(Missing::NotificationEndpoint.into());
    }
    let changed = vec!["url", "kinds", "secret"];
    request
        .record_change(
            events,
            caller.team,
            Change::new(EventKind::EndpointSet, changed),
        )
        .await?;

    reply::ok(EndpointMessage {
        message: "Notification endpoint deleted successfully",
    })
}

/// Sends a test to the endpoint for notifications
///
/// The vault sends a notification of the type `endpoint.test` within seconds, once. If the attempt fails,
/// `GET /v2/events?kind=notification_failed` says why.
#[utoipa::path(
    post,
    path = "/v2/notification-endpoint/test",
    operation_id = "testNotificationEndpoint",
    tag = "Notifications",
    responses(
        (status = 200, description = "The test is on its way", body = Success<EndpointMessage>),
        (status = 405, description = "The answer to every method but `POST`", body = ErrorBody),
        ReadErrors,
        MissingEndpointError,
        WriteErrors,
    )
)]
pub(crate) async fn test(
    keys: &Keys,
    requests: &Requests,
    secrets: &Secrets,
    events: &Events,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let input = caller.may_act_for_team();
    let admitted = access::admit_change(keys, requests, &caller, request, input, async |it| Ok(it));
    admitted.await?;

    let stored = secrets.notification_endpoint(caller.team).await?;
    stored.ok_or(Missing::NotificationEndpoint)?;
    // The function `notify-enqueue` reads this event from the stream, as any other.
    request
        .record_change(
            events,
            caller.team,
            Change::new(EventKind::EndpointTested, Vec::new()),
        )
        .await?;

    reply::ok(EndpointMessage {
        message: "A test notification is on its way",
    })
}
