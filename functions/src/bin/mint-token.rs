//! `POST /v2/zoom-tokens`

use functions::endpoints::MintToken;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<MintToken>().await
}
