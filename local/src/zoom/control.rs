//! `/sandbox/…`: arranging things over HTTP, for people and for tests in other languages. Anyone may use it.

mod fault;
mod fields;

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;
use url::Url;

use self::fields::{Fields, Invalid};
use super::{App, Call, Consent, Error, Sandbox, User, Webhook, callback, demo, page};

/// A century: whatever expires has expired by then.
const LONGEST_ADVANCE: u64 = 100 * 366 * 24 * 3600;

pub(super) fn router() -> Router<Sandbox> {
    Router::new()
        .route(demo::CALLBACK_PATH, get(callback::receive))
        .route("/sandbox/style.css", get(page::style))
        .route("/sandbox/apps", post(put_app))
        .route("/sandbox/users", post(put_user))
        .route("/sandbox/codes", post(authorize))
        .route("/sandbox/faults", post(inject).delete(clear_faults))
        .route("/sandbox/clock", post(advance))
        .route("/sandbox/ledger", get(ledger))
        .route("/sandbox/webhooks", post(set_webhook))
        .route("/sandbox/deauthorizations", post(deauthorize))
        .route("/sandbox/departures", post(lose_user))
}

async fn put_app(State(sandbox): State<Sandbox>, mut fields: Fields) -> Result<Response, Invalid> {
    let app = App {
        client_id: fields.text("client_id")?,
        client_secret: fields.text("client_secret")?,
        redirect_uris: fields.texts("redirect_uris")?,
        scopes: fields.texts("scopes")?,
    };
    fields.finish()?;
    if app.client_id.contains(':') {
        return Err(Invalid::new(
            "client_id",
            "must not contain a colon: HTTP Basic cannot carry it",
        ));
    }
    let is_absolute = |uri: &String| Url::parse(uri).is_ok_and(|url| url.fragment().is_none());
    if !app.redirect_uris.iter().all(is_absolute) {
        return Err(Invalid::new(
            "redirect_uris",
            "must be absolute URLs without a fragment",
        ));
    }

    let answer = json!({ "client_id": &app.client_id });
    let kept = sandbox.shared.store.change(|state| state.put_app(app));
    Ok(answered(kept.map(|()| (StatusCode::CREATED, Json(answer)))))
}

async fn put_user(State(sandbox): State<Sandbox>, mut fields: Fields) -> Result<Response, Invalid> {
    let user = User {
        id: fields.text("id")?,
        account_id: fields.optional_text("account_id")?,
        email: fields.optional_text("email")?,
        display_name: fields.optional_text("display_name")?,
        first_name: fields.optional_text("first_name")?,
        last_name: fields.optional_text("last_name")?,
    };
    let deactivated = fields.flag("deactivated")?;
    fields.finish()?;

    let id = user.id.clone();
    let kept = sandbox.shared.store.change(|state| {
        state.put_user(user);
        state.deactivate_user(&id, deactivated);
    });
    Ok(answered(kept.map(|()| {
        (StatusCode::CREATED, Json(json!({ "id": id })))
    })))
}

async fn authorize(
    State(sandbox): State<Sandbox>,
    mut fields: Fields,
) -> Result<Response, Invalid> {
    let consent = Consent {
        client_id: fields.text("client_id")?,
        redirect_uri: fields.text("redirect_uri")?,
        user_id: fields.text("user_id")?,
        scopes: fields.optional_texts("scopes")?,
        code_challenge: fields.optional_text("code_challenge")?,
    };
    fields.finish()?;

    let code = sandbox.authorize(consent);
    if let Err(error) = &code
        && let Some(field) = field_at_fault(error)
    {
        return Err(Invalid::new(field, error.to_string()));
    }
    Ok(answered(code.map(|code| {
        (StatusCode::CREATED, Json(json!({ "code": code })))
    })))
}

async fn inject(State(sandbox): State<Sandbox>, fields: Fields) -> Result<StatusCode, Invalid> {
    sandbox.inject(fault::parse(fields)?);
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_faults(State(sandbox): State<Sandbox>) -> StatusCode {
    sandbox.clear_faults();
    StatusCode::NO_CONTENT
}

async fn advance(State(sandbox): State<Sandbox>, mut fields: Fields) -> Result<Response, Invalid> {
    let seconds = fields.whole("advance_seconds", 1..=LONGEST_ADVANCE)?;
    fields.finish()?;

    let now = sandbox.shared.store.change(|state| {
        state.advance(Duration::from_secs(seconds));
        state.now()
    });
    Ok(answered(now.map(|now| Json(json!({ "now": now })))))
}

/// Says where an app hears, and whether the one there holds the secret token.
async fn set_webhook(
    State(sandbox): State<Sandbox>,
    mut fields: Fields,
) -> Result<Response, Invalid> {
    let client_id = app_named(&mut fields)?;
    let webhook = Webhook {
        url: fields.url("url")?,
        secret_token: fields.text("secret_token")?,
    };
    fields.finish()?;
    if webhook.url.scheme() != "http" {
        return Err(Invalid::new(
            "url",
            "must be an http URL: the sandbox calls this machine",
        ));
    }

    sandbox.set_webhook(&client_id, webhook);
    let validated = sandbox.validate_webhook(&client_id).await;
    let answer = json!({ "client_id": client_id, "validated": validated });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// A user removes an app; how the app was told.
async fn deauthorize(
    State(sandbox): State<Sandbox>,
    mut fields: Fields,
) -> Result<Response, Invalid> {
    let (client_id, user_id) = (app_named(&mut fields)?, fields.text("user_id")?);
    fields.finish()?;

    let delivery = sandbox.deauthorize(&client_id, &user_id).await;
    Ok((StatusCode::CREATED, Json(delivery)).into_response())
}

/// A user is deactivated or deleted; how the app was told.
async fn lose_user(
    State(sandbox): State<Sandbox>,
    mut fields: Fields,
) -> Result<Response, Invalid> {
    let (client_id, user_id) = (app_named(&mut fields)?, fields.text("user_id")?);
    let deleted = fields.flag("deleted")?;
    fields.finish()?;

    let delivery = sandbox.lose_user(&client_id, &user_id, deleted).await;
    Ok((StatusCode::CREATED, Json(delivery)).into_response())
}

/// The app's client id, or the demo app's.
fn app_named(fields: &mut Fields) -> Result<String, Invalid> {
    let named = fields.optional_text("client_id")?;
    Ok(named.unwrap_or_else(|| demo::DEMO_CLIENT_ID.to_owned()))
}

#[derive(Serialize)]
struct Ledger {
    calls: Vec<Call>,
}

async fn ledger(State(sandbox): State<Sandbox>) -> Json<Ledger> {
    Json(Ledger {
        calls: sandbox.ledger(),
    })
}

fn field_at_fault(error: &Error) -> Option<&'static str> {
    match error {
        Error::UnknownApp(_) | Error::AppDisabled(_) => Some("client_id"),
        Error::UnregisteredRedirectUri(_) => Some("redirect_uri"),
        Error::UnknownUser(_) => Some("user_id"),
        Error::UnknownScope(_) => Some("scopes"),
        Error::MalformedChallenge => Some("code_challenge"),
        Error::NoRandomness | Error::Read(..) | Error::Malformed(..) | Error::Write(_) => None,
    }
}

/// Success only for what is in the state file too.
fn answered(outcome: Result<impl IntoResponse, Error>) -> Response {
    outcome.map_or_else(
        |error| {
            let body =
                json!({ "error": { "code": "internal_error", "message": error.to_string() } });
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
        },
        IntoResponse::into_response,
    )
}
