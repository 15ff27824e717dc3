//! Puts notifications of events into the queue. Runs on the stream of `events`.

use functions::endpoints::{Function, NotifyEnqueue};
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let enqueue = &runtime::start::<NotifyEnqueue>()?;
    runtime::run_batches(enqueue.warm(), |batch, deadline, id| async move {
        enqueue.run(batch, deadline, &id).await
    })
    .await
}
