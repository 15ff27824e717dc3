//! `DELETE /v2/zoom-credentials/{id}/token-urls/{url_id}`

use functions::{runtime, token_urls};
use shared::config::{Aws, required};
use shared::stores::{Keys, Requests, TokenUrls};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let dynamodb = Aws::from_env()?.dynamodb();
    let keys = &Keys::new(dynamodb.clone(), required("KEYS_TABLE")?);
    let requests = &Requests::new(dynamodb.clone(), required("REQUESTS_TABLE")?);
    let token_urls = &TokenUrls::new(dynamodb, required("TOKEN_URLS_TABLE")?);
    runtime::run(token_urls::delete::ROUTE, keys.warm(), |request| async move {
        token_urls::delete::handle(keys, requests, token_urls, &request).await
    })
    .await
}
