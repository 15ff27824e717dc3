//! `GET /v2/overview`

use functions::endpoints::GetOverview;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<GetOverview>().await
}
