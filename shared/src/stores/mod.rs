//! DynamoDB. The word `deleted`, table names, conditions and expressions exist here and nowhere else.
//!
//! One store per table, because a role is a list of tables; what must happen together is a
//! [`Transaction`] of writes that the stores make.

mod credentials;
mod events;
mod expression;
mod inspection;
mod keys;
mod operator;
mod removal;
mod requests;
mod secrets;
mod stream;
mod token_urls;
mod transaction;
mod wrapped;

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
    Authorized, Changes, Credentials, ExtraChange, GrantRef, Holders, Moved, Owner, Page, Profile,
    Stored,
};
pub use events::{EventPage, Events, RETENTION};
pub use inspection::{Holding, Inspection, SealedRow, TableHealth};
pub use keys::{Counted, DEFAULT_MINT_RATE, DEFAULT_RATE, Keys, Team};
pub use operator::{KeyListing, Operator, Settings};
pub use removal::{Belonging, Removal, What};
pub use requests::{
    Admission, Before, Claim, Claimed, Held, NewSession, Requests, Session, SessionApp, Taken,
};
pub use secrets::{
    Acquired, AppSecret, Attempt, Due, GrantSecret, GrantState, Kept, Lease, Moment, NewPair,
    Secrets, SessionRow, StoredGrant, ZoomApp, due_shards,
};
pub use stream::{Passed, Record, Remains};
pub use token_urls::{TokenUrls, UrlPage, UrlRow};
pub use transaction::{Part, Transaction, Write};
pub use wrapped::{Slot, WrappedKeys, WrappedPage, WrappedRow};

/// How long a transaction is tried that no spent code or token depends on: a try that hears nothing, and two more.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// How long the one try may take that is made when the time is over.
const LAST_TRY: Duration = Duration::from_millis(500);

type Item = HashMap<String, AttributeValue>;

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such row, or it is deleted.
    #[error("no such row")]
    NotFound,
    /// A condition did not hold: someone else was first.
    #[error("a concurrent change won")]
    Conflict,
    /// DynamoDB is down, silent or throttling. Trying again may help.
    #[error("DynamoDB {operation} is unavailable")]
    Unavailable {
        /// Which call.
        operation: &'static str,
        /// DynamoDB's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The caller's role may not make this call; DynamoDB's words name the action that it lacks. Someone must
    /// mend the role, and then trying again helps.
    #[error("DynamoDB {operation} was denied")]
    Denied {
        /// Which call.
        operation: &'static str,
        /// DynamoDB's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no such table in this account and region.
    #[error(
        "DynamoDB {operation} found no such table: check the names of tables in the environment against the \
         stack's outputs, and the region; then deploy again"
    )]
    NoTable {
        /// Which call.
        operation: &'static str,
        /// DynamoDB's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// DynamoDB refused the call, an expression for one. Trying again will not help.
    #[error("DynamoDB {operation} was refused")]
    Refused {
        /// Which call.
        operation: &'static str,
        /// DynamoDB's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row is not of the shape this version writes.
    #[error("a row has an unknown shape")]
    Shape(#[source] serde_dynamo::Error),
}

impl Error {
    /// A call that was given up, since nothing was heard in time.
    pub fn silent(operation: &'static str, elapsed: Elapsed) -> Self {
        Self::Unavailable {
            operation,
            source: elapsed.into(),
        }
    }
}

/// Sorts a failed call by what will help.
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
        // Timeouts, connections that broke, answers that were no answers.
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

/// Every row that a scan finds.
async fn scanned(scan: ScanFluentBuilder) -> Result<Vec<Item>, Error> {
    let mut pages = scan.consistent_read(true).into_paginator().items().send();
    let mut rows = Vec::new();
    while let Some(row) = pages.next().await {
        rows.push(row.map_err(|error| failed("Scan", error))?);
    }
    Ok(rows)
}

/// Up to `limit` rows that a query of one partition finds, the last by its sort key first; and the sort key after
/// which the next page begins, if there is one. A page may hold fewer than there are, or none, and still have a next.
async fn newest<T: DeserializeOwned, I: DeserializeOwned>(
    query: QueryFluentBuilder,
    limit: u16,
    sort_key: &str,
    id: impl Fn(&T) -> I,
) -> Result<(Vec<T>, Option<I>), Error> {
    let query = query
        // One more than asked for says whether there is a next page.
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
