//! The demo app and demo users. With them, a new developer needs no Zoom account.

use url::Url;

use super::app::App;
use super::state::State;
use super::user::User;
use super::webhook::Webhook;

/// The client id of the demo app.
pub const DEMO_CLIENT_ID: &str = "sandbox-app";
/// The client secret of the demo app. It may be public, because it gives access to nothing but the sandbox.
pub const DEMO_CLIENT_SECRET: &str = "sandbox-secret";

/// The secret token that signs the demo app's webhooks. It may be public too.
pub const DEMO_WEBHOOK_SECRET: &str = "sandbox-webhook-secret";

/// The path of the demo app's redirect URI at the sandbox.
pub(super) const CALLBACK_PATH: &str = "/sandbox/callback";
/// The path of the redirect URI at the vault, for connect sessions.
const VAULT_CALLBACK_PATH: &str = "/connect/callback";
/// A redirect URI for a developer's own app.
const OWN_APP_CALLBACK: &str = "http://localhost:3000/callback";
const SCOPES: [&str; 5] = [
    "user:read:user",
    "user:read:token",
    "user:read:zak",
    "meeting:read:local_recording_token",
    "webinar:read:local_recording_token",
];

/// Adds the demo app and users that are missing. Keeps changes from former runs.
pub(super) fn seed(state: &mut State) {
    if !state.apps.contains_key(DEMO_CLIENT_ID) {
        state.put_app(App {
            client_id: DEMO_CLIENT_ID.to_owned(),
            client_secret: DEMO_CLIENT_SECRET.to_owned(),
            redirect_uris: vec![OWN_APP_CALLBACK.to_owned()],
            scopes: SCOPES.map(str::to_owned).to_vec(),
        });
    }
    for user in users() {
        if !state.users.contains_key(&user.id) {
            state.put_user(user);
        }
    }
}

/// Registers the redirect URIs at this origin, as `127.0.0.1` and `localhost`. Removes those of a former origin.
pub(super) fn register_callbacks(state: &mut State, origin: &Url) {
    if let Some(app) = state.apps.get_mut(DEMO_CLIENT_ID) {
        app.redirect_uris
            .retain(|uri| !uri.ends_with(CALLBACK_PATH));
        app.redirect_uris.extend(callbacks(origin));
        app.redirect_uris.dedup();
    }
}

/// Registers the redirect URI of the vault at this address. Removes the redirect URI of a former address.
pub(super) fn register_vault(state: &mut State, vault: &Url) {
    let base = vault.as_str().trim_end_matches('/');
    if let Some(app) = state.apps.get_mut(DEMO_CLIENT_ID) {
        app.redirect_uris
            .retain(|uri| !uri.ends_with(VAULT_CALLBACK_PATH));
        app.redirect_uris
            .push(format!("{base}{VAULT_CALLBACK_PATH}"));
    }
}

/// The URL of the demo app's consent page.
pub(super) fn authorize_url(origin: &Url) -> Option<Url> {
    let mut url = origin.join("/oauth/authorize").ok()?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", DEMO_CLIENT_ID)
        .append_pair("redirect_uri", origin.join(CALLBACK_PATH).ok()?.as_str());
    Some(url)
}

/// The demo app's webhook endpoint at the vault.
pub(super) fn webhook(api: &Url) -> Option<Webhook> {
    let url = api.join(&format!("/webhooks/zoom/{DEMO_CLIENT_ID}")).ok()?;
    Some(Webhook {
        url,
        secret_token: DEMO_WEBHOOK_SECRET.to_owned(),
    })
}

fn callbacks(origin: &Url) -> Vec<String> {
    let with_host = |host: &str| {
        let mut url = origin.join(CALLBACK_PATH).ok()?;
        url.set_host(Some(host)).ok()?;
        Some(url.to_string())
    };
    let mut callbacks: Vec<_> = ["127.0.0.1", "localhost"]
        .into_iter()
        .filter_map(with_host)
        .collect();
    let own = origin.host_str().and_then(with_host);
    callbacks.extend(own.filter(|uri| !callbacks.contains(uri)));
    callbacks
}

fn users() -> [User; 3] {
    let some = |text: &str| Some(text.to_owned());
    [
        User {
            id: "ada-sandbox-user".to_owned(),
            account_id: some("sandbox-account"),
            email: some("ada@example.com"),
            display_name: some("Ada Lovelace"),
            first_name: some("Ada"),
            last_name: some("Lovelace"),
        },
        // No display name: the vault builds one from the first and last name.
        User {
            id: "grace-sandbox-user".to_owned(),
            account_id: some("sandbox-account"),
            email: some("grace@example.com"),
            display_name: None,
            first_name: some("Grace"),
            last_name: some("Hopper"),
        },
        // Only the id: Zoom does not guarantee any other field.
        User {
            id: "bare-sandbox-user".to_owned(),
            ..User::default()
        },
    ]
}
