//! `GET /v2/zoom-credentials`

use functions::endpoints::ListCredentials;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<ListCredentials>().await
}
