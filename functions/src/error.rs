//! Every failure a caller can see: its status, code and words.
//!
//! The modules below know no HTTP; here their errors are sorted by who must act. What a variant renders is
//! public. What it holds as a source is logged once, with the request, and never rendered.

use std::error::Error as StdError;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use shared::cause::chain;
use shared::connect::Failure;
use shared::credential::{Invalid, Reconnect};
use shared::stores::{self, Admission};
use shared::{envelope, secret, zoom};
use utoipa::ToSchema;

use crate::openapi::only;

type Source = Box<dyn StdError + Send + Sync>;

/// Why a request was not granted.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A part of the request breaks a rule. Never holds the value.
    #[error("{at} {rule}")]
    Validation {
        /// Which part: `body/name`, `querystring/limit`, `params/id`.
        at: &'static str,
        /// Which rule.
        rule: Invalid,
    },
    /// A part of the request is no whole number, or not one that fits.
    #[error("{at} must be an integer from {} to {}", .range.start(), .range.end())]
    Integer {
        /// Which part: `body/ttl`.
        at: &'static str,
        /// What fits.
        range: RangeInclusive<u32>,
    },
    /// The body is no JSON.
    #[error("body must be valid JSON (line {line}, column {column})")]
    Syntax {
        /// Where it stops being JSON.
        line: usize,
        /// Where it stops being JSON.
        column: usize,
    },
    /// An unpaginated list would not fit into an answer.
    #[error("The list is larger than 5 MB: ask for pages with limit and cursor")]
    ListTooLarge,
    /// Zoom refused the authorization code.
    #[error(
        "Zoom refused the authorization code: {reason}. Check client_id, client_secret and redirect_uri. A code works \
         once, for 5 minutes, with the app and the redirect URI it was issued for: if it was used before, send the \
         user through the authorization again."
    )]
    CodeExchange {
        /// Zoom's own reason.
        reason: String,
        /// Whom Zoom blames for it.
        blamed: Blamed,
    },
    /// The user must authorize again.
    #[error(
        "The user must authorize the Zoom app again ({}): reconnect the credential with a new authorization code",
        .reason.as_str()
    )]
    ReconnectRequired {
        /// Why.
        reason: Reconnect,
    },
    /// The operator must mend the Zoom app. The grant is untouched.
    #[error(
        "Zoom refused the app: {reason}. Check the app in Zoom's marketplace and this credential's client_id and \
         client_secret; the user need not authorize again."
    )]
    AppMisconfigured {
        /// Zoom's reason.
        reason: String,
    },
    /// The app or the user's consent lacks a scope. The grant is good.
    #[error(
        "The Zoom app or the user's consent lacks the scope {scope}: add it to the app, then let the user authorize \
         again"
    )]
    MissingScope {
        /// Which.
        scope: String,
    },
    /// Zoom refused the meeting or the lifetime that was asked for.
    #[error("Zoom refused the request: {reason}. Check meeting_id and ttl.")]
    ZoomRefused {
        /// Zoom's reason.
        reason: String,
    },
    /// An app credential was asked for a user's token.
    #[error(
        "The credential is the app's alone and has no Zoom user: authorize it with an authorization_code first"
    )]
    NotAUserCredential,
    /// The key is missing, malformed, unknown or revoked: nobody learns which.
    #[error("Invalid or missing API key: send it in the header x-meeting-baas-api-key")]
    Unauthorized,
    /// The key is good, but not for this.
    #[error("The API key's permission does not cover this operation")]
    Forbidden,
    /// No route.
    #[error("Route not found")]
    NoRoute,
    /// The function did not answer in time.
    #[error("The request took too long. It may have been carried out: look before you repeat it")]
    FunctionTimeout,
    /// Absent, deleted, or another team's: nobody learns which.
    #[error("Zoom credential not found")]
    CredentialNotFound,
    /// Unknown, revoked, expired, used up, or its credential is gone: nobody learns which.
    #[error("Token URL not found: it is unknown, revoked, expired or used up")]
    TokenUrlNotFound,
    /// No such Zoom app, or another team's: nobody learns which.
    #[error("Zoom app not found: register it with PUT first")]
    ZoomAppNotFound,
    /// What came is not signed as Zoom signs for an app that is known here: nobody learns why.
    #[error("The request is not signed by Zoom for an app that is registered here")]
    WebhookRefused {
        /// Why, for the log.
        why: &'static str,
    },
    /// The token URL is for one meeting, and another was named.
    #[error("The token URL is for another meeting")]
    AnotherMeeting,
    /// No such connect session, or another team's: nobody learns which.
    #[error("Connect session not found")]
    ConnectSessionNotFound,
    /// A browser came that is not let through. Only pages say so.
    #[error("{0}")]
    ConnectRefused(Refused),
    /// A token URL was called by another method.
    #[error("Method not allowed: use GET or POST")]
    MethodNotAllowed,
    /// A concurrent change won.
    #[error("The credential was changed at the same time: read it and try again")]
    Conflict,
    /// The same request, or another authorization of the same credential, is still running.
    #[error("The same request is still being processed: try again after retry-after")]
    Running {
        /// When to ask again.
        wait: Duration,
    },
    /// The idempotency key was used for something else.
    #[error("The Idempotency-Key was used before with another request body: use a new key")]
    IdempotencyKeyReused,
    /// More than 256 KB of body.
    #[error("Request body is too large: at most 262144 bytes")]
    BodyTooLarge,
    /// Not `application/json`.
    #[error("Unsupported media type: send application/json")]
    MediaType,
    /// The team made more calls than it may.
    #[error("Rate limit exceeded: try again after retry-after")]
    RateLimited(Admission),
    /// Zoom failed. It may have acted.
    #[error("Zoom failed. It is safe to retry{}", .spent.hint())]
    ZoomUnavailable {
        /// What went wrong.
        source: zoom::Error,
        /// What it may have cost.
        spent: Spent,
    },
    /// Zoom did not answer in time. It may have acted.
    #[error("Zoom did not answer in time. It is safe to retry{}", .spent.hint())]
    ZoomTimeout {
        /// What went wrong.
        source: zoom::Error,
        /// What it may have cost.
        spent: Spent,
    },
    /// Something we need is down or throttling, or Zoom is limiting us.
    #[error("Temporarily unavailable: try again after retry-after")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
        /// What is down.
        #[source]
        source: Down,
    },
    /// Ours to mend.
    #[error("Internal server error")]
    Internal(#[source] Source),
}

