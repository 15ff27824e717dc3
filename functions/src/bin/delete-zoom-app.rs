//! `DELETE /v2/zoom-apps/{client_id}`

use functions::{runtime, zoom_apps};
use shared::config::{Aws, required};
use shared::stores::{Keys, Requests, Secrets};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let dynamodb = Aws::from_env()?.dynamodb();
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let requests = &Requests::new(dynamodb.clone(), required("REQUESTS_TABLE")?);
    let secrets = &Secrets::new(dynamodb, required("SECRETS_TABLE")?);
    runtime::run(
        zoom_apps::delete::ROUTE,
        keys.warm(),
        |request| async move { zoom_apps::delete::handle(keys, requests, secrets, &request).await },
    )
    .await
}
