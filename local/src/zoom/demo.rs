//! The app and the users that exist from the start, so that a newcomer can connect without a Zoom account.

use url::Url;

use super::app::App;
use super::state::State;
use super::user::User;
use super::webhook::Webhook;

/// Client id of the demo app.
pub const DEMO_CLIENT_ID: &str = "sandbox-app";
/// Client secret of the demo app. Public: it opens nothing but the sandbox.
pub const DEMO_CLIENT_SECRET: &str = "sandbox-secret";

/// What the demo app's webhooks are signed with. As public.
pub const DEMO_WEBHOOK_SECRET: &str = "sandbox-webhook-secret";

/// Where the demo app receives its codes, below the sandbox's origin.
pub(super) const CALLBACK_PATH: &str = "/sandbox/callback";
/// Where a vault receives them for its connect sessions, below its own address.
const VAULT_CALLBACK_PATH: &str = "/connect/callback";
/// Where a newcomer's own app would receive them.
const OWN_APP_CALLBACK: &str = "http://localhost:3000/callback";
const SCOPES: [&str; 4] = [
    "user:read:user",
    "user:read:token",
    "user:read:zak",
    "meeting:read:local_recording_token",
];

/// Adds what a restarted sandbox does not remember yet; changes made to it since are kept.
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

/// Lets the demo app be called back on this origin, in both of its local spellings, and no longer on a former one.
pub(super) fn register_callbacks(state: &mut State, origin: &Url) {
    if let Some(app) = state.apps.get_mut(DEMO_CLIENT_ID) {
        app.redirect_uris
            .retain(|uri| !uri.ends_with(CALLBACK_PATH));
        app.redirect_uris.extend(callbacks(origin));
        app.redirect_uris.dedup();
    }
}

/// Lets the demo app be called back by a vault at this address, and no longer by one that was elsewhere.
pub(super) fn register_vault(state: &mut State, vault: &Url) {
    let base = vault.as_str().trim_end_matches('/');
    if let Some(app) = state.apps.get_mut(DEMO_CLIENT_ID) {
        app.redirect_uris
            .retain(|uri| !uri.ends_with(VAULT_CALLBACK_PATH));
        app.redirect_uris
            .push(format!("{base}{VAULT_CALLBACK_PATH}"));
    }
}

/// The demo app's consent page.
pub(super) fn authorize_url(origin: &Url) -> Option<Url> {
    let mut url = origin.join("/oauth/authorize").ok()?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", DEMO_CLIENT_ID)
        .append_pair("redirect_uri", origin.join(CALLBACK_PATH).ok()?.as_str());
    Some(url)
}

/// The demo app's webhooks, to the vault.
pub(super) fn webhook(api: &Url) -> Option<Webhook> {
    let url = api.join(&format!("/webhooks/zoom/{DEMO_CLIENT_ID}")).ok()?;
    Some(Webhook {
        url,
        secret_token: DEMO_WEBHOOK_SECRET.to_owned(),
    })
}

fn callbacks(origin: &Url) -> Vec<String> {
    let spelled = |host: &str| {
        let mut url = origin.join(CALLBACK_PATH).ok()?;
        url.set_host(Some(host)).ok()?;
        Some(url.to_string())
    };
    let mut callbacks: Vec<_> = ["127.0.0.1", "localhost"]
        .into_iter()
        .filter_map(spelled)
        .collect();
    let own = origin.host_str().and_then(spelled);
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
        // No display name: a client builds it from the other two.
        User {
            id: "grace-sandbox-user".to_owned(),
            account_id: some("sandbox-account"),
            email: some("grace@example.com"),
            display_name: None,
            first_name: some("Grace"),
            last_name: some("Hopper"),
        },
        // As little as Zoom may tell.
        User {
            id: "bare-sandbox-user".to_owned(),
            ..User::default()
        },
    ]
}
