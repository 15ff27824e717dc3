//! `GET /connect/callback`

use functions::{connect, runtime};
use futures_util::future::join3;
use shared::config::{self, Aws, required};
use shared::envelope::Envelope;
use shared::stores::{Credentials, Events, Requests, Secrets};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let aws = Aws::from_env()?;
    let dynamodb = aws.dynamodb();
    let zoom = &config::zoom()?;
    let requests = &Requests::new(dynamodb.clone(), required("REQUESTS_TABLE")?);
    let credentials = &Credentials::new(dynamodb.clone(), required("CREDENTIALS_TABLE")?);
    let secrets = &Secrets::new(dynamodb.clone(), required("SECRETS_TABLE")?);
    let events = &Events::new(
        dynamodb,
        required("EVENTS_TABLE")?,
        config::events_retention()?,
    );
    let envelope = &Envelope::new(aws.kms(), required("ENVELOPE_KEY_ID")?, Secrets::NAME);
    let warm = join3(requests.warm(), envelope.warm(), zoom.warm());
    runtime::run(connect::callback::ROUTE, warm, |request| async move {
        connect::callback::handle(
            requests,
            credentials,
            secrets,
            events,
            envelope,
            zoom,
            &request,
        )
        .await
    })
    .await
}
