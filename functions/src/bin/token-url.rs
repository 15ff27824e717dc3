//! `ANY /t/{token+}`

use functions::endpoints::TokenUrl;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<TokenUrl>().await
}
