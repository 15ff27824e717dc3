//! `GET /v2/zoom-credentials/{id}`

use functions::{get_credential, runtime};
use shared::config::{Aws, required};
use shared::stores::{Credentials, Keys};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let dynamodb = Aws::from_env()?.dynamodb();
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let credentials = &Credentials::new(dynamodb, required("CREDENTIALS_TABLE")?);
    runtime::run(get_credential::ROUTE, keys.warm(), |request| async move {
        get_credential::handle(keys, credentials, &request).await
    })
    .await
}
