//! Authorizations whose tokens DynamoDB does not store: they are logged as capsules, and a replay stores them.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use serde_json::{Value, json};
use shared::grants::capsule::{Capsule, Replayed};
use shared::stores::{Credentials, Pairs, Secrets};
use shared::timestamp::Timestamp;
use tokio::task::JoinHandle;
use tracing::Level;

use super::settle;
use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Service};
use crate::secrecy::log::Log;
use crate::world::{REDIRECT_URI, World, attribute, user_body};

/// Long enough for the code, and short enough for a test.
const TIME_OUT: Duration = Duration::from_secs(12);

/// Invokes a function that has [`TIME_OUT`], in a task that returns the status.
fn invoke(world: &World, method: Method, path: &str, body: &Value) -> JoinHandle<u16> {
    let request = axum::http::Request::builder()
        .method(method)
        .uri(path)
        .header("x-meeting-baas-api-key", world.acme.key())
        .header("content-type", "application/json")
        .body(())
        .unwrap();
    let (parts, ()) = request.into_parts();
    let (gateway, body) = (world.gateway.clone(), body.to_string().into_bytes());
    tokio::spawn(async move {
        let answer = gateway.answer_within(parts, body, TIME_OUT);
        answer.await.status().as_u16()
    })
}

/// Authorizes the app while DynamoDB is down from Zoom's answer to the end of the invocation. Answers the status and
/// the capsule in the log.
async fn authorize_in_an_outage(
    world: &World,
    method: Method,
    path: &str,
    body: &Value,
) -> (u16, Capsule) {
    let log = Log::default();
    let recording = log.record(Level::ERROR);
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let authorizing = invoke(world, method, path, body);
    world.wire.stalled().await;
    world
        .wire
        .break_service(Service::DynamoDb, Fault::DropBefore);
    bell.notify_one();
    let status = authorizing.await.unwrap();
    world.wire.heal();
    drop(recording);
    let text = String::from_utf8(log.bytes()).unwrap();
    let (_, rest) = text.split_once(Capsule::PREFIX).unwrap();
    let (capsule, _) = rest.split_once('"').unwrap();
    (
        status,
        format!("{}{capsule}", Capsule::PREFIX).parse().unwrap(),
    )
}

async fn replay(world: &World, capsule: &Capsule) -> Replayed {
    let client = || world.dynamodb.clone();
    let credentials = Credentials::new(client(), "credentials".to_owned());
    let pairs = Pairs::new(client(), "pairs".to_owned());
    let secrets = Secrets::new(client(), "secrets".to_owned());
    let until = Timestamp::now().plus(Duration::from_secs(5));
    let replayed = capsule.replay(&credentials, &pairs, &secrets, until);
    replayed.await.unwrap()
}

#[tokio::test]
async fn a_re_authorization_that_dynamodb_does_not_store_is_replayed_from_its_capsule() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let sibling = world.add_user_credential("sibling").await;
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    let path = format!("/v2/zoom-credentials/{id}");
    let (status, capsule) = authorize_in_an_outage(&world, Method::PATCH, &path, &body).await;
    assert_eq!(status, 500);
    let before = world.row(&id).await;

    assert_eq!(replay(&world, &capsule).await, Replayed::Stored);
    assert_eq!(replay(&world, &capsule).await, Replayed::Known);
    let after = world.row(&id).await;
    assert_ne!(
        attribute(&after, "grant_id"),
        attribute(&before, "grant_id")
    );
    // The mint learns the user, so that the other credential finds the grant.
    for id in [&id, &sibling] {
        mint_onbehalf(&world.acme, id).await.expect(200);
    }
}

// assures 43. Seen to fail: no capsule was logged for a code (docs/reliability.md)
#[tokio::test]
async fn the_capsule_of_a_create_serves_the_users_other_credentials() {
    let world = World::new().await;
    let sibling = world.add_user_credential("sibling").await;
    let body = user_body("never stored", &world.code());
    let path = "/v2/zoom-credentials";
    let (status, capsule) = authorize_in_an_outage(&world, Method::POST, path, &body).await;
    assert_eq!(status, 500);
    assert_eq!(world.count("credentials").await, 1);

    assert_eq!(replay(&world, &capsule).await, Replayed::Stray);
    assert_eq!(replay(&world, &capsule).await, Replayed::Known);
    // Zoom has ended the sibling's own grant.
    mint_onbehalf(&world.acme, &sibling).await.expect(200);
}

/// The first replay adds the grant to the pair of its user. So does a second one, if a crash has cut the first in two.
#[tokio::test]
async fn each_replay_of_a_create_adds_the_grant_to_its_pair_if_it_is_not_there() {
    let world = World::new().await;
    world.add_user_credential("sibling").await;
    let body = user_body("never stored", &world.code());
    let path = "/v2/zoom-credentials";
    let (_, capsule) = authorize_in_an_outage(&world, Method::POST, path, &body).await;
    let before = world.pair_of("ada").await;
    let grant = format!("grant#{}", capsule.grant());
    for replayed in [Replayed::Stray, Replayed::Known] {
        assert_eq!(replay(&world, &capsule).await, replayed);
        let AttributeValue::Ss(grants) = &world.pair_of("ada").await["grants"] else {
            panic!("the grants are a set");
        };
        assert!(
            grants.contains(&capsule.grant().to_string()),
            "{replayed:?}"
        );
        let rows = world.items("secrets").await.into_iter();
        let mut rows = rows.filter(|row| attribute(row, "secret_id") == grant);
        let mut row = rows.next().unwrap();
        assert!(row.remove("pair_id").is_some(), "{replayed:?}");
        // As a crash after the first of the two writes leaves it.
        world.put("secrets", row).await;
        world.put("pairs", before.clone()).await;
    }
}

#[tokio::test]
async fn a_capsule_of_a_credential_that_was_deleted_since_is_stored_as_a_stray_grant() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let sibling = world.add_user_credential("sibling").await;
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    let path = format!("/v2/zoom-credentials/{id}");
    let (_, capsule) = authorize_in_an_outage(&world, Method::PATCH, &path, &body).await;
    world.acme.delete(&id).await.expect(200);

    assert_eq!(replay(&world, &capsule).await, Replayed::Stray);
    settle(&world).await;
    mint_onbehalf(&world.acme, &sibling).await.expect(200);
}
