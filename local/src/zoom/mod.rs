//! A sandbox that plays zoom.us and api.zoom.us on one origin, as strictly as Zoom does: codes and refresh tokens work
//! once, a newer authorization kills the older ones, scopes count, and faults can be ordered.
//!
//! It is for `cargo run` and for tests, never for production: anyone who reaches its port may use `/sandbox/…`.
//! Secrets leave it once, in the answer that hands them out; in memory and on disk it keeps their SHA-256.

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
mod oauth;
mod page;
mod refusal;
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
pub use self::fault::{Endpoint, Fault, Kind, Reply, Times};
pub use self::grant::{GrantRecord, Mood};
pub use self::ledger::{Call, GrantType};
pub use self::user::User;
pub use self::webhook::{Delivery, Webhook};

/// Why the sandbox could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No app with this client id is registered.
    #[error("no app has the client_id {0:?}")]
    UnknownApp(String),
    /// The app was refused with [`Sandbox::refuse_app`].
    #[error("the app {0:?} has been disabled")]
    AppDisabled(String),
    /// Zoom compares redirect URIs character by character.
    #[error(
        "redirect_uri {0:?} is not one that the app registered (they must be equal to the letter)"
    )]
    UnregisteredRedirectUri(String),
    /// No such user, or one who was deactivated.
    #[error("no active user has the id {0:?}")]
    UnknownUser(String),
    /// A user can grant only what the app asks for.
    #[error("the app does not have the scope {0:?}")]
    UnknownScope(String),
    /// A SHA-256 in unpadded base64url has 43 characters.
    #[error("code_challenge must be 43 characters of unpadded base64url (S256)")]
    MalformedChallenge,
    /// The operating system gave no random bytes.
    #[error("no randomness available")]
    NoRandomness,
    /// The state file exists and cannot be read.
    #[error("cannot read the sandbox's state file {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// The state file is not one of ours, or of an incompatible version.
    #[error("the sandbox's state file {0} is malformed; delete it to start afresh")]
    Malformed(PathBuf, #[source] serde_json::Error),
    /// The change is in memory but not in the state file.
    #[error("cannot write the sandbox's state file")]
    Write(#[source] std::io::Error),
}

/// The sandbox. Clones share one state.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

struct Shared {
    store: store::Store,
    settings: Mutex<Settings>,
    faults: Mutex<fault::Queue>,
    ledger: Mutex<ledger::Ledger>,
}

/// What belongs to this run and is not kept in the state file.
#[derive(Clone, Default)]
struct Settings {
    origin: Option<Url>,
    vault: Option<(Url, PathBuf)>,
    mood: Mood,
    webhooks: BTreeMap<String, Webhook>,
}

impl Sandbox {
    /// Opens the sandbox with its demo app and users.
    ///
    /// With a file, every change is in it before the answer leaves: it survives a restart and `kill -9` (not a power
    /// cut: nothing is fsynced). Without one, all is in memory. Faults, mood and ledger are never kept.
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

    /// Everything the sandbox serves, for `axum::serve` (HTTP/1.1).
    pub fn router(&self) -> axum::Router {
        wire::router(self.clone())
    }

    /// Says where the sandbox is reached, once it is bound: the demo app's redirect URIs and `api_url` follow from it.
    /// Until then token answers carry no `api_url`.
    pub fn set_origin(&self, origin: Url) {
        self.arrange(|state| demo::register_callbacks(state, &origin));
        self.settings().origin = Some(origin);
    }

    /// Where the vault is, where browsers reach it, and which file its API key is in: the demo app may be called back
    /// there, the sandbox's own callback page shows a command for it, and the demo app's webhooks go there.
    pub fn set_vault(&self, api: Url, public: &Url, api_key_file: PathBuf) {
        self.arrange(|state| demo::register_vault(state, public));
        if let Some(webhook) = demo::webhook(&api) {
            self.set_webhook(DEMO_CLIENT_ID, webhook);
        }
        self.settings().vault = Some((api, api_key_file));
    }

    /// The consent page of the demo app, where a newcomer begins. None before [`Sandbox::set_origin`].
    pub fn demo_authorize_url(&self) -> Option<Url> {
        demo::authorize_url(self.settings().origin.as_ref()?)
    }

    /// Registers an app, or replaces the one with its client id. Its grants stay.
    pub fn register_app(&self, app: App) {
        self.arrange(|state| state.put_app(app));
    }

    /// Registers a user, or replaces the one with this id, who is then active.
    pub fn register_user(&self, user: User) {
        self.arrange(|state| state.put_user(user));
    }

    /// Gives an app another secret; the old one stops working at once. Unknown client ids are ignored.
    pub fn rotate_secret(&self, client_id: &str, client_secret: &str) {
        self.arrange(|state| state.rotate_secret(client_id, client_secret));
    }

    /// Disables an app (`true`: every call with its client pair answers 4717) or enables it again.
    pub fn refuse_app(&self, client_id: &str, refused: bool) {
        self.arrange(|state| state.refuse_app(client_id, refused));
    }

    /// Deactivates a user (`true`: the REST API answers 404 with code 1001) or activates them again.
    pub fn deactivate_user(&self, user_id: &str, deactivated: bool) {
        self.arrange(|state| state.deactivate_user(user_id, deactivated));
    }

    /// What happens when the user removes the app in Zoom's marketplace: every grant of the pair dies.
    pub fn remove_app(&self, client_id: &str, user_id: &str) {
        self.arrange(|state| state.end_grants(client_id, user_id, grant::Ending::Revoked));
    }

    /// What happens when the user clicks Allow: returns the code.
    pub fn authorize(&self, consent: Consent) -> Result<String, Error> {
        self.shared.store.change(|state| state.authorize(consent))?
    }

    /// Moves the sandbox's own clock, by which codes and tokens expire.
    pub fn advance(&self, by: Duration) {
        self.arrange(|state| state.advance(by));
    }

    /// Every call to Zoom's endpoints in the order of arrival, without secrets; the last 100 000.
    pub fn ledger(&self) -> Vec<Call> {
        hold(&self.shared.ledger).calls()
    }

    /// Every grant ever made, in the order of creation, without secrets.
    pub fn grants(&self) -> Vec<GrantRecord> {
        self.shared.store.read(state::State::grant_records)
    }

    /// Whether this is the current, unexpired refresh token of a living grant. Asking spends nothing.
    pub fn is_live_refresh_token(&self, token: &str) -> bool {
        self.shared
            .store
            .read(|state| state.is_live_refresh_token(token))
    }

    /// Queues a fault. A call meets the first fault that matches it, and at most one.
    pub fn inject(&self, fault: Fault) {
        hold(&self.shared.faults).push(fault);
    }

    /// Forgets every queued fault.
    pub fn clear_faults(&self) {
        hold(&self.shared.faults).clear();
    }

    /// How Zoom treats a refresh token that was used before.
    pub fn set_mood(&self, mood: Mood) {
        self.settings().mood = mood;
    }

    /// The grant that this access or refresh token came from, alive or not; to relate a token to [`Sandbox::grants`].
    pub fn grant_of(&self, token: &str) -> Option<Uuid> {
        self.shared.store.read(|state| state.grant_of(token))
    }

    /// A change that no caller waits for. Every write is the whole state, so a failed one is made good by the next,
    /// and reported by it if the disk is still at fault.
    fn arrange(&self, change: impl FnOnce(&mut state::State)) {
        self.shared.store.change(change).unwrap_or_default();
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        hold(&self.shared.settings)
    }
}

/// Takes a lock, also one whose holder panicked: a sandbox had better go on.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
