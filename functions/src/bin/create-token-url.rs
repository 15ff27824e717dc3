//! `POST /v2/zoom-credentials/{id}/token-urls`

use functions::{runtime, token_urls};
use shared::config::{Aws, public_base_url, required};
use shared::stores::{Credentials, Keys, Requests, TokenUrls};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let dynamodb = Aws::from_env()?.dynamodb();
    let public = &public_base_url()?;
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let requests = &Requests::new(dynamodb.clone(), required("REQUESTS_TABLE")?);
    let credentials = &Credentials::new(dynamodb.clone(), required("CREDENTIALS_TABLE")?);
    let token_urls = &TokenUrls::new(dynamodb, required("TOKEN_URLS_TABLE")?);
    runtime::run(
        token_urls::create::ROUTE,
        keys.warm(),
        |request| async move {
            let public = public.as_ref();
            token_urls::create::handle(keys, requests, credentials, token_urls, public, &request)
                .await
        },
    )
    .await
}
