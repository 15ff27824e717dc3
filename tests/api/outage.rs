//! DynamoDB or KMS down, slow or refusing: an answer that says when to come back, and nothing half-done.

use hyper::StatusCode;
use local::kms::Failure;
use reqwest::Method;
use serde_json::{Value, json};

use crate::proxy::{Fault, Rule, Service};
use crate::world::{
    Answer, CLIENT_ID, CLIENT_SECRET, Item, REDIRECT_URI, World, app_body, attribute, retry_after,
    send, user_body,
};

const UNAVAILABLE: &str = "Temporarily unavailable: try again after retry-after";

/// One call of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Get,
    List,
    CreateApp,
    CreateUser,
    Rename,
    ReplaceSecret,
    ReAuthorize,
    Delete,
}
use Ask::{CreateApp, CreateUser, Delete, Get, List, ReAuthorize, Rename, ReplaceSecret};

impl Ask {
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

/// Everything that is stored, in a comparable order; the rate's windows left out.
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
            .filter(|(key, _)| !key.starts_with("rate#"))
            .collect();
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        tables.push((table, rows));
    }
    tables
}

/// An AWS error.
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

/// What DynamoDB does when it is not well, each of which may pass.
fn ailments() -> [Fault; 5] {
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

/// A world where something is stored, and its connections' first faults are behind it.
async fn given() -> (World, String) {
    let world = World::new().await;
    let id = world.given_user("bot").await;
    world.wire.reset();
    (world, id)
}

#[track_caller]
fn assert_unavailable(answer: &Answer, context: &str) {
    assert_eq!(answer.status, 503, "{context}: {}", answer.text);
    answer.expect_error(503, "FST_ERR_UNAVAILABLE", UNAVAILABLE);
    assert_eq!(answer.json()["details"], Value::Null);
    assert_eq!(retry_after(answer), 1);
}

async fn dynamodb_is_down(fault: Fault) {
    let (world, id) = given().await;
    let code = world.code();
    let before = stored(&world).await;
    world.wire.break_service(Service::DynamoDb, fault.clone());
    for ask in Ask::ALL {
        let answer = ask.of(&world, &id, &code).await;
        assert_unavailable(&answer, &format!("{ask:?} {fault:?}"));
    }
    assert_eq!(stored(&world).await, before);
    assert_eq!(world.wire.count(Service::Zoom), 0);

    world.wire.heal();
    CreateUser.of(&world, &id, &code).await.expect(201);
}

#[tokio::test]
async fn while_dynamodb_is_down_everything_is_unavailable_and_nothing_is_done() {
    let all = ailments().map(|ailment| tokio::spawn(dynamodb_is_down(ailment)));
    for one in all {
        one.await.unwrap();
    }
}

/// One operation of DynamoDB's fails for ever: whatever depends on it is not done at all.
async fn an_operation_is_down(operation: &'static str, asks: &[Ask]) {
    let (world, id) = given().await;
    let code = world.code();
    let before = stored(&world).await;
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some(operation),
        nth: None,
        fault: refusal(StatusCode::BAD_REQUEST, "ThrottlingException"),
    });
    for ask in asks {
        let answer = ask.of(&world, &id, &code).await;
        assert_unavailable(&answer, &format!("{ask:?} {operation}"));
    }
    assert_eq!(stored(&world).await, before);
    assert_eq!(world.wire.count(Service::Zoom), 0);
}

