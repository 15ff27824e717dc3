//! A request, as a handler may read it: path parameter, query, headers, body and who asks.
//!
//! API Gateway's event is read into our own type and not into `lambda_http`'s: that one is turned away whole
//! for one header that is not ASCII, and panics where Host and X-Forwarded-Proto make no URL. Here nothing
//! a client sends can fail before a handler sees it. The Host header is not read: where the API is, the gateway says.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use shared::config::Url;
use shared::connect::{ConnectFailure, LinkToken, SessionId};
use shared::credential::{ClientId, CredentialId, TeamId};
use shared::error::{Error, Missing};
use shared::invocation::Invocation;
use shared::meter::Meter;
use shared::stores::Admission;
use shared::timestamp::Timestamp;
use shared::token_url::{UrlId, UrlToken};

use crate::http::error::{ApiError, ConnectRefusal};
use crate::http::schema::ClientIdInPath;

/// API Gateway's REST proxy event (payload version 1), as far as it is read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    http_method: Option<String>,
    headers: Option<HashMap<String, String>>,
    multi_value_headers: Option<HashMap<String, Vec<String>>>,
    query_string_parameters: Option<HashMap<String, String>>,
    multi_value_query_string_parameters: Option<HashMap<String, Vec<String>>>,
    path_parameters: Option<HashMap<String, String>>,
    request_context: Option<RequestContext>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RequestContext {
    request_id: Option<String>,
    domain_name: Option<String>,
    path: Option<String>,
}

/// What becomes known while a request is handled, for its headers and its log line.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// The team, once its key is known to be good.
    pub(crate) team: OnceLock<TeamId>,
    /// The credential it is about.
    pub(crate) credential: OnceLock<CredentialId>,
    /// How it stands against the team's rate, once counted.
    pub(crate) admission: OnceLock<Admission>,
    /// Who reads the answer, where it is not a program that reads JSON.
    pub(crate) reader: OnceLock<Reader>,
    /// How a user's way to Zoom and back ended, where it did not end well.
    pub(crate) turned_away: OnceLock<TurnedAway>,
    /// The network calls it made.
    pub(crate) meter: Arc<Meter>,
}

/// Who reads an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A program that wants plain text.
    PlainText,
    /// A person, with a browser.
    Browser,
}

/// The outcome for a user who is not connected, and where the browser goes with it.
#[derive(Debug)]
pub(crate) struct TurnedAway {
    pub(crate) failure: ConnectFailure,
    /// The URL with the outcome in it; none where a page says it.
    pub(crate) to: Option<String>,
    /// Until when the link can be opened again.
    pub(crate) again_until: Timestamp,
}

/// One invocation.
pub struct Request {
    event: Event,
    body: Option<Vec<u8>>,
    invocation: Arc<Invocation>,
    trail: Arc<Trail>,
}

