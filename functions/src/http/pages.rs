//! The pages of a connect session. The template engine escapes every value. The header `content-security-policy` allows
//! only our style sheet and our script, by their hashes, and the team's logo. The pages load nothing else.

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use shared::brand::{Brand, Logo};
use shared::config::Url;
use shared::connect::ConnectFailure;
use shared::credential::Name;
use shared::stores::NewSession;
use shared::timestamp::Timestamp;

use crate::connect::scopes::Permissions;
use crate::http::error::{ApiError, ConnectRefusal};
use crate::http::reply::{self, Reply};
use crate::http::request::FailedConnect;

const STYLE: &str = include_str!("../../templates/connect/style.css");
/// Shows times in the reader's time zone. Without JavaScript, the page shows them in UTC.
const SCRIPT: &str = include_str!("../../templates/connect/local-time.js");
/// How long a page waits before it reloads while another request connects the account.
const RELOAD_SECONDS: u32 = 3;

/// A time of day, in UTC for readers without JavaScript.
#[derive(Debug)]
pub(crate) struct TimeView {
    /// The time for the script.
    machine: String,
    /// The hour and the minute in UTC.
    text: String,
}

impl From<Timestamp> for TimeView {
    fn from(at: Timestamp) -> Self {
        let machine = at.to_string();
        let text = format!("{} UTC", machine.get(11..16).unwrap_or_default());
        Self { machine, text }
    }
}

/// How the team presents itself. The operator chose all of it, so users can trust it.
#[derive(Debug)]
pub(crate) struct BrandView<'a> {
    /// The team's name for people, or else its id.
    pub(crate) team: &'a str,
    logo: Option<&'a str>,
    support: Option<SupportView<'a>>,
}

#[derive(Debug)]
struct SupportView<'a> {
    text: &'a str,
    href: String,
}

impl<'a> BrandView<'a> {
    /// The brand of the team that created a session.
    pub(crate) fn of_session(parameters: &'a NewSession) -> Self {
        let name = parameters.brand.display_name.as_ref();
        let team = name.map_or(parameters.team.as_str(), Name::as_str);
        Self::new(team, &parameters.brand)
    }

    fn new(team: &'a str, brand: &'a Brand) -> Self {
        let support = brand.support_contact.as_ref();
        Self {
            team,
            logo: brand.logo.as_ref().map(Logo::as_str),
            support: support.map(|contact| SupportView {
                text: contact.as_str(),
                href: contact.href(),
            }),
        }
    }
}

/// The first page: says what will happen, and has the button.
#[derive(Template)]
#[template(path = "connect/ask.html")]
pub(crate) struct AskPage<'a> {
    pub(crate) brand: BrandView<'a>,
    pub(crate) label: &'a str,
    pub(crate) is_reconnect: bool,
    pub(crate) return_host: Option<&'a str>,
    /// The name of the Zoom app, if the team has given it.
    pub(crate) app_name: Option<&'a str>,
    pub(crate) client_id: &'a str,
    /// What the user allowed before. Empty if that is not known.
    pub(crate) permissions: Permissions,
    pub(crate) link_works_until: TimeView,
}

/// The last page: the account is connected.
#[derive(Template)]
#[template(path = "connect/connected.html")]
pub(crate) struct ConnectedPage<'a> {
    pub(crate) brand: BrandView<'a>,
    pub(crate) label: &'a str,
    pub(crate) user: Option<&'a str>,
    /// Whether the credential belonged to another Zoom user before.
    pub(crate) is_another_user: bool,
    /// The name of the Zoom app, if the team has given it.
    pub(crate) app_name: Option<&'a str>,
    /// What the user has allowed. Empty if Zoom did not say.
    pub(crate) permissions: Permissions,
    pub(crate) client_id: &'a str,
    /// The credential's error message, if it has one.
    pub(crate) problem: Option<&'a str>,
}

/// The page that takes the browser to Zoom. A redirect does not work: browsers apply the policy `form-action` to every
/// redirect that follows a form, and we cannot list all sites that Zoom and the team redirect to.
#[derive(Template)]
#[template(path = "connect/redirect.html")]
struct RedirectPage<'a> {
    url: &'a str,
}

