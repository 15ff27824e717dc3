//! `GET /v2/zoom-credentials/{id}`

use functions::endpoints::GetCredential;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<GetCredential>().await
}
