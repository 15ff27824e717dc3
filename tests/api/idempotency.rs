//! Idempotency: a request that is sent twice is done once.

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::proxy::{Fault, Service};
use crate::world::{
    Answer, CLIENT_ID, CLIENT_SECRET, CODE_SPENT, REDIRECT_URI, World, app_body, attribute,
    code_refused, is_count, retry_after, send, user_body, with,
};

const RUNNING: &str = "The same request is still being processed: try again after retry-after";
const CODE_REUSED: &str = "The authorization code was used before by a request with other fields: change the stored credential without the code, or use a new code";
const REUSED: &str = "The Idempotency-Key was used before with another request body: use a new key";
pub(crate) const REFUSED: &str = "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED";

fn reauthorization(world: &World) -> Value {
    json!({ "authorization_code": world.code(), "redirect_uri": REDIRECT_URI })
}

/// `PATCH` with an `Idempotency-Key`.
async fn update_as(world: &World, key: &str, id: &str, body: &Value) -> Answer {
    let path = format!("/v2/zoom-credentials/{id}");
    let request = world.acme.request(Method::PATCH, &path);
    send(request.header("idempotency-key", key).json(body)).await
}

#[tokio::test]
async fn a_repeated_key_answers_with_what_the_first_request_made() {
    let world = World::new().await;
    let first = world.acme.create_as("key", app_body("bot")).await;

    let repeated = world.acme.create_as("key", app_body("bot")).await;
    assert_eq!(repeated.expect(201), first.expect(201));
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(repeated.header("idempotent-replayed"), Some("true"));
    assert_eq!(world.count("credentials").await, 1);
    assert_eq!(world.count("secrets").await, 1);
}

#[tokio::test]
async fn without_a_key_or_a_code_no_request_is_remembered() {
    let world = World::new().await;
    world.acme.create(app_body("bot")).await.expect(201);
    world.acme.create(app_body("bot")).await.expect(201);

    assert_eq!(world.count("credentials").await, 2);
    for row in world.items("requests").await {
        assert!(is_count(attribute(&row, "request_id")));
    }
}

#[tokio::test]
async fn a_key_with_another_body_is_refused() {
    let world = World::new().await;
    let mut body = user_body("bot", &world.code());
    body["extra"] = json!({ "a": 1 });
    world.acme.create_as("key", body.clone()).await.expect(201);

    let others = [
        ("name", json!("robot")),
        ("client_id", json!("other-app")),
        ("client_secret", json!("other-secret")),
        ("authorization_code", json!("other-code")),
        ("redirect_uri", json!("https://example.test/other")),
        ("extra", json!({ "a": 2 })),
        ("extra", Value::Null),
    ];
    for (field, value) in others {
        let mut other = body.clone();
        other[field] = value;
        let answer = world.acme.create_as("key", other).await;
        answer.expect_error(422, "FST_ERR_IDEMPOTENCY_KEY_REUSED", REUSED);
    }
    for absent in ["extra", "authorization_code"] {
        let mut other = body.clone();
        other.as_object_mut().unwrap().remove(absent);
        let answer = world.acme.create_as("key", other).await;
        answer.expect_error(422, "FST_ERR_IDEMPOTENCY_KEY_REUSED", REUSED);
    }
    assert_eq!(world.exchange_calls(), 1);
    assert_eq!(world.count("credentials").await, 1);
}

#[tokio::test]
async fn the_body_is_compared_even_while_the_first_request_runs() {
    let world = World::new().await;
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let body = user_body("bot", &world.code());
    let (acme, sent) = (world.acme.clone(), body.clone());
    let running = tokio::spawn(async move { acme.create_as("key", sent).await });
    world.wire.stalled().await;

    let same = world.acme.create_as("key", body.clone()).await;
    same.expect_error(409, "FST_ERR_CONFLICT", RUNNING);
    assert!((1..=29).contains(&retry_after(&same)));
    let other = world.acme.create_as("key", app_body("other")).await;
    other.expect_error(422, "FST_ERR_IDEMPOTENCY_KEY_REUSED", REUSED);
    bell.notify_one();

    let first = running.await.unwrap();
    let repeated = world.acme.create_as("key", body).await;
    assert_eq!(repeated.expect(201), first.expect(201));
    assert_eq!(world.exchange_calls(), 1);
}

