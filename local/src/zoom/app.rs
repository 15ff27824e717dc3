//! Zoom apps: client id, client secret, redirect URIs and scopes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Error;
use super::secret::Fingerprint;
use super::state::State;

/// A Zoom app as its developer registers it.
#[derive(Clone)]
pub struct App {
    /// The public id. Registering an app with the same id replaces the app.
    pub client_id: String,
    /// The client secret. The sandbox keeps only its SHA-256.
    pub client_secret: String,
    /// The allowed redirect URIs. A request must match one of them character by character.
    pub redirect_uris: Vec<String>,
    /// The scopes that the app requests from its users.
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

/// An app in the state file. The key of the map is the client id.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredApp {
    pub(super) secret: Fingerprint,
    pub(super) redirect_uris: Vec<String>,
    pub(super) scopes: Vec<String>,
    /// The account of an account-level app. Such an app has no users who authorize it.
    #[serde(default)]
    pub(super) account_id: Option<String>,
    #[serde(rename = "refused")]
    pub(super) disabled: bool,
}

impl State {
    pub(super) fn put_app(&mut self, app: App) {
        let registered = StoredApp {
            secret: Fingerprint::of(&app.client_secret),
            redirect_uris: app.redirect_uris,
            scopes: app.scopes,
            account_id: None,
            disabled: false,
        };
        self.apps.insert(app.client_id, registered);
    }

    /// Makes a registered app account-level.
    pub(super) fn set_app_account(&mut self, client_id: &str, account_id: &str) {
        if let Some(app) = self.apps.get_mut(client_id) {
            app.account_id = Some(account_id.to_owned());
        }
    }

    pub(super) fn rotate_secret(&mut self, client_id: &str, client_secret: &str) {
        if let Some(app) = self.apps.get_mut(client_id) {
            app.secret = Fingerprint::of(client_secret);
        }
    }

    pub(super) fn set_app_disabled(&mut self, client_id: &str, disabled: bool) {
        if let Some(app) = self.apps.get_mut(client_id) {
            app.disabled = disabled;
        }
    }

    /// Finds an enabled app, and checks that it registered this redirect URI.
    pub(super) fn app_with_redirect(
        &self,
        client_id: &str,
        redirect_uri: &str,
    ) -> Result<&StoredApp, Error> {
        let app = self
            .apps
            .get(client_id)
            .ok_or_else(|| Error::UnknownApp(client_id.to_owned()))?;
        if app.disabled {
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