/// The page for a user who added the app in Zoom's Marketplace.
#[derive(Template)]
#[template(path = "connect/added.html")]
struct AddedPage<'a> {
    landing_url: Option<&'a str>,
}

/// A page that says what went wrong, and what to do next.
#[derive(Template)]
#[template(path = "connect/notice.html")]
struct NoticePage<'a> {
    brand: Option<BrandView<'a>>,
    title: &'static str,
    problem: &'static str,
    next_step: &'static str,
    /// Until when the user can open the link again. `None` if that does not help.
    link_works_until: Option<TimeView>,
    /// The token of the link for the button "Try again". `None` if that does not help, or if the browser has not
    /// started the session.
    link: Option<&'a str>,
    /// After how many seconds the page reloads.
    reload: Option<u32>,
}

const ASK_FOR_NEW_LINK: &str = "Ask the person who sent you the link for a new link.";
const TRY_AGAIN: &str = "Try once more. You can also open the link again.";
const TELL_SENDER: &str = "Tell the person who sent you the link. You did nothing wrong.";

impl<'a> NoticePage<'a> {
    fn new(title: &'static str, problem: &'static str, next_step: &'static str) -> Self {
        Self {
            title,
            problem,
            next_step,
            brand: None,
            link_works_until: None,
            link: None,
            reload: None,
        }
    }

    fn expired() -> Self {
        Self::new(
            "The link has expired",
            "The time to connect is over.",
            ASK_FOR_NEW_LINK,
        )
    }

    /// The page for a session that failed.
    #[expect(
        clippy::disallowed_methods,
        reason = "the browser gets the link that it has opened"
    )]
    fn from_failure(failed: &'a FailedConnect) -> Self {
        let page = match failed.failure {
            ConnectFailure::AccessDenied => Self::new(
                "Nothing was connected",
                "You did not allow the app at Zoom, so nothing was stored.",
                "If that was a mistake, try again.",
            ),
            ConnectFailure::ZoomRefused => Self::new(
                "Zoom reported an error",
                "Zoom sent you back with an error, so your account was not connected.",
                "Try again. If the error comes back, tell the person who sent you the link.",
            ),
            ConnectFailure::AppMisconfigured => Self::new(
                "The Zoom app is not set up correctly",
                "Zoom refuses the app's client ID, client secret or redirect URL.",
                TELL_SENDER,
            ),
            ConnectFailure::CodeRefused => Self::new(
                "Zoom did not complete the connection",
                "Zoom's confirmation works only once, and only for five minutes.",
                TRY_AGAIN,
            ),
            ConnectFailure::MissingScope => Self::new(
                "The Zoom app lacks a permission",
                "Zoom says that the app does not request a scope that it needs.",
                TELL_SENDER,
            ),
            ConnectFailure::ZoomUnavailable => Self::new(
                "Zoom did not answer",
                "We could not reach Zoom, or Zoom did not answer in time.",
                TRY_AGAIN,
            ),
            ConnectFailure::CredentialChanged => Self::new(
                "The connection has changed",
                "The connection that this link is for was changed or deleted after the link was made.",
                ASK_FOR_NEW_LINK,
            ),
            ConnectFailure::Interrupted | ConnectFailure::Internal => Self::new(
                "Your account was not connected",
                "Something failed on our side after you came back from Zoom.",
                TRY_AGAIN,
            ),
            ConnectFailure::Expired => Self::expired(),
        };
        let can_retry = !matches!(
            failed.failure,
            ConnectFailure::CredentialChanged | ConnectFailure::Expired
        );
        let in_time = failed.link_works_until > Timestamp::now();
        let can_retry = can_retry && in_time;
        let link = failed.link.as_ref().filter(|_| can_retry);
        Self {
            brand: Some(BrandView::new(&failed.team, &failed.brand)),
            link_works_until: can_retry.then(|| failed.link_works_until.into()),
            link: link.map(ExposeSecret::expose_secret),
            ..page
        }
    }

    fn from_refusal(refusal: ConnectRefusal) -> Self {
        match refusal {
            ConnectRefusal::UnknownLink => Self::new(
                "This link does not work",
                "The link is unknown, incomplete or too old.",
                ASK_FOR_NEW_LINK,
            ),
            ConnectRefusal::Expired => Self::expired(),
            ConnectRefusal::AlreadyConnected => Self::new(
                "Already connected",
                "This link has already connected a Zoom account.",
                "There is nothing left to do. You can close this page.",
            ),
            ConnectRefusal::InProgress { .. } => Self::in_progress(),
            ConnectRefusal::AnotherSite => Self::new(
                "Open the link yourself",
                "Another website tried to start the connection for you.",
                "If you know the person who sent you the link, open the link directly. Otherwise close this page.",
            ),
            ConnectRefusal::StateMismatch | ConnectRefusal::Failed(_) => Self::new(
                "The connection cannot continue here",
                "No connection is waiting for this page: it was started in another browser, or it is already finished.",
                "Open the link that you were sent again, in this browser and with cookies allowed.",
            ),
        }
    }

    fn in_progress() -> Self {
        Self {
            reload: Some(RELOAD_SECONDS),
            ..Self::new(
                "One moment",
                "Your account is being connected right now.",
                "This page reloads by itself.",
            )
        }
    }

    fn from_error(error: &ApiError) -> Self {
        if let ApiError::Connect(refusal) = error {
            return Self::from_refusal(*refusal);
        }
        if matches!(error, ApiError::InProgress { .. }) {
            return Self::in_progress();
        }
        if error.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Self::new(
                "Temporarily unavailable",
                "A service that we need does not answer. Nothing was lost.",
                "Reload this page in a minute.",
            );
        }
        Self::new(
            "Something went wrong",
            "The error is on our side.",
            "Reload this page. If the error comes back, tell the person who sent you the link.",
        )
    }
}

