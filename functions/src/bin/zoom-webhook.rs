//! `POST /webhooks/zoom/{client_id}`

use functions::runtime;
use functions::zoom_apps::webhook::{self as zoom_webhook, Opened};
use shared::config::{self, Aws, required};
use shared::envelope::Envelope;
use shared::stores::{Credentials, Events, Secrets};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let aws = Aws::from_env()?;
    let dynamodb = aws.dynamodb();
    let window = config::webhook_window()?;
    let credentials = &Credentials::new(dynamodb.clone(), required("CREDENTIALS_TABLE")?);
    let secrets = &Secrets::new(dynamodb.clone(), required("SECRETS_TABLE")?);
    let events = &Events::new(
        dynamodb,
        required("EVENTS_TABLE")?,
        config::events_retention()?,
    );
    let envelope = &Envelope::new(aws.kms(), required("ENVELOPE_KEY_ID")?, Secrets::NAME);
    let opened = &Opened::default();
    runtime::run(zoom_webhook::ROUTE, envelope.warm(), |request| async move {
        zoom_webhook::handle(
            credentials,
            secrets,
            events,
            envelope,
            opened,
            window,
            &request,
        )
        .await
    })
    .await
}
