//! The first read of a request: its API key and its credential in one call.

use aws_sdk_dynamodb::types::AttributeValue;
use hyper::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::Permission;

use crate::proxy::{Fault, Service};
use crate::world::{Answer, Caller, World, send};

const BATCH: &str = "BatchGetItem";

/// The operations that read a credential with the key, as method, path after the credential's path, and body.
fn operations() -> [(Method, &'static str, Value); 5] {
    [
        (Method::GET, "", Value::Null),
        (Method::PATCH, "", json!({ "name": "renamed" })),
        (Method::GET, "/events", Value::Null),
        (Method::GET, "/token-urls", Value::Null),
        (Method::DELETE, "", Value::Null),
    ]
}

async fn call(caller: &Caller, id: &str, (method, path, body): &(Method, &str, Value)) -> Answer {
    let path = format!("/v2/zoom-credentials/{id}{path}");
    let request = caller.request(method.clone(), &path);
    send(if body.is_null() {
        request
    } else {
        request.json(body)
    })
    .await
}

async fn mint(caller: &Caller, id: &str) -> Answer {
    let body = json!({ "credential_id": id, "type": "onbehalf" });
    send(caller.request(Method::POST, "/v2/zoom-tokens").json(&body)).await
}

/// Calls each operation. The first read of each meets the fault.
async fn expect_all_work(fault: Fault) {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world
        .wire
        .inject_once(Service::DynamoDb, BATCH, fault.clone());
    mint(&world.acme, &id).await.expect(200);
    for operation in operations() {
        world.wire.heal();
        world.wire.reset();
        world
            .wire
            .inject_once(Service::DynamoDb, BATCH, fault.clone());
        call(&world.acme, &id, &operation).await.expect(200);
        let calls = world.wire.operations(Service::DynamoDb);
        assert_eq!(calls.iter().filter(|call| *call == BATCH).count(), 1);
    }
}

/// While a new version is installed, the role may be the one of the version before.
#[tokio::test]
async fn a_role_that_does_not_allow_batches_reads_the_rows_one_by_one() {
    let denied = json!({ "__type": "AccessDeniedException" }).to_string();
    expect_all_work(Fault::Answer(StatusCode::BAD_REQUEST, denied)).await;
}

#[tokio::test]
async fn rows_that_dynamodb_leaves_out_of_a_batch_are_read_one_by_one() {
    let key = json!({ "team_id": { "S": "acme" }, "credential_id": { "S": "any" } });
    let unprocessed = json!({
        "Responses": {},
        "UnprocessedKeys": { "credentials": { "Keys": [key] } },
    });
    expect_all_work(Fault::Answer(StatusCode::OK, unprocessed.to_string())).await;
}

/// A wrong key learns nothing about the row.
#[tokio::test]
async fn a_row_that_is_unreadable_is_answered_only_to_a_key_of_the_team() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let mut row = world.row(&id).await;
    let number = AttributeValue::N("1".to_owned());
    row.insert("name".to_owned(), number);
    world.put("credentials", row).await;
    for operation in operations() {
        let broken = call(&world.acme, &id, &operation).await;
        assert_eq!(broken.status, 500, "{operation:?}");
        let refused = call(&world.stranger("acme"), &id, &operation).await;
        refused.expect_code(401, "FST_ERR_UNAUTHORIZED");
    }
}

#[tokio::test]
async fn another_team_and_a_missing_credential_have_the_same_answer() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let missing = uuid::Uuid::now_v7().to_string();
    let globex = world.caller("globex", Permission::Full).await;
    for operation in operations() {
        let of_others = call(&globex, &id, &operation).await;
        let nobodys = call(&world.acme, &missing, &operation).await;
        assert_eq!((of_others.status, of_others.text), (404, nobodys.text));
    }
}
