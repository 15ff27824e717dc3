//! DynamoDB fails before anything is done.

use hyper::StatusCode;
use reqwest::Method;

use super::ApiRequest::{
    self, CreateApp, CreateUser, Delete, List, ReAuthorize, Rename, ReplaceSecret,
};
use super::{
    assert_unavailable, conflict, refusal, stored, temporary_faults, world_with_credential,
};
use crate::proxy::{Fault, Rule, Service};
use crate::world::{World, app_body, send};

async fn dynamodb_is_down(fault: Fault) {
    let (world, id) = world_with_credential().await;
    let code = world.code();
    let before = stored(&world).await;
    world.wire.break_service(Service::DynamoDb, fault.clone());
    for request in ApiRequest::ALL {
        let answer = request.of(&world, &id, &code).await;
        assert_unavailable(&answer, "dynamodb", &format!("{request:?} {fault:?}"));
    }
    assert_eq!(stored(&world).await, before);
    assert_eq!(world.wire.count(Service::Zoom), 0);

    world.wire.heal();
    CreateUser.of(&world, &id, &code).await.expect(201);
}

#[tokio::test]
async fn while_dynamodb_is_down_every_call_is_unavailable_and_nothing_is_done() {
    let all = temporary_faults().map(|fault| tokio::spawn(dynamodb_is_down(fault)));
    for one in all {
        one.await.unwrap();
    }
}

/// One DynamoDB operation always fails. A call that needs the operation does nothing at all.
async fn operation_is_down(operation: &'static str, requests: &[ApiRequest]) {
    let (world, id) = world_with_credential().await;
    let code = world.code();
    let before = (stored(&world).await, world.exchange_calls());
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some(operation),
        nth: None,
        fault: refusal(StatusCode::BAD_REQUEST, "ThrottlingException"),
    });
    for request in requests {
        let answer = request.of(&world, &id, &code).await;
        assert_unavailable(&answer, "dynamodb", &format!("{request:?} {operation}"));
    }
    // The proof of a secret spends nothing.
    assert_eq!((stored(&world).await, world.exchange_calls()), before);
}

