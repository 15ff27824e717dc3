//! A limit on how long a caller waits for DynamoDB and KMS.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

use crate::error::{Down, Error};
use crate::timestamp::Timestamp;

/// A call to DynamoDB or KMS gets at least this long, since it usually takes a hundredth of it.
const MIN_CALL_TIME: Duration = Duration::from_millis(500);

/// The time for a call whose caller needs the answer at `answer_by`.
pub(crate) fn time_for_call(answer_by: Timestamp) -> Duration {
    Timestamp::now().until(answer_by).max(MIN_CALL_TIME)
}

/// Runs `work` until `answer_by`, then gives up with [`Down::Silent`]. `work` must spend nothing, since it may be
/// dropped at any point.
pub async fn until<T, E: From<Error>>(
    answer_by: Timestamp,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    // Boxed: the future would otherwise hold `work` twice.
    match timeout(time_for_call(answer_by), Box::pin(work)).await {
        Ok(done) => done,
        Err(_) => Err(Error::unavailable(Down::Silent).into()),
    }
}
