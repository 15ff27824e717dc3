//! What KMS answers instead of a result: AWS's names, AWS's statuses, and texts that quote no key,
//! plaintext or ciphertext.

use axum::http::StatusCode;

use super::Error;

/// An error to inject: what can go wrong at AWS without the caller's fault, and what an
/// administrator can do to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// `ThrottlingException`, 400. SDKs retry it.
    #[error("Rate exceeded")]
    Throttling,
    /// `AccessDeniedException`, 400: a role or key policy was taken away.
    #[error("User is not authorized to perform this operation because no policy allows it")]
    AccessDenied,
    /// `DisabledException`, 400.
    #[error("The key is disabled.")]
    Disabled,
    /// `KMSInternalException`, 500. SDKs retry it.
    #[error("Internal failure")]
    Internal,
    /// `KeyUnavailableException`, 500. SDKs retry it.
    #[error("The key is not available. You can retry the request.")]
    KeyUnavailable,
    /// `DependencyTimeoutException`, 503. SDKs retry it.
    #[error("The system timed out while trying to fulfill the request. You can retry the request.")]
    DependencyTimeout,
    /// `NotFoundException`, 400.
    #[error("The key does not exist")]
    NotFound,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A test ordered it.
    #[error(transparent)]
    Injected(#[from] Failure),
    /// No key or alias of that ARN.
    #[error("'{0}' does not exist")]
    NotFound(String),
    /// An ARN, but of no KMS resource.
    #[error("Invalid arn {0}")]
    InvalidArn(String),
    /// The key of this ARN is disabled.
    #[error("{0} is disabled.")]
    Disabled(String),
    /// The key of this ARN is in a state in which the operation makes no sense.
    #[error("{0} is {1}.")]
    InvalidState(String, &'static str),
    /// The blob was sealed by another key than the caller insists on.
    #[error("The key ID in the request does not identify a CMK that can perform this operation.")]
    IncorrectKey,
    /// Tampered, no blob at all, of a key that is not here, or another encryption context. AWS does
    /// not say which, and so neither do we.
    #[error("The ciphertext or its encryption context is not what was sealed.")]
    InvalidCiphertext,
    /// The key cannot do that: only symmetric encryption exists here.
    #[error("The key's usage or algorithm does not fit this operation.")]
    InvalidKeyUsage,
    /// AWS can do it, the emulator cannot: better refused than ignored.
    #[error("{0} is not supported by this emulator.")]
    Unsupported(&'static str),
    /// The alias exists.
    #[error("An alias with the name {0} already exists")]
    AlreadyExists(String),
    /// Not `alias/` and 1 to 250 of `[a-zA-Z0-9/_-]`, or under AWS's own `alias/aws/`.
    #[error("Invalid alias name")]
    InvalidAliasName,
    /// The marker of no page.
    #[error("Invalid marker")]
    InvalidMarker,
    /// A limit of AWS.
    #[error("{0}")]
    LimitExceeded(&'static str),
    /// This member of the request is absent or out of bounds.
    #[error("1 validation error detected: Value at '{0}' failed to satisfy constraint: {1}")]
    Validation(&'static str, &'static str),
    /// No JSON object, or a member of the wrong type. It does not say which: a parser's words may
    /// quote a plaintext.
    #[error("The request is not the JSON this operation takes.")]
    Serialization,
    /// The body is larger than any honest request.
    #[error("The request is too large.")]
    TooLarge,
    /// No `X-Amz-Target` that is known here.
    #[error("Unknown operation")]
    UnknownOperation,
    /// The emulator's own fault.
    #[error("{0}")]
    Internal(String),
}

impl Refusal {
    /// AWS's name, as it stands in `__type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Injected(Failure::Throttling) => "ThrottlingException",
            Self::Injected(Failure::AccessDenied) => "AccessDeniedException",
            Self::Injected(Failure::Disabled) | Self::Disabled(_) => "DisabledException",
            Self::Injected(Failure::Internal) | Self::Internal(_) => "KMSInternalException",
            Self::Injected(Failure::KeyUnavailable) => "KeyUnavailableException",
            Self::Injected(Failure::DependencyTimeout) => "DependencyTimeoutException",
            Self::Injected(Failure::NotFound) | Self::NotFound(_) => "NotFoundException",
            Self::InvalidArn(_) => "InvalidArnException",
            Self::InvalidState(..) => "KMSInvalidStateException",
            Self::IncorrectKey => "IncorrectKeyException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::InvalidKeyUsage => "InvalidKeyUsageException",
            Self::Unsupported(_) => "UnsupportedOperationException",
            Self::AlreadyExists(_) => "AlreadyExistsException",
            Self::InvalidAliasName => "InvalidAliasNameException",
            Self::InvalidMarker => "InvalidMarkerException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::Validation(..) => "ValidationException",
            Self::Serialization => "SerializationException",
            Self::TooLarge => "RequestEntityTooLargeException",
            Self::UnknownOperation => "UnknownOperationException",
        }
    }

    /// AWS's status: 400 for nearly all.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Injected(Failure::Internal | Failure::KeyUnavailable) | Self::Internal(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Injected(Failure::DependencyTimeout) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Injected(
                Failure::Throttling | Failure::AccessDenied | Failure::Disabled | Failure::NotFound,
            )
            | Self::NotFound(_)
            | Self::InvalidArn(_)
            | Self::Disabled(_)
            | Self::InvalidState(..)
            | Self::IncorrectKey
            | Self::InvalidCiphertext
            | Self::InvalidKeyUsage
            | Self::Unsupported(_)
            | Self::AlreadyExists(_)
            | Self::InvalidAliasName
            | Self::InvalidMarker
            | Self::LimitExceeded(_)
            | Self::Validation(..)
            | Self::Serialization
            | Self::UnknownOperation => StatusCode::BAD_REQUEST,
        }
    }
}

/// A change that could not be saved did not happen; the caller hears that it is the emulator's
/// fault.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal,
            error @ (Error::File { .. } | Error::Exposed { .. } | Error::Malformed { .. }) => {
                Self::Internal(error.to_string())
            }
        }
    }
}
