//! `GET /console` and `GET /console/{file}`

use functions::endpoints::Console;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<Console>().await
}