/// 200 with a page, which may load the logo.
pub(crate) fn ok(page: &impl Template, logo: Option<&Logo>) -> Reply {
    let page = page.render();
    page.map(|page| html(StatusCode::OK, page, logo))
        .map_err(ApiError::internal)
}

/// 200 with the page for a user who added the app in Zoom's Marketplace, or who came from nowhere.
pub(crate) fn added(landing_url: Option<&Url>) -> Reply {
    let landing_url = landing_url.map(Url::as_str);
    ok(&AddedPage { landing_url }, None)
}

/// 200 with a page that takes the browser to Zoom.
#[expect(
    clippy::disallowed_methods,
    reason = "the browser takes the state to Zoom"
)]
pub(crate) fn redirect_to_zoom(url: &SecretString) -> Reply {
    let url = url.expose_secret();
    ok(&RedirectPage { url }, None)
}

/// An error for a person: sends the browser to the team's return URL if there is one, and shows a page otherwise.
pub(crate) fn error(error: &ApiError, failed: Option<&FailedConnect>) -> Response<String> {
    if let Some(location) = failed.and_then(|failed| failed.return_url.as_deref())
        && let Ok(response) = see_other(location)
    {
        return response;
    }
    let page = match failed {
        Some(failed) => NoticePage::from_failure(failed),
        None => NoticePage::from_error(error),
    };
    // The template holds our own texts only, so it always renders.
    let logo = failed.and_then(|failed| failed.brand.logo.as_ref());
    let response = html(error.status(), page.render().unwrap_or_default(), logo);
    reply::with_error_headers(response, error)
}

/// 303 to a URL of the team.
pub(crate) fn see_other(location: &str) -> Reply {
    let location = HeaderValue::from_str(location).map_err(ApiError::internal)?;
    let mut response = html(StatusCode::SEE_OTHER, String::new(), None);
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

fn html(status: StatusCode, page: String, logo: Option<&Logo>) -> Response<String> {
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    let images = logo.map(|logo| format!("img-src {}; ", logo.policy_source()));
    let images = images.unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; {images}form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = Response::new(page);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, html);
    // The policy is ASCII, so it is always a valid header value.
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let deny = HeaderValue::from_static("DENY");
    headers.insert(header::X_FRAME_OPTIONS, deny);
    // The site that opened the page in a window must not watch the window, or send it elsewhere.
    let own_group = HeaderName::from_static("cross-origin-opener-policy");
    headers.insert(own_group, HeaderValue::from_static("same-origin"));
    response
}
