//! The Zoom app and users that every world has, and the bodies that create credentials from them.

use local::zoom::{App, User};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::api_key::ApiKey;

/// The Zoom app in the sandbox.
pub(crate) const CLIENT_ID: &str = "test-app";
/// The client secret of the app.
pub(crate) const CLIENT_SECRET: &str = "test-app-secret";
/// The redirect URI of the app.
pub(crate) const REDIRECT_URI: &str = "https://example.test/callback";
/// All scopes of the app.
pub(crate) const SCOPES: [&str; 5] = [
    "user:read:user",
    "user:read:token",
    "user:read:zak",
    "meeting:read:local_recording_token",
    "webinar:read:local_recording_token",
];

/// The Zoom app in the sandbox.
pub(crate) fn test_app() -> App {
    App {
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        redirect_uris: vec![REDIRECT_URI.to_owned()],
        scopes: SCOPES.iter().map(ToString::to_string).collect(),
    }
}

/// A Zoom user with a complete profile.
pub(crate) fn ada() -> User {
    User {
        id: "ada".to_owned(),
        account_id: Some("analytical".to_owned()),
        email: Some("ada@example.test".to_owned()),
        display_name: Some("Ada Lovelace".to_owned()),
        first_name: Some("Ada".to_owned()),
        last_name: Some("Lovelace".to_owned()),
    }
}

/// A Zoom user who has an email address only.
pub(crate) fn grace() -> User {
    User {
        id: "grace".to_owned(),
        email: Some("grace@example.test".to_owned()),
        ..User::default()
    }
}

/// The body that creates an app credential.
pub(crate) fn app_body(name: &str) -> Value {
    json!({ "name": name, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET })
}

/// The body that creates a user credential.
pub(crate) fn user_body(name: &str, code: &str) -> Value {
    json!({
        "name": name,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "authorization_code": code,
        "redirect_uri": REDIRECT_URI,
    })
}

/// `body` with the fields of `changes`. A null in `changes` removes the field.
pub(crate) fn with(mut body: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else {
        panic!("changes are an object")
    };
    for (name, value) in changes {
        if value.is_null() {
            body.as_object_mut().unwrap().remove(&name);
        } else {
            body[name] = value;
        }
    }
    body
}

/// The id in a credential.
pub(crate) fn id_of(credential: &Value) -> String {
    credential["credential_id"].as_str().unwrap().to_owned()
}

/// The text of an API key.
#[expect(clippy::disallowed_methods, reason = "a caller sends its key")]
pub(crate) fn text_of(key: ApiKey) -> String {
    key.into_text().expose_secret().to_owned()
}