#[tokio::test]
async fn a_rate_that_cannot_be_counted_lets_nothing_through() {
    let mutating = [
        CreateApp,
        CreateUser,
        Rename,
        ReplaceSecret,
        ReAuthorize,
        Delete,
    ];
    an_operation_is_down("UpdateItem", &mutating).await;
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_unavailable() {
    an_operation_is_down("Query", &[List]).await;
}

/// Each is tried for a while, so they are asked at once.
#[tokio::test]
async fn what_cannot_be_claimed_or_stored_is_not_done_by_half_and_spends_no_code() {
    let asks = [CreateApp, CreateUser, ReplaceSecret, ReAuthorize];
    let all = asks.map(|ask| {
        tokio::spawn(async move { an_operation_is_down("TransactWriteItems", &[ask]).await })
    });
    for one in all {
        one.await.unwrap();
    }
}

/// What passes is not seen at all.
#[tokio::test]
async fn a_dynamodb_that_stumbles_once_is_asked_again() {
    let all = Ask::ALL.map(|ask| tokio::spawn(dynamodb_stumbles_once(ask)));
    for one in all {
        one.await.unwrap();
    }
}

async fn dynamodb_stumbles_once(ask: Ask) {
    let world = World::new().await;
    for operation in ["GetItem", "UpdateItem", "TransactWriteItems", "Query"] {
        let (id, code) = (world.given_user("bot").await, world.code());
        world.wire.reset();
        let throttled = ailments()[2].clone();
        world
            .wire
            .inject_once(Service::DynamoDb, operation, throttled);
        let answer = ask.of(&world, &id, &code).await;
        assert_eq!(answer.status, ask.status(), "{ask:?} {operation}");
    }
}

#[tokio::test]
async fn a_transaction_that_met_another_is_made_again() {
    for ask in [CreateApp, CreateUser, ReplaceSecret, ReAuthorize] {
        for nth in [1, 2] {
            let (world, id) = given().await;
            let code = world.code();
            world.wire.inject(Rule {
                service: Some(Service::DynamoDb),
                operation: Some("TransactWriteItems"),
                nth: Some(nth),
                fault: conflict(1),
            });
            let answer = ask.of(&world, &id, &code).await;
            assert_eq!(answer.status, ask.status(), "{ask:?} {nth}");
            assert!(!world.is_running().await);
        }
    }
}

async fn transactions_always_conflict(ask: Ask) {
    let (world, id) = given().await;
    let before = stored(&world).await;
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("TransactWriteItems"),
        nth: None,
        fault: conflict(2),
    });
    let answer = ask.of(&world, &id, &world.code()).await;
    assert_unavailable(&answer, &format!("{ask:?}"));
    assert!(world.wire.operations(Service::DynamoDb).len() > 4);
    assert_eq!(stored(&world).await, before);
    assert_eq!(world.wire.count(Service::Zoom), 0);
}

