//! `GET /v2/zoom-connect-sessions/{id}`

use functions::endpoints::GetConnectSession;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<GetConnectSession>().await
}
