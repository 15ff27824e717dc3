//! `GET /v2/zoom-credentials/{id}/events`

use functions::{credentials, runtime};
use shared::config::{Aws, events_retention, required};
use shared::stores::{Credentials, Events, Keys};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let dynamodb = Aws::from_env()?.dynamodb();
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let credentials = &Credentials::new(dynamodb.clone(), required("CREDENTIALS_TABLE")?);
    let events = &Events::new(dynamodb, required("EVENTS_TABLE")?, events_retention()?);
    runtime::run(credentials::events::ROUTE, keys.warm(), |request| async move {
        credentials::events::handle(keys, credentials, events, &request).await
    })
    .await
}
