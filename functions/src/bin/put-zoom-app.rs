//! `PUT /v2/zoom-apps/{client_id}`

use functions::endpoints::PutZoomApp;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<PutZoomApp>().await
}
