//! `GET /connect/callback`

use functions::endpoints::ConnectCallback;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<ConnectCallback>().await
}
