//! A request, as handlers read it: path parameters, query, headers and body.
//!
//! API Gateway's event is parsed into our own type. `lambda_http`'s type rejects the whole event for one header that is
//! not ASCII, and panics if Host and X-Forwarded-Proto make no URL. With our type, nothing that a client sends can fail
//! before a handler runs. The header Host is not read, because a client can forge it. The gateway names the domain.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::Deserialize;
use shared::api_key::KeyId;
use shared::brand::Brand;
use shared::config::Url;
use shared::connect::{ConnectFailure, LinkToken, SessionId};
use shared::credential::{ClientId, CredentialId, TeamId};
use shared::error::{Error, Missing};
use shared::event::{Actor, Change};
use shared::invocation::Invocation;
use shared::meter::Meter;
use shared::stores::{Admission, Events, Write};
use shared::timestamp::Timestamp;
use shared::token_url::{UrlId, UrlToken};
use shared::vendor::Vendor;

use crate::http::error::{ApiError, ConnectRefusal};
use crate::http::schema::ClientIdInPath;

/// API Gateway's REST proxy event (payload version 1). Only the fields that the vault reads.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// The path of the matched route, with names in place of its parameters.
    resource: Option<String>,
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

/// What a handler finds out about a request. The runtime needs it for the answer's headers and for the log line, also
/// if the handler fails.
#[derive(Debug, Default)]
pub(crate) struct RequestRecord {
    /// The team, once the caller has proved to act for it.
    pub(crate) team: OnceLock<TeamId>,
    /// The caller's key.
    pub(crate) key: OnceLock<KeyId>,
    /// The credential that the request is about.
    pub(crate) credential: OnceLock<CredentialId>,
    /// The team's rate limit, once the request is counted.
    pub(crate) admission: OnceLock<Admission>,
    /// Set if an earlier request made what this answer shows.
    pub(crate) is_replay: OnceLock<()>,
    /// The format of an error. JSON if none is set.
    pub(crate) error_format: OnceLock<ErrorFormat>,
    /// Why the user of a connect session is not connected.
    pub(crate) failed_connect: OnceLock<FailedConnect>,
    /// The network calls of the request.
    pub(crate) meter: Arc<Meter>,
}

/// The format of an error, for callers that do not read JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorFormat {
    /// Plain text, for a program.
    PlainText,
    /// An HTML page, for a person.
    Page,
}

/// Why the user of a connect session is not connected, and where the browser goes next.
#[derive(Debug)]
pub(crate) struct FailedConnect {
    /// The team's name for people, or else its id.
    pub(crate) team: String,
    pub(crate) brand: Brand,
    /// The token of the session's link, if this browser has opened the link.
    pub(crate) link: Option<SecretString>,
    pub(crate) failure: ConnectFailure,
    /// The team's return URL with the outcome in its query. `None` if the vault shows a page.
    pub(crate) return_url: Option<String>,
    /// Until when the user can open the link again.
    pub(crate) link_works_until: Timestamp,
}

/// A request.
pub struct Request {
    event: Event,
    body: Option<Vec<u8>>,
    invocation: Arc<Invocation>,
    record: Arc<RequestRecord>,
}

