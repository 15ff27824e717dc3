//! `DELETE /v2/zoom-credentials/{id}/token-urls/{url_id}`

use functions::endpoints::DeleteTokenUrl;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<DeleteTokenUrl>().await
}