#[tokio::test]
async fn a_failure_before_the_code_is_sent_releases_the_key() {
    let world = World::new().await;
    let body = user_body("bot", &world.code());
    let unavailable = r#"{"__type":"KMSInternalException"}"#.to_owned();
    let down = Fault::Answer(hyper::StatusCode::INTERNAL_SERVER_ERROR, unavailable);
    world.wire.break_service(Service::Kms, down);
    let answer = world.acme.create_as("key", body.clone()).await;
    answer.expect_code(503, "FST_ERR_UNAVAILABLE");
    world.wire.heal();

    let other = user_body("other", &world.code());
    world.acme.create_as("key", other).await.expect(201);
}

#[tokio::test]
async fn a_code_serves_as_the_idempotency_key_of_its_request() {
    let world = World::new().await;
    let body = user_body("bot", &world.code());
    let first = world.acme.create(body.clone()).await.expect(201);

    // The client secret and the verifier only prove who asks.
    for proof in [
        json!({}),
        json!({ "client_secret": "another-secret" }),
        json!({ "code_verifier": "v".repeat(43) }),
    ] {
        let repeated = world.acme.create(with(body.clone(), proof)).await;
        assert_eq!(repeated.expect(201), first);
        assert_eq!(repeated.header("idempotent-replayed"), Some("true"));
    }
    assert_eq!(world.exchange_calls(), 1);
    assert_eq!(world.count("credentials").await, 1);
}

#[tokio::test]
async fn a_used_code_with_other_fields_is_refused() {
    let world = World::new().await;
    let body = user_body("bot", &world.code());
    world.acme.create(body.clone()).await.expect(201);

    for other in [
        json!({ "name": "robot" }),
        json!({ "redirect_uri": "https://example.test/other" }),
        json!({ "extra": {} }),
    ] {
        let answer = world.acme.create(with(body.clone(), other)).await;
        answer.expect_error(409, "FST_ERR_CONFLICT", CODE_REUSED);
        assert_eq!(answer.header("idempotent-replayed"), None);
    }
    assert_eq!(world.exchange_calls(), 1);
    assert_eq!(world.count("credentials").await, 1);
}

#[tokio::test]
async fn an_idempotency_key_takes_precedence_over_the_code() {
    let world = World::new().await;
    let body = user_body("bot", &world.code());
    let first = world.acme.create_as("key", body.clone()).await.expect(201);

    let repeated = world.acme.create_as("key", body.clone()).await;
    assert_eq!(repeated.expect(201), first);
    assert_eq!(world.exchange_calls(), 1);
    let other = world.acme.create_as("other", body).await;
    other.expect_error(400, REFUSED, &code_refused(CODE_SPENT));
}

#[tokio::test]
async fn a_repeated_re_authorization_answers_with_the_credential() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    let body = reauthorization(&world);
    let first = world.acme.update(&id, body.clone()).await.expect(200);
    let row = world.row(&id).await;

    assert_eq!(world.acme.update(&id, body).await.expect(200), first);
    assert_eq!(world.row(&id).await, row);
    assert_eq!(world.exchange_calls(), 1);
}

