//! `POST /v2/zoom-connect-sessions`

use functions::{connect, runtime};
use futures_util::future::join;
use shared::config::{Aws, public_base_url, required};
use shared::envelope::Envelope;
use shared::stores::{Credentials, Keys, Requests, Secrets};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let aws = Aws::from_env()?;
    let dynamodb = aws.dynamodb();
    let public = &public_base_url()?;
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let requests = &Requests::new(dynamodb.clone(), required("REQUESTS_TABLE")?);
    let credentials = &Credentials::new(dynamodb.clone(), required("CREDENTIALS_TABLE")?);
    let secrets = &Secrets::new(dynamodb, required("SECRETS_TABLE")?);
    let envelope = &Envelope::new(aws.kms(), required("ENVELOPE_KEY_ID")?, Secrets::NAME);
    let warm = join(keys.warm(), envelope.warm());
    runtime::run(connect::create::ROUTE, warm, |request| async move {
        connect::create::handle(
            keys,
            requests,
            credentials,
            secrets,
            envelope,
            public.as_ref(),
            &request,
        )
        .await
    })
    .await
}
