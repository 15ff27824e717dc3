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
use shared::credential::Invalid;
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
    #[error(
        "Zoom failed. It is safe to retry; should the authorization code have been used up by this try, the \
         answer will say so and the user must authorize again."
    )]
    ZoomUnavailable(#[source] zoom::Error),
    /// Zoom did not answer in time. It may have acted.
    #[error(
        "Zoom did not answer in time. It is safe to retry; should the authorization code have been used up by \
         this try, the answer will say so and the user must authorize again."
    )]
    ZoomTimeout(#[source] zoom::Error),
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
    #[error("too little of the invocation is left to spend a code in")]
    OutOfTime,
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
}

/// How long a caller should wait before it tries again what failed for no fault of its own.
const RETRY_AFTER: Duration = Duration::from_secs(1);

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
            Self::ZoomUnavailable(_) => Some(Outcome::ZoomFailed),
            Self::ZoomTimeout(_) => Some(Outcome::ZoomSilent),
            Self::Unavailable { source, .. } => match source {
                Down::Kms(_) => Some(Outcome::KmsFailed),
                Down::Zoom(_) => Some(Outcome::ZoomLimited),
                Down::DynamoDb(_) | Down::OutOfTime => None,
            },
            Self::Validation { .. }
            | Self::Integer { .. }
            | Self::Syntax { .. }
            | Self::ListTooLarge
            | Self::Unauthorized
            | Self::Forbidden
            | Self::NoRoute
            | Self::FunctionTimeout
            | Self::CredentialNotFound
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
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "FST_ERR_UNAUTHORIZED"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "FST_ERR_FORBIDDEN"),
            Self::NoRoute => (StatusCode::NOT_FOUND, "FST_ERR_NOT_FOUND"),
            Self::FunctionTimeout => (StatusCode::GATEWAY_TIMEOUT, "FST_ERR_TIMEOUT"),
            Self::CredentialNotFound => (
                StatusCode::NOT_FOUND,
                "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID",
            ),
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
            Self::ZoomUnavailable(_) => (StatusCode::BAD_GATEWAY, "FST_ERR_ZOOM_UNAVAILABLE"),
            Self::ZoomTimeout(_) => (StatusCode::GATEWAY_TIMEOUT, "FST_ERR_ZOOM_TIMEOUT"),
            Self::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "FST_ERR_UNAVAILABLE"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "FST_ERR_INTERNAL"),
        }
    }

    /// Why, for the log: what is under this error, or Zoom's reason, where the caller's mistake is not all of it.
    pub(crate) fn cause(&self) -> Option<String> {
        match (self, self.source()) {
            (Self::CodeExchange { reason, .. }, _) => Some(reason.clone()),
            (_, source) => source.map(chain),
        }
    }

    /// The header `retry-after`, in whole seconds, where waiting helps.
    pub fn retry_after(&self) -> Option<u64> {
        let wait = match self {
            Self::Running { wait } => *wait,
            Self::RateLimited(admission) => Duration::from_secs(admission.reset),
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::ZoomUnavailable(_) | Self::ZoomTimeout(_) => RETRY_AFTER,
            Self::Validation { .. }
            | Self::Integer { .. }
            | Self::Syntax { .. }
            | Self::ListTooLarge
            | Self::CodeExchange { .. }
            | Self::Unauthorized
            | Self::Forbidden
            | Self::NoRoute
            | Self::FunctionTimeout
            | Self::CredentialNotFound
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
        let tracking_id =
            if let Self::ZoomUnavailable(zoom::Error::Failed { tracking_id, .. }) = self {
                tracking_id.clone()
            } else {
                None
            };
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
            details: (status != StatusCode::BAD_REQUEST).then_some(Details(tracking_id)),
            retry_after: self
                .retry_after()
                .filter(|_| status == StatusCode::TOO_MANY_REQUESTS),
        }
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
            zoom::Error::Limited { retry_after } => Self::Unavailable {
                retry_after: retry_after.unwrap_or(RETRY_AFTER),
                source: Down::Zoom(error),
            },
            zoom::Error::Silent => Self::ZoomTimeout(error),
            zoom::Error::Unreachable(_) | zoom::Error::Failed { .. } => {
                Self::ZoomUnavailable(error)
            }
        }
    }
}
