//! The errors of a call to Zoom. The file `refusal` decides which error an answer becomes.

use std::time::Duration;

/// The error of a connection.
pub(super) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a call to Zoom failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Zoom refused the app: its id, its secret or its settings. The operator must correct the app.
    #[error("Zoom refused the app: {reason}")]
    AppRefused {
        /// Zoom's reason.
        reason: String,
    },
    /// Zoom refused the code or the token. The user must authorize again.
    #[error("Zoom refused the grant: {reason}")]
    GrantRefused {
        /// Zoom's reason.
        reason: String,
    },
    /// Zoom refused the access token. The grant may still be good, so a refresh can help.
    #[error("Zoom refused the access token: {reason}{}", tracking_suffix(.tracking_id.as_ref()))]
    AccessTokenRefused {
        /// Zoom's reason.
        reason: String,
        /// Zoom's id of the call, for Zoom's support.
        tracking_id: Option<String>,
    },
    /// The Zoom user was deleted or deactivated.
    #[error("Zoom does not know the user: {reason}")]
    UserNotFound {
        /// Zoom's reason.
        reason: String,
    },
    /// Zoom refused the request for good: a parameter, a setting of the host, or a right of the account. The grant is
    /// good.
    #[error("Zoom refused the request: {reason}")]
    RequestRefused {
        /// Zoom's reason.
        reason: String,
        /// Who must act.
        actor: Actor,
    },
    /// The app or the user's consent lacks a scope. The grant is good.
    #[error("the Zoom app or the user's consent lacks the scope {scope}")]
    MissingScope {
        /// The scope, or several scopes separated by commas.
        scope: String,
    },
    /// Zoom's rate limit is reached.
    #[error("Zoom's rate limit is reached")]
    RateLimited {
        /// How long Zoom asks to wait.
        retry_after: Option<Duration>,
        /// Zoom's error code, if the answer has one.
        code: Option<i64>,
        /// Zoom's id of the call, for Zoom's support.
        tracking_id: Option<String>,
    },
    /// No connection was made. Zoom did not receive the request.
    #[error("Zoom cannot be reached")]
    Unreachable(#[source] Source),
    /// The connection broke, Zoom failed, or the answer is unusable. Zoom may have acted on the request.
    #[error("Zoom failed{}", tracking_suffix(.tracking_id.as_ref()))]
    Failed {
        /// What went wrong.
        #[source]
        source: Fault,
        /// Zoom's id of the call, for Zoom's support.
        tracking_id: Option<String>,
    },
    /// Zoom did not answer before the time-out. Zoom may have acted on the request.
    #[error("Zoom did not answer in time")]
    Timeout,
}

impl Error {
    /// Zoom's reason and Zoom's id of the call, for Zoom's support.
    pub fn details(&self) -> Option<String> {
        let with_code = |code: &Option<i64>| code.map(|code| format!("code {code}"));
        let (reason, tracking_id) = match self {
            Self::RateLimited {
                code, tracking_id, ..
            } => (with_code(code), tracking_id),
            Self::Failed {
                source,
                tracking_id,
            } => match source {
                Fault::Refused(reason) => (Some(reason.clone()), tracking_id),
                Fault::Status { code, .. } => (with_code(code), tracking_id),
                Fault::NoRefreshToken => (Some(source.to_string()), tracking_id),
                Fault::ConnectionBroken(_) | Fault::AnswerTooLong | Fault::MalformedAnswer => {
                    (None, tracking_id)
                }
            },
            Self::AccessTokenRefused {
                reason,
                tracking_id,
            } => (Some(reason.clone()), tracking_id),
            Self::AppRefused { .. }
            | Self::GrantRefused { .. }
            | Self::UserNotFound { .. }
            | Self::RequestRefused { .. }
            | Self::MissingScope { .. }
            | Self::Unreachable(_)
            | Self::Timeout => return None,
        };
        match (reason, tracking_id.clone()) {
            (Some(reason), Some(id)) => Some(format!("{reason} (tracking id {id})")),
            (reason, id) => reason.or(id),
        }
    }

    /// The error and what went wrong, as a text for people.
    pub fn summary(&self) -> String {
        if let Self::Failed { source, .. } = self {
            format!("{self}: {source}")
        } else {
            self.to_string()
        }
    }

    /// After a check of an app: whether Zoom refused the way to ask, and said nothing about the app.
    pub fn is_no_verdict(&self) -> bool {
        matches!(
            self,
            Self::Failed {
                source: Fault::Refused(_),
                ..
            }
        )
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn may_pass_soon(&self) -> bool {
        match self {
            Self::AccessTokenRefused { .. }
            | Self::UserNotFound { .. }
            | Self::Unreachable(_)
            | Self::Failed { .. } => true,
            Self::AppRefused { .. }
            | Self::GrantRefused { .. }
            | Self::RequestRefused { .. }
            | Self::MissingScope { .. }
            | Self::RateLimited { .. }
            | Self::Timeout => false,
        }
    }

    /// Whether the connection broke after the request was sent, or while it was sent.
    pub(super) fn is_broken_connection(&self) -> bool {
        matches!(
            self,
            Self::Failed {
                source: Fault::ConnectionBroken(_),
                ..
            }
        )
    }

    /// Whether Zoom certainly did not act. A code or refresh token that was sent can then be sent again.
    pub fn leaves_token_unspent(&self) -> bool {
        match self {
            Self::AppRefused { .. } | Self::RateLimited { .. } | Self::Unreachable(_) => true,
            Self::GrantRefused { .. }
            | Self::AccessTokenRefused { .. }
            | Self::UserNotFound { .. }
            | Self::RequestRefused { .. }
            | Self::MissingScope { .. }
            | Self::Failed { .. }
            | Self::Timeout => false,
        }
    }
}

/// Who must act after Zoom refused a request for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The caller: the meeting or the lifetime is wrong.
    Caller,
    /// The host of the meeting: a Zoom setting forbids the request.
    Host,
    /// An admin of the Zoom account: the account or the user lacks a right.
    AccountAdmin,
}

impl Actor {
    /// The word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Host => "host",
            Self::AccountAdmin => "account_admin",
        }
    }
}

/// What went wrong in a call that Zoom may have acted on.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The connection broke.
    #[error("the connection broke")]
    ConnectionBroken(#[source] Source),
    /// A status that says nothing about the request.
    #[error("status {status}{}", code.map_or_else(String::new, |code| format!(", code {code}")))]
    Status {
        /// The HTTP status.
        status: u16,
        /// Zoom's error code, if the answer has one.
        code: Option<i64>,
    },
    /// A refusal that blames neither the app nor the grant.
    #[error("refused: {0}")]
    Refused(String),
    /// Zoom accepted the code, but sent no refresh token. The code is spent.
    #[error("the answer has no refresh token")]
    NoRefreshToken,
    /// The answer is longer than any answer of Zoom should be.
    #[error("the answer is too long")]
    AnswerTooLong,
    /// The answer is not the expected JSON.
    #[error("the answer is malformed")]
    MalformedAnswer,
}

fn tracking_suffix(id: Option<&String>) -> String {
    id.map_or_else(String::new, |id| format!(" (tracking id {id})"))
}
