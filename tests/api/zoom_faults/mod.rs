//! Zoom refuses, fails, is silent, or sends huge or hostile answers. The caller gets the right error, nothing is half
//! stored, and no secret leaks.

use std::time::Duration;

use hyper::StatusCode;
use local::zoom::{Endpoint, Fault, FaultKind, GrantType, Reply};
use serde_json::{Map, Value};

use crate::world::{Answer, World, attribute, user_body};

mod api_url;
mod connections;
mod encodings;
mod exchange;
mod profile;
mod refusals;

const REFUSED: &str = "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED";

/// The endpoint that exchanges a code for tokens.
const EXCHANGE: Endpoint = Endpoint::Grant(GrantType::AuthorizationCode);

/// Long enough for the answers of a busy machine.
const SHORT_TIME_OUT: Duration = Duration::from_secs(2);
/// Longer than any test.
const LONG_DELAY: Duration = Duration::from_mins(10);

async fn assert_nothing_stored(world: &World) {
    assert_eq!(world.count("credentials").await, 0);
    assert_eq!(world.count("secrets").await, 0);
    assert!(!world.has_running_request().await);
}

fn reply(status: u16, body: &(impl ToString + ?Sized)) -> FaultKind {
    FaultKind::ReplyBefore(Reply {
        body: Some(body.to_string()),
        ..Reply::status(StatusCode::from_u16(status).unwrap())
    })
}

fn set(field: &str, value: Value) -> FaultKind {
    FaultKind::Override {
        set: Map::from_iter([(field.to_owned(), value)]),
        remove: Vec::new(),
    }
}

fn without(fields: &[&str]) -> FaultKind {
    FaultKind::Override {
        set: Map::new(),
        remove: fields.iter().map(ToString::to_string).collect(),
    }
}

/// Creates a user credential while the exchange meets a fault.
async fn create_with_exchange_fault(world: &World, kind: FaultKind) -> Answer {
    world.zoom.inject(Fault::once(EXCHANGE, kind));
    world.acme.create(user_body("bot", &world.code())).await
}

/// Creates a user credential while the profile call meets a fault, and returns the credential.
async fn create_with_profile_fault(world: &World, kind: FaultKind) -> Value {
    world.zoom.inject(Fault::once(Endpoint::Profile, kind));
    let answer = world.acme.create(user_body("bot", &world.code())).await;
    answer.expect(201)
}

/// Creates a user credential while every profile call meets a fault, and returns the credential.
async fn create_while_profiles_fail(world: &World, kind: FaultKind) -> Value {
    world.zoom.inject(Fault::always(Endpoint::Profile, kind));
    let answer = world.acme.create(user_body("bot", &world.code())).await;
    world.zoom.clear_faults();
    answer.expect(201)
}

/// The stored REST host of a credential's grant, if any.
async fn stored_api_url(world: &World, data: &Value) -> Option<String> {
    let id = data["credential_id"].as_str().unwrap();
    let grant = format!("grant#{}", attribute(&world.row(id).await, "grant_id"));
    let mut secrets = world.items("secrets").await.into_iter();
    let row = secrets
        .find(|row| attribute(row, "secret_id") == grant)
        .unwrap();
    row.contains_key("api_url")
        .then(|| attribute(&row, "api_url").to_owned())
}
