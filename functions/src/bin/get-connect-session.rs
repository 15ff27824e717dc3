//! `GET /v2/zoom-connect-sessions/{id}`

use functions::{get_connect_session, runtime};
use shared::config::{Aws, required};
use shared::stores::{Credentials, Keys, Requests};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let dynamodb = Aws::from_env()?.dynamodb();
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let requests = &Requests::new(dynamodb.clone(), required("REQUESTS_TABLE")?);
    let credentials = &Credentials::new(dynamodb, required("CREDENTIALS_TABLE")?);
    runtime::run(
        get_connect_session::ROUTE,
        keys.warm(),
        |request| async move {
            get_connect_session::handle(keys, requests, credentials, &request).await
        },
    )
    .await
}