/// What a call to Zoom that failed may have cost.
#[derive(Clone, Copy, Debug)]
pub enum Spent {
    /// An authorization code.
    Code,
    /// Nothing that the caller would have to do anything about.
    Nothing,
}

impl Spent {
    fn hint(self) -> &'static str {
        match self {
            Self::Code => {
                "; should the authorization code have been used up by this try, the answer will say so and the user \
                 must authorize again."
            }
            Self::Nothing => ".",
        }
    }
}

/// Why a browser is not let through to Zoom, or back from it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum Refused {
    /// No such link.
    #[error("no such link")]
    UnknownLink,
    /// The session is over.
    #[error("the connect session is over")]
    Over,
    /// The session ended well before.
    #[error("the connect session ended well before")]
    Done,
    /// Somebody is just connecting.
    #[error("the code is being exchanged")]
    Busy {
        /// How long it may still take.
        wait: Duration,
    },
    /// Another site sent the form.
    #[error("another site sent the form")]
    AnotherSite,
    /// State or cookie are missing, or not those that belong together.
    #[error("state and browser do not belong together")]
    AnotherBrowser,
    /// The user came back without a code.
    #[error("the user came back without a code: {}", .0.as_str())]
    NoCode(Failure),
}

impl Refused {
    fn status(self) -> StatusCode {
        match self {
            Self::UnknownLink => StatusCode::NOT_FOUND,
            Self::Over | Self::Done => StatusCode::GONE,
            Self::Busy { .. } => StatusCode::CONFLICT,
            Self::AnotherSite | Self::AnotherBrowser => StatusCode::FORBIDDEN,
            Self::NoCode(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Whom Zoom blames for a code that it refused.
#[derive(Clone, Copy, Debug)]
pub enum Blamed {
    /// The app: its id, its secret or its settings.
    App,
    /// The code, or what the user consented to.
    Grant,
}

/// What is unavailable.
#[derive(Debug, thiserror::Error)]
pub enum Down {
    /// DynamoDB.
    #[error(transparent)]
    DynamoDb(stores::Error),
    /// KMS.
    #[error(transparent)]
    Kms(envelope::Error),
    /// Zoom, which is limiting us.
    #[error(transparent)]
    Zoom(zoom::Error),
    /// This function, about to be stopped.
    #[error("too little of the invocation is left to spend a code or refresh token in")]
    OutOfTime,
    /// DynamoDB or KMS, for longer than the caller can wait.
    #[error("DynamoDB or KMS did not answer for as long as the caller can wait")]
    Silent,
    /// The grant, which another invocation is refreshing.
    #[error("the grant is being refreshed elsewhere")]
    RefreshElsewhere,
}

/// How a service that a request needed failed it. The log line counts each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    KmsFailed,
    ZoomFailed,
    ZoomSilent,
    ZoomLimited,
    ZoomAppRefused,
    ZoomGrantRefused,
    WebhookRefused,
}

/// How long a caller should wait before it tries again what failed for no fault of its own.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

impl ApiError {
    /// A rule that one part of the request breaks.
    pub fn validation(at: &'static str, rule: &'static str) -> Self {
        Self::Validation {
            at,
            rule: Invalid(rule),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.answer().0
    }

    /// The code for programs.
    pub fn code(&self) -> &'static str {
        self.answer().1
    }

    /// What to count of it, where KMS or Zoom is why.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::CodeExchange { blamed, .. } => Some(match blamed {
                Blamed::App => Outcome::ZoomAppRefused,
                Blamed::Grant => Outcome::ZoomGrantRefused,
            }),
            Self::AppMisconfigured { .. } => Some(Outcome::ZoomAppRefused),
            Self::ReconnectRequired { .. } => Some(Outcome::ZoomGrantRefused),
            Self::ZoomUnavailable { .. } => Some(Outcome::ZoomFailed),
            Self::ZoomTimeout { .. } => Some(Outcome::ZoomSilent),
            Self::WebhookRefused { .. } => Some(Outcome::WebhookRefused),
            Self::Unavailable { source, .. } => match source {
                Down::Kms(_) => Some(Outcome::KmsFailed),
                Down::Zoom(_) => Some(Outcome::ZoomLimited),
                Down::DynamoDb(_) | Down::Silent | Down::OutOfTime | Down::RefreshElsewhere => None,
            },
            Self::Validation { .. }
            | Self::Integer { .. }
            | Self::Syntax { .. }
            | Self::ListTooLarge
            | Self::MissingScope { .. }
            | Self::ZoomRefused { .. }
            | Self::NotAUserCredential
            | Self::Unauthorized
            | Self::Forbidden
            | Self::NoRoute
            | Self::FunctionTimeout
            | Self::CredentialNotFound
            | Self::TokenUrlNotFound
            | Self::ZoomAppNotFound
            | Self::AnotherMeeting
            | Self::ConnectSessionNotFound
            | Self::ConnectRefused(_)
            | Self::MethodNotAllowed
            | Self::Conflict
            | Self::Running { .. }
            | Self::IdempotencyKeyReused
            | Self::BodyTooLarge
            | Self::MediaType
            | Self::RateLimited(_)
            | Self::Internal(_) => None,
        }
    }

    fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Validation { .. } | Self::Integer { .. } | Self::Syntax { .. } => {
                (StatusCode::BAD_REQUEST, "FST_ERR_VALIDATION")
            }
            Self::ListTooLarge => (StatusCode::BAD_REQUEST, "FST_ERR_LIST_TOO_LARGE"),
            Self::CodeExchange { .. } => {
                (StatusCode::BAD_REQUEST, "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED")
            }
            Self::ReconnectRequired { .. } => {
                (StatusCode::CONFLICT, "FST_ERR_ZOOM_RECONNECT_REQUIRED")
            }
            Self::AppMisconfigured { .. } => {
                (StatusCode::CONFLICT, "FST_ERR_ZOOM_APP_MISCONFIGURED")
            }
            Self::MissingScope { .. } => (StatusCode::BAD_REQUEST, "FST_ERR_ZOOM_MISSING_SCOPE"),
            Self::ZoomRefused { .. } => (StatusCode::BAD_REQUEST, "FST_ERR_VALIDATION"),
            Self::NotAUserCredential => (
                StatusCode::BAD_REQUEST,
                "FST_ERR_ZOOM_NOT_A_USER_CREDENTIAL",
            ),
            Self::Unauthorized | Self::WebhookRefused { .. } => {
                (StatusCode::UNAUTHORIZED, "FST_ERR_UNAUTHORIZED")
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, "FST_ERR_FORBIDDEN"),
            Self::NoRoute => (StatusCode::NOT_FOUND, "FST_ERR_NOT_FOUND"),
            Self::FunctionTimeout => (StatusCode::GATEWAY_TIMEOUT, "FST_ERR_TIMEOUT"),
            Self::CredentialNotFound => (
                StatusCode::NOT_FOUND,
                "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID",
            ),
            Self::TokenUrlNotFound => (StatusCode::NOT_FOUND, "FST_ERR_ZOOM_TOKEN_URL_NOT_FOUND"),
            Self::ZoomAppNotFound => (StatusCode::NOT_FOUND, "FST_ERR_ZOOM_APP_NOT_FOUND"),
            Self::AnotherMeeting => (StatusCode::FORBIDDEN, "FST_ERR_ZOOM_ANOTHER_MEETING"),
            Self::ConnectSessionNotFound => (
                StatusCode::NOT_FOUND,
                "FST_ERR_ZOOM_CONNECT_SESSION_NOT_FOUND",
            ),
            Self::ConnectRefused(refused) => (refused.status(), "FST_ERR_ZOOM_CONNECT_REFUSED"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "FST_ERR_METHOD_NOT_ALLOWED")
            }
            Self::Conflict | Self::Running { .. } => (StatusCode::CONFLICT, "FST_ERR_CONFLICT"),
            Self::IdempotencyKeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "FST_ERR_IDEMPOTENCY_KEY_REUSED",
            ),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "FST_ERR_CTP_BODY_TOO_LARGE"),
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "FST_ERR_CTP_INVALID_MEDIA_TYPE",
            ),
            Self::RateLimited(_) => (StatusCode::TOO_MANY_REQUESTS, "FST_ERR_TOO_MANY_REQUESTS"),
            Self::ZoomUnavailable { .. } => (StatusCode::BAD_GATEWAY, "FST_ERR_ZOOM_UNAVAILABLE"),
            Self::ZoomTimeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "FST_ERR_ZOOM_TIMEOUT"),
            Self::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "FST_ERR_UNAVAILABLE"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "FST_ERR_INTERNAL"),
        }
    }

    /// Why, for the log: what is under this error, or Zoom's reason, where the caller's mistake is not all of it.
    pub(crate) fn cause(&self) -> Option<String> {
        match (self, self.source()) {
            (Self::CodeExchange { reason, .. } | Self::AppMisconfigured { reason }, _) => {
                Some(reason.clone())
            }
            (Self::ReconnectRequired { reason }, _) => Some(reason.as_str().to_owned()),
            (Self::WebhookRefused { why }, _) => Some((*why).to_owned()),
            (Self::ConnectRefused(refused), _) => Some(refused.to_string()),
            (_, source) => source.map(chain),
        }
    }

    /// The header `retry-after`, in whole seconds, where waiting helps.
    pub fn retry_after(&self) -> Option<u64> {
        let wait = match self {
            Self::Running { wait } | Self::ConnectRefused(Refused::Busy { wait }) => *wait,
            Self::RateLimited(admission) => Duration::from_secs(admission.reset),
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::ZoomUnavailable { .. } | Self::ZoomTimeout { .. } => RETRY_AFTER,
            Self::Validation { .. }
            | Self::Integer { .. }
            | Self::Syntax { .. }
            | Self::ListTooLarge
            | Self::CodeExchange { .. }
            | Self::ReconnectRequired { .. }
            | Self::AppMisconfigured { .. }
            | Self::MissingScope { .. }
            | Self::ZoomRefused { .. }
            | Self::NotAUserCredential
            | Self::Unauthorized
            | Self::Forbidden
            | Self::NoRoute
            | Self::FunctionTimeout
            | Self::CredentialNotFound
            | Self::TokenUrlNotFound
            | Self::ZoomAppNotFound
            | Self::WebhookRefused { .. }
            | Self::AnotherMeeting
            | Self::ConnectSessionNotFound
            | Self::ConnectRefused(_)
            | Self::MethodNotAllowed
            | Self::Conflict
            | Self::IdempotencyKeyReused
            | Self::BodyTooLarge
            | Self::MediaType
            | Self::Internal(_) => return None,
        };
        Some(
            wait.as_millis()
                .div_ceil(1000)
                .try_into()
                .unwrap_or(u64::MAX)
                .max(1),
        )
    }

    /// The body. A 400 has no `details`, as its published schema has none.
    pub fn body(&self) -> ErrorBody {
        let status = self.status();
        ErrorBody {
            success: false,
            error: match status {
                // The published text, which is not the status line's.
                StatusCode::TOO_MANY_REQUESTS => "Rate Limited",
                status => status.canonical_reason().unwrap_or_default(),
            },
            code: self.code(),
            status_code: status.as_u16(),
            message: self.to_string(),
            details: self.details(),
            retry_after: self
                .retry_after()
                .filter(|_| status == StatusCode::TOO_MANY_REQUESTS),
        }
    }
}

