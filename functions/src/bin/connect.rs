//! `ANY /connect/{token}`

use functions::{connect, runtime};
use shared::config::{Aws, consent_page, required};
use shared::stores::Requests;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let dynamodb = Aws::from_env()?.dynamodb();
    let consent = &consent_page()?;
    let requests = &Requests::new(dynamodb, required("REQUESTS_TABLE")?);
    runtime::run(
        connect::page::ROUTE,
        requests.warm(),
        |request| async move { connect::page::handle(requests, consent, &request).await },
    )
    .await
}