#[tokio::test]
async fn a_transaction_that_always_meets_another_is_given_up() {
    let asks = [CreateApp, CreateUser, ReplaceSecret, ReAuthorize];
    for one in asks.map(|ask| tokio::spawn(transactions_always_conflict(ask))) {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn what_waiting_will_not_mend_is_an_opaque_error() {
    let (world, id) = given().await;
    let code = world.code();
    let before = stored(&world).await;
    for name in ["ResourceNotFoundException", "ValidationException"] {
        world.wire.reset();
        let fault = refusal(StatusCode::BAD_REQUEST, name);
        world.wire.break_service(Service::DynamoDb, fault);
        for ask in Ask::ALL {
            let answer = ask.of(&world, &id, &code).await;
            answer.expect_error(500, "FST_ERR_INTERNAL", "Internal server error");
            assert_eq!(answer.header("retry-after"), None);
            assert!(!answer.text.contains("as ordered"));
        }
        assert_eq!(world.wire.count(Service::Zoom), 0);
    }
    assert_eq!(stored(&world).await, before);
}

#[tokio::test]
async fn while_a_right_is_missing_everything_is_unavailable_at_once_and_nothing_is_done() {
    let (world, id) = given().await;
    let code = world.code();
    let before = stored(&world).await;
    let denied = refusal(StatusCode::BAD_REQUEST, "AccessDeniedException");
    world.wire.break_service(Service::DynamoDb, denied);
    for ask in Ask::ALL {
        let calls = world.wire.count(Service::DynamoDb);
        let answer = ask.of(&world, &id, &code).await;
        assert_unavailable(&answer, &format!("{ask:?}"));
        assert!(!answer.text.contains("as ordered"));
        let calls = world.wire.count(Service::DynamoDb) - calls;
        assert!(calls <= 2, "{ask:?} was tried again: {calls}");
    }
    assert_eq!(stored(&world).await, before);
    assert_eq!(world.wire.count(Service::Zoom), 0);

    world.wire.heal();
    CreateUser.of(&world, &id, &code).await.expect(201);
}

const SEALING: [Ask; 4] = [CreateApp, CreateUser, ReplaceSecret, ReAuthorize];

#[tokio::test]
async fn while_kms_fails_nothing_is_sealed_stored_or_spent() {
    let failures = [
        Failure::Throttling,
        Failure::AccessDenied,
        Failure::Disabled,
        Failure::Internal,
        Failure::KeyUnavailable,
        Failure::DependencyTimeout,
        Failure::NotFound,
    ];
    let (world, id) = given().await;
    let code = world.code();
    let before = stored(&world).await;
    for failure in failures {
        world.kms.fail_next(usize::MAX, failure);
        for ask in SEALING {
            let answer = ask.of(&world, &id, &code).await;
            assert_unavailable(&answer, &format!("{ask:?} {failure:?}"));
        }
    }
    assert_eq!(stored(&world).await, before);
    assert_eq!(world.wire.count(Service::Zoom), 0);

    world.kms.stop_failing();
    CreateUser.of(&world, &id, &code).await.expect(201);
}

#[tokio::test]
async fn while_kms_cannot_be_reached_nothing_is_sealed_stored_or_spent() {
    let (world, id) = given().await;
    let code = world.code();
    let before = stored(&world).await;
    for fault in [Fault::DropBefore, Fault::DropAfter] {
        world.wire.heal();
        world.wire.break_service(Service::Kms, fault);
        for ask in SEALING {
            assert_unavailable(&ask.of(&world, &id, &code).await, &format!("{ask:?}"));
        }
    }
    assert_eq!(stored(&world).await, before);
    assert_eq!(world.wire.count(Service::Zoom), 0);

    world.wire.heal();
    ReAuthorize.of(&world, &id, &code).await.expect(200);
}

#[tokio::test]
async fn a_disabled_key_stops_what_seals_and_nothing_else() {
    let (world, id) = given().await;
    let key = world.kms.default_key();
    world.kms.set_enabled(&key, false).unwrap();
    let code = world.code();
    for ask in SEALING {
        assert_unavailable(&ask.of(&world, &id, &code).await, &format!("{ask:?}"));
    }
    for ask in [Get, List, Rename, Delete] {
        ask.of(&world, &id, &code).await.expect(200);
    }

    world.kms.set_enabled(&key, true).unwrap();
    CreateUser.of(&world, &id, &code).await.expect(201);
}

#[tokio::test]
async fn a_kms_that_throttles_once_is_asked_again() {
    for ask in SEALING {
        let (world, id) = given().await;
        let code = world.code();
        world.kms.fail_next(1, Failure::Throttling);
        ask.of(&world, &id, &code).await.expect(ask.status());
    }
}

/// The code is spent and the tokens are in memory: the commit is tried for as long as it takes.
async fn dynamodb_fails_at_the_commit(ask: Ask, fault: Fault) {
    let (world, id) = given().await;
    let code = world.code();
    let before = world.count("credentials").await;
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let asked = {
        let (acme, id, code) = (world.acme.clone(), id.clone(), code.clone());
        tokio::spawn(async move {
            if ask == CreateUser {
                acme.create(user_body("new", &code)).await
            } else {
                let body = json!({ "authorization_code": code, "redirect_uri": REDIRECT_URI });
                acme.update(&id, body).await
            }
        })
    };
    world.wire.stalled().await;
    world.wire.break_service(Service::DynamoDb, fault.clone());
    bell.notify_one();
    // The claim, and then more than the SDK tries by itself.
    world.wire.called("TransactWriteItems", 6).await;
    world.wire.heal();

    let answer = asked.await.unwrap();
    assert_eq!(answer.status, ask.status(), "{ask:?} {fault:?}");
    let made = usize::from(ask == CreateUser);
    assert_eq!(world.count("credentials").await, before + made);
    assert_eq!(world.exchanges(), 2);
    assert!(!world.is_running().await);
    let again = ask.of(&world, &id, &code).await;
    assert_eq!(again.expect(ask.status()), answer.expect(ask.status()));
}

#[tokio::test]
async fn an_outage_at_the_commit_costs_time_but_not_the_code() {
    let mut all = Vec::new();
    for ask in [CreateUser, ReAuthorize] {
        for fault in ailments()
            .into_iter()
            .chain([Fault::DropAfter, conflict(3)])
        {
            all.push(tokio::spawn(dynamodb_fails_at_the_commit(ask, fault)));
        }
    }
    for one in all {
        one.await.unwrap();
    }
}

/// What comes after the commit is best effort.
#[tokio::test]
async fn an_outage_after_the_commit_costs_the_profile_for_now() {
    let (world, _) = given().await;
    let bell = world.wire.hold(Service::Zoom, "/v2/users/me");
    let (acme, body) = (world.acme.clone(), user_body("new", &world.code()));
    let sent = body.clone();
    let created = tokio::spawn(async move { acme.create(sent).await });
    world.wire.stalled().await;
    world
        .wire
        .break_service(Service::DynamoDb, Fault::DropBefore);
    bell.notify_one();

    let data = created.await.unwrap().expect(201);
    assert_eq!(data["zoom_user_id"], Value::Null);
    assert_eq!(data["state"], "active");
    world.wire.heal();
    assert_eq!(world.acme.create(body).await.expect(201), data);
}

/// The profile cannot be learnt nor the row be read back, but the work is done, remembered, and no failure.
#[tokio::test]
async fn an_outage_after_a_re_authorizations_commit_costs_the_profile_and_a_repeat_says_it_was_done()
 {
    let (world, id) = given().await;
    let before = world.row(&id).await;
    let bell = world.wire.hold(Service::Zoom, "/v2/users/me");
    let body = json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI });
    let (acme, path, sent) = (world.acme.clone(), id.clone(), body.clone());
    let updated = tokio::spawn(async move { acme.update(&path, sent).await });
    world.wire.stalled().await;
    world
        .wire
        .break_service(Service::DynamoDb, Fault::DropBefore);
    bell.notify_one();

    let data = updated.await.unwrap().expect(200);
    assert_eq!(
        (&data["state"], &data["zoom_user_id"]),
        (&json!("active"), &Value::Null)
    );
    world.wire.heal();
    assert_eq!(world.acme.update(&id, body).await.expect(200), data);
    let after = world.row(&id).await;
    assert_ne!(
        attribute(&before, "grant_id"),
        attribute(&after, "grant_id")
    );
    assert_eq!(world.exchanges(), 2);
}

