//! What Zoom's endpoints were asked, for tests that count calls. Holds no secret.

use std::collections::VecDeque;

use serde::Serialize;

use super::form::Form;

const CAPACITY: usize = 100_000;
const LONGEST_PATH: usize = 200;
/// Query parameters whose values are shown. Whatever else a client puts there may be a secret in the wrong place.
const HARMLESS: [&str; 8] = [
    "type",
    "meeting_id",
    "ttl",
    "bypass_waiting_room",
    "response_type",
    "client_id",
    "redirect_uri",
    "code_challenge_method",
];

/// The grant types that the token endpoint knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// Exchange of a code.
    AuthorizationCode,
    /// Refresh.
    RefreshToken,
    /// Check of a client pair.
    ClientCredentials,
}

impl GrantType {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "authorization_code" => Some(Self::AuthorizationCode),
            "refresh_token" => Some(Self::RefreshToken),
            "client_credentials" => Some(Self::ClientCredentials),
            _ => None,
        }
    }

    pub(super) fn of(form: &Form) -> Option<Self> {
        form.get("grant_type").and_then(Self::named)
    }
}

/// One call to one of Zoom's endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// HTTP method.
    pub method: String,
    /// Path, cut at 200 characters.
    pub path: String,
    /// Decoded query; values that could be secrets read `…`.
    pub query: Vec<(String, String)>,
    /// At the token endpoint, if it is a known one.
    pub grant_type: Option<GrantType>,
    /// The status that was sent. None: not answered yet, or the connection was dropped on purpose.
    pub status: Option<u16>,
    /// Whether it met an injected fault.
    pub faulted: bool,
    /// The `x-zm-trackingid` of the answer.
    pub tracking_id: String,
    /// When it arrived, on a clock that ticks at every arrival and every end of a call.
    pub began: u64,
    /// When it was over, on the same clock: two calls overlapped if each began before the other ended.
    pub ended: Option<u64>,
}

/// The last calls, in order of arrival.
#[derive(Default)]
pub(super) struct Ledger {
    calls: VecDeque<Call>,
    forgotten: usize,
    ticks: u64,
}

/// Names a call until it is over.
#[derive(Clone, Copy)]
pub(super) struct Entry(usize);

/// What is known of a call when it arrives.
pub(super) struct Arrival<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) grant_type: Option<GrantType>,
    pub(super) tracking_id: String,
}

impl Ledger {
    pub(super) fn begin(&mut self, arrival: Arrival) -> Entry {
        if self.calls.len() == CAPACITY {
            self.calls.pop_front();
            self.forgotten += 1;
        }
        self.ticks += 1;
        self.calls.push_back(Call {
            method: arrival.method.to_owned(),
            path: arrival.path.chars().take(LONGEST_PATH).collect(),
            query: shown(arrival.query),
            grant_type: arrival.grant_type,
            status: None,
            faulted: false,
            tracking_id: arrival.tracking_id,
            began: self.ticks,
            ended: None,
        });
        Entry(self.forgotten + self.calls.len() - 1)
    }

    pub(super) fn end(&mut self, entry: Entry, status: Option<u16>, faulted: bool) {
        self.ticks += 1;
        let call = entry
            .0
            .checked_sub(self.forgotten)
            .and_then(|index| self.calls.get_mut(index));
        if let Some(call) = call {
            call.status = status;
            call.faulted = faulted;
            call.ended = Some(self.ticks);
        }
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.iter().cloned().collect()
    }
}

fn shown(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| {
            let value = if HARMLESS.contains(&name.as_ref()) {
                value.into_owned()
            } else {
                "…".to_owned()
            };
            (name.into_owned(), value)
        })
        .collect()
}
