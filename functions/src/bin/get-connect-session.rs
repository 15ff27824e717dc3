//! `GET /v2/zoom-connect-sessions/{id}`

use functions::{connect, runtime};
use shared::config::{Aws, required};
use shared::stores::{Credentials, Keys, Requests};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let dynamodb = Aws::from_env()?.dynamodb();
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let requests = &Requests::new(dynamodb.clone(), required("REQUESTS_TABLE")?);
    let credentials = &Credentials::new(dynamodb, required("CREDENTIALS_TABLE")?);
    runtime::run(connect::get::ROUTE, keys.warm(), |request| async move {
        connect::get::handle(keys, requests, credentials, &request).await
    })
    .await
}
