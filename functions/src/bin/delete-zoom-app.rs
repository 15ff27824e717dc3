//! `DELETE /v2/zoom-apps/{client_id}`

use functions::endpoints::DeleteZoomApp;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<DeleteZoomApp>().await
}
