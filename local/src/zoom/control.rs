//! `/sandbox/…`: controls the sandbox over HTTP, for people and for tests in other languages. There is no access
//! control.

mod fault;
mod fields;

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Unit;
use serde::Serialize;
use serde_json::json;
use url::Url;

use self::fields::{Fields, InvalidField};
use super::{
    App, Consent, Error, Meeting, Sandbox, User, Webhook, ZoomCall, callback, demo, page, rest,
};

/// A century: everything has expired by then.
const MAX_ADVANCE_SECONDS: u64 = 100 * 366 * 24 * 3600;

pub(super) fn router() -> Router<Sandbox> {
    Router::new()
        .route(demo::CALLBACK_PATH, get(callback::receive))
        .route("/sandbox/style.css", get(page::style))
        .route("/sandbox/apps", post(put_app))
        .route("/sandbox/users", post(put_user))
        .route("/sandbox/meetings", post(put_meeting))
        .route("/sandbox/codes", post(authorize))
        .route("/sandbox/faults", post(inject).delete(clear_faults))
        .route("/sandbox/clock", post(advance))
        .route("/sandbox/ledger", get(ledger))
        .route("/sandbox/webhooks", post(set_webhook))
        .route("/sandbox/deauthorizations", post(deauthorize))
        .route("/sandbox/departures", post(deactivate_user))
}

async fn put_app(
    State(sandbox): State<Sandbox>,
    mut fields: Fields,
) -> Result<Response, InvalidField> {
    let app = App {
        client_id: fields.text("client_id")?,
        client_secret: fields.text("client_secret")?,
        redirect_uris: fields.texts("redirect_uris")?,
        scopes: fields.texts("scopes")?,
    };
    let account_id = fields.optional_text("account_id")?;
    fields.finish()?;
    if app.client_id.contains(':') {
        return Err(InvalidField::new(
            "client_id",
            "must not contain a colon, because HTTP Basic does not allow it",
        ));
    }
    let is_absolute = |uri: &String| Url::parse(uri).is_ok_and(|url| url.fragment().is_none());
    if !app.redirect_uris.iter().all(is_absolute) {
        return Err(InvalidField::new(
            "redirect_uris",
            "must be absolute URLs without a fragment",
        ));
    }

    let client_id = app.client_id.clone();
    let answer = json!({ "client_id": &client_id });
    let saved = sandbox.shared.store.change(|state| {
        state.put_app(app);
        if let Some(account_id) = account_id {
            state.set_app_account(&client_id, &account_id);
        }
    });
    Ok(response(
        saved.map(|()| (StatusCode::CREATED, Json(answer))),
    ))
}

async fn put_user(
    State(sandbox): State<Sandbox>,
    mut fields: Fields,
) -> Result<Response, InvalidField> {
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
    let saved = sandbox.shared.store.change(|state| {
        state.put_user(user);
        state.set_user_deactivated(&id, deactivated);
    });
    Ok(response(saved.map(|()| {
        (StatusCode::CREATED, Json(json!({ "id": id })))
    })))
}

async fn put_meeting(
    State(sandbox): State<Sandbox>,
    mut fields: Fields,
) -> Result<Response, InvalidField> {
    let meeting = Meeting {
        id: fields.text("id")?,
        webinar: fields.flag("webinar")?,
        host_id: fields.text("host_id")?,
        forbids_recording: fields.flag("forbids_recording")?,
    };
    fields.finish()?;
    if !rest::is_meeting_id(&meeting.id) {
        return Err(InvalidField::new("id", "must be 1 to 20 digits"));
    }

    let answer = json!({ "id": &meeting.id });
    let saved = sandbox.shared.store.change(|state| {
        state.put_meeting(meeting);
    });
    Ok(response(
        saved.map(|()| (StatusCode::CREATED, Json(answer))),
    ))
}

async fn authorize(
    State(sandbox): State<Sandbox>,
    mut fields: Fields,
) -> Result<Response, InvalidField> {
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
        && let Some(field) = invalid_field(error)
    {
        return Err(InvalidField::new(field, error.to_string()));
    }
    Ok(response(code.map(|code| {
        (StatusCode::CREATED, Json(json!({ "code": code })))
    })))
}

