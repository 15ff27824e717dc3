//! A Lambda function that does nothing, on the runtime of the vault's functions. `tests/measure/startup.py` compares
//! their start-up with this function's. It is a package of its own, so that it links nothing else.

use lambda_http::{Error, Request, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_http::run(service_fn(|_: Request| async { Ok::<_, Error>("{}") })).await
}
