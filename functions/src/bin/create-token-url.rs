//! `POST /v2/zoom-credentials/{id}/token-urls`

use functions::endpoints::CreateTokenUrl;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<CreateTokenUrl>().await
}
