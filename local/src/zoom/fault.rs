//! Faults that tests order: what goes wrong, at which endpoint, how often.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Map, Value};
use url::Url;

use super::ledger::GrantType;

/// A fault waiting for its calls.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which calls it meets.
    pub endpoint: Endpoint,
    /// How many of them.
    pub times: Times,
    /// How long the call is held before anything happens, in real time.
    pub delay: Duration,
    /// What goes wrong.
    pub kind: Kind,
}

impl Fault {
    /// A fault that meets one call.
    pub fn once(endpoint: Endpoint, kind: Kind) -> Self {
        Self {
            endpoint,
            times: Times::Next(1),
            delay: Duration::ZERO,
            kind,
        }
    }

    /// A fault that meets every call until it is cleared.
    pub fn always(endpoint: Endpoint, kind: Kind) -> Self {
        Self {
            times: Times::Always,
            ..Self::once(endpoint, kind)
        }
    }

    /// The same for this many calls.
    #[must_use]
    pub fn times(self, calls: u32) -> Self {
        Self {
            times: Times::Next(calls),
            ..self
        }
    }

    /// The same after a delay.
    #[must_use]
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// Which calls a fault meets. None of them is the consent page: people do not retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Any of the below.
    Any,
    /// `POST /oauth/token`, whatever the grant type.
    Token,
    /// `POST /oauth/token` with this grant type.
    Grant(GrantType),
    /// `GET /v2/users/me`.
    Profile,
    /// `GET /v2/users/me/token` and the local-recording token.
    Mint,
    /// `POST /oauth/revoke`.
    Revoke,
}

/// How many calls a fault meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// The next so many.
    Next(u32),
    /// All, until the faults are cleared.
    Always,
}

/// What goes wrong. Where nothing else is said, the effect takes place first: Zoom did it, the client does not learn it.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing but the fault's delay.
    Delay,
    /// The effect takes place at once, its answer comes later.
    DelayAnswer(Duration),
    /// The connection closes without an answer, and without effect.
    DropBefore,
    /// The connection closes without an answer, after the effect.
    DropAfter,
    /// The connection closes after half of the body.
    Truncate,
    /// This reply, without effect.
    ReplyBefore(Reply),
    /// This reply in place of the real one.
    ReplyAfter(Reply),
    /// 200 with a body that is not JSON.
    Garbage,
    /// The real answer with a field `padding` of this many megabytes.
    Huge {
        /// Size of the padding.
        megabytes: usize,
    },
    /// The real answer with a field `nested` of this many arrays in each other.
    Nested {
        /// Number of arrays.
        depth: usize,
    },
    /// The real answer with other fields.
    Override {
        /// Fields to add or replace.
        set: Map<String, Value>,
        /// Fields to leave out.
        remove: Vec<String>,
    },
    /// 302 to this URL, without effect.
    Redirect(Url),
}

/// A reply that no endpoint would give by itself.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// `Retry-After`: Zoom sends seconds, an HTTP date or an ISO 8601 instant.
    pub retry_after: Option<String>,
    /// None: a JSON error in Zoom's manner.
    pub body: Option<String>,
}

impl Reply {
    /// A reply with this status and no more.
    pub fn status(status: StatusCode) -> Self {
        Self {
            status,
            retry_after: None,
            body: None,
        }
    }
}

/// Which endpoint a call is for, as far as faults are concerned.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Token(Option<GrantType>),
    Profile,
    Mint,
    Revoke,
}

impl Target {
    /// None for the consent page and for what does not exist.
    pub(super) fn of(method: &str, path: &str, grant_type: Option<GrantType>) -> Option<Self> {
        let segments: Vec<_> = path.split('/').skip(1).collect();
        match (method, segments.as_slice()) {
            ("POST", ["oauth", "token"]) => Some(Self::Token(grant_type)),
            ("POST", ["oauth", "revoke"]) => Some(Self::Revoke),
            ("GET", ["v2", "users", _]) => Some(Self::Profile),
            (
                "GET",
                ["v2", "users", _, "token"] | ["v2", "meetings", _, "jointoken", "local_recording"],
            ) => Some(Self::Mint),
            _ => None,
        }
    }

    fn is_met_by(self, endpoint: Endpoint) -> bool {
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

/// The faults that wait, first come first served.
#[derive(Default)]
pub(super) struct Queue(Vec<Fault>);

impl Queue {
    pub(super) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes the first fault that meets this call.
    pub(super) fn take(&mut self, target: Target) -> Option<Fault> {
        self.0.retain(|fault| fault.times != Times::Next(0));
        let fault = self
            .0
            .iter_mut()
            .find(|fault| target.is_met_by(fault.endpoint))?;
        if let Times::Next(left) = &mut fault.times {
            *left -= 1;
        }
        Some(fault.clone())
    }
}
