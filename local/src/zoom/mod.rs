//! A Zoom sandbox: zoom.us and api.zoom.us on one origin.
//!
//! The sandbox is as strict as Zoom. Codes and refresh tokens work once, a new authorization ends the older grant of
//! the same app and user, and scopes are checked. Tests can inject faults.
//!
//! It is for `cargo run` and for tests, never for production: every program that reaches its port may use `/sandbox/…`.
//! A secret appears once, in the answer that issues it. The memory and the state file keep only SHA-256 fingerprints.

mod account;
mod app;
mod authorize;
mod callback;
mod code;
mod control;
mod demo;
mod fault;
mod form;
mod grant;
mod ledger;
mod meeting;
mod oauth;
mod oauth_error;
mod page;
mod rest;
mod secret;
mod state;
mod store;
mod user;
mod webhook;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use url::Url;
use uuid::Uuid;

pub use self::app::App;
pub use self::code::Consent;
pub use self::demo::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_WEBHOOK_SECRET};
pub use self::fault::{Endpoint, Fault, FaultKind, Reply, Times};
pub use self::grant::{GrantRecord, RefreshBehaviour};
pub use self::ledger::{GrantType, ZoomCall};
pub use self::meeting::Meeting;
pub use self::user::User;
pub use self::webhook::{Delivery, Webhook};

