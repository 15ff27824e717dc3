//! Sends notifications from the queue to the endpoints of teams.

use functions::endpoints::{Function, NotifyDeliver};
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let deliver = &runtime::start::<NotifyDeliver>()?;
    runtime::run_batches(deliver.warm(), |batch, deadline, id| async move {
        deliver.run(batch, deadline, &id).await
    })
    .await
}
