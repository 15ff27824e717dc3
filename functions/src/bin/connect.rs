//! `ANY /connect/{token}`

use functions::endpoints::Connect;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<Connect>().await
}