impl ApiError {
    /// What the schema of the status has under `details`, null included; nothing where it has no such key.
    fn details(&self) -> Option<Details> {
        let said = if let Self::ReconnectRequired { reason } = self {
            Some(reason.as_str().to_owned())
        } else if let Self::AppMisconfigured { reason } = self {
            Some(reason.clone())
        } else if let Self::MissingScope { scope } = self {
            Some(scope.clone())
        } else if let Self::ZoomUnavailable { source, .. }
        | Self::Unavailable {
            source: Down::Zoom(source),
            ..
        } = self
        {
            source.details()
        } else {
            // Of the 400s only those of minting have it.
            let minting = matches!(self, Self::NotAUserCredential);
            if self.status() == StatusCode::BAD_REQUEST && !minting {
                return None;
            }
            None
        };
        Some(Details(said))
    }
}

/// Null where there is nothing to add: present all the same.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Details(Option<String>);

/// The body of every answer that is no success.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    #[schema(schema_with = always_false)]
    success: bool,
    /// The status in words.
    error: &'static str,
    /// For programs.
    code: &'static str,
    /// The HTTP status.
    status_code: u16,
    /// For people: what is wrong and what to do.
    message: String,
    /// Zoom's tracking id, where Zoom failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    details: Option<Details>,
    /// Seconds to wait; with a 429 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    retry_after: Option<u64>,
}

