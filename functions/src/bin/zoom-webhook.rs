//! `POST /webhooks/zoom/{client_id}`

use functions::endpoints::ZoomWebhook;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<ZoomWebhook>().await
}
