//! DynamoDB or KMS is down, slow or refuses. The answer says when to come back, and nothing is half done.

use hyper::StatusCode;
use serde_json::json;

use crate::proxy::Fault;
use crate::world::{
    Answer, CLIENT_ID, CLIENT_SECRET, Item, REDIRECT_URI, World, app_body, attribute, is_count,
    retry_after, user_body,
};

mod after_the_code;
mod dynamodb;
mod kms;

const UNAVAILABLE: &str = "Temporarily unavailable: try again after retry-after";

/// One call of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ApiRequest {
    Get,
    List,
    CreateApp,
    CreateUser,
    Rename,
    ReplaceSecret,
    ReAuthorize,
    Delete,
}
use ApiRequest::{CreateApp, CreateUser, Delete, Get, List, ReAuthorize, Rename, ReplaceSecret};

impl ApiRequest {
    const ALL: [Self; 8] = [
        Get,
        List,
        CreateApp,
        CreateUser,
        Rename,
        ReplaceSecret,
        ReAuthorize,
        Delete,
    ];

    async fn of(self, world: &World, id: &str, code: &str) -> Answer {
        let acme = &world.acme;
        match self {
            Get => acme.get(id).await,
            List => acme.list("").await,
            CreateApp => acme.create(app_body("new")).await,
            CreateUser => acme.create(user_body("new", code)).await,
            Rename => acme.update(id, json!({ "name": "robot" })).await,
            ReplaceSecret => {
                let app = json!({ "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET });
                acme.update(id, app).await
            }
            ReAuthorize => {
                let again = json!({ "authorization_code": code, "redirect_uri": REDIRECT_URI });
                acme.update(id, again).await
            }
            Delete => acme.delete(id).await,
        }
    }

    fn status(self) -> u16 {
        if matches!(self, CreateApp | CreateUser) {
            201
        } else {
            200
        }
    }
}

/// Everything that is stored, in a stable order, without the rate counters.
async fn stored(world: &World) -> Vec<(&'static str, Vec<(String, Item)>)> {
    let mut tables = Vec::new();
    for (table, key) in [
        ("credentials", "credential_id"),
        ("secrets", "secret_id"),
        ("requests", "request_id"),
    ] {
        let rows = world.items(table).await.into_iter();
        let mut rows: Vec<(String, Item)> = rows
            .map(|row| (attribute(&row, key).to_owned(), row))
            .filter(|(key, _)| !is_count(key))
            .collect();
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        tables.push((table, rows));
    }
    tables
}

/// An error answer of AWS.
fn refusal(status: StatusCode, name: &str) -> Fault {
    Fault::Answer(
        status,
        json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{name}"), "message": "as ordered" })
            .to_string(),
    )
}

fn conflict(writes: usize) -> Fault {
    let mut reasons = vec![json!({ "Code": "None" }); writes];
    reasons[writes - 1] = json!({ "Code": "TransactionConflict" });
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled",
        "CancellationReasons": reasons,
    });
    Fault::Answer(StatusCode::BAD_REQUEST, body.to_string())
}

/// The ways in which DynamoDB fails for a while.
fn temporary_faults() -> [Fault; 5] {
    [
        Fault::DropBefore,
        refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
        refusal(
            StatusCode::BAD_REQUEST,
            "ProvisionedThroughputExceededException",
        ),
        refusal(StatusCode::BAD_REQUEST, "ThrottlingException"),
        Fault::Answer(
            StatusCode::SERVICE_UNAVAILABLE,
            "<html>no JSON</html>".to_owned(),
        ),
    ]
}

/// A world with one user credential and no recorded calls.
async fn world_with_credential() -> (World, String) {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.wire.reset();
    (world, id)
}

/// The answer says that this service is down, and when to come back.
#[track_caller]
fn assert_unavailable(answer: &Answer, service: &str, context: &str) {
    assert_eq!(answer.status, 503, "{context}: {}", answer.text);
    answer.expect_error(503, "FST_ERR_UNAVAILABLE", UNAVAILABLE);
    assert_eq!(answer.json()["details"], service, "{context}");
    assert_eq!(retry_after(answer), 1);
}
