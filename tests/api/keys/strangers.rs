//! A caller whose key is not known costs the vault the same little work, whatever the call.

use hyper::StatusCode;
use serde_json::{Value, json};
use shared::api_key::{KeyTerms, Permission};
use shared::timestamp::Timestamp;

use super::all_endpoints;
use crate::access::{call, expect_refused};
use crate::proxy::{Fault, Service};
use crate::world::{World, send, text_of};

/// The calls to DynamoDB: the operation, and how many items came back.
fn reads(world: &World) -> Vec<(&'static str, usize)> {
    let mut reads: Vec<(&'static str, usize)> = Vec::new();
    for call in world.wire.calls() {
        assert_eq!(call.service, Service::DynamoDb);
        match call.operation.as_str() {
            "GetItem" => reads.push(("GetItem", 1)),
            "Query" => reads.push(("Query", 1)),
            "BatchGetItem" => {
                let body: Value = serde_json::from_slice(&call.body).unwrap();
                let tables = body["RequestItems"].as_object().unwrap().values();
                let rows: usize = tables
                    .map(|table| table["Keys"].as_array().unwrap().len())
                    .sum();
                reads.extend((0..rows).map(|_| ("GetItem", 1)));
            }
            other => panic!("a stranger causes {other}"),
        }
    }
    reads.sort_unstable();
    reads
}

// assures 49, 52
#[tokio::test]
async fn an_unknown_key_costs_its_own_row_and_at_most_one_more_item_on_every_endpoint() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    for name in 0..30 {
        world.add_app_credential(&format!("bot {name}")).await;
    }
    let team = world.team("acme");
    let full = || KeyTerms::of(Permission::Full);
    let (revoked, listing) = world.operator.create_key(&team, full()).await.unwrap();
    let revoke = world.operator.revoke_key(&team, &listing.key_id);
    revoke.await.unwrap();
    let expired = KeyTerms {
        expires_at: Some(Timestamp::now()),
        ..full()
    };
    let callers = [
        world.stranger("acme"),
        world.stranger("nobody"),
        world.caller_with_key(&text_of(revoked)),
        world.caller_with_terms(expired).await,
    ];

    for endpoint in all_endpoints(&id) {
        let mut first = None;
        for caller in &callers {
            world.wire.reset();
            expect_refused(&send(call(caller, &endpoint)).await, &endpoint.1);
            let reads = reads(&world);
            assert!(reads.len() <= 2, "{endpoint:?}: {reads:?}");
            // Only the index of registered apps is queried, by its whole key.
            let queries = reads.iter().filter(|(name, _)| *name == "Query").count();
            let is_app = endpoint.1.starts_with("/v2/zoom-apps/");
            assert!(queries == 0 || is_app, "{endpoint:?}: {reads:?}");
            assert_eq!(world.wire.count(Service::Kms), 0);
            assert_eq!(world.wire.count(Service::Zoom), 0);
            let expected = first.get_or_insert_with(|| reads.clone());
            assert_eq!(*expected, reads, "{endpoint:?}");
        }
    }
}

/// DynamoDB may leave rows out of a batch, and the role may not allow batches. Then the rows are read one by one.
// assures 49
#[tokio::test]
async fn an_unknown_key_costs_no_second_item_when_a_batch_gives_no_rows() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let left_out = json!({
        "Responses": {},
        "UnprocessedKeys": { "keys": { "Keys": [{ "team_id": { "S": "acme" }, "record": { "S": "any" } }] } },
    });
    let denied = json!({ "__type": "AccessDeniedException" });
    let stranger = world.stranger("acme");
    let mut batches = 0;
    for endpoint in all_endpoints(&id) {
        for (status, body) in [
            (StatusCode::OK, &left_out),
            (StatusCode::BAD_REQUEST, &denied),
        ] {
            world.wire.reset();
            let fault = Fault::Answer(status, body.to_string());
            world
                .wire
                .inject_once(Service::DynamoDb, "BatchGetItem", fault);
            expect_refused(&send(call(&stranger, &endpoint)).await, &endpoint.1);
            let calls = world.wire.calls();
            if calls[0].operation == "BatchGetItem" {
                batches += 1;
                assert_eq!(calls.len(), 2, "{endpoint:?}");
                let body: Value = serde_json::from_slice(&calls[1].body).unwrap();
                assert_eq!(calls[1].operation, "GetItem", "{endpoint:?}");
                assert_eq!(body["TableName"], "keys", "{endpoint:?}");
            }
        }
    }
    assert!(batches >= 2 * 5, "{batches} calls read with a batch");
}
