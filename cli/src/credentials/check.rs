//! `credentials check`: asks Zoom whether a credential works, through the API.
//!
//! A check opens the grant, and no operator may decrypt. So the program calls the API, with a key of the team.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use shared::config;
use shared::credential::CredentialId;
use url::Url;

use crate::error::{Error, chain};
use crate::output::{self, Output, printable};
use crate::trail::is_this_machine;

/// The variable with the API key.
pub(crate) const KEY_VARIABLE: &str = "ZOOM_VAULT_API_KEY";
/// A check may refresh, which takes up to a minute. API Gateway gives up earlier.
const TIMEOUT: Duration = Duration::from_secs(70);

pub(super) async fn run(api: &str, id: CredentialId, output: Output) -> Result<(), Error> {
    let key = config::optional(KEY_VARIABLE).map(SecretString::from);
    let key = key.ok_or(Error::NoApiKey)?;
    let answer = call(api, id, &key).await?;
    let rows = rows(&answer);
    let fails = rows.iter().any(|[_, status, ..]| status == "failing");
    output.print(
        &answer,
        &output::table(["USE", "STATUS", "SCOPE", "CODE", "REASON"], rows),
    )?;
    if fails {
        return Err(Error::CheckFailed(id));
    }
    Ok(())
}

/// Returns the `data` of the answer.
#[expect(
    clippy::disallowed_methods,
    reason = "sends the API key to the API that made it"
)]
async fn call(api: &str, id: CredentialId, key: &SecretString) -> Result<Value, Error> {
    let base: Url = api.parse().map_err(|_| Error::MalformedApiUrl)?;
    if base.scheme() != "https" && !is_this_machine(&base) {
        return Err(Error::MalformedApiUrl);
    }
    let failed = |error: reqwest::Error| Error::ApiUnavailable(chain(&error.without_url()));
    // Fails if a provider is installed already. That provider works as well.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    // A redirect would carry the key to another host.
    let client = Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(failed)?;
    let base = api.trim_end_matches('/');
    let answer = client
        .post(format!("{base}/v2/zoom-credentials/{id}/check"))
        .header("x-meeting-baas-api-key", key.expose_secret())
        .send()
        .await
        .map_err(failed)?;
    let status = answer.status();
    let body: Value = answer.json().await.map_err(failed)?;
    match status {
        StatusCode::OK => Ok(body.get("data").cloned().unwrap_or_default()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Error::ApiKeyRefused),
        StatusCode::NOT_FOUND => Err(Error::NotOfKeysTeam(id)),
        status => {
            let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
            let (code, message) = (printable(text("code")), printable(text("message")));
            Err(Error::ApiRefused(format!("{status} {code}: {message}")))
        }
    }
}

fn rows(answer: &Value) -> Vec<[String; 5]> {
    let capabilities = answer.get("capabilities").and_then(Value::as_object);
    let tried = capabilities.into_iter().flatten();
    let tried = tried.filter(|(_, capability)| capability.is_object());
    let row = |(name, capability): (&String, &Value)| {
        let text = |field: &str| {
            let text = capability.get(field).and_then(Value::as_str);
            output::or_dash(text.map(printable))
        };
        [
            name.clone(),
            text("status"),
            text("scope"),
            text("code"),
            text("reason"),
        ]
    };
    tried.map(row).collect()
}