/// Why the sandbox refused a request or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No app with this client id is registered.
    #[error("no app has the client_id {0:?}")]
    UnknownApp(String),
    /// The app was disabled with [`Sandbox::set_app_disabled`].
    #[error("the app {0:?} has been disabled")]
    AppDisabled(String),
    /// The redirect URI is not one of the app's. Zoom compares redirect URIs character by character.
    #[error(
        "the app has not registered the redirect_uri {0:?} (it must match character by character)"
    )]
    UnregisteredRedirectUri(String),
    /// The user does not exist, or is deactivated.
    #[error("no active user has the id {0:?}")]
    UnknownUser(String),
    /// A user can grant only the scopes of the app.
    #[error("the app does not have the scope {0:?}")]
    UnknownScope(String),
    /// The challenge is not a SHA-256 in unpadded base64url, which has 43 characters.
    #[error("code_challenge must be 43 characters of unpadded base64url (S256)")]
    MalformedChallenge,
    /// The operating system returned no random bytes.
    #[error("the operating system returned no random bytes")]
    NoRandomBytes,
    /// The state file exists but cannot be read.
    #[error("cannot read the sandbox's state file {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// The sandbox did not write the state file, or an incompatible version did.
    #[error("the sandbox's state file {0} is malformed: delete it to start with no data")]
    Malformed(PathBuf, #[source] serde_json::Error),
    /// The change is in memory, but not in the state file.
    #[error("cannot write the sandbox's state file")]
    Write(#[source] std::io::Error),
}

/// The sandbox. Clones share their state.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

struct Shared {
    store: store::Store,
    settings: Mutex<Settings>,
    faults: Mutex<fault::FaultQueue>,
    ledger: Mutex<ledger::Ledger>,
}

/// Settings of this run. The state file does not keep them.
#[derive(Clone, Default)]
struct Settings {
    origin: Option<Url>,
    /// The address of the vault's API, and the file of its API key.
    vault: Option<(Url, PathBuf)>,
    refresh_behaviour: RefreshBehaviour,
    webhooks: BTreeMap<String, Webhook>,
}

impl Sandbox {
    /// Opens the sandbox with its demo app and users.
    ///
    /// With a state file, the sandbox writes each change before it answers. The state survives a restart and
    /// `kill -9`. It may not survive a power cut, because the file is not synced. Without a state file, all state is
    /// in memory. The file never keeps faults, settings and the ledger.
    pub fn open(state_file: Option<PathBuf>) -> Result<Self, Error> {
        let store = store::Store::open(state_file)?;
        store.change(demo::seed)?;
        Ok(Self {
            shared: Arc::new(Shared {
                store,
                settings: Mutex::default(),
                faults: Mutex::default(),
                ledger: Mutex::default(),
            }),
        })
    }

    /// All endpoints of the sandbox, for `axum::serve`.
    pub fn router(&self) -> axum::Router {
        wire::router(self.clone())
    }

    /// Sets the address of the sandbox, which is known once its port is bound.
    ///
    /// The demo app's redirect URIs and the field `api_url` depend on the address. Until it is set, token answers have
    /// no `api_url`.
    pub fn set_origin(&self, origin: Url) {
        self.change_unreported(|state| demo::register_callbacks(state, &origin));
        self.settings().origin = Some(origin);
    }

    /// Sets the vault's API address, its address for browsers, and the file of its API key.
    ///
    /// The demo app then accepts the vault's redirect URI and sends its webhooks to the vault. The sandbox's callback
    /// page shows a command that calls the vault.
    pub fn set_vault(&self, api: Url, public: &Url, api_key_file: PathBuf) {
        self.change_unreported(|state| demo::register_vault(state, public));
        if let Some(webhook) = demo::webhook(&api) {
            self.set_webhook(DEMO_CLIENT_ID, webhook);
        }
        self.settings().vault = Some((api, api_key_file));
    }

    /// The consent page of the demo app. `None` before [`Sandbox::set_origin`].
    pub fn demo_authorize_url(&self) -> Option<Url> {
        demo::authorize_url(self.settings().origin.as_ref()?)
    }

    /// Registers an app, or replaces the app with the same client id. Its grants stay.
    pub fn register_app(&self, app: App) {
        self.change_unreported(|state| state.put_app(app));
    }

    /// Registers an account-level app (server-to-server OAuth) of this account. Only the app itself gets tokens.
    pub fn register_account_app(&self, app: App, account_id: &str) {
        self.change_unreported(|state| {
            let client_id = app.client_id.clone();
            state.put_app(app);
            state.set_app_account(&client_id, account_id);
        });
    }

    /// Ends all access tokens of an account-level app. New ones work.
    pub fn end_account_tokens(&self, client_id: &str) {
        self.change_unreported(|state| state.end_account_tokens(client_id));
    }

    /// Registers an active user, or replaces the user with the same id.
    pub fn register_user(&self, user: User) {
        self.change_unreported(|state| state.put_user(user));
    }

    /// Registers a meeting or a webinar, or replaces the one with the same number.
    pub fn register_meeting(&self, meeting: Meeting) {
        self.change_unreported(|state| state.put_meeting(meeting));
    }

    /// Gives an app a new client secret. The old secret stops working at once. Ignores an unknown client id.
    pub fn rotate_secret(&self, client_id: &str, client_secret: &str) {
        self.change_unreported(|state| state.rotate_secret(client_id, client_secret));
    }

    /// Disables an app or enables it again. Each call of a disabled app gets the error 4717.
    pub fn set_app_disabled(&self, client_id: &str, disabled: bool) {
        self.change_unreported(|state| state.set_app_disabled(client_id, disabled));
    }

    /// Deactivates a user or activates the user again. For a deactivated user the REST API returns 404, code 1001.
    pub fn set_user_deactivated(&self, user_id: &str, deactivated: bool) {
        self.change_unreported(|state| state.set_user_deactivated(user_id, deactivated));
    }

    /// Ends every grant of the app and user, as when the user removes the app in Zoom's marketplace. Sends no webhook.
    pub fn remove_app(&self, client_id: &str, user_id: &str) {
        self.change_unreported(|state| {
            state.end_grants(client_id, user_id, grant::EndReason::Revoked);
        });
    }

    /// Does what happens when the user clicks Allow. Returns the authorization code.
    pub fn authorize(&self, consent: Consent) -> Result<String, Error> {
        self.shared.store.change(|state| state.authorize(consent))?
    }

    /// Advances the sandbox's own clock. Codes and tokens expire by this clock.
    pub fn advance(&self, by: Duration) {
        self.change_unreported(|state| state.advance(by));
    }

    /// The last 100 000 calls to Zoom's endpoints, in the order of arrival, without secrets.
    pub fn ledger(&self) -> Vec<ZoomCall> {
        lock(&self.shared.ledger).calls()
    }

    /// All grants, ended grants too, in the order of creation, without secrets.
    pub fn grants(&self) -> Vec<GrantRecord> {
        self.shared.store.read(state::State::grant_records)
    }

    /// Whether a refresh with this token would succeed: the token is the current token of a live grant. Does not use
    /// it.
    pub fn is_live_refresh_token(&self, token: &str) -> bool {
        self.shared
            .store
            .read(|state| state.is_live_refresh_token(token))
    }

    /// Queues a fault. A call is affected by the first fault that matches, and by no other.
    pub fn inject(&self, fault: Fault) {
        lock(&self.shared.faults).push(fault);
    }

    /// Removes all queued faults.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Sets how Zoom treats a refresh token that was used before.
    pub fn set_refresh_behaviour(&self, behaviour: RefreshBehaviour) {
        self.settings().refresh_behaviour = behaviour;
    }

    /// The id of the grant of this access or refresh token, live or ended; see [`Sandbox::grants`].
    pub fn grant_of(&self, token: &str) -> Option<Uuid> {
        self.shared.store.read(|state| state.grant_of(token))
    }

    /// Makes a change without reporting that the state file could not be written.
    ///
    /// Each write stores the whole state. The next change therefore also stores this one, or reports the failure.
    fn change_unreported(&self, change: impl FnOnce(&mut state::State)) {
        self.shared.store.change(change).unwrap_or_default();
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.shared.settings)
    }
}

/// Takes a lock, even if another thread panicked with it: the sandbox should go on for the other tests.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
