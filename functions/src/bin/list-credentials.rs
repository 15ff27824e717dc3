//! `GET /v2/zoom-credentials`

use functions::{credentials, runtime};
use shared::config::{Aws, required};
use shared::stores::{Credentials, Keys};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let dynamodb = Aws::from_env()?.dynamodb();
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let credentials = &Credentials::new(dynamodb, required("CREDENTIALS_TABLE")?);
    runtime::run(
        credentials::list::ROUTE,
        keys.warm(),
        |request| async move { credentials::list::handle(keys, credentials, &request).await },
    )
    .await
}