/// Shows the id only, because headers and body hold secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl Request {
    /// Reads an event of API Gateway. `invocation_id` names the request if the gateway's own id is missing.
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
            record: Arc::default(),
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

    /// The invocation that handles the request.
    pub(crate) fn invocation(&self) -> &Arc<Invocation> {
        &self.invocation
    }

    /// What the handler has found out so far.
    pub(crate) fn record(&self) -> &Arc<RequestRecord> {
        &self.record
    }

    /// Notes the team for the log line. The caller has proved to act for it.
    pub(crate) fn note_team(&self, team: &TeamId) {
        self.record.team.get_or_init(|| team.clone());
    }

    /// Notes a known key and its team, for the log line and for the events.
    pub(crate) fn note_key(&self, team: &TeamId, key: &KeyId) {
        self.note_team(team);
        self.record.key.get_or_init(|| key.clone());
        self.invocation.act_as(Actor::Key(key.clone()));
    }

    /// The write of the event of a change that this request makes. It belongs to the transaction that makes the change.
    /// `credential` is the credential that the change is about, if there is one.
    pub(crate) fn change(
        &self,
        events: &Events,
        team: &TeamId,
        credential: Option<CredentialId>,
        change: Change,
    ) -> Result<Write, Error> {
        let event = self.invocation.event(change.into());
        Ok(events.write(team, credential, &event)?)
    }

    /// Records a change of the team right after it was made. For changes of sealed rows that a function's role allows
    /// only as single calls: AWS does not limit the rows of a transaction.
    pub(crate) async fn record_change(
        &self,
        events: &Events,
        team: &TeamId,
        change: Change,
    ) -> Result<(), Error> {
        let event = self.invocation.event(change.into());
        Ok(events.record(team, None, &event).await?)
    }

    /// Notes the credential for the log line.
    pub(crate) fn note_credential(&self, id: CredentialId) {
        self.record.credential.get_or_init(|| id);
    }

    /// Notes that the answer shows what an earlier, equal request made.
    pub(crate) fn note_replay(&self) {
        self.record.is_replay.get_or_init(|| ());
    }

    /// Sets the format of an error.
    pub(crate) fn answer_errors_as(&self, format: ErrorFormat) {
        self.record.error_format.get_or_init(|| format);
    }

    /// The value of a header. `name` is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.event.headers.as_ref()?;
        headers
            .iter()
            .find(|(sent, _)| sent.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// As [`Self::header`], but `None` if the header came more than once: nothing says which value counts.
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

    /// The first value of a query parameter. An empty value counts as missing.
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

    /// The HTTP method in capitals. Empty if the event names none.
    pub(crate) fn method(&self) -> &str {
        self.event.http_method.as_deref().unwrap_or_default()
    }

    /// Whether the gateway matched this path of a route. A function may have several routes.
    pub(crate) fn is_of(&self, path: &str) -> bool {
        self.event.resource.as_deref() == Some(path)
    }

    /// The base URL at which the caller reached the API: the gateway's domain, and the part of the path before `route`.
    /// That part is the stage of an `execute-api` domain, or the base path of a custom domain.
    fn origin(&self, route: &str) -> Option<String> {
        let context = self.event.request_context.as_ref()?;
        let domain = context.domain_name.as_ref()?;
        let (before, _) = context.path.as_ref()?.rsplit_once(route)?;
        Some(format!("https://{domain}{before}"))
    }

    /// The API's base URL: the configured one, or else the URL at which the caller reached the API. The request's path
    /// contains `route`.
    pub(crate) fn base(&self, public: Option<&Url>, route: &str) -> Result<String, ApiError> {
        let base = match public {
            Some(url) => Some(url.as_str().trim_end_matches('/').to_owned()),
            None => self.origin(route),
        };
        base.ok_or_else(|| {
            ApiError::internal("the event does not name the API's domain: set PUBLIC_BASE_URL")
        })
    }

    /// The value of a cookie. `None` if the cookie came more than once.
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

    /// The `{id}` of a credential in the path. An id that is no UUID is a 400, not a 404.
    pub(crate) fn credential_id(&self) -> Result<CredentialId, ApiError> {
        let id = self.parameter("id").parse();
        let id = id.map_err(|rule| ApiError::Validation {
            at: "params/id",
            rule,
        })?;
        self.note_credential(id);
        Ok(id)
    }

    /// Whether the path has an `{id}`. A function may have routes with and without one.
    pub(crate) fn names_credential(&self) -> bool {
        !self.parameter("id").is_empty()
    }

    /// The `{url_id}` in the path. An id that is no UUID is a 400, not a 404.
    pub(crate) fn url_id(&self) -> Result<UrlId, ApiError> {
        let id = self.parameter("url_id").parse();
        id.map_err(|rule| ApiError::Validation {
            at: "params/url_id",
            rule,
        })
    }

    /// The `{file}` of the console in the path. `None` on the path of the page.
    pub(crate) fn file(&self) -> Option<&str> {
        Some(self.parameter("file")).filter(|name| !name.is_empty())
    }

    /// The `{client_id}` in the path. It has only characters that need no escape in a path.
    pub(crate) fn client_id(&self) -> Result<ClientId, ApiError> {
        let id = ClientIdInPath::try_from(self.parameter("client_id"));
        id.map(|id| id.0).map_err(|rule| ApiError::Validation {
            at: "params/client_id",
            rule,
        })
    }

    /// The `{vendor}` in the path.
    pub(crate) fn vendor(&self) -> Result<Vendor, ApiError> {
        let vendor = self.parameter("vendor").parse();
        vendor.map_err(|rule| ApiError::Validation {
            at: "params/vendor",
            rule,
        })
    }

    /// The `{token}` of a token URL, which is a secret. A malformed token is refused before anything is read.
    pub(crate) fn url_token(&self) -> Result<UrlToken, ApiError> {
        UrlToken::parse(self.parameter("token"))
            .map_err(|_| Error::NotFound(Missing::TokenUrl).into())
    }

    /// The `{id}` of a connect session in the path. An id that is no UUID is a 400, not a 404.
    pub(crate) fn session_id(&self) -> Result<SessionId, ApiError> {
        let id = self.parameter("id").parse();
        id.map_err(|rule| ApiError::Validation {
            at: "params/id",
            rule,
        })
    }

    /// The `{token}` of a connect URL, which is a secret. A malformed token is refused before anything is read.
    pub(crate) fn link_token(&self) -> Result<LinkToken, ApiError> {
        let token = LinkToken::parse(self.parameter("token"));
        token.map_err(|_| ApiError::Connect(ConnectRefusal::UnknownLink))
    }

    /// The body's bytes, decoded if the gateway encoded them.
    pub(crate) fn body(&self) -> Result<&[u8], ApiError> {
        let undecodable = ApiError::validation("body", "must be valid base64");
        self.body.as_deref().ok_or(undecodable)
    }
}
