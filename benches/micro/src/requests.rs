//! What a request costs before a handler begins its work: the event, the API key and the body.

use functions::credentials::create::{self, CreateCredential};
use functions::http::request::{Event, Request};
use functions::runtime::invoke;
use lambda_http::{Context, LambdaEvent};
use shared::api_key::ApiKey;

use crate::{Operation, Prepare, Run, run};

/// A well-formed API key. No vault knows it.
pub(crate) const API_KEY: &str = concat!(
    "zcv_acme_",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "2a8sSz"
);

pub(crate) fn operations() -> Vec<Operation> {
    let operations: [(&str, Prepare); 4] = [
        ("read-event", event),
        ("read-api-key", api_key),
        ("answer-request", request),
        ("read-create-body", body),
    ];
    let operations = operations.into_iter();
    let operations =
        operations.map(|(name, prepare)| Operation::new(name.to_owned(), 200, prepare));
    operations.collect()
}

/// The event of a create, as API Gateway sends it.
fn create_event() -> String {
    include_str!("../../../events/create-credential.json").replace("API_KEY", API_KEY)
}

/// Lambda's event with the time of an hour.
pub(crate) fn lambda_event(json: &str) -> LambdaEvent<Event> {
    let mut context = Context::default();
    let in_an_hour = shared::timestamp::Timestamp::now().plus(std::time::Duration::from_hours(1));
    context.deadline = u64::try_from(in_an_hour.as_millis()).unwrap();
    LambdaEvent::new(serde_json::from_str(json).unwrap(), context)
}

fn event() -> Run {
    let json = create_event();
    run(move || serde_json::from_str::<Event>(&json).unwrap())
}

fn api_key() -> Run {
    run(|| ApiKey::parse(API_KEY).unwrap().hash())
}

/// Runs a handler that does no more than `read` the request.
fn handled(read: fn(&Request)) -> Run {
    let json = create_event();
    let runtime = runtime();
    run(move || {
        let handler = |request: Request| async move {
            read(&request);
            Ok(http::Response::default())
        };
        runtime.block_on(invoke(create::ROUTE, lambda_event(&json), handler))
    })
}

/// The event, the headers of the answer, and the log line, which nobody reads.
fn request() -> Run {
    handled(|_| {})
}

/// As [`request`], with the body of a create.
fn body() -> Run {
    handled(|request| drop(CreateCredential::of(request).unwrap()))
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
}
