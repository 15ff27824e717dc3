//! `DELETE /v2/zoom-credentials/{id}`

use functions::{credentials, runtime};
use shared::config::{self, Aws, required};
use shared::stores::{Credentials, Keys, Requests};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let dynamodb = Aws::from_env()?.dynamodb();
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let requests = &Requests::new(dynamodb.clone(), required("REQUESTS_TABLE")?);
    let credentials = &Credentials::new(dynamodb, required("CREDENTIALS_TABLE")?);
    let restorable = config::restorable()?;
    runtime::run(
        credentials::delete::ROUTE,
        keys.warm(),
        |request| async move {
            credentials::delete::handle(keys, requests, credentials, restorable, &request).await
        },
    )
    .await
}
