//! Unusual and hostile events.

use serde_json::{Value, json};

use crate::binaries::{API_FUNCTIONS, CHECK, CREATE, DELETE, GET, LIST, LIST_EVENTS, UPDATE};
use crate::stack::{World, app_body};

#[tokio::test]
async fn a_body_in_base64_is_the_same_body() {
    let world = World::new().await;
    let mut create = world.lambda(CREATE).await;
    let mut event = world.event("POST", None, Some(&app_body()));
    // The base64 of {"name":"b","client_id":"c","client_secret":"d"}
    event["body"] = json!("eyJuYW1lIjoiYiIsImNsaWVudF9pZCI6ImMiLCJjbGllbnRfc2VjcmV0IjoiZCJ9");
    event["isBase64Encoded"] = json!(true);

    let (status, created) = create.call(event).await;

    assert_eq!(status, 201, "{created}");
    assert_eq!(created["data"]["name"], "b");
}

/// Changes to an event: the value of a header, or of a field if the name starts with a dot.
fn hostile_changes() -> Vec<(&'static str, Value)> {
    vec![
        ("Host", json!("h:99999")),
        ("Host", json!("a b")),
        ("Host", json!("")),
        ("X-Forwarded-Proto", json!("1x")),
        ("X-Forwarded-Proto", json!("")),
        ("X-Forwarded-Port", json!("many")),
        ("X-Näme", json!("wért\u{0}\n")),
        ("", json!("a header without a name")),
        (".multiValueHeaders", Value::Null),
        (".queryStringParameters", Value::Null),
        (".queryStringParameters", json!({ "é%": "%ff&=" })),
        (".path", json!("//[::1")),
        (".path", Value::Null),
        (".httpMethod", json!("B R E W")),
        (".stageVariables", Value::Null),
        (".requestContext", Value::Null),
        (".requestContext", json!({})),
        (".requestContext", json!({ "requestId": "a\nb: c" })),
        (".isBase64Encoded", Value::Null),
    ]
}

/// Lambda's own request type panics or fails on most of these events. The caller would get a 502 without a body.
#[tokio::test]
async fn a_hostile_event_does_not_change_the_answer() {
    const ABSENT: &str = "00000000-0000-7000-8000-000000000000";
    let world = World::new().await;
    let id = world.add_credential().await;
    let id = Some(id.as_str());
    for (binary, method, id, body, well) in [
        (GET, "GET", id, None, 200),
        (LIST, "GET", None, None, 200),
        (LIST_EVENTS, "GET", id, None, 200),
        (CHECK, "POST", id, None, 200),
        (UPDATE, "PATCH", id, Some(json!({ "name": "a" })), 200),
        (CREATE, "POST", None, Some(app_body()), 201),
        (DELETE, "DELETE", Some(ABSENT), None, 404),
    ] {
        let mut lambda = world.lambda(binary).await;
        for (place, value) in hostile_changes() {
            let mut event = world.event(method, id, body.as_ref());
            if let Some(field) = place.strip_prefix('.') {
                event[field] = value.clone();
            } else {
                event["headers"][place] = value.clone();
                event["multiValueHeaders"][place] = json!([value]);
            }
            let (status, answer) = lambda.call(event).await;
            assert_eq!(status, well, "{method} {place} {value}: {answer}");
        }
        assert_eq!(lambda.child.try_wait().unwrap(), None, "{binary} died");
    }
}

#[tokio::test]
async fn an_event_without_a_valid_key_or_body_is_refused_in_the_envelope() {
    let world = World::new().await;
    for binary in API_FUNCTIONS {
        let mut lambda = world.lambda(binary).await;
        let mut without_headers = world.event("GET", None, None);
        without_headers["headers"] = Value::Null;
        let mut beyond_ascii = world.event("GET", None, None);
        beyond_ascii["headers"]["x-meeting-baas-api-key"] = json!("zcv_é");
        for event in [json!({}), without_headers, beyond_ascii] {
            let (status, body) = lambda.call(event).await;
            assert_eq!(
                (status, &body["code"]),
                (401, &json!("FST_ERR_UNAUTHORIZED"))
            );
        }
    }

    // A body that cannot be decoded counts as no body.
    let mut create = world.lambda(CREATE).await;
    let mut event = world.event("POST", None, None);
    event["body"] = json!("no base64!");
    event["isBase64Encoded"] = json!(true);
    let (status, body) = create.call(event).await;
    assert_eq!((status, &body["code"]), (400, &json!("FST_ERR_VALIDATION")));
    let mut get = world.lambda(GET).await;
    for parameters in [Value::Null, json!({}), json!({ "id": "é\u{0}" })] {
        let mut event = world.event("GET", Some(""), None);
        event["pathParameters"] = parameters;
        let (status, body) = get.call(event).await;
        assert_eq!((status, &body["code"]), (400, &json!("FST_ERR_VALIDATION")));
    }
}
