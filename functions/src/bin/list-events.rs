//! `GET /v2/zoom-credentials/{id}/events`

use functions::endpoints::ListEvents;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<ListEvents>().await
}
