//! `PUT`, `GET` and `DELETE /v2/notification-endpoint`, and `POST /v2/notification-endpoint/test`

use functions::endpoints::NotificationEndpoint;
use functions::runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    runtime::run::<NotificationEndpoint>().await
}
