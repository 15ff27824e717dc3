//! The REST API: the profile, and the tokens with which bots join meetings.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::account::AccountToken;
use super::form::Form;
use super::grant::Grant;
use super::meeting::Meeting;
use super::user::User;
use super::{Error, Sandbox, secret, state};

/// The vault asks for no longer `ttl` than 90 days. Zoom documents a year.
const MAX_TTL_SECONDS: u32 = 7_776_000;

/// An error of the REST API. Its `Display` text is the `message` of the answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestError {
    #[error("Invalid access token.")]
    MissingToken,
    #[error("Access token is expired.")]
    ExpiredToken,
    #[error("Invalid access token, does not contain scopes:[{0}]")]
    MissingScope(String),
    #[error("User does not exist: {0}.")]
    UnknownUser(String),
    /// As [`Self::UnknownUser`], with the status that Zoom documents for this one endpoint.
    #[error("User does not exist: {0}.")]
    UnknownZakUser(String),
    #[error("Meeting does not exist: {0}.")]
    UnknownMeeting(String),
    #[error("Webinar does not exist: {0}.")]
    UnknownWebinar(String),
    #[error("Cannot access Webinar information.")]
    IsWebinar,
    #[error("Not allowed to start local recording. The \"Local Recording\" setting is off.")]
    RecordingForbidden,
    #[error("Validation Failed: {0}.")]
    InvalidParameter(&'static str),
    #[error("Internal error")]
    Internal(#[from] Error),
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        let (status, code) = match self {
            Self::MissingToken | Self::ExpiredToken => (StatusCode::UNAUTHORIZED, 124),
            Self::MissingScope(_) => (StatusCode::BAD_REQUEST, 4711),
            Self::UnknownUser(_) => (StatusCode::NOT_FOUND, 1001),
            Self::UnknownZakUser(_) => (StatusCode::BAD_REQUEST, 1001),
            Self::UnknownMeeting(_) | Self::UnknownWebinar(_) => (StatusCode::NOT_FOUND, 3001),
            Self::IsWebinar | Self::RecordingForbidden => (StatusCode::BAD_REQUEST, 3000),
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
) -> Result<Json<Profile>, RestError> {
    let user = sandbox
        .shared
        .store
        .read(|state| authorized_user(state, &headers, &user_id, "user:read:user"))?;
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
) -> Result<Json<Value>, RestError> {
    let query = parsed(query)?;
    if !matches!(query.get("type"), Some("onbehalf" | "zak")) {
        return Err(RestError::InvalidParameter("type must be onbehalf or zak"));
    }
    // Nobody has seen Zoom give one.
    if query.get("type") == Some("onbehalf") && is_of_account(&sandbox, &headers) {
        let rule = "an account-level app gets no onbehalf token";
        return Err(RestError::InvalidParameter(rule));
    }
    if query.get("meeting_id").is_some_and(|id| !is_meeting_id(id)) {
        return Err(RestError::InvalidParameter("meeting_id must be a number"));
    }
    if query
        .get("ttl")
        .is_some_and(|ttl| !ttl.parse().is_ok_and(|ttl: u32| ttl <= MAX_TTL_SECONDS))
    {
        return Err(RestError::InvalidParameter(
            "ttl must be a number of seconds, at most 7776000",
        ));
    }

    sandbox
        .shared
        .store
        .read(|state| authorized_user(state, &headers, &user_id, "user:read:token"))?;

    Ok(Json(json!({ "token": minted(&sandbox, &headers)? })))
}

/// The ZAK of the user itself. Zoom documents no parameter for it, and it lives for 5 minutes.
pub(super) async fn own_zak(
    State(sandbox): State<Sandbox>,
    Path(user_id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, RestError> {
    if query.is_some() {
        let rule = "the ZAK of the user itself takes no parameter";
        return Err(RestError::InvalidParameter(rule));
    }
    let user = sandbox
        .shared
        .store
        .read(|state| authorized_user(state, &headers, &user_id, "user:read:zak"));
    user.map_err(|error| {
        if let RestError::UnknownUser(user) = error {
            RestError::UnknownZakUser(user)
        } else {
            error
        }
    })?;
    Ok(Json(json!({ "token": minted(&sandbox, &headers)? })))
}

pub(super) async fn local_recording(
    State(sandbox): State<Sandbox>,
    Path(meeting_id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, RestError> {
    let query = parsed(query)?;
    if query
        .get("bypass_waiting_room")
        .is_some_and(|flag| flag != "true" && flag != "false")
    {
        return Err(RestError::InvalidParameter(
            "bypass_waiting_room must be true or false",
        ));
    }

    sandbox.shared.store.read(|state| {
        let scope = "meeting:read:local_recording_token";
        let bearer = Bearer::of(state, &headers)?;
        bearer.check_scope(state, scope)?;
        match state.meetings.get(&meeting_id) {
            Some(meeting) if meeting.webinar => Err(RestError::IsWebinar),
            Some(meeting) if bearer.sees(state, meeting) => may_record(meeting),
            None if is_meeting_id(&meeting_id) && bearer.is_user() => Ok(()),
            Some(_) | None => Err(RestError::UnknownMeeting(meeting_id)),
        }
    })?;
    recording_token(&sandbox, &headers)
}

/// The token of a webinar. Zoom documents no parameter for it.
pub(super) async fn webinar_recording(
    State(sandbox): State<Sandbox>,
    Path(webinar_id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, RestError> {
    if query.is_some() {
        let rule = "the token of a webinar takes no parameter";
        return Err(RestError::InvalidParameter(rule));
    }

    sandbox.shared.store.read(|state| {
        let scope = "webinar:read:local_recording_token";
        let bearer = Bearer::of(state, &headers)?;
        bearer.check_scope(state, scope)?;
        match state.meetings.get(&webinar_id) {
            Some(webinar) if webinar.webinar && bearer.sees(state, webinar) => may_record(webinar),
            Some(_) | None => Err(RestError::UnknownWebinar(webinar_id)),
        }
    })?;
    recording_token(&sandbox, &headers)
}

/// Whether the access token is that of an account-level app.
fn is_of_account(sandbox: &Sandbox, headers: &HeaderMap) -> bool {
    sandbox.shared.store.read(|state| {
        let token = bearer(headers).and_then(|token| state.live_account_token(token));
        token.is_some()
    })
}

fn may_record(meeting: &Meeting) -> Result<(), RestError> {
    if meeting.forbids_recording {
        Err(RestError::RecordingForbidden)
    } else {
        Ok(())
    }
}

fn recording_token(sandbox: &Sandbox, headers: &HeaderMap) -> Result<Json<Value>, RestError> {
    Ok(Json(
        json!({ "expire_in": 120, "token": minted(sandbox, headers)? }),
    ))
}

/// A new token for a bot. It contains the id of the user's grant, so that a test can tell whose token it is.
fn minted(sandbox: &Sandbox, headers: &HeaderMap) -> Result<String, RestError> {
    let access_token = bearer(headers).ok_or(RestError::MissingToken)?;
    let grant = sandbox
        .shared
        .store
        .read(|state| state.grant_of(access_token));
    Ok(secret::token(grant.unwrap_or_else(Uuid::new_v4))?.secret)
}

/// A meeting. A user sees the meetings that the user hosts, an account-level app those of its account's users.
pub(super) async fn meeting(
    State(sandbox): State<Sandbox>,
    Path(meeting_id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, RestError> {
    sandbox.shared.store.read(|state| {
        let bearer = Bearer::of(state, &headers)?;
        bearer.check_scope(state, "meeting:read:meeting")?;
        match state.meetings.get(&meeting_id) {
            Some(meeting) if meeting.webinar => Err(RestError::IsWebinar),
            Some(meeting) if bearer.sees(state, meeting) => Ok(described(meeting)),
            Some(_) | None => Err(RestError::UnknownMeeting(meeting_id)),
        }
    })
}

/// A webinar. As [`meeting`].
pub(super) async fn webinar(
    State(sandbox): State<Sandbox>,
    Path(webinar_id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, RestError> {
    sandbox.shared.store.read(|state| {
        let bearer = Bearer::of(state, &headers)?;
        bearer.check_scope(state, "webinar:read:webinar")?;
        match state.meetings.get(&webinar_id) {
            Some(webinar) if webinar.webinar && bearer.sees(state, webinar) => {
                Ok(described(webinar))
            }
            Some(_) | None => Err(RestError::UnknownWebinar(webinar_id)),
        }
    })
}

fn described(meeting: &Meeting) -> Json<Value> {
    let number: Option<u64> = meeting.id.parse().ok();
    Json(json!({ "id": number, "host_id": meeting.host_id, "topic": "A meeting" }))
}

/// Whose access token a call has.
enum Bearer<'a> {
    User(&'a Grant),
    Account(&'a AccountToken),
}

impl<'a> Bearer<'a> {
    fn of(state: &'a state::State, headers: &HeaderMap) -> Result<Self, RestError> {
        let token = bearer(headers).ok_or(RestError::MissingToken)?;
        let user = state.grant_by_access_token(token).map(Self::User);
        let account = || state.live_account_token(token).map(Self::Account);
        user.or_else(account).ok_or(RestError::ExpiredToken)
    }

    fn is_user(&self) -> bool {
        matches!(self, Self::User(_))
    }

    /// Checks the scope, and that the user of a user's token is active. An account-level app needs the scope for
    /// admins.
    fn check_scope(&self, state: &state::State, scope: &str) -> Result<(), RestError> {
        let (granted, scope) = match self {
            Self::User(grant) => {
                let gone = || RestError::UnknownUser(grant.user_id.clone());
                state.active_user(&grant.user_id).ok_or_else(gone)?;
                (&grant.scopes, scope.to_owned())
            }
            Self::Account(token) => (&token.scopes, format!("{scope}:admin")),
        };
        if granted.contains(&scope) {
            Ok(())
        } else {
            Err(RestError::MissingScope(scope))
        }
    }

    fn sees(&self, state: &state::State, meeting: &Meeting) -> bool {
        match self {
            Self::User(grant) => meeting.host_id == grant.user_id,
            Self::Account(token) => state
                .account_user(&token.account_id, &meeting.host_id)
                .is_some(),
        }
    }
}

/// Finds the user whom the path names, and checks the scope. A user's token names its user as `me`, and an
/// account-level app names a user by id or e-mail address.
fn authorized_user(
    state: &state::State,
    headers: &HeaderMap,
    user_id: &str,
    scope: &str,
) -> Result<User, RestError> {
    let bearer = Bearer::of(state, headers)?;
    let unknown = || RestError::UnknownUser(user_id.to_owned());
    let user = match &bearer {
        Bearer::User(_) if user_id != "me" => return Err(unknown()),
        Bearer::User(grant) => state.active_user(&grant.user_id),
        // Zoom would take the owner of the account. No test should depend on that.
        Bearer::Account(_) if user_id == "me" => return Err(unknown()),
        Bearer::Account(token) => {
            bearer.check_scope(state, scope)?;
            state.account_user(&token.account_id, user_id)
        }
    };
    bearer.check_scope(state, scope)?;
    user.cloned().ok_or_else(unknown)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

fn parsed(query: Option<String>) -> Result<Form, RestError> {
    let query = query.unwrap_or_default();
    Form::parse(query.as_bytes())
        .map_err(|_| RestError::InvalidParameter("a parameter occurs twice"))
}

/// Whether the text could be the number of a meeting.
pub(super) fn is_meeting_id(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}
