//! `PUT /v2/zoom-apps/{client_id}`

use shared::config::Url;
use shared::credential::Name;
use shared::envelope::{Binding, Envelope, SecretId};
use shared::error::Error;
use shared::event::{Change, EventKind, Target};
use shared::grants::mint::ANSWER_TIME;
use shared::secret::{AppCredentials, ClientSecret, Plaintext, WebhookSecret};
use shared::stores::{Events, Keys, Requests, Secrets};
use shared::timestamp::Timestamp;
use shared::zoom::Zoom;
use utoipa::ToSchema;

use crate::http::access;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{
    AppErrors, ClientIdInPath, ReadErrors, UnreadableBodyErrors, WriteErrors, ZoomErrors,
};
use crate::zoom_apps::app::{PATH_PREFIX, ZoomAppView};

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "PUT /v2/zoom-apps/{client_id}";

/// A Zoom app. Unknown fields are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct PutZoomApp {
    /// Your name for the app.
    #[schema(nullable = false)]
    name: Option<Name>,
    /// The app's client secret. It proves to Zoom that the app is yours, and the vault does not keep it.
    #[schema(write_only)]
    client_secret: ClientSecret,
    /// The app's secret token, from its features page at Zoom. The vault encrypts the token and never shows it.
    #[schema(write_only)]
    webhook_secret_token: WebhookSecret,
}

impl PutZoomApp {
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        let fields = Fields::of(request)?;
        Ok(Self {
            name: fields.optional("body/name")?,
            client_secret: fields.required("body/client_secret")?,
            webhook_secret_token: fields.required("body/webhook_secret_token")?,
        })
    }
}

/// Registers a Zoom app
///
/// The vault accepts the app's webhooks for this team from then on. The client secret proves at Zoom that the app is
/// yours; the vault does not store it. The vault stores the secret token encrypted. A new registration replaces the old
/// registration as a whole.
#[utoipa::path(
    put,
    path = "/v2/zoom-apps/{client_id}",
    operation_id = "putZoomApp",
    tag = "Zoom apps",
    request_body(content = PutZoomApp, content_type = "application/json"),
    params(
        ("client_id" = inline(ClientIdInPath), Path, description = "The app's client id"),
    ),
    responses(
        (status = 200, description = "The app, and the URL to enter at Zoom", body = Success<ZoomAppView>),
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
    secrets: &Secrets,
    events: &Events,
    envelope: &Envelope,
    zoom: &Zoom,
    public: Option<&Url>,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let team = caller.team;
    let input = caller
        .may_act_for_team()
        .and_then(|()| Ok((request.client_id()?, PutZoomApp::of(request)?)));
    let (client_id, input) =
        access::admit_change(keys, requests, &caller, request, input, async |it| Ok(it)).await?;
    let base = request.base(public, PATH_PREFIX)?;

    let app = AppCredentials {
        client_id,
        client_secret: input.client_secret,
    };
    let binding = Binding::new(team, SecretId::Webhook(team.clone(), app.client_id.clone()));
    let check = async {
        let checked = zoom.check_app(&app, request.time_left(ANSWER_TIME)).await;
        checked.map_err(Error::from_grant_use)
    };
    let data_key = async { Ok(envelope.data_key(binding).await?) };
    let ((), data_key) = tokio::try_join!(check, data_key)?;
    // The time serves as the generation, so that the write needs no read.
    let generation = u64::try_from(Timestamp::now().as_millis()).unwrap_or(0);
    let sealed = data_key.seal(generation, &Plaintext::from(&input.webhook_secret_token))?;
    let registered = secrets
        .put_zoom_app(team, &app.client_id, input.name.as_ref(), &sealed)
        .await?;
    let mut changed = vec!["client_secret", "webhook_secret_token"];
    changed.extend(input.name.is_some().then_some("name"));
    let target = Target::ZoomApp(app.client_id);
    let change = Change::of(target, EventKind::AppRegistered, changed);
    request.record_change(events, team, change).await?;

    reply::ok(ZoomAppView::new(registered, &base))
}
