//! `POST /v2/zoom-credentials/{id}/check`

use functions::endpoints::CheckCredential;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<CheckCredential>().await
}
