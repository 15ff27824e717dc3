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
use super::form::{Form, RepeatedParameter};
use super::grant::TokenPair;
use super::ledger::GrantType;
use super::oauth_error::OAuthError;
use super::{Sandbox, secret, state, wire};

/// Zoom reports 3599 s for an access token that lives for 3600 s.
const EXPIRES_IN_SECONDS: u32 = 3599;

/// The answer of the token endpoint. There is no `refresh_token` for client credentials, and no `api_url` until the
/// sandbox knows its address.
#[derive(Serialize)]
pub(super) struct TokenAnswer {
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
) -> Result<Json<TokenAnswer>, OAuthError> {
    let form = form(&uri, &headers, &body)?;
    let settings = sandbox.settings().clone();
    let api_url = settings.origin.as_ref().map(without_slash);

    sandbox.shared.store.change(|state| {
        let client_id = client(state, &headers)?;
        required(&form, "grant_type")?;
        let grant_type = GrantType::of(&form).ok_or(OAuthError::UnsupportedGrantType)?;
        let is_account_level = state
            .apps
            .get(&client_id)
            .is_some_and(|app| app.account_id.is_some());
        if is_account_level && grant_type != GrantType::AccountCredentials {
            return Err(OAuthError::UnsupportedGrantType);
        }
        match grant_type {
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
                let pair = state.refresh(
                    &client_id,
                    required(&form, "refresh_token")?,
                    settings.refresh_behaviour,
                )?;
                Ok(user_tokens(pair, api_url))
            }
            GrantType::ClientCredentials => client_tokens(state, &client_id, api_url),
            GrantType::AccountCredentials => {
                let account_id = required(&form, "account_id")?;
                let issued = state.account_token(&client_id, account_id)?;
                Ok(Json(TokenAnswer {
                    access_token: issued.access_token,
                    token_type: "bearer",
                    refresh_token: None,
                    expires_in: EXPIRES_IN_SECONDS,
                    scope: issued.scopes.join(" "),
                    api_url,
                }))
            }
        }
    })?
}

pub(super) async fn revoke(
    State(sandbox): State<Sandbox>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, OAuthError> {
    let form = form(&uri, &headers, &body)?;

    sandbox.shared.store.change(|state| {
        let client_id = client(state, &headers)?;
        state.revoke(&client_id, required(&form, "token")?)
    })??;

    Ok(Json(json!({ "status": "success" })))
}

fn form(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Form, OAuthError> {
    if uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(OAuthError::ParametersInQuery);
    }
    if !wire::has_media_type(headers, "application/x-www-form-urlencoded") {
        return Err(OAuthError::NotAForm);
    }
    Form::parse(body).map_err(|RepeatedParameter(name)| OAuthError::RepeatedParameter(name))
}

fn required<'a>(form: &'a Form, name: &'static str) -> Result<&'a str, OAuthError> {
    form.get(name).ok_or(OAuthError::MissingParameter(name))
}

/// Checks the client id and client secret of the Basic authorization. Returns the client id.
fn client(state: &state::State, headers: &HeaderMap) -> Result<String, OAuthError> {
    let (client_id, client_secret) = basic(headers).ok_or(OAuthError::InvalidClient)?;
    let app = state
        .apps
        .get(&client_id)
        .filter(|app| app.secret.matches(&client_secret));
    match app {
        Some(app) if app.disabled => Err(OAuthError::AppDisabled),
        Some(_) => Ok(client_id),
        None => Err(OAuthError::InvalidClient),
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

fn user_tokens(pair: TokenPair, api_url: Option<String>) -> Json<TokenAnswer> {
    Json(TokenAnswer {
        access_token: pair.access_token,
        token_type: "bearer",
        refresh_token: Some(pair.refresh_token),
        expires_in: EXPIRES_IN_SECONDS,
        scope: pair.scopes.join(" "),
        api_url,
    })
}

/// A token of the app itself. No endpoint of the sandbox accepts this token: all of them act for a user.
fn client_tokens(
    state: &state::State,
    client_id: &str,
    api_url: Option<String>,
) -> Result<Json<TokenAnswer>, OAuthError> {
    let scopes = state.apps.get(client_id).map(|app| app.scopes.join(" "));
    Ok(Json(TokenAnswer {
        access_token: secret::token(Uuid::now_v7())?.secret,
        token_type: "bearer",
        refresh_token: None,
        expires_in: EXPIRES_IN_SECONDS,
        scope: scopes.unwrap_or_default(),
        api_url,
    }))
}

fn without_slash(origin: &Url) -> String {
    origin.as_str().trim_end_matches('/').to_owned()
}
