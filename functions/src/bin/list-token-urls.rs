//! `GET /v2/zoom-credentials/{id}/token-urls`

use functions::{runtime, token_urls};
use shared::config::{Aws, required};
use shared::stores::{Credentials, Keys, TokenUrls};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let dynamodb = Aws::from_env()?.dynamodb();
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let credentials = &Credentials::new(dynamodb.clone(), required("CREDENTIALS_TABLE")?);
    let token_urls = &TokenUrls::new(dynamodb, required("TOKEN_URLS_TABLE")?);
    runtime::run(token_urls::list::ROUTE, keys.warm(), |request| async move {
        token_urls::list::handle(keys, credentials, token_urls, &request).await
    })
    .await
}
