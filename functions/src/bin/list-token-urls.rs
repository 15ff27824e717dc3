//! `GET /v2/zoom-credentials/{id}/token-urls`

use functions::endpoints::ListTokenUrls;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<ListTokenUrls>().await
}
