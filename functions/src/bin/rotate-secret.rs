//! `POST /v2/zoom-apps/{client_id}/rotate-secret`

use functions::{runtime, zoom_apps};
use futures_util::future::join3;
use shared::config::{self, Aws, required};
use shared::envelope::Envelope;
use shared::stores::{Credentials, Keys, Requests, Secrets};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let aws = Aws::from_env()?;
    let dynamodb = aws.dynamodb();
    let zoom = &config::zoom()?;
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let requests = &Requests::new(dynamodb.clone(), required("REQUESTS_TABLE")?);
    let credentials = &Credentials::new(dynamodb.clone(), required("CREDENTIALS_TABLE")?);
    let secrets = &Secrets::new(dynamodb, required("SECRETS_TABLE")?);
    let envelope = &Envelope::new(aws.kms(), required("ENVELOPE_KEY_ID")?, Secrets::NAME);
    let warm = join3(keys.warm(), envelope.warm(), zoom.warm());
    runtime::run(
        zoom_apps::rotate_secret::ROUTE,
        warm,
        |request| async move {
            zoom_apps::rotate_secret::handle(
                keys,
                requests,
                credentials,
                secrets,
                envelope,
                zoom,
                &request,
            )
            .await
        },
    )
    .await
}
