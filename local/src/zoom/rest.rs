//! The REST API: profile, and the tokens with which bots join.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::form::Form;
use super::user::User;
use super::{Error, Sandbox, secret, state};

/// Zoom's limit for `ttl`: 90 days in seconds.
const LONGEST_TTL: u32 = 7_776_000;

/// Why the REST API refuses; `Display` is the `message`.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("Invalid access token.")]
    NoToken,
    #[error("Access token is expired.")]
    DeadToken,
    #[error("Invalid access token, does not contain scopes:[{0}]")]
    MissingScope(&'static str),
    #[error("User does not exist: {0}.")]
    NoUser(String),
    #[error("Meeting does not exist: {0}.")]
    NoMeeting(String),
    #[error("Validation Failed: {0}.")]
    InvalidParameter(&'static str),
    #[error("Internal error")]
    Internal(#[from] Error),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code) = match self {
            Self::NoToken | Self::DeadToken => (StatusCode::UNAUTHORIZED, 124),
            Self::MissingScope(_) => (StatusCode::BAD_REQUEST, 4711),
            Self::NoUser(_) => (StatusCode::NOT_FOUND, 1001),
            Self::NoMeeting(_) => (StatusCode::NOT_FOUND, 3001),
            Self::InvalidParameter(_) => (StatusCode::BAD_REQUEST, 300),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, 500),
        };
        (
            status,
            Json(json!({ "code": code, "message": self.to_string() })),
        )
            .into_response()
    }
}

/// The answer of `GET /v2/users/me`.
#[derive(Serialize)]
pub(super) struct Profile {
    #[serde(flatten)]
    user: User,
    r#type: u8,
    status: &'static str,
}

pub(super) async fn profile(
    State(sandbox): State<Sandbox>,
    Path(user_id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Profile>, Refusal> {
    let user = sandbox
        .shared
        .store
        .read(|state| caller(state, &headers, &user_id, "user:read:user"))?;
    Ok(Json(Profile {
        user,
        r#type: 2,
        status: "active",
    }))
}

pub(super) async fn mint(
    State(sandbox): State<Sandbox>,
    Path(user_id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let query = parsed(query)?;
    let scope = match query.get("type") {
        Some("onbehalf") => "user:read:token",
        Some("zak") => "user:read:zak",
        Some(_) | None => return Err(Refusal::InvalidParameter("type is onbehalf or zak")),
    };
    if query.get("meeting_id").is_some_and(|id| !is_meeting_id(id)) {
        return Err(Refusal::InvalidParameter("meeting_id is a number"));
    }
    if query
        .get("ttl")
        .is_some_and(|ttl| !ttl.parse().is_ok_and(|ttl: u32| ttl <= LONGEST_TTL))
    {
        return Err(Refusal::InvalidParameter(
            "ttl is a number of seconds, at most 7776000",
        ));
    }

    sandbox
        .shared
        .store
        .read(|state| caller(state, &headers, &user_id, scope))?;

    Ok(Json(
        json!({ "token": secret::token(Uuid::new_v4())?.secret }),
    ))
}

pub(super) async fn local_recording(
    State(sandbox): State<Sandbox>,
    Path(meeting_id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let query = parsed(query)?;
    if query
        .get("bypass_waiting_room")
        .is_some_and(|flag| flag != "true" && flag != "false")
    {
        return Err(Refusal::InvalidParameter(
            "bypass_waiting_room is true or false",
        ));
    }

    sandbox
        .shared
        .store
        .read(|state| caller(state, &headers, "me", "meeting:read:local_recording_token"))?;
    if !is_meeting_id(&meeting_id) {
        return Err(Refusal::NoMeeting(meeting_id));
    }

    Ok(Json(
        json!({ "expire_in": 120, "token": secret::token(Uuid::new_v4())?.secret }),
    ))
}

/// The user for whom the bearer token acts, if it has the scope. They are `me`; by id they are not found.
fn caller(
    state: &state::State,
    headers: &HeaderMap,
    user_id: &str,
    scope: &'static str,
) -> Result<User, Refusal> {
    let grant = state
        .grant_by_access_token(bearer(headers).ok_or(Refusal::NoToken)?)
        .ok_or(Refusal::DeadToken)?;
    if user_id != "me" {
        return Err(Refusal::NoUser(user_id.to_owned()));
    }
    let user = state
        .active_user(&grant.user_id)
        .ok_or_else(|| Refusal::NoUser(grant.user_id.clone()))?;
    if !grant.scopes.iter().any(|granted| granted == scope) {
        return Err(Refusal::MissingScope(scope));
    }
    Ok(user.clone())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

fn parsed(query: Option<String>) -> Result<Form, Refusal> {
    let query = query.unwrap_or_default();
    Form::parse(query.as_bytes())
        .map_err(|_| Refusal::InvalidParameter("a parameter is given twice"))
}

fn is_meeting_id(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}
