//! `POST /v2/zoom-apps/{client_id}/rotate-secret`

use functions::endpoints::RotateSecret;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<RotateSecret>().await
}
