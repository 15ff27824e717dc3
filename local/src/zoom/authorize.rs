//! `/oauth/authorize`: the consent page, and the user's decision.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use url::Url;

use super::code::{Consent, check_challenge};
use super::form::{Form, RepeatedParameter};
use super::user::User;
use super::{Error, Sandbox, page, state};

/// Why there is no consent page. The user sees the message; a redirect could lead to an unregistered address.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthorizeError {
    #[error("The parameter {0} is missing.")]
    Missing(&'static str),
    #[error("The parameter {0} occurs twice.")]
    Repeated(String),
    #[error("response_type must be code.")]
    ResponseType,
    #[error("code_challenge_method must be S256, and code_challenge must be present.")]
    ChallengeMethod,
    #[error("redirect_uri is not an absolute URL.")]
    RedirectUri,
    #[error("decision must be allow or deny.")]
    Decision,
    #[error("{0}.")]
    Refused(#[from] Error),
}

#[derive(Template)]
#[template(path = "zoom/refused.html")]
struct RefusedPage {
    message: String,
}

impl IntoResponse for AuthorizeError {
    fn into_response(self) -> Response {
        let is_internal = matches!(self, Self::Refused(Error::Write(_) | Error::NoRandomBytes));
        let status = if is_internal {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::BAD_REQUEST
        };
        let message = self.to_string();
        page::html(status, &RefusedPage { message }, None)
    }
}

/// The authorization request of an app.
struct AuthorizeRequest {
    client_id: String,
    redirect_uri: Url,
    /// The redirect URI as the app registered it. A parsed URL can be spelled differently.
    redirect_uri_text: String,
    state: Option<String>,
    code_challenge: Option<String>,
}

struct Scope {
    name: String,
    meaning: &'static str,
}

struct UserOption {
    id: String,
    label: String,
    email: Option<String>,
}

#[derive(Template)]
#[template(path = "zoom/consent.html")]
struct ConsentPage {
    request: AuthorizeRequest,
    scopes: Vec<Scope>,
    users: Vec<UserOption>,
}

pub(super) async fn consent_page(
    State(sandbox): State<Sandbox>,
    RawQuery(query): RawQuery,
) -> Result<Response, AuthorizeError> {
    let form = parse(query.unwrap_or_default().as_bytes())?;
    let page = sandbox.shared.store.read(|state| {
        let request = AuthorizeRequest::checked(state, &form)?;
        let app = state.app_with_redirect(&request.client_id, &request.redirect_uri_text)?;
        Ok::<_, AuthorizeError>(ConsentPage {
            scopes: app.scopes.iter().map(|name| Scope::named(name)).collect(),
            users: state.active_users().map(UserOption::of).collect(),
            request,
        })
    })?;
    Ok(page::html(
        StatusCode::OK,
        &page,
        Some(&page.request.redirect_uri),
    ))
}

pub(super) async fn decide(
    State(sandbox): State<Sandbox>,
    body: Bytes,
) -> Result<Response, AuthorizeError> {
    let form = parse(&body)?;
    let request = sandbox
        .shared
        .store
        .read(|state| AuthorizeRequest::checked(state, &form))?;

    let mut location = request.redirect_uri;
    match required(&form, "decision")? {
        "allow" => {
            let code = sandbox.authorize(Consent {
                client_id: request.client_id,
                redirect_uri: request.redirect_uri_text,
                user_id: required(&form, "user_id")?.to_owned(),
                scopes: None,
                code_challenge: request.code_challenge,
            })?;
            location.query_pairs_mut().append_pair("code", &code);
        }
        "deny" => {
            location
                .query_pairs_mut()
                .append_pair("error", "access_denied");
        }
        _ => return Err(AuthorizeError::Decision),
    }
    if let Some(state) = request.state {
        location.query_pairs_mut().append_pair("state", &state);
    }
    Ok((StatusCode::FOUND, [(LOCATION, String::from(location))]).into_response())
}

impl AuthorizeRequest {
    fn checked(state: &state::State, form: &Form) -> Result<Self, AuthorizeError> {
        let client_id = required(form, "client_id")?;
        let redirect_uri = required(form, "redirect_uri")?;
        state.app_with_redirect(client_id, redirect_uri)?;
        if required(form, "response_type")? != "code" {
            return Err(AuthorizeError::ResponseType);
        }
        let code_challenge = form.get("code_challenge");
        match (code_challenge, form.get("code_challenge_method")) {
            (None, None) => {}
            (Some(challenge), Some("S256")) => check_challenge(challenge)?,
            (_, _) => return Err(AuthorizeError::ChallengeMethod),
        }
        Ok(Self {
            client_id: client_id.to_owned(),
            redirect_uri: Url::parse(redirect_uri).map_err(|_| AuthorizeError::RedirectUri)?,
            redirect_uri_text: redirect_uri.to_owned(),
            state: form.get("state").map(str::to_owned),
            code_challenge: code_challenge.map(str::to_owned),
        })
    }
}

impl Scope {
    fn named(name: &str) -> Self {
        let meaning = match name {
            "user:read:user" => "see your name and email address",
            "user:read:token" => "let bots join meetings on your behalf",
            "user:read:zak" => "start meetings as you",
            "meeting:read:local_recording_token" => "record your meetings without asking first",
            "webinar:read:local_recording_token" => "record your webinars without asking first",
            _ => "do what the app describes",
        };
        Self {
            name: name.to_owned(),
            meaning,
        }
    }
}

impl UserOption {
    fn of(user: &User) -> Self {
        Self {
            id: user.id.clone(),
            label: user.label(),
            email: user.email.clone(),
        }
    }
}

fn parse(encoded: &[u8]) -> Result<Form, AuthorizeError> {
    Form::parse(encoded).map_err(|RepeatedParameter(name)| AuthorizeError::Repeated(name))
}

fn required<'a>(form: &'a Form, name: &'static str) -> Result<&'a str, AuthorizeError> {
    form.get(name).ok_or(AuthorizeError::Missing(name))
}