fn always_false() -> utoipa::openapi::Object {
    only(false)
}

impl From<stores::Error> for ApiError {
    fn from(error: stores::Error) -> Self {
        match error {
            stores::Error::NotFound => Self::CredentialNotFound,
            stores::Error::Conflict => Self::Conflict,
            stores::Error::Unavailable { .. } | stores::Error::Denied { .. } => Self::Unavailable {
                retry_after: RETRY_AFTER,
                source: Down::DynamoDb(error),
            },
            stores::Error::NoTable { .. }
            | stores::Error::Refused { .. }
            | stores::Error::Shape(_) => Self::Internal(error.into()),
        }
    }
}

impl From<stores::Part> for ApiError {
    /// A transaction refused for the sake of one row: someone else was first.
    fn from(_: stores::Part) -> Self {
        Self::Conflict
    }
}

impl From<envelope::Error> for ApiError {
    fn from(error: envelope::Error) -> Self {
        match error {
            envelope::Error::Kms { .. } => Self::Unavailable {
                retry_after: RETRY_AFTER,
                source: Down::Kms(error),
            },
            envelope::Error::Misplaced
            | envelope::Error::MalformedKey
            | envelope::Error::Sealed(_) => Self::Internal(error.into()),
        }
    }
}

impl From<secret::UnknownShape> for ApiError {
    fn from(error: secret::UnknownShape) -> Self {
        Self::Internal(error.into())
    }
}

