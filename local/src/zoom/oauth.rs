//! `POST /oauth/token` and `POST /oauth/revoke`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Uri};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::code::Exchange;
use super::form::{Form, Repeated};
use super::grant::Pair;
use super::ledger::GrantType;
use super::refusal::Refusal;
use super::{Sandbox, secret, state, wire};

/// What Zoom says of an access token that lives for 3600 s.
const EXPIRES_IN: u32 = 3599;

/// A token answer. `refresh_token` is absent for client credentials, `api_url` until the origin is known.
#[derive(Serialize)]
pub(super) struct Tokens {
    access_token: String,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    expires_in: u32,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_url: Option<String>,
}

pub(super) async fn token(
    State(sandbox): State<Sandbox>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Tokens>, Refusal> {
    let form = form(&uri, &headers, &body)?;
    let settings = sandbox.settings().clone();
    let api_url = settings.origin.as_ref().map(without_slash);

    sandbox.shared.store.change(|state| {
        let client_id = client(state, &headers)?;
        required(&form, "grant_type")?;
        match GrantType::of(&form).ok_or(Refusal::UnsupportedGrantType)? {
            GrantType::AuthorizationCode => {
                let pair = state.exchange(&Exchange {
                    client_id: &client_id,
                    code: required(&form, "code")?,
                    redirect_uri: required(&form, "redirect_uri")?,
                    code_verifier: form.get("code_verifier"),
                })?;
                Ok(user_tokens(pair, api_url))
            }
            GrantType::RefreshToken => {
                let pair =
                    state.refresh(&client_id, required(&form, "refresh_token")?, settings.mood)?;
                Ok(user_tokens(pair, api_url))
            }
            GrantType::ClientCredentials => client_tokens(state, &client_id, api_url),
        }
    })?
}

pub(super) async fn revoke(
    State(sandbox): State<Sandbox>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let form = form(&uri, &headers, &body)?;

    sandbox.shared.store.change(|state| {
        let client_id = client(state, &headers)?;
        state.revoke(&client_id, required(&form, "token")?)
    })??;

    Ok(Json(json!({ "status": "success" })))
}

fn form(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Form, Refusal> {
    if uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(Refusal::ParametersInQuery);
    }
    if !wire::has_media_type(headers, "application/x-www-form-urlencoded") {
        return Err(Refusal::NotAForm);
    }
    Form::parse(body).map_err(|Repeated(name)| Refusal::RepeatedParameter(name))
}

fn required<'a>(form: &'a Form, name: &'static str) -> Result<&'a str, Refusal> {
    form.get(name).ok_or(Refusal::MissingParameter(name))
}

/// The app whose client pair came in the Basic authorization.
fn client(state: &state::State, headers: &HeaderMap) -> Result<String, Refusal> {
    let (client_id, client_secret) = basic(headers).ok_or(Refusal::InvalidClient)?;
    let app = state
        .apps
        .get(&client_id)
        .filter(|app| app.secret.matches(&client_secret));
    match app {
        Some(app) if app.refused => Err(Refusal::AppDisabled),
        Some(_) => Ok(client_id),
        None => Err(Refusal::InvalidClient),
    }
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, client_secret) = pair.split_once(':')?;
    Some((client_id.to_owned(), client_secret.to_owned()))
}

fn user_tokens(pair: Pair, api_url: Option<String>) -> Json<Tokens> {
    Json(Tokens {
        access_token: pair.access_token,
        token_type: "bearer",
        refresh_token: Some(pair.refresh_token),
        expires_in: EXPIRES_IN,
        scope: pair.scopes.join(" "),
        api_url,
    })
}

/// A token of the app itself. No endpoint here accepts it: all of them act for a user.
fn client_tokens(
    state: &state::State,
    client_id: &str,
    api_url: Option<String>,
) -> Result<Json<Tokens>, Refusal> {
    let scopes = state.apps.get(client_id).map(|app| app.scopes.join(" "));
    Ok(Json(Tokens {
        access_token: secret::token(Uuid::now_v7())?.secret,
        token_type: "bearer",
        refresh_token: None,
        expires_in: EXPIRES_IN,
        scope: scopes.unwrap_or_default(),
        api_url,
    }))
}

fn without_slash(origin: &Url) -> String {
    origin.as_str().trim_end_matches('/').to_owned()
}
