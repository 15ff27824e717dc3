//! `ANY /t/{token}`

use functions::{runtime, token_urls};
use futures_util::future::join3;
use shared::config::{self, Aws, required};
use shared::envelope::Envelope;
use shared::grants::Grants;
use shared::stores::{Credentials, Events, Keys, Requests, Secrets, TokenUrls};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let aws = Aws::from_env()?;
    let dynamodb = aws.dynamodb();
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let requests = &Requests::new(dynamodb.clone(), required("REQUESTS_TABLE")?);
    let token_urls = &TokenUrls::new(dynamodb.clone(), required("TOKEN_URLS_TABLE")?);
    let events = Events::new(
        dynamodb.clone(),
        required("EVENTS_TABLE")?,
        config::events_retention()?,
    );
    let grants = &Grants::new(
        Credentials::new(dynamodb.clone(), required("CREDENTIALS_TABLE")?),
        Secrets::new(dynamodb, required("SECRETS_TABLE")?),
        events,
        Envelope::new(aws.kms(), required("ENVELOPE_KEY_ID")?, Secrets::NAME),
        config::zoom()?,
        config::recovery_capsules(),
    );
    let warm = join3(keys.warm(), grants.envelope.warm(), grants.zoom.warm());
    runtime::run(token_urls::call::ROUTE, warm, |request| async move {
        token_urls::call::handle(keys, requests, token_urls, grants, &request).await
    })
    .await
}
