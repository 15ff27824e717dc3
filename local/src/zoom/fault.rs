//! Injected faults: what goes wrong, at which endpoint, and how often.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Map, Value};
use url::Url;

use super::ledger::GrantType;

/// A queued fault.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which calls the fault affects.
    pub endpoint: Endpoint,
    /// How many calls the fault affects.
    pub times: Times,
    /// How long the call waits before anything else happens, in real time.
    pub delay: Duration,
    /// What goes wrong.
    pub kind: FaultKind,
}

impl Fault {
    /// A fault for one call.
    pub fn once(endpoint: Endpoint, kind: FaultKind) -> Self {
        Self {
            endpoint,
            times: Times::Next(1),
            delay: Duration::ZERO,
            kind,
        }
    }

    /// A fault for all calls, until [`super::Sandbox::clear_faults`].
    pub fn always(endpoint: Endpoint, kind: FaultKind) -> Self {
        Self {
            times: Times::Always,
            ..Self::once(endpoint, kind)
        }
    }

    /// Changes the number of calls.
    #[must_use]
    pub fn times(self, calls: u32) -> Self {
        Self {
            times: Times::Next(calls),
            ..self
        }
    }

    /// Adds a delay before anything else happens.
    #[must_use]
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// Which calls a fault affects. No fault affects the consent page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Any endpoint below.
    Any,
    /// `POST /oauth/token` with any grant type.
    Token,
    /// `POST /oauth/token` with this grant type.
    Grant(GrantType),
    /// `GET /v2/users/me`.
    Profile,
    /// `GET /v2/users/me/token` and `GET /v2/users/me/zak`, and the local-recording tokens of meetings and webinars.
    Mint,
    /// `POST /oauth/revoke`.
    Revoke,
}

/// How many calls a fault affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// This many of the next calls.
    Next(u32),
    /// All calls, until the faults are cleared.
    Always,
}

/// What goes wrong.
///
/// The sandbox first executes the call, so the client may not learn that the call had an effect. The kinds that skip
/// the call say "without effect".
#[derive(Clone, Debug)]
pub enum FaultKind {
    /// Only the delay of the fault.
    Delay,
    /// The answer comes this much later.
    DelayAnswer(Duration),
    /// The connection closes without an answer, without effect.
    DropBefore,
    /// The connection closes without an answer.
    DropAfter,
    /// The connection closes after half of the body.
    Truncate,
    /// This reply, without effect.
    ReplyBefore(Reply),
    /// This reply instead of the real reply.
    ReplyAfter(Reply),
    /// Status 200 with a body that is not JSON.
    Garbage,
    /// The real answer with an additional large field `padding`.
    Huge {
        /// The size of the padding.
        megabytes: usize,
    },
    /// The real answer with an additional field `nested`: arrays inside of arrays.
    Nested {
        /// The number of nested arrays.
        depth: usize,
    },
    /// The real answer with changed fields.
    Override {
        /// Fields to add or replace.
        set: Map<String, Value>,
        /// Fields to remove.
        remove: Vec<String>,
    },
    /// Status 302 to this URL, without effect.
    Redirect(Url),
}

/// An injected reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The header `Retry-After`. Zoom sends seconds, an HTTP date or an ISO 8601 timestamp.
    pub retry_after: Option<String>,
    /// The body. `None` means a JSON error in Zoom's format.
    pub body: Option<String>,
}

impl Reply {
    /// A reply with this status, without `Retry-After` and a special body.
    pub fn status(status: StatusCode) -> Self {
        Self {
            status,
            retry_after: None,
            body: None,
        }
    }
}

/// The endpoint of a call.
#[derive(Clone, Copy)]
pub(super) enum CalledEndpoint {
    Token(Option<GrantType>),
    Profile,
    Mint,
    Revoke,
}

impl CalledEndpoint {
    /// `None` for the consent page and for unknown paths.
    pub(super) fn of(method: &str, path: &str, grant_type: Option<GrantType>) -> Option<Self> {
        let segments: Vec<_> = path.split('/').skip(1).collect();
        match (method, segments.as_slice()) {
            ("POST", ["oauth", "token"]) => Some(Self::Token(grant_type)),
            ("POST", ["oauth", "revoke"]) => Some(Self::Revoke),
            ("GET", ["v2", "users", _]) => Some(Self::Profile),
            (
                "GET",
                ["v2", "users", _, "token" | "zak"]
                | [
                    "v2",
                    "meetings" | "webinars",
                    _,
                    "jointoken",
                    "local_recording",
                ],
            ) => Some(Self::Mint),
            _ => None,
        }
    }

    fn matches(self, endpoint: Endpoint) -> bool {
        match endpoint {
            Endpoint::Any => true,
            Endpoint::Token => matches!(self, Self::Token(_)),
            Endpoint::Grant(wanted) => matches!(self, Self::Token(Some(given)) if given == wanted),
            Endpoint::Profile => matches!(self, Self::Profile),
            Endpoint::Mint => matches!(self, Self::Mint),
            Endpoint::Revoke => matches!(self, Self::Revoke),
        }
    }
}

/// The queued faults, the oldest first.
#[derive(Default)]
pub(super) struct FaultQueue(Vec<Fault>);

impl FaultQueue {
    pub(super) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Finds the first fault for this call, and counts the call.
    pub(super) fn take(&mut self, target: CalledEndpoint) -> Option<Fault> {
        self.0.retain(|fault| fault.times != Times::Next(0));
        let fault = self
            .0
            .iter_mut()
            .find(|fault| target.matches(fault.endpoint))?;
        if let Times::Next(left) = &mut fault.times {
            *left -= 1;
        }
        Some(fault.clone())
    }
}
