//! `/connect/{token}`: the page that a user is sent, and the way from it to Zoom.
//!
//! The URL is the key. To look at the page changes nothing, however often it is opened and by whom: what previews links
//! for a chat opens them too. The button starts: it binds the session to this browser, by a cookie, and to a new state.
//! Who starts later, in whatever browser, takes over.

use std::time::Duration;

use http::{HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use shared::connect::{BrowserKey, OAuthState, ReturnUrl};
use shared::stores::{self, Requests, Session};
use shared::timestamp::Timestamp;
use shared::zoom::ConsentPage;

use crate::http::error::{ApiError, ConnectRefusal};
use crate::http::pages::{self, Ask};
use crate::http::reply::Reply;
use crate::http::request::{Reader, Request};

/// What the logs call it. Every method, so that the page has a `HEAD`.
pub const ROUTE: &str = "ANY /connect/{token}";

/// What the cookie is called: by its prefix, browsers take it from this host alone and send it to no other.
pub(crate) const COOKIE: &str = "__Host-zoom-connect";
/// How long the cookie lives, in seconds: longer than any session.
const COOKIE_LIFETIME: u32 = 3600;
/// When it is worth looking again whether another has finished.
pub(crate) const SOON: Duration = Duration::from_secs(2);

/// Shows what will happen, or sends the user to Zoom.
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
    request.trail().reader.get_or_init(|| Reader::Browser);
    let link = request.link_token()?;
    let session = requests.session(link.session()).await?;
    let session = session.ok_or(refused(ConnectRefusal::UnknownLink))?;
    if !session.is_opened_by(&link) {
        return Err(refused(ConnectRefusal::UnknownLink));
    }
    let team = session.parameters.team.clone();
    request.trail().team.get_or_init(|| team);
    may_start(&session)?;

    if !starts {
        return pages::ok(&Ask {
            team: session.parameters.team.as_str(),
            label: session.parameters.label.as_str(),
            is_reconnect: session.parameters.reconnects.is_some(),
            return_host: session.parameters.return_url.as_ref().map(ReturnUrl::host),
            client_id: session.parameters.client_id.as_str(),
            until: pages::clock(session.parameters.ends_at),
        });
    }
    if !is_of_our_page(request) {
        return Err(refused(ConnectRefusal::AnotherSite));
    }
    let failed = |error| ApiError::internal(error);
    let state = OAuthState::generate(session.id).map_err(failed)?;
    let browser = match request.cookie(COOKIE).map(BrowserKey::parse) {
        // One browser may walk several sessions: a new key would end the others.
        Some(Ok(browser)) => browser,
        Some(Err(_)) | None => BrowserKey::generate().map_err(failed)?,
    };
    match requests.start_session(&session, &state, &browser).await {
        // Somebody was quicker; the page, opened again, says who.
        Err(stores::Error::Conflict) => return Err(refused(ConnectRefusal::Busy { wait: SOON })),
        started => started?,
    }

    let address = consent.address(
        &session.parameters.client_id,
        &session.parameters.redirect_uri,
        &session.parameters.code_challenge,
        &state.into_text(),
    );
    let mut response = pages::going(&address)?;
    let cookie = cookie(browser.text())?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Refuses where the session has ended, well or by time, and while somebody is back from Zoom and being connected.
fn may_start(session: &Session) -> Result<(), ApiError> {
    let now = Timestamp::now();
    if session.credential.is_some() {
        Err(refused(ConnectRefusal::Done))
    } else if let Some(wait) = session.exchange_time_left(now) {
        Err(refused(ConnectRefusal::Busy { wait }))
    } else if session.is_over(now) {
        Err(refused(ConnectRefusal::Over))
    } else {
        Ok(())
    }
}

/// Whether the form was sent from our own page, as far as the browser says: those that say nothing are older, and what
/// follows is Zoom's question all the same.
fn is_of_our_page(request: &Request) -> bool {
    request
        .header("sec-fetch-site")
        .is_none_or(|site| site == "same-origin")
}

#[expect(clippy::disallowed_methods, reason = "the cookie is the browser's key")]
fn cookie(key: &SecretString) -> Result<HeaderValue, ApiError> {
    let cookie = format!(
        "{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={COOKIE_LIFETIME}",
        key.expose_secret()
    );
    let mut cookie = HeaderValue::try_from(cookie).map_err(ApiError::internal)?;
    cookie.set_sensitive(true);
    Ok(cookie)
}

fn refused(refused: ConnectRefusal) -> ApiError {
    ApiError::Connect(refused)
}