#[tokio::test]
async fn if_the_rate_cannot_be_counted_no_change_is_made() {
    let mutating = [
        CreateApp,
        CreateUser,
        Rename,
        ReplaceSecret,
        ReAuthorize,
        Delete,
    ];
    operation_is_down("UpdateItem", &mutating).await;
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_unavailable() {
    operation_is_down("Query", &[List]).await;
}

/// Each call retries for a while, so the calls run at the same time.
#[tokio::test]
async fn if_a_transaction_cannot_be_written_nothing_is_half_done_and_no_code_is_spent() {
    let requests = [CreateApp, CreateUser, ReplaceSecret, ReAuthorize];
    let all = requests.map(|request| {
        tokio::spawn(async move { operation_is_down("TransactWriteItems", &[request]).await })
    });
    for one in all {
        one.await.unwrap();
    }
}

/// The caller does not notice a single failure.
#[tokio::test]
async fn a_dynamodb_call_that_fails_once_is_retried() {
    let all = ApiRequest::ALL.map(|request| tokio::spawn(dynamodb_fails_once(request)));
    for one in all {
        one.await.unwrap();
    }
}

async fn dynamodb_fails_once(request: ApiRequest) {
    let world = World::new().await;
    for operation in ["GetItem", "UpdateItem", "TransactWriteItems", "Query"] {
        let (id, code) = (world.add_user_credential("bot").await, world.code());
        world.wire.reset();
        let throttled = temporary_faults()[2].clone();
        world
            .wire
            .inject_once(Service::DynamoDb, operation, throttled);
        let answer = request.of(&world, &id, &code).await;
        assert_eq!(answer.status, request.status(), "{request:?} {operation}");
    }
}

#[tokio::test]
async fn a_transaction_that_conflicts_once_is_retried() {
    for request in [CreateApp, CreateUser, ReplaceSecret, ReAuthorize] {
        for nth in [1, 2] {
            let (world, id) = world_with_credential().await;
            let code = world.code();
            world.wire.inject(Rule {
                service: Some(Service::DynamoDb),
                operation: Some("TransactWriteItems"),
                nth: Some(nth),
                fault: conflict(1),
            });
            let answer = request.of(&world, &id, &code).await;
            assert_eq!(answer.status, request.status(), "{request:?} {nth}");
            assert!(!world.has_running_request().await);
        }
    }
}

async fn transactions_always_conflict(request: ApiRequest) {
    let (world, id) = world_with_credential().await;
    let before = (stored(&world).await, world.exchange_calls());
    world.wire.inject(Rule {
        service: Some(Service::DynamoDb),
        operation: Some("TransactWriteItems"),
        nth: None,
        fault: conflict(2),
    });
    let answer = request.of(&world, &id, &world.code()).await;
    assert_unavailable(&answer, "dynamodb", &format!("{request:?}"));
    assert!(world.wire.operations(Service::DynamoDb).len() > 4);
    // The proof of a secret spends nothing.
    assert_eq!((stored(&world).await, world.exchange_calls()), before);
}

#[tokio::test]
async fn a_transaction_that_always_conflicts_is_given_up() {
    let requests = [CreateApp, CreateUser, ReplaceSecret, ReAuthorize];
    for one in requests.map(|request| tokio::spawn(transactions_always_conflict(request))) {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn an_error_that_a_retry_cannot_fix_is_a_500_without_details() {
    let (world, id) = world_with_credential().await;
    let code = world.code();
    let before = stored(&world).await;
    for name in ["ResourceNotFoundException", "ValidationException"] {
        world.wire.reset();
        let fault = refusal(StatusCode::BAD_REQUEST, name);
        world.wire.break_service(Service::DynamoDb, fault);
        for request in ApiRequest::ALL {
            let answer = request.of(&world, &id, &code).await;
            answer.expect_error(500, "FST_ERR_INTERNAL", "Internal server error");
            assert_eq!(answer.header("retry-after"), None);
            assert!(!answer.text.contains("as ordered"));
        }
        assert_eq!(world.wire.count(Service::Zoom), 0);
    }
    assert_eq!(stored(&world).await, before);
}

#[tokio::test]
async fn while_a_right_is_missing_every_call_is_unavailable_without_retries_and_nothing_is_done() {
    let (world, id) = world_with_credential().await;
    let code = world.code();
    let before = stored(&world).await;
    let denied = refusal(StatusCode::BAD_REQUEST, "AccessDeniedException");
    world.wire.break_service(Service::DynamoDb, denied);
    for request in ApiRequest::ALL {
        let calls = world.wire.count(Service::DynamoDb);
        let answer = request.of(&world, &id, &code).await;
        assert_unavailable(&answer, "dynamodb", &format!("{request:?}"));
        assert!(!answer.text.contains("as ordered"));
        let calls = world.wire.count(Service::DynamoDb) - calls;
        // One call for key and credential, and then one for each.
        assert!(calls <= 3, "{request:?} was tried again: {calls}");
    }
    assert_eq!(stored(&world).await, before);
    assert_eq!(world.wire.count(Service::Zoom), 0);

    world.wire.heal();
    CreateUser.of(&world, &id, &code).await.expect(201);
}

/// The SDK ends each of its three attempts, so the caller gets an answer before the gateway's time-out.
#[tokio::test]
async fn a_dynamodb_that_never_answers_is_given_up() {
    let (world, id) = world_with_credential().await;
    world.wire.break_service(Service::DynamoDb, Fault::Stall);

    assert_unavailable(&world.acme.get(&id).await, "dynamodb", "get");
}

/// A lost packet costs a few seconds but no error: the attempt without an answer is repeated.
#[tokio::test]
async fn a_write_whose_first_attempt_gets_no_answer_is_repeated() {
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
        let (world, id) = world_with_credential().await;
        world.acme.delete(&id).await.expect(200);
        lose_the_first(&world);
        world.acme.restore(&id).await.expect(200);
        assert_eq!(tries(&world), 2);
    };
    let connect = async {
        let (world, _) = world_with_credential().await;
        lose_the_first(&world);
        let path = "/v2/zoom-connect-sessions";
        let asked = world.acme.request(Method::POST, path);
        send(asked.json(&app_body("new"))).await.expect(201);
        assert_eq!(tries(&world), 2);
    };
    tokio::join!(restore, connect);
}
