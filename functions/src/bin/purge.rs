//! Destroys what deleted credentials leave behind. Runs on the stream of `credentials`.

use functions::endpoints::{Function, Purge};
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let purge = &runtime::start::<Purge>()?;
    runtime::run_batches(purge.warm(), |batch, deadline, id| async move {
        purge.run(batch, deadline, &id).await
    })
    .await
}
