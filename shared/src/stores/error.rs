//! Why an operation of a store failed.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tokio::time::error::Elapsed;

/// Why an operation of a store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The row that a write changes does not exist, or is soft-deleted. A read returns `None` instead.
    #[error("the row does not exist")]
    NotFound,
    /// A condition failed because of a concurrent change.
    #[error("a concurrent change came first")]
    Conflict,
    /// DynamoDB is down, does not answer, or throttles. A retry may help.
    #[error("DynamoDB {operation} is unavailable")]
    Unavailable {
        /// The name of the call.
        operation: &'static str,
        /// The error from the AWS SDK.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The IAM role of the caller does not allow this call. The source names the missing action. A retry helps after
    /// the role is fixed.
    #[error("DynamoDB {operation} was denied")]
    Denied {
        /// The name of the call.
        operation: &'static str,
        /// The error from the AWS SDK.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The table does not exist in this account and region.
    #[error(
        "DynamoDB {operation} found no such table: check the table names in the environment against the outputs of \
         the stack, check the region, then deploy again"
    )]
    NoTable {
        /// The name of the call.
        operation: &'static str,
        /// The error from the AWS SDK.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// DynamoDB refused the call, for example because of an invalid expression. A retry does not help.
    #[error("DynamoDB {operation} was refused")]
    Refused {
        /// The name of the call.
        operation: &'static str,
        /// The error from the AWS SDK.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The row would become larger than DynamoDB's limit of 400 KB. A retry does not help.
    #[error("DynamoDB {operation} was refused: the row would be larger than 400 KB")]
    RowTooLarge {
        /// The name of the call.
        operation: &'static str,
    },
    /// A row does not have the shape that this version of the vault writes.
    #[error("a row has an unknown shape")]
    Shape(#[source] serde_dynamo::Error),
}

impl Error {
    /// The error of a row without the attributes by which this version of the vault counts credentials.
    pub(super) fn earlier_version() -> Self {
        Self::Shape(serde::de::Error::custom(
            "it was written by an earlier version of the vault, which was never released: delete the data and start anew",
        ))
    }

    /// The error of a call that did not answer in time.
    pub fn timed_out(operation: &'static str, elapsed: Elapsed) -> Self {
        Self::Unavailable {
            operation,
            source: elapsed.into(),
        }
    }
}

/// A part of DynamoDB's message when a row would be too large. The code is the same as for any invalid request.
const ROW_TOO_LARGE: &str = "exceeded the maximum allowed size";

/// Classifies a failed call.
pub(super) fn failed<E>(operation: &'static str, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let code = error.as_service_error().and_then(E::code);
    let message = error.as_service_error().and_then(E::message);
    let transient = match &error {
        SdkError::ServiceError(refused) => {
            refused.raw().status().is_server_error() || code.is_some_and(is_transient)
        }
        SdkError::ConstructionFailure(_) => false,
        // Timeouts, broken connections and invalid responses.
        SdkError::TimeoutError(_)
        | SdkError::DispatchFailure(_)
        | SdkError::ResponseError(_)
        | _ => true,
    };
    let too_large = code == Some("ValidationException")
        && message.is_some_and(|message| message.contains(ROW_TOO_LARGE));
    match code {
        _ if too_large => Error::RowTooLarge { operation },
        _ if transient => Error::Unavailable {
            operation,
            source: error.into(),
        },
        Some("AccessDeniedException") => Error::Denied {
            operation,
            source: error.into(),
        },
        Some("ResourceNotFoundException") => Error::NoTable {
            operation,
            source: error.into(),
        },
        _ => Error::Refused {
            operation,
            source: error.into(),
        },
    }
}

fn is_transient(code: &str) -> bool {
    matches!(
        code,
        "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "ThrottlingException"
            | "InternalServerError"
            | "LimitExceededException"
            | "TransactionInProgressException"
            | "TransactionConflictException"
    )
}
