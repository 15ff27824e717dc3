//! What an app is told: signed, told again until it is heard, and no more than Zoom does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;

use super::*;
use crate::zoom::Webhook;

/// An app's endpoint: what it is to answer, and what it heard.
#[derive(Clone, Default)]
struct Endpoint {
    answers: Arc<Mutex<VecDeque<(StatusCode, String)>>>,
    heard: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Endpoint {
    /// Its address. It answers as it is told to, then 204.
    async fn serve(&self) -> String {
        let hear = async |State(endpoint): State<Self>, headers: HeaderMap, body: Bytes| {
            endpoint.heard.lock().unwrap().push((headers, body));
            let answer = endpoint.answers.lock().unwrap().pop_front();
            answer.unwrap_or((StatusCode::NO_CONTENT, String::new()))
        };
        let router = Router::new()
            .route("/hook", post(hear))
            .with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn answer(&self, status: StatusCode, body: &str) {
        let mut answers = self.answers.lock().unwrap();
        answers.push_back((status, body.to_owned()));
    }
}

fn registration(url: &str) -> Value {
    json!({ "client_id": "app", "url": url, "secret_token": "hush" })
}

#[tokio::test]
async fn an_endpoint_is_valid_that_answers_the_challenge() {
    let (world, endpoint) = (World::new().await, Endpoint::default());
    let url = endpoint.serve().await;
    // It does not know the token, whatever it says.
    for body in ["", "{}", r#"{"plainToken":"x","encryptedToken":"y"}"#] {
        endpoint.answer(StatusCode::OK, body);
        let set = world.control("/sandbox/webhooks", &registration(&url));
        expect(set, 201, json!({ "client_id": "app", "validated": false })).await;
    }
    assert_eq!(world.sandbox.validate_webhook("no-app").await, None);

    let (headers, body) = endpoint.heard.lock().unwrap()[0].clone();
    let webhook = Webhook {
        url: url.parse().unwrap(),
        secret_token: "hush".to_owned(),
    };
    let at = headers["x-zm-request-timestamp"].to_str().unwrap();
    let expected = webhook.signature(at.parse().unwrap(), &body);
    assert_eq!(headers["x-zm-signature"].to_str().unwrap(), expected);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["event"], "endpoint.url_validation");
    assert!(body["payload"]["plainToken"].is_string());
}

#[tokio::test]
async fn a_user_who_removes_an_app_ends_the_grant_and_the_app_is_told_until_it_hears() {
    let (world, endpoint) = (World::new().await, Endpoint::default());
    let url = endpoint.serve().await;
    let set = world.control("/sandbox/webhooks", &registration(&url));
    set.send().await.unwrap();
    let pair = world.connect().await;
    assert!(world.sandbox.is_live_refresh_token(&pair.refresh));
    endpoint.heard.lock().unwrap().clear();
    endpoint.answer(StatusCode::SERVICE_UNAVAILABLE, "");
    endpoint.answer(StatusCode::UNAUTHORIZED, "");

    let removed = json!({ "client_id": "app", "user_id": "user" });
    let removal = world.control("/sandbox/deauthorizations", &removed);
    let told = json!({ "event": "app_deauthorized", "attempts": [503, 401, 204], "heard": true });
    expect(removal, 201, told).await;

    assert!(!world.sandbox.is_live_refresh_token(&pair.refresh));
    let heard = endpoint.heard.lock().unwrap().clone();
    let bodies: Vec<&Bytes> = heard.iter().map(|(_, body)| body).collect();
    assert!(bodies.len() == 3 && bodies.iter().all(|body| *body == bodies[0]));
    let body: Value = serde_json::from_slice(bodies[0]).unwrap();
    assert_eq!(body["payload"]["client_id"], "app");
    assert_eq!(body["payload"]["user_id"], "user");
}

#[tokio::test]
async fn an_app_without_an_endpoint_is_told_nothing_and_one_that_is_deaf_not_for_ever() {
    let world = World::new().await;
    let removed = json!({ "client_id": "app", "user_id": "user" });
    let removal = world.control("/sandbox/deauthorizations", &removed);
    expect(removal, 201, Value::Null).await;

    let set = world.control(
        "/sandbox/webhooks",
        &registration("http://127.0.0.1:9/hook"),
    );
    expect(set, 201, json!({ "client_id": "app", "validated": false })).await;
    let gone = json!({ "client_id": "app", "user_id": "user", "deleted": true });
    let departure = world.control("/sandbox/departures", &gone);
    let told =
        json!({ "event": "user.deleted", "attempts": [null, null, null, null], "heard": false });
    expect(departure, 201, told).await;

    let https = json!({ "client_id": "app", "url": "https://example.com", "secret_token": "hush" });
    let (status, _) = answer(world.control("/sandbox/webhooks", &https)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
