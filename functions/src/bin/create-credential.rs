//! `POST /v2/zoom-credentials`

use functions::endpoints::CreateCredential;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<CreateCredential>().await
}
