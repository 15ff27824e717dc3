//! Retries an update of one row while a transaction locks the row.

use std::future::Future;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::timestamp::Timestamp;

/// How long an update retries. A transaction locks a row for milliseconds.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Sends an update again while a transaction locks its row. The SDK does not retry this error.
pub(super) async fn retry_while_locked<T, E, F>(send: impl Fn() -> F) -> Result<T, SdkError<E>>
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    let until = Timestamp::now().plus(TIMEOUT);
    let mut pause = Duration::from_millis(25);
    loop {
        let error = match send().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let code = error.as_service_error().and_then(E::code);
        let is_locked = code == Some("TransactionConflictException");
        if !is_locked || Timestamp::now().plus(pause) >= until {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}
