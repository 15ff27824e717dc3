//! What a caller cannot wait for any longer.

use std::future::Future;
use std::time::Duration;

use shared::timestamp::Timestamp;
use tokio::time::timeout;

use crate::error::{ApiError, Down, RETRY_AFTER};

/// A call to DynamoDB or KMS is given so long in any case: it mostly takes a hundredth of it.
const LEAST: Duration = Duration::from_millis(500);

/// How long is left for a call, `by` when its caller waits no longer.
pub(crate) fn left(by: Timestamp) -> Duration {
    Timestamp::now().until(by).max(LEAST)
}

/// Does what spends nothing, and so can be dropped, until `by`. Then it is a 503.
pub(crate) async fn until<T, E: Into<ApiError>>(
    by: Timestamp,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, ApiError> {
    // On the heap: as a part of this future it would be in it twice.
    match timeout(left(by), Box::pin(work)).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(ApiError::Unavailable {
            retry_after: RETRY_AFTER,
            source: Down::Silent,
        }),
    }
}
