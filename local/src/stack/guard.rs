//! Keeps web pages away from the ports of the stack.
//!
//! Every page that a developer opens can send requests to loopback. A browser names the page's site in `Origin` or
//! `Sec-Fetch-Site`. If the name of the other site resolves to this machine, `Host` has that name. A page cannot change
//! these headers.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use url::Url;

/// Which requests a port of the stack answers.
#[derive(Clone, Debug)]
pub(super) struct Guard(Arc<Rules>);

#[derive(Clone, Debug)]
struct Rules {
    /// Names of this machine besides those of the loopback.
    hosts: Vec<String>,
    /// The address of a tunnel to this machine, if there is one.
    public: Option<Url>,
    /// The access key id that a request to an AWS service must have.
    access_key_id: Option<String>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Refusal {
    #[error(
        "This port answers only requests to this machine. To allow another host name, restart with --allow-host NAME."
    )]
    UnknownHost,
    #[error(
        "This port refuses requests that a page of another site makes. Use a program, or open the address in the browser."
    )]
    OtherSite,
    #[error(
        "The access key id is not the one of this stack: load the file env in its data directory again"
    )]
    WrongAccessKey,
}

impl Guard {
    /// Refuses requests of web pages. `hosts` are names of this machine besides those of the loopback.
    pub(super) fn new(hosts: Vec<String>, public: Option<Url>) -> Self {
        Self(Arc::new(Rules {
            hosts,
            public,
            access_key_id: None,
        }))
    }

    /// Also refuses requests without this access key id.
    pub(super) fn with_access_key(&self, id: &str) -> Self {
        Self(Arc::new(Rules {
            access_key_id: Some(id.to_owned()),
            ..(*self.0).clone()
        }))
    }

    /// Puts the guard in front of a router.
    pub(super) fn protect(self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self, admit))
    }
}

async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if let Err(refusal) = guard.0.check(request.headers()) {
        return refusal.into_response();
    }
    let mut response = next.run(request).await;
    // The database engine allows the pages of every site to read its answers.
    let headers = response.headers_mut();
    let is_cors = |name: &&HeaderName| name.as_str().starts_with("access-control-");
    let cors: Vec<HeaderName> = headers.keys().filter(is_cors).cloned().collect();
    for name in cors {
        headers.remove(name);
    }
    response
}

impl Rules {
    fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = only(headers, &HOST).and_then(authority);
        let host = host.filter(|host| self.is_this_machine(host.host()));
        let host = host.ok_or(Refusal::UnknownHost)?;
        if self.is_from_another_site(headers, &host) {
            return Err(Refusal::OtherSite);
        }
        match &self.access_key_id {
            Some(id) if !has_access_key(headers, id) => Err(Refusal::WrongAccessKey),
            Some(_) | None => Ok(()),
        }
    }

    fn is_this_machine(&self, name: &str) -> bool {
        let address: Result<IpAddr, _> = name.trim_matches(['[', ']']).parse();
        let public = self.public.as_ref().and_then(Url::host_str);
        let mut named = self.hosts.iter().map(String::as_str).chain(public);
        name.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.is_loopback())
            || named.any(|allowed| allowed.eq_ignore_ascii_case(name))
    }

    /// Whether a page of another site makes the request. Such a page may only lead the browser here, with a link.
    fn is_from_another_site(&self, headers: &HeaderMap, host: &Authority) -> bool {
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        match headers.get(ORIGIN) {
            // A form of a page without referrers: the pages of a connect session and of the sandbox.
            Some(origin) if origin == "null" => site != Some(b"same-origin"),
            Some(_) => !only(headers, &ORIGIN).is_some_and(|origin| self.is_own(origin, host)),
            None => {
                let is_link = headers
                    .get("sec-fetch-mode")
                    .is_some_and(|mode| mode == "navigate");
                !is_link && !matches!(site, None | Some(b"same-origin" | b"none"))
            }
        }
    }

    /// Whether an origin is the one that the request is sent to.
    fn is_own(&self, origin: &str, host: &Authority) -> bool {
        let is_public = |url: &Url| url.origin().ascii_serialization() == origin;
        let address = origin.split_once("://").map(|(_, address)| address);
        address.is_some_and(|address| address.eq_ignore_ascii_case(host.as_str()))
            || self.public.as_ref().is_some_and(is_public)
    }
}

/// The value of a header that must come exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// A host and maybe a port, without a user.
fn authority(text: &str) -> Option<Authority> {
    text.parse().ok().filter(|_| !text.contains('@'))
}

/// Whether a signed AWS request names this access key. The signature is not checked: nobody who may not read the file
/// `env` knows the id.
fn has_access_key(headers: &HeaderMap, id: &str) -> bool {
    let signed = only(headers, &AUTHORIZATION).and_then(|it| it.strip_prefix("AWS4-HMAC-SHA256 "));
    let mut parts = signed.unwrap_or_default().split([',', ' ']);
    let scope = parts.find_map(|part| part.strip_prefix("Credential="));
    let sent = scope.and_then(|scope| scope.split('/').next());
    sent.is_some_and(|sent| verify_slices_are_equal(sent.as_bytes(), id.as_bytes()).is_ok())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let message = self.to_string();
        match self {
            Self::UnknownHost | Self::OtherSite => (StatusCode::FORBIDDEN, message).into_response(),
            // The form in which the AWS SDKs and the AWS CLI show a message.
            Self::WrongAccessKey => {
                let kind = "UnrecognizedClientException";
                let body = json!({ "__type": kind, "message": message }).to_string();
                let json = [(CONTENT_TYPE, "application/x-amz-json-1.0")];
                (StatusCode::FORBIDDEN, json, body).into_response()
            }
        }
    }
}
