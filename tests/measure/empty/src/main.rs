//! The floor that start-up is measured against: a Lambda that does nothing, on the runtime that ours use. It
//! is a package of its own so that building it pulls in nothing else; it is no part of the product.

use lambda_http::{Error, Request, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_http::run(service_fn(|_: Request| async { Ok::<_, Error>("{}") })).await
}
