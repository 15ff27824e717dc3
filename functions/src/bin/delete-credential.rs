//! `DELETE /v2/zoom-credentials/{id}`

use functions::endpoints::DeleteCredential;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<DeleteCredential>().await
}
