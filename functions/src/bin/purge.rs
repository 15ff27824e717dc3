//! Sees to what deleted credentials leave behind. On the stream of `credentials`.

use functions::{background, runtime};
use shared::config::{Aws, required};
use shared::stores::{Credentials, Secrets, TokenUrls};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::init_logging();
    let dynamodb = Aws::from_env()?.dynamodb();
    let credentials = &Credentials::new(dynamodb.clone(), required("CREDENTIALS_TABLE")?);
    let secrets = &Secrets::new(dynamodb.clone(), required("SECRETS_TABLE")?);
    let token_urls = &TokenUrls::new(dynamodb, required("TOKEN_URLS_TABLE")?);
    // Nobody waits for it: no connection is opened ahead.
    runtime::run_stream(async {}, |batch, deadline, id| async move {
        background::purge::handle(credentials, secrets, token_urls, batch, deadline, &id).await
    })
    .await
}
