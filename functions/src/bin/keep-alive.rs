//! Refreshes the grants that have not been used for a while. Runs on a schedule.

use functions::endpoints::{Function, KeepAlive};
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let keep_alive = &runtime::start::<KeepAlive>()?;
    runtime::run_scheduled(keep_alive.warm(), |deadline, id| async move {
        keep_alive.run(deadline, &id).await
    })
    .await
}
