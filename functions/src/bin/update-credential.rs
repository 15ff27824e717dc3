//! `PATCH /v2/zoom-credentials/{id}`

use functions::endpoints::UpdateCredential;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<UpdateCredential>().await
}
