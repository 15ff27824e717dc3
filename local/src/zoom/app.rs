//! Zoom apps: a client pair, the redirect URIs and the scopes they registered.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Error;
use super::secret::Fingerprint;
use super::state::State;

/// A Zoom app as its developer registers it.
#[derive(Clone)]
pub struct App {
    /// Public; apps are replaced by it.
    pub client_id: String,
    /// Kept as its SHA-256 only.
    pub client_secret: String,
    /// Compared to the letter.
    pub redirect_uris: Vec<String>,
    /// What the app asks its users for.
    pub scopes: Vec<String>,
}

impl fmt::Debug for App {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("App")
            .field("client_id", &self.client_id)
            .field("redirect_uris", &self.redirect_uris)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// What is kept of an app, under its client id.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Registered {
    pub(super) secret: Fingerprint,
    pub(super) redirect_uris: Vec<String>,
    pub(super) scopes: Vec<String>,
    pub(super) refused: bool,
}

impl State {
    pub(super) fn put_app(&mut self, app: App) {
        let registered = Registered {
            secret: Fingerprint::of(&app.client_secret),
            redirect_uris: app.redirect_uris,
            scopes: app.scopes,
            refused: false,
        };
        self.apps.insert(app.client_id, registered);
    }

    pub(super) fn rotate_secret(&mut self, client_id: &str, client_secret: &str) {
        if let Some(app) = self.apps.get_mut(client_id) {
            app.secret = Fingerprint::of(client_secret);
        }
    }

    pub(super) fn refuse_app(&mut self, client_id: &str, refused: bool) {
        if let Some(app) = self.apps.get_mut(client_id) {
            app.refused = refused;
        }
    }

    /// The app that may send its users back to this URI.
    pub(super) fn app_with_redirect(
        &self,
        client_id: &str,
        redirect_uri: &str,
    ) -> Result<&Registered, Error> {
        let app = self
            .apps
            .get(client_id)
            .ok_or_else(|| Error::UnknownApp(client_id.to_owned()))?;
        if app.refused {
            return Err(Error::AppDisabled(client_id.to_owned()));
        }
        if !app
            .redirect_uris
            .iter()
            .any(|registered| registered == redirect_uri)
        {
            return Err(Error::UnregisteredRedirectUri(redirect_uri.to_owned()));
        }
        Ok(app)
    }
}
