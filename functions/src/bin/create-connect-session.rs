//! `POST /v2/zoom-connect-sessions`

use functions::endpoints::CreateConnectSession;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<CreateConnectSession>().await
}
