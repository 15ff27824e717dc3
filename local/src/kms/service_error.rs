//! The errors of KMS, with AWS's names and statuses. Their messages quote no key material, plaintext or ciphertext.

use axum::http::StatusCode;

use super::Error;

/// A failure that a test injects: an outage of AWS, or an administrator's change of a key or policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// `ThrottlingException`, 400. SDKs retry it.
    #[error("Rate exceeded")]
    Throttling,
    /// `AccessDeniedException`, 400: an administrator removed a role or key policy.
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

/// The error of a refused request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// An injected failure.
    #[error(transparent)]
    Injected(#[from] Failure),
    /// There is no key or alias with this ARN.
    #[error("'{0}' does not exist")]
    NotFound(String),
    /// The ARN does not name a KMS resource.
    #[error("Invalid arn {0}")]
    InvalidArn(String),
    /// The key with this ARN is disabled.
    #[error("{0} is disabled.")]
    Disabled(String),
    /// The state of this key does not allow the operation.
    #[error("{0} is {1}.")]
    InvalidState(String, &'static str),
    /// Another key than the requested key encrypted the blob.
    #[error("The key ID in the request does not identify a CMK that can perform this operation.")]
    IncorrectKey,
    /// The blob is malformed, changed or of an unknown key, or the encryption context differs.
    ///
    /// AWS does not say which of these is the cause, so the emulator does not either.
    #[error("The ciphertext or the encryption context does not match the encrypted data.")]
    InvalidCiphertext,
    /// The emulator supports symmetric encryption only.
    #[error("The usage or algorithm of the key does not fit this operation.")]
    InvalidKeyUsage,
    /// AWS supports this, the emulator does not.
    #[error("{0} is not supported by this emulator.")]
    Unsupported(&'static str),
    /// The alias exists already.
    #[error("An alias with the name {0} already exists")]
    AlreadyExists(String),
    /// The name is not `alias/` and 1 to 250 of `[a-zA-Z0-9/_-]`, or begins with AWS's own `alias/aws/`.
    #[error("Invalid alias name")]
    InvalidAliasName,
    /// The marker does not belong to a page.
    #[error("Invalid marker")]
    InvalidMarker,
    /// A quota of AWS is exhausted.
    #[error("{0}")]
    LimitExceeded(&'static str),
    /// A member of the request is missing or out of bounds.
    #[error("1 validation error detected: Value at '{0}' failed to satisfy constraint: {1}")]
    Validation(&'static str, &'static str),
    /// The body is not a JSON object, or a member has the wrong type.
    ///
    /// The message does not repeat the parser's message, because that can quote a plaintext.
    #[error("The request is not valid JSON for this operation.")]
    Serialization,
    /// The body is larger than any valid request.
    #[error("The request is too large.")]
    TooLarge,
    /// The header `X-Amz-Target` does not name a supported operation.
    #[error("Unknown operation")]
    UnknownOperation,
    /// The emulator itself failed.
    #[error("{0}")]
    Internal(String),
}

impl ServiceError {
    /// AWS's name of the error: the value of `__type`.
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

    /// AWS's HTTP status of the error.
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

/// If a change cannot be saved, it does not happen, and the caller gets an internal error.
impl From<Error> for ServiceError {
    fn from(error: Error) -> Self {
        match error {
            Error::Service(error) => error,
            error @ (Error::File { .. } | Error::Exposed { .. } | Error::Malformed { .. }) => {
                Self::Internal(error.to_string())
            }
        }
    }
}
