//! `POST /v2/zoom-credentials/{id}/restore`

use functions::endpoints::RestoreCredential;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<RestoreCredential>().await
}