#[tokio::test]
async fn a_key_belongs_to_one_operation_on_one_credential() {
    let world = World::new().await;
    let (id, other) = (
        world.add_app_credential("a").await,
        world.add_app_credential("b").await,
    );
    let body = reauthorization(&world);
    let first = update_as(&world, "key", &id, &body).await.expect(200);
    assert_eq!(
        update_as(&world, "key", &id, &body).await.expect(200),
        first
    );

    let mut renamed = body.clone();
    renamed["name"] = json!("robot");
    for answer in [
        update_as(&world, "key", &other, &body).await,
        update_as(&world, "key", &id, &renamed).await,
        world.acme.create_as("key", app_body("bot")).await,
        world
            .acme
            .create_as("key", user_body("bot", &world.code()))
            .await,
    ] {
        answer.expect_error(422, "FST_ERR_IDEMPOTENCY_KEY_REUSED", REUSED);
    }
    assert_eq!(world.exchange_calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_parallel_creates_with_one_code_one_exchanges_the_code() {
    let world = World::new().await;
    let body = user_body("bot", &world.code());
    let mut creates = JoinSet::new();
    for _ in 0..32 {
        let (acme, body) = (world.acme.clone(), body.clone());
        creates.spawn(async move { acme.create(body).await });
    }
    let answers = creates.join_all().await;

    let stored = world.acme.list("").await.expect(200);
    assert_eq!(stored.as_array().unwrap().len(), 1);
    assert_eq!(world.exchange_calls(), 1);
    assert_eq!(world.count("secrets").await, 2);
    let mut made = 0;
    for answer in answers {
        if answer.status == 201 {
            made += 1;
            let id = &answer.expect(201)["credential_id"];
            assert_eq!(*id, stored[0]["credential_id"]);
        } else {
            answer.expect_error(409, "FST_ERR_CONFLICT", RUNNING);
            assert!((1..=29).contains(&retry_after(&answer)));
        }
    }
    assert!(made > 0);
    assert_eq!(world.acme.create(body).await.expect(201), stored[0]);
}

#[tokio::test]
async fn a_key_is_1_to_255_visible_ascii_characters() {
    let world = World::new().await;
    let longest = "k".repeat(255);
    let visible: String = ('!'..='~').collect();
    for key in ["k", longest.as_str(), visible.as_str()] {
        world.acme.create_as(key, app_body("bot")).await.expect(201);
    }

    world.wire.reset();
    let too_long = "k".repeat(256);
    let wrong: [&[u8]; 6] = [
        b"",
        too_long.as_bytes(),
        b"two words",
        b"tab\there",
        b"caf\xc3\xa9",
        b"latin\xe9",
    ];
    for key in wrong {
        let request = world
            .acme
            .request(Method::POST, "/v2/zoom-credentials")
            .header("idempotency-key", HeaderValue::from_bytes(key).unwrap())
            .json(&user_body("bot", &world.code()));
        send(request).await.expect_error(
            400,
            "FST_ERR_VALIDATION",
            "headers/idempotency-key must be 1 to 255 visible ASCII characters",
        );
    }
    assert_eq!(world.count("credentials").await, 3);
    assert_eq!(world.wire.count(Service::Zoom), 0);
}

#[tokio::test]
async fn after_a_day_a_key_may_be_used_for_another_request() {
    let world = World::new().await;
    world
        .acme
        .create_as("key", app_body("bot"))
        .await
        .expect(201);
    for mut row in world.items("requests").await {
        let past = AttributeValue::N("1".to_owned());
        row.insert("expires_at".to_owned(), past);
        world.put("requests", row).await;
    }

    world
        .acme
        .create_as("key", app_body("robot"))
        .await
        .expect(201);
    assert_eq!(world.count("credentials").await, 2);
}

#[tokio::test]
async fn a_remembered_request_expires_after_a_day_and_holds_no_secret() {
    let world = World::new().await;
    let code = world.code();
    let key = "a-telling-key";
    world
        .acme
        .create_as(key, user_body("bot", &code))
        .await
        .expect(201);
    world
        .acme
        .create(user_body("bot", &world.code()))
        .await
        .expect(201);

    let now = jiff::Timestamp::now().as_second();
    let mut remembered = 0;
    for row in world.items("requests").await {
        for secret in [code.as_str(), key, CLIENT_SECRET] {
            assert!(!format!("{row:?}").contains(secret));
        }
        if attribute(&row, "request_id").starts_with("idem#acme#") {
            remembered += 1;
            let expiry: i64 = attribute(&row, "expires_at").parse().unwrap();
            assert!((86_000..=86_400).contains(&(expiry - now)));
            assert!(!row.contains_key("in_progress_until"));
        }
    }
    assert_eq!(remembered, 2);
}

/// The new tokens matter more than the remembered request. If another request has taken the claim, the vault stores
/// the tokens and leaves that claim alone.
#[tokio::test]
async fn a_create_that_runs_longer_than_its_claim_still_stores_its_tokens() {
    let world = World::new().await;
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let body = user_body("bot", &world.code());
    let (acme, sent) = (world.acme.clone(), body.clone());
    let slow = tokio::spawn(async move { acme.create(sent).await });
    world.wire.stalled().await;
    world.expire_claims().await;

    let overtaking = world.acme.create(body).await;
    overtaking.expect_error(400, REFUSED, &code_refused(CODE_SPENT));
    bell.notify_one();

    let created = slow.await.unwrap().expect(201);
    assert_eq!(world.acme.list("").await.expect(200), json!([created]));
    assert_eq!(world.count("secrets").await, 2);
}

#[tokio::test]
async fn a_re_authorization_that_runs_longer_than_its_claim_still_stores_its_tokens() {
    let world = World::new().await;
    let id = world.add_user_credential("bot").await;
    let before = world.row(&id).await;
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let body = reauthorization(&world);
    let (acme, path, sent) = (world.acme.clone(), id.clone(), body.clone());
    let slow = tokio::spawn(async move { acme.update(&path, sent).await });
    world.wire.stalled().await;
    world.expire_claims().await;

    let overtaking = world.acme.update(&id, body).await;
    overtaking.expect_error(400, REFUSED, &code_refused(CODE_SPENT));
    bell.notify_one();

    slow.await.unwrap().expect(200);
    let after = world.row(&id).await;
    assert_ne!(
        attribute(&before, "grant_id"),
        attribute(&after, "grant_id")
    );
}

/// Only the first request changed the credential. The secret proves the app to Zoom, so a repeat does not compare it.
#[tokio::test]
async fn a_re_authorization_with_a_used_code_and_other_fields_is_refused() {
    let world = World::new().await;
    let id = world.add_app_credential("bot").await;
    let body = with(reauthorization(&world), json!({ "extra": { "k": 1 } }));
    let first = world.acme.update(&id, body.clone()).await.expect(200);
    let row = world.row(&id).await;

    for other in [
        json!({ "name": "renamed" }),
        json!({ "extra": { "k": 2 } }),
        json!({ "extra": null }),
        json!({ "redirect_uri": "https://example.test/other" }),
    ] {
        let answer = world.acme.update(&id, with(body.clone(), other)).await;
        answer.expect_error(409, "FST_ERR_CONFLICT", CODE_REUSED);
        assert_eq!(answer.header("idempotent-replayed"), None);
        assert_eq!(answer.header("retry-after"), None);
    }
    for secret in ["another-secret", CLIENT_SECRET] {
        let app = json!({ "client_id": CLIENT_ID, "client_secret": secret });
        let repeated = world.acme.update(&id, with(body.clone(), app)).await;
        assert_eq!(repeated.expect(200), first);
        assert_eq!(repeated.header("idempotent-replayed"), Some("true"));
    }
    assert_eq!(world.row(&id).await, row);
    assert_eq!(world.exchange_calls(), 1);
}

/// The first request may still fail at Zoom. Then the code serves the other request.
#[tokio::test]
async fn another_request_with_a_code_that_is_being_exchanged_waits() {
    let world = World::new().await;
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let body = user_body("bot", &world.code());
    let (acme, sent) = (world.acme.clone(), body.clone());
    let running = tokio::spawn(async move { acme.create(sent).await });
    world.wire.stalled().await;

    let other = world.acme.create(with(body, json!({ "name": "robot" })));
    let other = other.await;
    other.expect_error(409, "FST_ERR_CONFLICT", RUNNING);
    assert!((1..=29).contains(&retry_after(&other)));
    bell.notify_one();
    running.await.unwrap().expect(201);
}
