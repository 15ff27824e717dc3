//! Every error that a caller can get: its HTTP status, code and message.
//!
//! The vault's own errors are [`shared::error::Error`], which says who must act. This file gives them their HTTP
//! status. The other variants of [`ApiError`] concern the HTTP request alone.

use std::error::Error as StdError;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use shared::cause::chain;
use shared::connect::ConnectFailure;
use shared::error::{Blamed, Down, Error, RETRY_AFTER};
use shared::grants::mint::LifetimeTooLong;
use shared::invalid::Invalid;
use shared::stores::Admission;
use shared::vendor::Vendor;
use utoipa::ToSchema;
use utoipa::openapi::{Object, ObjectBuilder, schema::Type};

use crate::http::error_details;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The vault could not do what the request asks for.
    #[error(transparent)]
    Vault(Error),
    /// A part of the request breaks a rule. Never holds the value.
    #[error("{at} {rule}")]
    Validation {
        /// The part, such as `body/name`, `querystring/limit` or `params/id`.
        at: &'static str,
        /// The rule.
        rule: Invalid,
    },
    /// A part of the request is not a whole number in the allowed range.
    #[error("{at} must be an integer from {} to {}", .range.start(), .range.end())]
    Integer {
        /// The part, such as `body/ttl`.
        at: &'static str,
        /// The allowed range.
        range: RangeInclusive<u32>,
    },
    /// The token would live longer than the team allows.
    #[error("body/ttl must be at most {}: that is the longest lifetime that the vault's operator allows the team", .0.max)]
    TokenLifetime(LifetimeTooLong),
    /// The body is not JSON.
    #[error("body must be valid JSON (line {line}, column {column})")]
    Syntax {
        /// The line of the first character that breaks the JSON syntax.
        line: usize,
        /// Its column.
        column: usize,
    },
    /// The whole list is too large for one answer.
    #[error("The list is too large for one answer: ask for pages with limit and cursor")]
    ListTooLarge,
    /// The key is missing, malformed, unknown or revoked. The caller cannot tell which.
    #[error("Invalid or missing API key: send it in the header x-meeting-baas-api-key")]
    Unauthorized,
    /// The key is valid, but its terms do not allow the operation.
    #[error("{0}")]
    Forbidden(Forbidden),
    /// No route has this path.
    #[error("Route not found")]
    NoRoute,
    /// A path does not accept this method.
    #[error("Method not allowed: use {allow}")]
    MethodNotAllowed {
        /// The methods that the path accepts, as in the header `allow`.
        allow: &'static str,
    },
    /// The function did not answer in time.
    #[error(
        "The request took too long. It may have taken effect: read the resource before you repeat it"
    )]
    FunctionTimeout,
    /// The signature of a webhook is missing, stale or wrong for every registered app. The caller does not learn why.
    #[error("The request is not signed by Zoom for an app that is registered here")]
    WebhookRefused {
        /// Why, for the log.
        why: &'static str,
    },
    /// The token URL answers only a vendor's calls, and the vendor has not proved that it made this one.
    #[error("The call is not proved to come from the vendor that this token URL is for")]
    CallNotVerified {
        /// The vendor.
        vendor: Vendor,
        /// What is wrong with the call, for the log.
        rule: Invalid,
    },
    /// The token URL is for one meeting, and the caller named another meeting.
    #[error("The token URL is for another meeting")]
    AnotherMeeting,
    /// The vault refuses a step of a connect session. The page tells the user why.
    #[error("{0}")]
    Connect(ConnectRefusal),
    /// The same request, or another authorization of the same credential, is in progress.
    #[error("The same request is still being processed: try again after retry-after")]
    InProgress {
        /// How long the caller should wait.
        wait: Duration,
    },
    /// An earlier request used the idempotency key with another body.
    #[error("The Idempotency-Key was used before with another request body: use a new key")]
    IdempotencyKeyReused,
    /// An earlier request used the authorization code and asked for something else.
    #[error(
        "The authorization code was used before by a request with other fields: change the stored credential without the code, or use a new code"
    )]
    CodeReused,
    /// The body is larger than 256 KB.
    #[error("Request body is too large: at most 262144 bytes")]
    BodyTooLarge,
    /// The body is not declared as `application/json`.
    #[error("Unsupported media type: send application/json")]
    MediaType,
    /// The body is compressed.
    #[error("Unsupported content-encoding: send the body without compression")]
    ContentEncoding,
    /// The team has exceeded its rate limit.
    #[error("Rate limit exceeded: try again after retry-after")]
    RateLimited(Admission),
}

