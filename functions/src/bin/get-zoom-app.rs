//! `GET /v2/zoom-apps/{client_id}`

use functions::{runtime, zoom_apps};
use shared::config::{Aws, public_base_url, required};
use shared::stores::{Keys, Secrets};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let dynamodb = Aws::from_env()?.dynamodb();
    let public = &public_base_url()?;
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let secrets = &Secrets::new(dynamodb, required("SECRETS_TABLE")?);
    runtime::run(zoom_apps::get::ROUTE, keys.warm(), |request| async move {
        zoom_apps::get::handle(keys, secrets, public.as_ref(), &request).await
    })
    .await
}
