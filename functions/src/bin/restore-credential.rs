//! `POST /v2/zoom-credentials/{id}/restore`

use functions::{credentials, runtime};
use shared::config::{self, Aws, required};
use shared::stores::{Credentials, Events, Keys, Requests, Secrets};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let dynamodb = Aws::from_env()?.dynamodb();
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let requests = &Requests::new(dynamodb.clone(), required("REQUESTS_TABLE")?);
    let credentials = &Credentials::new(dynamodb.clone(), required("CREDENTIALS_TABLE")?);
    let secrets = &Secrets::new(dynamodb.clone(), required("SECRETS_TABLE")?);
    let events = &Events::new(
        dynamodb,
        required("EVENTS_TABLE")?,
        config::events_retention()?,
    );
    runtime::run(
        credentials::restore::ROUTE,
        keys.warm(),
        |request| async move {
            credentials::restore::handle(keys, requests, credentials, secrets, events, &request)
                .await
        },
    )
    .await
}
