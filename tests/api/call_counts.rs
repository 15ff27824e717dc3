//! What each operation costs, counted at the sockets: network calls to each service, and round trips in series.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::proxy::{Fault, Rule, Service};
use crate::world::{
    Answer, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, World, app_body, attribute, send, user_body,
};

/// What an operation costs.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    in_series: usize,
    dynamodb: usize,
    kms: usize,
    zoom: usize,
}

/// Sends a request whose function makes its network calls in these rounds, each of so many calls in parallel.
///
/// All answers of a round are held until all calls of the round have arrived. Calls that should run in parallel, but
/// do not, never complete their round.
async fn send_in_rounds(world: &World, request: RequestBuilder, rounds: &[usize]) -> Answer {
    let answers: Vec<Arc<Notify>> = (0..rounds.iter().sum()).map(|_| Arc::default()).collect();
    world.wire.reset();
    for answer in &answers {
        // Each call meets the first rule that no call has met yet.
        world.wire.inject(Rule {
            service: None,
            operation: None,
            nth: Some(1),
            fault: Fault::Hold(answer.clone()),
        });
    }
    let release = async {
        let mut answers = answers.iter();
        let mut calls = 0;
        for round in rounds {
            calls += round;
            while world.wire.calls().len() < calls {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            for answer in answers.by_ref().take(*round) {
                answer.notify_one();
            }
        }
        std::future::pending::<Infallible>().await
    };
    let answer = tokio::select! {
        answer = send(request) => answer,
        never = release => match never {},
    };
    world.wire.heal();
    // With too few calls for a round, the SDK gives up on the held call after a while and sends it again.
    let calls = world.wire.calls().into_iter();
    let reads = calls.filter(|call| call.operation == "BatchGetItem");
    let mut reads: Vec<_> = reads.map(|call| call.body).collect();
    let read = reads.len();
    reads.sort_unstable();
    reads.dedup();
    assert_eq!(reads.len(), read, "the first read was sent twice");
    answer
}

/// The cost of a request, once connections are open.
async fn cost(
    world: &World,
    (method, path, body): (Method, &str, Value),
    status: u16,
    rounds: &[usize],
) -> Cost {
    let request = world.acme.request(method.clone(), path);
    let request = if method == Method::GET {
        request
    } else {
        request.json(&body)
    };
    let answer = send_in_rounds(world, request, rounds).await;
    answer.expect(status);
    Cost {
        in_series: world.wire.in_series(&[Service::DynamoDb, Service::Kms]),
        dynamodb: world.wire.count(Service::DynamoDb),
        kms: world.wire.count(Service::Kms),
        zoom: world.wire.count(Service::Zoom),
    }
}

fn at(id: &str) -> String {
    format!("/v2/zoom-credentials/{id}")
}

const ALL: &str = "/v2/zoom-credentials";

fn reauthorization(world: &World) -> Value {
    json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI })
}

fn costs(in_series: usize, dynamodb: usize, kms: usize, zoom: usize) -> Cost {
    Cost {
        in_series,
        dynamodb,
        kms,
        zoom,
    }
}

#[tokio::test]
async fn a_get_is_one_round_trip() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;

    let get = cost(&world, (Method::GET, &at(&id), Value::Null), 200, &[1]).await;
    assert_eq!(get, costs(1, 1, 0, 0));
}

#[tokio::test]
async fn a_list_is_one_round_trip_for_the_key_and_one_per_megabyte() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    let list = cost(&world, (Method::GET, ALL, Value::Null), 200, &[1, 1]).await;
    assert_eq!(list, costs(2, 2, 0, 0));

    let row = world.row(&id).await;
    let padding = AttributeValue::S(json!({ "padding": "x".repeat(15_000) }).to_string());
    for _ in 0..150 {
        let mut copy = row.clone();
        let id = AttributeValue::S(Uuid::now_v7().to_string());
        copy.insert("credential_id".to_owned(), id);
        copy.insert("extra".to_owned(), padding.clone());
        world.put("credentials", copy).await;
    }
    let list = cost(&world, (Method::GET, ALL, Value::Null), 200, &[1, 1, 1, 1]).await;
    assert_eq!(list, costs(4, 4, 0, 0));
}

#[tokio::test]
async fn a_page_is_two_round_trips_however_many_pages_follow() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.add_app_credential(name).await;
    }

    let path = format!("{ALL}?limit=2");
    let page = cost(&world, (Method::GET, &path, Value::Null), 200, &[1, 1]).await;
    assert_eq!(page, costs(2, 2, 0, 0));
}

/// Key and credential │ events.
#[tokio::test]
async fn a_page_of_events_is_two_round_trips() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;

    let path = format!("{}/events", at(&id));
    let page = cost(&world, (Method::GET, &path, Value::Null), 200, &[1, 1]).await;
    assert_eq!(page, costs(2, 2, 0, 0));
}