/// What a key's terms do not allow.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum Forbidden {
    /// Its permission does not cover the operation.
    #[error("The API key's permission does not cover this operation")]
    Operation,
    /// It may mint other types of tokens only.
    #[error("The API key does not allow this type of token")]
    TokenType,
    /// It sees some of the credentials only, and could not see this one.
    #[error("The API key allows only credentials whose extra has the values of the key's filter")]
    Extra,
    /// It sees some of the credentials only, and the operation concerns all of them.
    #[error(
        "The API key allows only some of the team's credentials, and this operation concerns all of them"
    )]
    Team,
    /// The team may not give access tokens away.
    #[error(
        "The vault's operator does not allow the team to give access tokens away: zoom-vault teams set TEAM --access-token-urls on"
    )]
    AccessTokens,
}

/// Why the vault refuses a step of a connect session. The texts are the `cause` in the log.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum ConnectRefusal {
    /// No session has this link.
    #[error("no session has this link")]
    UnknownLink,
    /// The session has expired.
    #[error("the connect session has expired")]
    Expired,
    /// The session has connected a user.
    #[error("the connect session has connected a user already")]
    AlreadyConnected,
    /// Another request is exchanging the code.
    #[error("another request is exchanging the authorization code")]
    InProgress {
        /// How long the other request may still take.
        wait: Duration,
    },
    /// A page of another site sent the form.
    #[error("a page of another site sent the form")]
    AnotherSite,
    /// The state or the cookie is missing, or they do not belong to the same start of a session.
    #[error("the state and the browser's cookie do not match a started session")]
    StateMismatch,
    /// The session has failed.
    #[error("the connect session has failed: {}", .0.as_str())]
    Failed(ConnectFailure),
}