impl From<zoom::Error> for ApiError {
    /// What a failed code exchange means.
    fn from(error: zoom::Error) -> Self {
        match error {
            zoom::Error::App { reason } => Self::CodeExchange {
                reason,
                blamed: Blamed::App,
            },
            zoom::Error::Grant { reason } => Self::CodeExchange {
                reason,
                blamed: Blamed::Grant,
            },
            zoom::Error::MissingScope { scope } => Self::CodeExchange {
                reason: format!("missing scope {scope}"),
                blamed: Blamed::Grant,
            },
            zoom::Error::Limited { retry_after, .. } => Self::Unavailable {
                retry_after: retry_after.unwrap_or(RETRY_AFTER),
                source: Down::Zoom(error),
            },
            zoom::Error::Silent => Self::ZoomTimeout {
                source: error,
                spent: Spent::Code,
            },
            zoom::Error::Unreachable(_)
            | zoom::Error::Failed { .. }
            | zoom::Error::DeadAccess
            | zoom::Error::NoUser { .. }
            | zoom::Error::Request { .. } => Self::ZoomUnavailable {
                source: error,
                spent: Spent::Code,
            },
        }
    }
}

impl ApiError {
    /// What a failed mint or refresh means.
    pub(crate) fn of_minting(error: zoom::Error) -> Self {
        let spent = Spent::Nothing;
        match error {
            zoom::Error::App { reason } => Self::AppMisconfigured { reason },
            zoom::Error::MissingScope { scope } => Self::MissingScope { scope },
            zoom::Error::Request { reason } => Self::ZoomRefused { reason },
            zoom::Error::NoUser { .. } => Self::ReconnectRequired {
                reason: Reconnect::UserGone,
            },
            zoom::Error::Limited { retry_after, .. } => Self::Unavailable {
                retry_after: retry_after.unwrap_or(RETRY_AFTER),
                source: Down::Zoom(error),
            },
            zoom::Error::Silent => Self::ZoomTimeout {
                source: error,
                spent,
            },
            // A grant's refusal is followed up by the refresh, and never ends here.
            zoom::Error::Grant { .. }
            | zoom::Error::DeadAccess
            | zoom::Error::Unreachable(_)
            | zoom::Error::Failed { .. } => Self::ZoomUnavailable {
                source: error,
                spent,
            },
        }
    }
}
