//! What a person is shown who connects a Zoom account: plain HTML, escaped by its engine, with no script and nothing
//! from anywhere else. The policy in the headers admits the style sheet by its hash.

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Response, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use shared::connect::ConnectFailure;
use shared::timestamp::Timestamp;

use crate::http::error::{ApiError, ConnectRefusal};
use crate::http::reply::{self, Reply};
use crate::http::request::TurnedAway;

const STYLE: &str = include_str!("../../templates/connect/style.css");
/// After how many seconds a page looks again whether another has finished.
const RELOAD: u32 = 3;

/// What will happen, and the button.
#[derive(Template)]
#[template(path = "connect/ask.html")]
pub(crate) struct Ask<'a> {
    /// Who asks: the operator named it, and nobody who makes links.
    pub(crate) team: &'a str,
    pub(crate) label: &'a str,
    pub(crate) is_reconnect: bool,
    pub(crate) return_host: Option<&'a str>,
    pub(crate) client_id: &'a str,
    pub(crate) until: String,
}

/// It worked.
#[derive(Template)]
#[template(path = "connect/connected.html")]
pub(crate) struct Connected<'a> {
    pub(crate) team: &'a str,
    pub(crate) label: &'a str,
    pub(crate) user: Option<&'a str>,
    /// Whether it is not the user whom the credential had.
    pub(crate) is_another: bool,
    pub(crate) client_id: &'a str,
    pub(crate) note: Option<&'a str>,
}

/// The way to Zoom. Not a redirect: browsers hold what a form leads to against `form-action`, and what Zoom and the
/// team's own site lead to from there is not ours to list.
#[derive(Template)]
#[template(path = "connect/going.html")]
struct Going<'a> {
    address: &'a str,
}

/// It did not work, and what to do.
#[derive(Template)]
#[template(path = "connect/notice.html")]
struct Notice {
    title: &'static str,
    what: &'static str,
    todo: &'static str,
    /// Until when the link can be opened again, where that helps.
    until: Option<String>,
    /// After how many seconds the page asks again.
    reload: Option<u32>,
}

const SENDER: &str = "Ask whoever sent you the link for a new one.";
const AGAIN: &str = "Open the link again and try once more.";
const TELL: &str = "Tell whoever sent you the link. You have done nothing wrong.";

impl Notice {
    fn new(title: &'static str, what: &'static str, todo: &'static str) -> Self {
        Self {
            title,
            what,
            todo,
            until: None,
            reload: None,
        }
    }

    /// Says how a session ended.
    fn of_failure(failure: ConnectFailure, again_until: Timestamp) -> Self {
        let (title, what, todo) = match failure {
            ConnectFailure::AccessDenied => (
                "Nothing was connected",
                "You did not allow it at Zoom, so nothing was stored.",
                "If that was a mistake, open the link again.",
            ),
            ConnectFailure::ZoomRefused => (
                "Zoom did not go ahead",
                "Zoom sent you back with an error instead of an answer.",
                "Open the link again. If it stays so, tell whoever sent you the link.",
            ),
            ConnectFailure::AppMisconfigured => (
                "The Zoom app is not set up correctly",
                "Zoom refuses the app's client ID, client secret or redirect URL.",
                TELL,
            ),
            ConnectFailure::CodeRefused => (
                "Zoom did not accept the answer",
                "What Zoom gave you works once, and for five minutes.",
                AGAIN,
            ),
            ConnectFailure::MissingScope => (
                "The Zoom app lacks a permission",
                "Zoom says that the app has not asked for a scope that it needs.",
                TELL,
            ),
            ConnectFailure::ZoomUnavailable => (
                "Zoom did not answer",
                "Zoom could not be reached, or did not answer in time.",
                AGAIN,
            ),
            ConnectFailure::CredentialChanged => (
                "The connection has changed",
                "What you were to connect was deleted or changed since the link was made.",
                SENDER,
            ),
            ConnectFailure::Interrupted | ConnectFailure::Internal => (
                "It was not finished",
                "Something failed on our side after Zoom had answered.",
                AGAIN,
            ),
            ConnectFailure::Expired => (
                "The link has expired",
                "The time to connect is over.",
                SENDER,
            ),
        };
        let helps = !matches!(
            failure,
            ConnectFailure::CredentialChanged | ConnectFailure::Expired
        );
        let in_time = again_until > Timestamp::now();
        Self {
            until: (helps && in_time).then(|| clock(again_until)),
            ..Self::new(title, what, todo)
        }
    }

