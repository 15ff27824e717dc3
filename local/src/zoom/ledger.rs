//! The ledger: a record of the calls to Zoom's endpoints, for tests. Holds no secret.

use std::collections::VecDeque;

use serde::Serialize;

use super::form::Form;

const MAX_CALLS: usize = 100_000;
const MAX_PATH_CHARS: usize = 200;
/// The query parameters whose values are recorded. Any other value may be a secret in the wrong place.
const RECORDED_PARAMETERS: [&str; 8] = [
    "type",
    "meeting_id",
    "ttl",
    "bypass_waiting_room",
    "response_type",
    "client_id",
    "redirect_uri",
    "code_challenge_method",
];

/// The grant types of the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// Exchanges an authorization code.
    AuthorizationCode,
    /// Refreshes a grant.
    RefreshToken,
    /// Checks a client id and client secret.
    ClientCredentials,
    /// Requests an access token of an account-level app.
    AccountCredentials,
}

impl GrantType {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "authorization_code" => Some(Self::AuthorizationCode),
            "refresh_token" => Some(Self::RefreshToken),
            "client_credentials" => Some(Self::ClientCredentials),
            "account_credentials" => Some(Self::AccountCredentials),
            _ => None,
        }
    }

    pub(super) fn of(form: &Form) -> Option<Self> {
        form.get("grant_type").and_then(Self::named)
    }
}

/// A call to one of Zoom's endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ZoomCall {
    /// The HTTP method.
    pub method: String,
    /// The first 200 characters of the path.
    pub path: String,
    /// The decoded query. A value that could be a secret is replaced by `…`.
    pub query: Vec<(String, String)>,
    /// The grant type, for a call of the token endpoint with a known grant type.
    pub grant_type: Option<GrantType>,
    /// The status of the answer. `None` if there is no answer yet, or if a fault closed the connection.
    pub status: Option<u16>,
    /// Whether an injected fault affected the call.
    pub faulted: bool,
    /// The header `x-zm-trackingid` of the answer.
    pub tracking_id: String,
    /// When the call arrived. The clock ticks at each arrival and each end of a call.
    pub began: u64,
    /// When the call ended, on the same clock. Two calls overlapped if each began before the other ended.
    pub ended: Option<u64>,
}

/// The last calls, in the order of arrival.
#[derive(Default)]
pub(super) struct Ledger {
    calls: VecDeque<ZoomCall>,
    /// How many older calls were removed.
    removed: usize,
    ticks: u64,
}

/// Identifies a running call.
#[derive(Clone, Copy)]
pub(super) struct CallId(usize);

/// The details of a call at its arrival.
pub(super) struct Arrival<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) grant_type: Option<GrantType>,
    pub(super) tracking_id: String,
}

impl Ledger {
    pub(super) fn begin(&mut self, arrival: Arrival) -> CallId {
        if self.calls.len() == MAX_CALLS {
            self.calls.pop_front();
            self.removed += 1;
        }
        self.ticks += 1;
        self.calls.push_back(ZoomCall {
            method: arrival.method.to_owned(),
            path: arrival.path.chars().take(MAX_PATH_CHARS).collect(),
            query: recorded_query(arrival.query),
            grant_type: arrival.grant_type,
            status: None,
            faulted: false,
            tracking_id: arrival.tracking_id,
            began: self.ticks,
            ended: None,
        });
        CallId(self.removed + self.calls.len() - 1)
    }

    pub(super) fn end(&mut self, id: CallId, status: Option<u16>, faulted: bool) {
        self.ticks += 1;
        let call =
            id.0.checked_sub(self.removed)
                .and_then(|index| self.calls.get_mut(index));
        if let Some(call) = call {
            call.status = status;
            call.faulted = faulted;
            call.ended = Some(self.ticks);
        }
    }

    pub(super) fn calls(&self) -> Vec<ZoomCall> {
        self.calls.iter().cloned().collect()
    }
}

fn recorded_query(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| {
            let value = if RECORDED_PARAMETERS.contains(&name.as_ref()) {
                value.into_owned()
            } else {
                "…".to_owned()
            };
            (name.into_owned(), value)
        })
        .collect()
}