/// Names the request and shows nothing of it: its headers and body hold secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl Request {
    /// Takes over what API Gateway sent. `invocation_id` stands in for the gateway's own id.
    pub(crate) fn new(mut event: Event, invocation_id: String, deadline: Timestamp) -> Self {
        let body = event.body.take().unwrap_or_default();
        let body = if event.is_base64_encoded == Some(true) {
            STANDARD.decode(body).ok()
        } else {
            Some(body.into_bytes())
        };
        let gateway_id = event
            .request_context
            .as_mut()
            .and_then(|context| context.request_id.take());
        let header_safe =
            |id: &String| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
        let id = gateway_id.filter(header_safe).unwrap_or(invocation_id);
        Self {
            event,
            body,
            invocation: Arc::new(Invocation::new(id, deadline)),
            trail: Arc::default(),
        }
    }

    /// Names the request in the header `x-request-id` and in the logs.
    pub(crate) fn id(&self) -> &str {
        self.invocation.id()
    }

    /// When Lambda stops this invocation.
    pub(crate) fn deadline(&self) -> Timestamp {
        self.invocation.deadline()
    }

    /// The time until the deadline, less `reserve`.
    pub(crate) fn time_left(&self, reserve: Duration) -> Duration {
        self.invocation.time_left(reserve)
    }

    /// The invocation, for the domain.
    pub(crate) fn invocation(&self) -> &Arc<Invocation> {
        &self.invocation
    }

    /// What is known so far.
    pub(crate) fn trail(&self) -> &Arc<Trail> {
        &self.trail
    }

    /// A header's value; its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.event.headers.as_ref()?;
        headers
            .iter()
            .find(|(sent, _)| sent.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// As [`Self::header`], but nothing where it came more than once: which one counts would be a guess.
    pub(crate) fn only_header(&self, name: &str) -> Option<&str> {
        let all = self.event.multi_value_headers.iter().flatten();
        let sent = all
            .filter(|(sent, _)| sent.eq_ignore_ascii_case(name))
            .map(|(_, values)| values.len());
        if sent.sum::<usize>() > 1 {
            None
        } else {
            self.header(name)
        }
    }

    /// The first value of a query parameter; an empty one is as good as none.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let all = self.event.multi_value_query_string_parameters.as_ref();
        let first = all
            .and_then(|all| all.get(name))
            .and_then(|values| values.first());
        let single = || {
            self.event
                .query_string_parameters
                .as_ref()
                .and_then(|all| all.get(name))
        };
        first
            .or_else(single)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The HTTP method, in capitals; empty where the event names none.
    pub(crate) fn method(&self) -> &str {
        self.event.http_method.as_deref().unwrap_or_default()
    }

    /// Where the API is, as whoever calls reached it and the gateway says: `https://`, the domain and what stands
    /// before `route` in the path, which is the stage of an `execute-api` domain and the base path of another.
    fn origin(&self, route: &str) -> Option<String> {
        let context = self.event.request_context.as_ref()?;
        let domain = context.domain_name.as_ref()?;
        let (before, _) = context.path.as_ref()?.rsplit_once(route)?;
        Some(format!("https://{domain}{before}"))
    }

    /// Where callers reach the API: as it was configured, or as this request came, whose path holds `route`.
    pub(crate) fn base(&self, public: Option<&Url>, route: &str) -> Result<String, ApiError> {
        let base = match public {
            Some(url) => Some(url.as_str().trim_end_matches('/').to_owned()),
            None => self.origin(route),
        };
        base.ok_or_else(|| {
            ApiError::internal("the event does not say where the API is: set PUBLIC_BASE_URL")
        })
    }

    /// A cookie's value, if it came once.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let all = self.event.multi_value_headers.iter().flatten();
        let all = all.filter(|(sent, _)| sent.eq_ignore_ascii_case("cookie"));
        let mut lines: Vec<&str> = all
            .flat_map(|(_, lines)| lines)
            .map(String::as_str)
            .collect();
        if lines.is_empty() {
            lines.extend(self.header("cookie"));
        }
        let pairs = lines.into_iter().flat_map(|line| line.split(';'));
        let pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs
            .filter(|(sent, _)| *sent == name)
            .map(|(_, value)| value);
        let value = values.next();
        value.filter(|_| values.next().is_none())
    }

    fn parameter(&self, name: &str) -> &str {
        let parameters = self.event.path_parameters.as_ref();
        parameters
            .and_then(|parameters| parameters.get(name))
            .map_or("", String::as_str)
    }

    /// The `{id}` in the path. One that is no UUID is the caller's mistake, not an absence.
    pub(crate) fn credential_id(&self) -> Result<CredentialId, ApiError> {
        let id = self.parameter("id").parse();
        let id = id.map_err(|rule| ApiError::Validation {
            at: "params/id",
            rule,
        })?;
        self.trail.credential.get_or_init(|| id);
        Ok(id)
    }

    /// The `{url_id}` in the path. One that is no UUID is the caller's mistake, not an absence.
    pub(crate) fn url_id(&self) -> Result<UrlId, ApiError> {
        let id = self.parameter("url_id").parse();
        id.map_err(|rule| ApiError::Validation {
            at: "params/url_id",
            rule,
        })
    }

    /// The `{client_id}` in the path: of the characters that stand for themselves there.
    pub(crate) fn client_id(&self) -> Result<ClientId, ApiError> {
        let id = ClientIdInPath::try_from(self.parameter("client_id"));
        id.map(|id| id.0).map_err(|rule| ApiError::Validation {
            at: "params/client_id",
            rule,
        })
    }

    /// The `{token}` in the path: a secret. One that is none is unknown, and nothing is read to find out.
    pub(crate) fn url_token(&self) -> Result<UrlToken, ApiError> {
        UrlToken::parse(self.parameter("token"))
            .map_err(|_| Error::NotFound(Missing::TokenUrl).into())
    }

    /// The `{id}` of a connect session in the path. One that is no UUID is the caller's mistake, not an absence.
    pub(crate) fn session_id(&self) -> Result<SessionId, ApiError> {
        let id = self.parameter("id").parse();
        id.map_err(|rule| ApiError::Validation {
            at: "params/id",
            rule,
        })
    }

    /// The `{token}` of a connect URL: a secret. One that is none is unknown, and nothing is read to find out.
    pub(crate) fn link_token(&self) -> Result<LinkToken, ApiError> {
        let token = LinkToken::parse(self.parameter("token"));
        token.map_err(|_| ApiError::Connect(ConnectRefusal::UnknownLink))
    }

    /// The body's bytes, decoded where the gateway encoded them.
    pub(crate) fn body(&self) -> Result<&[u8], ApiError> {
        let undecodable = ApiError::validation("body", "must be base64, as the event says");
        self.body.as_deref().ok_or(undecodable)
    }
}