    fn of_refusal(refused: ConnectRefusal) -> Self {
        match refused {
            ConnectRefusal::UnknownLink => Self::new(
                "This link does not work",
                "It is unknown, incomplete or too old.",
                SENDER,
            ),
            ConnectRefusal::Over => Self::new(
                "The link has expired",
                "The time to connect is over.",
                SENDER,
            ),
            ConnectRefusal::Done => Self::new(
                "Already connected",
                "This link was used, and the account is connected.",
                "There is nothing left to do. You can close this page.",
            ),
            ConnectRefusal::Busy { .. } => Self {
                reload: Some(RELOAD),
                ..Self::new(
                    "One moment",
                    "The account is being connected right now.",
                    "This page looks again by itself.",
                )
            },
            ConnectRefusal::AnotherSite => Self::new(
                "Open the link yourself",
                "Another site tried to start this for you.",
                "Go on only if you know who sent you the link, and open it directly.",
            ),
            ConnectRefusal::AnotherBrowser | ConnectRefusal::NoCode(_) => Self::new(
                "This cannot be finished here",
                "The visit does not belong to a connection that was started in this browser, or it was finished before.",
                "Open the link that you were sent again, in this browser and with cookies allowed, and go on from there.",
            ),
        }
    }

    fn of(error: &ApiError) -> Self {
        if let ApiError::Connect(refused) = error {
            return Self::of_refusal(*refused);
        }
        if matches!(error, ApiError::Running { .. }) {
            return Self::of_refusal(ConnectRefusal::Busy {
                wait: std::time::Duration::ZERO,
            });
        }
        if error.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Self::new(
                "Not possible at this moment",
                "A service that is needed does not answer. Nothing was lost.",
                "Reload this page in a minute.",
            );
        }
        Self::new(
            "Something went wrong",
            "It failed on our side.",
            "Reload this page. If it stays so, tell whoever sent you the link.",
        )
    }
}

/// 200 with a page.
pub(crate) fn ok(page: &impl Template) -> Reply {
    let page = page.render();
    page.map(|page| html(StatusCode::OK, page))
        .map_err(ApiError::internal)
}

/// 200 with a page that leads to Zoom.
#[expect(
    clippy::disallowed_methods,
    reason = "the browser takes the state to Zoom"
)]
pub(crate) fn going(address: &SecretString) -> Reply {
    ok(&Going {
        address: address.expose_secret(),
    })
}

/// A failure: back to the team's site, where there is one to go to, or said on a page.
pub(crate) fn error(error: &ApiError, turned_away: Option<&TurnedAway>) -> Response<String> {
    if let Some(location) = turned_away.and_then(|away| away.to.as_deref())
        && let Ok(response) = see_other(location)
    {
        return response;
    }
    let notice = match turned_away {
        Some(away) => Notice::of_failure(away.failure, away.again_until),
        None => Notice::of(error),
    };
    // Of texts of our own: it always renders.
    let page = html(error.status(), notice.render().unwrap_or_default());
    reply::with_hints(page, error)
}

/// 303 to a URL of the team's.
pub(crate) fn see_other(location: &str) -> Reply {
    let location = HeaderValue::from_str(location).map_err(ApiError::internal)?;
    let mut response = html(StatusCode::SEE_OTHER, String::new());
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// An hour and a minute, for people anywhere.
pub(crate) fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} UTC", text.get(11..16).unwrap_or_default())
}

fn html(status: StatusCode, page: String) -> Response<String> {
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = Response::new(page);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, html);
    // Base64 and words of our own: it is a header's value.
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let deny = HeaderValue::from_static("DENY");
    headers.insert(header::X_FRAME_OPTIONS, deny);
    response
}
