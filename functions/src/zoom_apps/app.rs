//! A registered Zoom app in answers. No answer shows its secrets.

use serde::Serialize;
use shared::credential::{ClientId, Name};
use shared::stores::ZoomApp;
use shared::timestamp::Timestamp;
use utoipa::ToSchema;

/// The start of the apps' routes. The part of a request's path before it belongs to the API's base URL.
pub(crate) const PATH_PREFIX: &str = "/v2/zoom-apps/";

/// A registered Zoom app.
#[derive(Serialize, ToSchema)]
#[schema(as = ZoomApp)]
pub(crate) struct ZoomAppView {
    /// The app's client id.
    client_id: ClientId,
    /// The app's name, which the team chose.
    #[schema(required = true)]
    name: Option<Name>,
    /// The app's webhook URL. Enter it at Zoom as the event notification endpoint URL.
    #[schema(
        format = "uri",
        example = "https://vault.example.com/webhooks/zoom/sandbox-app"
    )]
    webhook_url: String,
    /// When the app was first registered.
    created_at: Timestamp,
    /// When the app was last registered.
    updated_at: Timestamp,
}

impl ZoomAppView {
    /// `base` is the API's base URL.
    pub(crate) fn new(app: ZoomApp, base: &str) -> Self {
        Self {
            webhook_url: format!("{base}/webhooks/zoom/{}", app.client_id.as_str()),
            client_id: app.client_id,
            name: app.name,
            created_at: app.created_at,
            updated_at: app.updated_at,
        }
    }
}
