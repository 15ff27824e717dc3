//! A team's Zoom app, as it is shown: never with a secret.

use serde::Serialize;
use shared::credential::{ClientId, Name};
use shared::stores::ZoomApp;
use shared::timestamp::Timestamp;
use utoipa::ToSchema;

/// What the routes of apps begin with: what stands before it in a path is where the API is.
pub(crate) const ROUTES: &str = "/v2/zoom-apps/";

/// A Zoom app that is registered.
#[derive(Serialize, ToSchema)]
#[schema(as = ZoomApp)]
pub(crate) struct Shown {
    /// The app's client id.
    client_id: ClientId,
    /// What the team calls it.
    #[schema(required = true)]
    name: Option<Name>,
    /// The app's event notification endpoint URL: to be entered at Zoom.
    #[schema(
        format = "uri",
        example = "https://vault.example.com/webhooks/zoom/sandbox-app"
    )]
    webhook_url: String,
    /// When it was first registered.
    created_at: Timestamp,
    /// When it was last registered.
    updated_at: Timestamp,
}

impl Shown {
    /// `base` is what our URLs begin with.
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
