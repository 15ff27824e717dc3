//! The stores: one per DynamoDB table. Only this module knows table keys, conditions and expressions.
//!
//! There is one store per table because an IAM role lists tables. A function that takes `&Credentials` and `&Secrets`
//! may use those two tables. Writes that must happen together form a [`Transaction`].
//!
//! | table | store | the operator's store |
//! | --- | --- | --- |
//! | `credentials` | [`Credentials`] | [`ManualPurge`], [`TableInspector`] |
//! | `secrets` | [`Secrets`] | [`WrappedDataKeys`], [`ManualPurge`], [`TableInspector`] |
//! | `keys` | [`Keys`] (reads) | [`TeamAdmin`] (writes) |
//! | `requests` | [`Requests`] | |
//! | `token-urls` | [`TokenUrls`] | [`ManualPurge`] |
//! | `events` | [`Events`] | |
//!
//! [`StreamRecord`] reads the stream of the table `credentials`.

mod credentials;
mod events;
mod expression;
mod keys;
mod manual_purge;
mod requests;
mod secrets;
mod stream;
mod table_inspector;
mod team_admin;
mod token_urls;
mod transaction;
mod wrapped_data_keys;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::error::Elapsed;

pub use credentials::{
    AuthorizedGrant, CredentialChanges, CredentialPage, Credentials, CredentialsOfGrant,
    ExtraChange, GrantRef, SecretOwner, StoredCredential, UpdatedSiblings,
};
pub use events::{EventPage, Events, RETENTION};
pub use keys::{DEFAULT_MINT_RATE, DEFAULT_RATE, Keys, RateKind, Team};
pub use manual_purge::{ManualPurge, OwnedRow, OwnedRowId};
pub use requests::{
    Admission, ClaimOutcome, EarlierRequest, HeldClaim, IdempotencyClaim, NewSession, Requests,
    Session, SessionApp, SessionClaim,
};
pub use secrets::{
    AcquireOutcome, AppSecret, DueGrant, GrantSecret, GrantState, GrantVersion, Lease, NewPair,
    PairWrite, RefreshAttempt, Secrets, SessionSecretRow, StoredGrant, ZoomApp, due_shards,
};
pub use stream::{CleanupTrigger, CredentialIds, StreamRecord};
pub use table_inspector::{SealedRow, TableHealth, TableInspector};
pub use team_admin::{KeyListing, TeamAdmin, TeamSettingsChange};
pub use token_urls::{TokenUrlPage, TokenUrls, UsableTokenUrl};
pub use transaction::{CommitOutcome, RowKind, Transaction, Write};
pub use wrapped_data_keys::{KeySlot, WrappedDataKeys, WrappedRow, WrappedRowPage};

/// How long a transaction retries if no spent code or token depends on it. The time allows one try without an answer
/// and two more tries.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a try may take if the caller's time is over. Every operation makes at least one try.
const LAST_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(500);

type Item = HashMap<String, AttributeValue>;

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
    /// A row does not have the shape that this version of the vault writes.
    #[error("a row has an unknown shape")]
    Shape(#[source] serde_dynamo::Error),
}

impl Error {
    /// The error of a call that did not answer in time.
    pub fn timed_out(operation: &'static str, elapsed: Elapsed) -> Self {
        Self::Unavailable {
            operation,
            source: elapsed.into(),
        }
    }
}

/// Classifies a failed call.
fn failed<E>(operation: &'static str, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let code = error.as_service_error().and_then(E::code);
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
    match code {
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

/// Reads all rows that a scan finds.
async fn scan_all(scan: ScanFluentBuilder) -> Result<Vec<Item>, Error> {
    let mut pages = scan.consistent_read(true).into_paginator().items().send();
    let mut rows = Vec::new();
    while let Some(row) = pages.next().await {
        rows.push(row.map_err(|error| failed("Scan", error))?);
    }
    Ok(rows)
}

/// Reads up to `limit` rows of one partition, in descending order of the sort key. Also returns the sort key after
/// which the next page begins, if there is a next page.
///
/// A page may be short or empty and still have a next page, because a filter runs after the limit.
async fn query_newest<T: DeserializeOwned, I: DeserializeOwned>(
    query: QueryFluentBuilder,
    limit: u16,
    sort_key: &str,
    id: impl Fn(&T) -> I,
) -> Result<(Vec<T>, Option<I>), Error> {
    let query = query
        // One more row than requested shows whether there is a next page.
        .limit(i32::from(limit) + 1)
        .scan_index_forward(false)
        .consistent_read(true);
    let answer = query.send().await.map_err(|error| failed("Query", error))?;
    let rows = answer.items.unwrap_or_default().into_iter();
    let mut rows = rows.map(from_item).collect::<Result<Vec<T>, Error>>()?;
    let limit = usize::from(limit);
    let next = if rows.len() > limit {
        rows.truncate(limit);
        rows.last().map(id)
    } else {
        let end = answer.last_evaluated_key;
        let id = end.and_then(|mut end| end.remove(sort_key));
        let id = id.map(serde_dynamo::from_attribute_value).transpose();
        id.map_err(Error::Shape)?
    };
    Ok((rows, next))
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

/// `None` if a write found no row.
fn optional<T>(write: Result<T, Error>) -> Result<Option<T>, Error> {
    match write {
        Err(Error::NotFound) => Ok(None),
        write => write.map(Some),
    }
}

fn to_item(row: impl Serialize) -> Result<Item, Error> {
    serde_dynamo::to_item(row).map_err(Error::Shape)
}

fn from_item<T: DeserializeOwned>(item: Item) -> Result<T, Error> {
    serde_dynamo::from_item(item).map_err(Error::Shape)
}

fn text(value: &(impl ToString + ?Sized)) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

fn number(value: &impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
