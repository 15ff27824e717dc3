//! `PUT`, `GET` and `DELETE /v2/vendors/{vendor}`

use functions::endpoints::Vendors;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<Vendors>().await
}