impl ConnectRefusal {
    fn status(self) -> StatusCode {
        match self {
            Self::UnknownLink => StatusCode::NOT_FOUND,
            Self::Expired | Self::AlreadyConnected => StatusCode::GONE,
            Self::InProgress { .. } => StatusCode::CONFLICT,
            Self::AnotherSite | Self::StateMismatch => StatusCode::FORBIDDEN,
            Self::Failed(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// How KMS, Zoom or a webhook made a request fail. Each kind is a metric in the log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceFailure {
    KmsFailed,
    ZoomFailed,
    ZoomSilent,
    ZoomLimited,
    ZoomAppRefused,
    ZoomGrantRefused,
    WebhookRefused,
}

impl ApiError {
    /// A part of the request breaks a rule. The message is `at`, a space and `rule`.
    pub fn validation(at: &'static str, rule: &'static str) -> Self {
        Self::Validation {
            at,
            rule: Invalid(rule),
        }
    }

    /// A fault of the vault itself. Only the log shows `source`.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Vault(Error::Internal(source.into()))
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Vault(error) => vault_status(error),
            Self::Validation { .. }
            | Self::Integer { .. }
            | Self::TokenLifetime(_)
            | Self::Syntax { .. }
            | Self::ListTooLarge => StatusCode::BAD_REQUEST,
            Self::Unauthorized | Self::WebhookRefused { .. } | Self::CallNotVerified { .. } => {
                StatusCode::UNAUTHORIZED
            }
            Self::Forbidden(_) | Self::AnotherMeeting => StatusCode::FORBIDDEN,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::FunctionTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Connect(refusal) => refusal.status(),
            Self::InProgress { .. } | Self::CodeReused => StatusCode::CONFLICT,
            Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType | Self::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The codes that [`Self::code`] returns besides [`Error::CODES`].
    const CODES: [&str; 13] = [
        "FST_ERR_CTP_BODY_TOO_LARGE",
        "FST_ERR_CTP_INVALID_MEDIA_TYPE",
        "FST_ERR_FORBIDDEN",
        "FST_ERR_IDEMPOTENCY_KEY_REUSED",
        "FST_ERR_LIST_TOO_LARGE",
        "FST_ERR_METHOD_NOT_ALLOWED",
        "FST_ERR_NOT_FOUND",
        "FST_ERR_TIMEOUT",
        "FST_ERR_TOO_MANY_REQUESTS",
        "FST_ERR_UNAUTHORIZED",
        "FST_ERR_VALIDATION",
        "FST_ERR_ZOOM_ANOTHER_MEETING",
        "FST_ERR_ZOOM_CONNECT_REFUSED",
    ];

    /// The code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Vault(error) => error.code(),
            Self::Validation { .. }
            | Self::Integer { .. }
            | Self::TokenLifetime(_)
            | Self::Syntax { .. } => "FST_ERR_VALIDATION",
            Self::ListTooLarge => "FST_ERR_LIST_TOO_LARGE",
            Self::Unauthorized | Self::WebhookRefused { .. } | Self::CallNotVerified { .. } => {
                "FST_ERR_UNAUTHORIZED"
            }
            Self::Forbidden(_) => "FST_ERR_FORBIDDEN",
            Self::NoRoute => "FST_ERR_NOT_FOUND",
            Self::MethodNotAllowed { .. } => "FST_ERR_METHOD_NOT_ALLOWED",
            Self::FunctionTimeout => "FST_ERR_TIMEOUT",
            Self::AnotherMeeting => "FST_ERR_ZOOM_ANOTHER_MEETING",
            Self::Connect(_) => "FST_ERR_ZOOM_CONNECT_REFUSED",
            Self::InProgress { .. } | Self::CodeReused => "FST_ERR_CONFLICT",
            Self::IdempotencyKeyReused => "FST_ERR_IDEMPOTENCY_KEY_REUSED",
            Self::BodyTooLarge => "FST_ERR_CTP_BODY_TOO_LARGE",
            Self::MediaType | Self::ContentEncoding => "FST_ERR_CTP_INVALID_MEDIA_TYPE",
            Self::RateLimited(_) => "FST_ERR_TOO_MANY_REQUESTS",
        }
    }

    /// The kind of failure that the log line counts, if KMS, Zoom or a webhook is the reason.
    pub(crate) fn service_failure(&self) -> Option<ServiceFailure> {
        if let Self::Vault(error) = self {
            vault_service_failure(error)
        } else {
            matches!(self, Self::WebhookRefused { .. }).then_some(ServiceFailure::WebhookRefused)
        }
    }

    /// The reason for the log. `None` if the message says everything.
    pub(crate) fn cause(&self) -> Option<String> {
        if let Self::Vault(error) = self {
            error.cause()
        } else if let Self::WebhookRefused { why } = self {
            Some((*why).to_owned())
        } else if let Self::CallNotVerified { vendor, rule } = self {
            Some(format!("not a call of {vendor}: {rule}"))
        } else if let Self::Connect(refusal) = self {
            Some(refusal.to_string())
        } else {
            self.source().map(chain)
        }
    }

    /// The header `retry-after` in whole seconds, if waiting helps.
    pub fn retry_after(&self) -> Option<u64> {
        let wait = if let Self::InProgress { wait }
        | Self::Connect(ConnectRefusal::InProgress { wait }) = self
        {
            *wait
        } else if let Self::RateLimited(admission) = self {
            Duration::from_secs(admission.reset)
        } else if let Self::Vault(Error::Unavailable { retry_after, .. }) = self {
            *retry_after
        } else if let Self::Vault(Error::ZoomUnavailable { .. } | Error::ZoomTimeout { .. }) = self
        {
            RETRY_AFTER
        } else {
            return None;
        };
        let seconds = wait.as_millis().div_ceil(1000);
        Some(seconds.try_into().unwrap_or(u64::MAX).max(1))
    }

    /// The body.
    pub fn body(&self) -> ErrorBody {
        let status = self.status();
        ErrorBody {
            success: false,
            error: match status {
                // The published schema has this text, which differs from HTTP's.
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

    /// The field `details`. The published schema of a 400 has no such field, so only 400s of our own endpoints have it.
    fn details(&self) -> Option<Details> {
        let details = if let Self::Vault(error) = self {
            error_details::of(error)
        } else {
            None
        };
        let has_field = details.is_some()
            || self.status() != StatusCode::BAD_REQUEST
            || matches!(
                self,
                Self::Vault(Error::NotAUserCredential | Error::OnbehalfOfAccount)
            );
        has_field.then_some(Details(details))
    }
}

fn vault_status(error: &Error) -> StatusCode {
    match error {
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::NotAUserCredential
        | Error::OnbehalfOfAccount
        | Error::CodeRefused { .. }
        | Error::MissingScope { .. }
        | Error::MissingAdminScope { .. }
        | Error::UnknownAccountUser { .. }
        | Error::ZoomRefused { .. } => StatusCode::BAD_REQUEST,
        Error::Conflict
        | Error::AuthorizationNotTaken
        | Error::ReconnectRequired { .. }
        | Error::AppMisconfigured { .. } => StatusCode::CONFLICT,
        Error::ZoomUnavailable { .. } => StatusCode::BAD_GATEWAY,
        Error::ZoomTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        Error::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn vault_service_failure(error: &Error) -> Option<ServiceFailure> {
    match error {
        Error::CodeRefused {
            blamed: Blamed::App,
            ..
        }
        | Error::AppMisconfigured { .. } => Some(ServiceFailure::ZoomAppRefused),
        Error::CodeRefused {
            blamed: Blamed::Grant,
            ..
        }
        | Error::ReconnectRequired { .. } => Some(ServiceFailure::ZoomGrantRefused),
        Error::ZoomUnavailable { .. } => Some(ServiceFailure::ZoomFailed),
        Error::ZoomTimeout { .. } => Some(ServiceFailure::ZoomSilent),
        Error::Unavailable { source, .. } => match source {
            Down::Kms(_) => Some(ServiceFailure::KmsFailed),
            Down::Zoom(_) => Some(ServiceFailure::ZoomLimited),
            Down::DynamoDb(_)
            | Down::Silent
            | Down::OutOfTime
            | Down::GrantsLeft
            | Down::MembersMissing
            | Down::NeedsRefresh
            | Down::RefreshElsewhere
            | Down::AccessTokenEnds => None,
        },
        Error::NotFound(_)
        | Error::NotAUserCredential
        | Error::OnbehalfOfAccount
        | Error::Conflict
        | Error::AuthorizationNotTaken
        | Error::MissingScope { .. }
        | Error::MissingAdminScope { .. }
        | Error::UnknownAccountUser { .. }
        | Error::ZoomRefused { .. }
        | Error::Internal(_) => None,
    }
}

/// The field `details`. `None` becomes null.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Details(Option<String>);

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    #[schema(schema_with = always_false)]
    success: bool,
    /// The name of the HTTP status.
    error: &'static str,
    /// The error for programs.
    #[schema(schema_with = codes)]
    code: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status_code: u16,
    /// The error for people: what went wrong, and what to do.
    message: String,
    /// More about the cause, depending on `code`: why the user must authorize again, Zoom's reason, the missing scope,
    /// who must act (`caller`, `host` or `account_admin`), or Zoom's own error code and tracking id. With
    /// `FST_ERR_UNAVAILABLE` it begins with what is not available: `dynamodb`, `kms`, `storage_silent` (one of the two
    /// did not answer in time), `zoom_rate` (Zoom limits the vault's calls), `refresh_running` (another request
    /// refreshes the grant), `out_of_time`, `grants_left` or `credentials_missing` (a retry continues the work).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    details: Option<Details>,
    /// How many seconds to wait. Only a 429 has this field.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, nullable = false)]
    retry_after: Option<u64>,
}

fn codes() -> Object {
    let codes = Error::CODES.into_iter().chain(ApiError::CODES);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("For programs."))
        .enum_values(Some(codes))
        .build()
}

fn always_false() -> Object {
    only(false)
}

/// The schema of a boolean that always has this value.
pub(crate) fn only(value: bool) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .enum_values(Some([value]))
        .build()
}

impl From<Forbidden> for ApiError {
    fn from(what: Forbidden) -> Self {
        Self::Forbidden(what)
    }
}

impl From<ConnectRefusal> for ApiError {
    fn from(refusal: ConnectRefusal) -> Self {
        Self::Connect(refusal)
    }
}

impl<E: Into<Error>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self::Vault(error.into())
    }
}
