//! `/sandbox/callback`: the redirect URI of the demo app. The page shows the code and the next command.

use std::path::Path;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use url::Url;

use super::code::Code;
use super::demo::{self, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET};
use super::form::Form;
use super::{Sandbox, page};

#[derive(Template)]
#[template(path = "zoom/callback.html")]
struct CallbackPage {
    code: Option<String>,
    /// Creates a credential from the code. `None` if the sandbox does not know the app's client secret.
    command: Option<String>,
    error: Option<String>,
    authorize_url: Option<String>,
}

pub(super) async fn receive(State(sandbox): State<Sandbox>, RawQuery(query): RawQuery) -> Response {
    let form = Form::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let settings = sandbox.settings().clone();
    let command = form.get("code").and_then(|code| {
        let (api, api_key_file) = settings.vault.as_ref()?;
        sandbox
            .shared
            .store
            .read(|state| command(api, api_key_file, code, state.code(code)?))
    });
    let page = CallbackPage {
        code: form.get("code").map(str::to_owned),
        command,
        error: form.get("error").map(str::to_owned),
        authorize_url: settings
            .origin
            .as_ref()
            .and_then(demo::authorize_url)
            .map(String::from),
    };
    page::html(StatusCode::OK, &page, None)
}

/// A shell command for a code of the demo app. Any other text gets no command, because people paste it into a shell.
fn command(api: &Url, api_key_file: &Path, code: &str, issued: &Code) -> Option<String> {
    if issued.client_id != DEMO_CLIENT_ID || issued.challenge.is_some() {
        return None;
    }
    let body = json!({
        "name": "Sandbox user",
        "client_id": DEMO_CLIENT_ID,
        "client_secret": DEMO_CLIENT_SECRET,
        "authorization_code": code,
        "redirect_uri": issued.redirect_uri,
    });
    Some(format!(
        "curl --show-error --silent {url} \\\n  --header \"x-meeting-baas-api-key: $(cat {file})\" \\\n  \
         --header 'content-type: application/json' \\\n  --data {body}",
        url = quoted(&format!(
            "{}/v2/zoom-credentials",
            api.as_str().trim_end_matches('/')
        )),
        file = quoted(&api_key_file.to_string_lossy()),
        body = quoted(&body.to_string()),
    ))
}

/// Quotes a text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