/// Key and credential │ rate and settings │ grant │ decrypt │ events │ credential.
#[tokio::test]
async fn a_check_is_six_round_trips_and_as_many_calls_to_zoom_as_it_reports() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;

    let path = format!("{}/check", at(&id));
    let body = json!({ "meeting_id": "12345678901" });
    let check = cost(
        &world,
        (Method::POST, &path, body),
        200,
        &[1, 3, 1, 1, 1, 3, 3, 1],
    )
    .await;
    assert_eq!(check, costs(6, 9, 1, 4));
}

/// Key │ rate and settings │ row │ grant │ transaction │ row.
#[tokio::test]
async fn restoring_is_six_round_trips_without_kms_or_zoom() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    world.acme.delete(&id).await.expect(200);

    let path = format!("{}/restore", at(&id));
    let restored = cost(
        &world,
        (Method::POST, &path, Value::Null),
        200,
        &[1, 2, 1, 1, 1, 1],
    )
    .await;
    assert_eq!(restored, costs(6, 7, 0, 0));
}

/// Besides the queries of the shards: take │ pair, credential │ grant │ app row │ acquire │ commit │ event.
#[tokio::test]
async fn keeping_a_grant_alive_is_seven_round_trips_and_one_call_to_zoom() {
    let world = World::new().await;
    world.add_user_credential("bot").await;
    world.age_grants_by(Duration::from_hours(30 * 24)).await;
    world.wire.reset();

    assert_eq!(world.keep_alive().await.refreshed, 1);
    let of = |service| world.wire.count(service);
    let calls = [Service::DynamoDb, Service::Kms, Service::Zoom].map(of);
    assert_eq!(calls, [16 + 8, 3, 1]);
}

#[tokio::test]
async fn creating_an_app_credential_is_three_round_trips_and_one_data_key() {
    let world = World::new().await;
    world.add_app_credential("warm").await;

    let create = cost(
        &world,
        (Method::POST, ALL, app_body("bot")),
        201,
        &[1, 3, 1],
    )
    .await;
    assert_eq!(create, costs(3, 4, 1, 0));
}

#[tokio::test]
async fn an_idempotency_key_costs_one_round_trip() {
    let world = World::new().await;
    world.add_app_credential("warm").await;
    let aws = [Service::DynamoDb, Service::Kms];
    let create = async || {
        let request = world.acme.request(Method::POST, ALL);
        let request = request.header("idempotency-key", "key");
        let request = request.json(&app_body("bot"));
        let answer = send_in_rounds(&world, request, &[1, 3, 1, 1]).await;
        assert_eq!(world.wire.in_series(&aws), 4);
        answer.expect(201)
    };

    let first = create().await;
    let repeated = create().await;
    assert_eq!(repeated, first);
}

#[tokio::test]
async fn creating_a_user_credential_is_five_round_trips_two_data_keys_and_two_calls_to_zoom() {
    let world = World::new().await;
    world.add_user_credential("warm").await;

    let body = user_body("bot", &world.code_of("grace-sandbox-user", None));
    let create = cost(
        &world,
        (Method::POST, ALL, body),
        201,
        &[1, 4, 1, 1, 1, 1, 2],
    )
    .await;
    assert_eq!(create, costs(5, 7, 2, 2));
}

#[tokio::test]
async fn moving_siblings_to_a_new_grant_costs_one_round_trip_however_many_they_are() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.add_user_credential(name).await;
    }
    for row in world.items("credentials").await {
        let id = attribute(&row, "credential_id");
        world.backdate_authorization(id).await;
    }

    let body = user_body("bot", &world.code());
    let create = cost(
        &world,
        (Method::POST, ALL, body),
        201,
        &[1, 4, 1, 1, 1, 1, 2, 3],
    )
    .await;
    assert_eq!(create, costs(6, 10, 2, 2));
}

#[tokio::test]
async fn a_rename_is_three_round_trips() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;

    let body = json!({ "name": "robot" });
    let rename = cost(&world, (Method::PATCH, &at(&id), body), 200, &[1, 2, 1]).await;
    assert_eq!(rename, costs(3, 4, 0, 0));
}

#[tokio::test]
async fn an_empty_update_writes_only_the_rate() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;

    let nothing = cost(&world, (Method::PATCH, &at(&id), json!({})), 200, &[1, 2]).await;
    assert_eq!(nothing, costs(2, 3, 0, 0));
}

/// One round trip more than creating. It runs while Zoom names the user: other requests may have changed the credential
/// while Zoom exchanged the code.
#[tokio::test]
async fn re_authorizing_with_a_client_secret_reads_the_credential_beside_the_profile() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;

    let mut body = reauthorization(&world);
    body["client_id"] = json!(CLIENT_ID);
    body["client_secret"] = json!(CLIENT_SECRET);
    let update = cost(
        &world,
        (Method::PATCH, &at(&id), body),
        200,
        &[1, 4, 1, 1, 1, 2, 2],
    )
    .await;
    assert_eq!(update, costs(6, 8, 2, 2));
}

/// The stored client secret is read and then opened before the code is spent.
#[tokio::test]
async fn re_authorizing_with_the_stored_client_secret_costs_one_round_trip_more() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;

    let body = reauthorization(&world);
    let update = cost(
        &world,
        (Method::PATCH, &at(&id), body),
        200,
        &[1, 4, 1, 1, 1, 1, 2, 2],
    )
    .await;
    assert_eq!(update, costs(7, 9, 2, 2));
}