/// The SDK's attempts end, and its three together: the caller hears before the gateway gives up.
#[tokio::test]
async fn a_silent_dynamodb_is_given_up_on() {
    let (world, id) = given().await;
    world.wire.break_service(Service::DynamoDb, Fault::Stall);

    assert_unavailable(&world.acme.get(&id).await, "get");
}

/// A packet that is lost costs seconds and no error: the try that hears nothing is made again.
#[tokio::test]
async fn a_write_whose_first_try_hears_nothing_is_made_all_the_same() {
    let lose_the_first = |world: &World| {
        world.wire.reset();
        world
            .wire
            .inject_once(Service::DynamoDb, "TransactWriteItems", Fault::Stall);
    };
    let tries = |world: &World| {
        let operations = world.wire.operations(Service::DynamoDb).into_iter();
        operations.filter(|it| it == "TransactWriteItems").count()
    };
    let restore = async {
        let (world, id) = given().await;
        world.acme.delete(&id).await.expect(200);
        lose_the_first(&world);
        world.acme.restore(&id).await.expect(200);
        assert_eq!(tries(&world), 2);
    };
    let connect = async {
        let (world, _) = given().await;
        lose_the_first(&world);
        let path = "/v2/zoom-connect-sessions";
        let asked = world.acme.request(Method::POST, path);
        send(asked.json(&app_body("new"))).await.expect(201);
        assert_eq!(tries(&world), 2);
    };
    tokio::join!(restore, connect);
}
