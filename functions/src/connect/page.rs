//! `/connect/{token}`: the page that the user opens, and the button that takes the user to Zoom.
//!
//! The token in the URL is the only key. Opening the page changes nothing, because chat programs open links to preview
//! them. The button starts the session: it stores a new state, and binds the session to this browser by a cookie. A
//! later start, in any browser, replaces an earlier one.

use std::time::Duration;

use http::{HeaderValue, Response, header};
use secrecy::{ExposeSecret, SecretString};
use shared::connect::{BrowserKey, LinkToken, OAuthState, ReturnUrl};
use shared::credential::Name;
use shared::stores::{self, Requests, Session};
use shared::timestamp::Timestamp;
use shared::zoom::ConsentPage;

use crate::connect::scopes::Permissions;
use crate::http::error::{ApiError, ConnectRefusal};
use crate::http::pages::{self, AskPage, BrandView};
use crate::http::reply::Reply;
use crate::http::request::{ErrorFormat, Request};

/// The method and path, which also name the endpoint in the log. `ANY`, because the page answers `HEAD` too.
pub const ROUTE: &str = "ANY /connect/{token}";

/// The name of the cookie with the browser key. Browsers accept the prefix `__Host-` from this host only, and send the
/// cookie to no other host.
pub(crate) const COOKIE: &str = "__Host-zoom-connect";
/// The name of the cookie with the token of the link that this browser has started last. So a page that says what went
/// wrong can offer to try again.
pub(crate) const LINK_COOKIE: &str = "__Host-zoom-connect-link";
/// How long the cookies live, in seconds. That is longer than any session.
const COOKIE_MAX_AGE: u32 = 3600;
/// `retry-after` for a request that lost a race against another request of its session.
const RETRY_AFTER_RACE: Duration = Duration::from_secs(2);

/// Shows the page, or starts the session and sends the user to Zoom.
pub async fn handle(requests: &Requests, consent: &ConsentPage, request: &Request) -> Reply {
    let starts = match request.method() {
        "GET" | "HEAD" => false,
        "POST" => true,
        // No browser sends another method, so the answer is no page.
        _ => {
            return Err(ApiError::MethodNotAllowed {
                allow: "GET, HEAD, POST",
            });
        }
    };
    request.answer_errors_as(ErrorFormat::Page);
    let link = request.link_token()?;
    let session = requests.session(link.session()).await?;
    let session = session.filter(|session| session.is_opened_by(&link));
    let session = session.ok_or(ConnectRefusal::UnknownLink)?;
    request.note_team(&session.parameters.team);
    check_can_start(&session)?;

    if starts {
        start(requests, consent, request, &session, link).await
    } else {
        ask(&session)
    }
}

/// The page with the button.
fn ask(session: &Session) -> Reply {
    let parameters = &session.parameters;
    let logo = parameters.brand.logo.as_ref();
    let page = AskPage {
        brand: BrandView::of_session(parameters),
        label: parameters.label.as_str(),
        is_reconnect: parameters.reconnects.is_some(),
        return_host: parameters.return_url.as_ref().map(ReturnUrl::host),
        client_id: parameters.client_id.as_str(),
        app_name: parameters.app_name.as_ref().map(Name::as_str),
        permissions: Permissions::of(parameters.scopes.as_deref().unwrap_or_default()),
        link_works_until: parameters.ends_at.into(),
    };
    pages::ok(&page, logo)
}

/// Starts the session in this browser.
async fn start(
    requests: &Requests,
    consent: &ConsentPage,
    request: &Request,
    session: &Session,
    link: LinkToken,
) -> Reply {
    if !is_sent_by_our_page(request) {
        return Err(ConnectRefusal::AnotherSite.into());
    }
    let state = OAuthState::generate(session.id).map_err(ApiError::internal)?;
    let browser = match request.cookie(COOKIE).map(BrowserKey::parse) {
        // A browser may use several sessions at once, and a new key would end the others.
        Some(Ok(browser)) => browser,
        Some(Err(_)) | None => BrowserKey::generate().map_err(ApiError::internal)?,
    };
    match requests.start_session(session, &state, &browser).await {
        // The session has changed. When the page reloads, it says how.
        Err(stores::Error::Conflict) => return Err(lost_race().into()),
        started => started?,
    }

    let url = consent.address(
        &session.parameters.client_id,
        &session.parameters.redirect_uri,
        &session.parameters.code_challenge,
        &state.into_text(),
    );
    let mut response = pages::redirect_to_zoom(&url)?;
    let headers = response.headers_mut();
    for (name, value) in [(COOKIE, browser.text()), (LINK_COOKIE, &link.into_text())] {
        headers.append(header::SET_COOKIE, cookie(name, value, COOKIE_MAX_AGE)?);
    }
    Ok(response)
}

/// Fails if the session has ended, or if a request exchanges its code right now.
fn check_can_start(session: &Session) -> Result<(), ConnectRefusal> {
    let now = Timestamp::now();
    if session.credential.is_some() {
        Err(ConnectRefusal::AlreadyConnected)
    } else if let Some(wait) = session.exchange_time_left(now) {
        Err(ConnectRefusal::InProgress { wait })
    } else if session.is_over(now) {
        Err(ConnectRefusal::Expired)
    } else {
        Ok(())
    }
}

/// Another request of the same session was first.
pub(crate) fn lost_race() -> ConnectRefusal {
    ConnectRefusal::InProgress {
        wait: RETRY_AFTER_RACE,
    }
}

/// Whether our own page sent the form. Old browsers do not send the header. They are let through, because the user
/// still has to consent at Zoom.
fn is_sent_by_our_page(request: &Request) -> bool {
    request
        .header("sec-fetch-site")
        .is_none_or(|site| site == "same-origin")
}

/// The token of the session's link, if this browser has started the session. The page offers to try again with it.
pub(crate) fn link_of(request: &Request, session: &Session) -> Option<SecretString> {
    let link = LinkToken::parse(request.cookie(LINK_COOKIE)?).ok()?;
    session.is_opened_by(&link).then(|| link.into_text())
}

/// Removes the link of the session from the browser, because the session has ended. The link of another session stays.
pub(crate) fn forget_link(
    response: &mut Response<String>,
    request: &Request,
    session: &Session,
) -> Result<(), ApiError> {
    if link_of(request, session).is_none() {
        return Ok(());
    }
    let empty = cookie(LINK_COOKIE, &SecretString::default(), 0)?;
    response.headers_mut().append(header::SET_COOKIE, empty);
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the cookies carry the browser key and the link"
)]
fn cookie(name: &str, value: &SecretString, max_age: u32) -> Result<HeaderValue, ApiError> {
    let cookie = format!(
        "{name}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={max_age}",
        value.expose_secret()
    );
    let mut cookie = HeaderValue::try_from(cookie).map_err(ApiError::internal)?;
    cookie.set_sensitive(true);
    Ok(cookie)
}