async fn inject(
    State(sandbox): State<Sandbox>,
    fields: Fields,
) -> Result<StatusCode, InvalidField> {
    sandbox.inject(fault::parse(fields)?);
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_faults(State(sandbox): State<Sandbox>) -> StatusCode {
    sandbox.clear_faults();
    StatusCode::NO_CONTENT
}

async fn advance(
    State(sandbox): State<Sandbox>,
    mut fields: Fields,
) -> Result<Response, InvalidField> {
    let seconds = fields.whole("advance_seconds", 1..=MAX_ADVANCE_SECONDS)?;
    fields.finish()?;

    let now = sandbox.shared.store.change(|state| {
        state.advance(Duration::from_secs(seconds));
        let now = state.now();
        now.round(Unit::Millisecond).unwrap_or(now)
    });
    Ok(response(now.map(|now| Json(json!({ "now": now })))))
}

/// Sets the webhook endpoint of an app. Answers whether the endpoint knows the app's secret token.
async fn set_webhook(
    State(sandbox): State<Sandbox>,
    mut fields: Fields,
) -> Result<Response, InvalidField> {
    let client_id = client_id_or_demo(&mut fields)?;
    let webhook = Webhook {
        url: fields.url("url")?,
        secret_token: fields.text("secret_token")?,
    };
    fields.finish()?;
    if webhook.url.scheme() != "http" {
        return Err(InvalidField::new(
            "url",
            "must be an http URL: the sandbox calls only this machine",
        ));
    }

    sandbox.set_webhook(&client_id, webhook);
    let validated = sandbox.validate_webhook(&client_id).await;
    let answer = json!({ "client_id": client_id, "validated": validated });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// A user removes an app. Answers how the webhook was delivered.
async fn deauthorize(
    State(sandbox): State<Sandbox>,
    mut fields: Fields,
) -> Result<Response, InvalidField> {
    let (client_id, user_id) = (client_id_or_demo(&mut fields)?, fields.text("user_id")?);
    fields.finish()?;

    let delivery = sandbox.deauthorize(&client_id, &user_id).await;
    Ok((StatusCode::CREATED, Json(delivery)).into_response())
}

/// An administrator deactivates or deletes a user. Answers how the webhook was delivered.
async fn deactivate_user(
    State(sandbox): State<Sandbox>,
    mut fields: Fields,
) -> Result<Response, InvalidField> {
    let (client_id, user_id) = (client_id_or_demo(&mut fields)?, fields.text("user_id")?);
    let deleted = fields.flag("deleted")?;
    fields.finish()?;

    let delivery = sandbox.deactivate_user(&client_id, &user_id, deleted).await;
    Ok((StatusCode::CREATED, Json(delivery)).into_response())
}

/// The requested client id, or the demo app's.
fn client_id_or_demo(fields: &mut Fields) -> Result<String, InvalidField> {
    let named = fields.optional_text("client_id")?;
    Ok(named.unwrap_or_else(|| demo::DEMO_CLIENT_ID.to_owned()))
}

#[derive(Serialize)]
struct LedgerAnswer {
    calls: Vec<ZoomCall>,
}

async fn ledger(State(sandbox): State<Sandbox>) -> Json<LedgerAnswer> {
    Json(LedgerAnswer {
        calls: sandbox.ledger(),
    })
}

fn invalid_field(error: &Error) -> Option<&'static str> {
    match error {
        Error::UnknownApp(_) | Error::AppDisabled(_) => Some("client_id"),
        Error::UnregisteredRedirectUri(_) => Some("redirect_uri"),
        Error::UnknownUser(_) => Some("user_id"),
        Error::UnknownScope(_) => Some("scopes"),
        Error::MalformedChallenge => Some("code_challenge"),
        Error::NoRandomBytes | Error::Read(..) | Error::Malformed(..) | Error::Write(_) => None,
    }
}

/// Answers an error if the state file could not be written.
fn response(outcome: Result<impl IntoResponse, Error>) -> Response {
    outcome.map_or_else(
        |error| {
            let body =
                json!({ "error": { "code": "internal_error", "message": error.to_string() } });
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
        },
        IntoResponse::into_response,
    )
}