#[tokio::test]
async fn a_delete_is_three_round_trips() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;

    let delete = cost(
        &world,
        (Method::DELETE, &at(&id), Value::Null),
        200,
        &[1, 2, 1],
    )
    .await;
    assert_eq!(delete, costs(3, 4, 0, 0));
}

#[tokio::test]
async fn token_urls_cost_as_much_as_credentials() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let urls = format!("{}/token-urls", at(&id));

    let body = json!({ "type": "zak" });
    let create = cost(&world, (Method::POST, &urls, body), 201, &[1, 3, 1]).await;
    assert_eq!(create, costs(3, 5, 0, 0));
    let list = cost(&world, (Method::GET, &urls, Value::Null), 200, &[1, 1]).await;
    assert_eq!(list, costs(2, 2, 0, 0));
    let url = world.given_url(&id, json!({ "type": "zak" })).await;
    let one = format!("{urls}/{}", url.id);
    let delete = cost(&world, (Method::DELETE, &one, Value::Null), 200, &[2, 2, 1]).await;
    assert_eq!(delete, costs(3, 5, 0, 0));
}

/// The event is stored while Zoom is called. That counts as one more round trip here.
#[tokio::test]
async fn a_mint_is_two_round_trips_warm_three_cold_and_five_with_a_refresh_and_one_more_for_its_event()
 {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let mint = json!({ "credential_id": id, "type": "onbehalf" });
    let mint = async |rounds| {
        let request = (Method::POST, "/v2/zoom-tokens", mint.clone());
        cost(&world, request, 200, rounds).await
    };
    assert_eq!(mint(&[1, 4, 1, 2]).await, costs(4, 6, 1, 1));
    assert_eq!(mint(&[1, 2, 2]).await, costs(3, 4, 0, 1));

    let other = world.add_credential_for_user("grace").await;
    world.expire_access_tokens().await;
    world.wire.reset();
    let body = json!({ "credential_id": other, "type": "onbehalf" });
    let refreshed = cost(
        &world,
        (Method::POST, "/v2/zoom-tokens", body),
        200,
        &[1, 4, 3, 1, 1, 1, 3],
    )
    .await;
    assert_eq!(refreshed, costs(6, 9, 3, 2));
    // KMS has returned all keys before the refresh token is spent.
    let calls = world.wire.calls();
    let spent = calls
        .iter()
        .position(|call| call.operation == "/oauth/token");
    let keys = calls.iter().rposition(|call| call.service == Service::Kms);
    assert!(keys < spent);

    let body = json!({ "credential_id": id, "type": "sdk_jwt" });
    let jwt = cost(
        &world,
        (Method::POST, "/v2/zoom-tokens", body),
        200,
        &[1, 3, 2],
    )
    .await;
    assert_eq!(jwt, costs(3, 5, 1, 0));
}

/// Invariant I6 of the refresh protocol: the code is spent, so no call may come between Zoom's answer and the commit.
// assures 11
#[tokio::test]
async fn no_call_comes_between_zooms_answer_and_the_commit() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let created = user_body("other", &world.code());
    let re_authorized = reauthorization(&world);

    for (method, path, body, status) in [
        (Method::POST, ALL.to_owned(), created, 201),
        (Method::PATCH, at(&id), re_authorized, 200),
    ] {
        world.wire.reset();
        let request = world.acme.request(method, &path).json(&body);
        send(request).await.expect(status);
        let calls: Vec<String> = world
            .wire
            .calls()
            .into_iter()
            .map(|call| call.operation)
            .collect();
        let exchange = calls.iter().position(|it| it == "/oauth/token").unwrap();
        assert_eq!(calls[exchange - 1], "TransactWriteItems");
        assert_eq!(calls[exchange + 1], "TransactWriteItems");
        // A re-authorization reads the credential beside the profile.
        let next = &calls[exchange + 2..exchange + 4];
        assert!(next.contains(&"/v2/users/me".to_owned()), "{next:?}");
    }
}

#[tokio::test]
async fn creating_a_connect_session_is_three_round_trips_and_reading_it_is_one() {
    let world = World::new().await;
    let path = "/v2/zoom-connect-sessions";
    let begun = cost(
        &world,
        (Method::POST, path, app_body("bot")),
        201,
        &[1, 3, 1],
    )
    .await;
    // Key │ rate, settings and data key │ transaction.
    assert_eq!(begun, costs(3, 4, 1, 0));

    let begun = send(
        world
            .acme
            .request(Method::POST, path)
            .json(&app_body("bot")),
    )
    .await;
    let id = begun.expect(201)["session_id"].as_str().unwrap().to_owned();
    let shown = cost(
        &world,
        (Method::GET, &format!("{path}/{id}"), Value::Null),
        200,
        &[2],
    )
    .await;
    assert_eq!(shown, costs(1, 2, 0, 0));
}
