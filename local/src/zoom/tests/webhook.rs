//! Webhooks: signature, retries and validation.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;

use super::*;
use crate::zoom::Webhook;

/// The webhook endpoint of an app: its next answers, and the requests that it received.
#[derive(Clone, Default)]
struct WebhookEndpoint {
    answers: Arc<Mutex<VecDeque<(StatusCode, String)>>>,
    received: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl WebhookEndpoint {
    /// Starts the endpoint and returns its URL. Without a queued answer, the endpoint answers 204.
    async fn serve(&self) -> String {
        let receive = async |State(endpoint): State<Self>, headers: HeaderMap, body: Bytes| {
            endpoint.received.lock().unwrap().push((headers, body));
            let answer = endpoint.answers.lock().unwrap().pop_front();
            answer.unwrap_or((StatusCode::NO_CONTENT, String::new()))
        };
        let router = Router::new()
            .route("/hook", post(receive))
            .with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn queue_answer(&self, status: StatusCode, body: &str) {
        let mut answers = self.answers.lock().unwrap();
        answers.push_back((status, body.to_owned()));
    }
}

fn registration(url: &str) -> Value {
    json!({ "client_id": "app", "url": url, "secret_token": "hush" })
}

#[tokio::test]
async fn an_endpoint_with_a_wrong_answer_to_the_challenge_is_invalid() {
    let (zoom, endpoint) = (TestZoom::new().await, WebhookEndpoint::default());
    let url = endpoint.serve().await;
    // The endpoint does not know the secret token.
    for body in ["", "{}", r#"{"plainToken":"x","encryptedToken":"y"}"#] {
        endpoint.queue_answer(StatusCode::OK, body);
        let set = zoom.control("/sandbox/webhooks", &registration(&url));
        expect_answer(set, 201, json!({ "client_id": "app", "validated": false })).await;
    }
    assert_eq!(zoom.sandbox.validate_webhook("no-app").await, None);

    let (headers, body) = endpoint.received.lock().unwrap()[0].clone();
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
async fn a_deauthorization_ends_the_grant_and_retries_the_webhook() {
    let (zoom, endpoint) = (TestZoom::new().await, WebhookEndpoint::default());
    let url = endpoint.serve().await;
    let set = zoom.control("/sandbox/webhooks", &registration(&url));
    set.send().await.unwrap();
    let tokens = zoom.connect().await;
    assert!(zoom.sandbox.is_live_refresh_token(&tokens.refresh));
    endpoint.received.lock().unwrap().clear();
    endpoint.queue_answer(StatusCode::SERVICE_UNAVAILABLE, "");
    endpoint.queue_answer(StatusCode::UNAUTHORIZED, "");

    let removed = json!({ "client_id": "app", "user_id": "user" });
    let removal = zoom.control("/sandbox/deauthorizations", &removed);
    let delivery =
        json!({ "event": "app_deauthorized", "attempts": [503, 401, 204], "heard": true });
    expect_answer(removal, 201, delivery).await;

    assert!(!zoom.sandbox.is_live_refresh_token(&tokens.refresh));
    let received = endpoint.received.lock().unwrap().clone();
    let bodies: Vec<&Bytes> = received.iter().map(|(_, body)| body).collect();
    assert!(bodies.len() == 3 && bodies.iter().all(|body| *body == bodies[0]));
    let body: Value = serde_json::from_slice(bodies[0]).unwrap();
    assert_eq!(body["payload"]["client_id"], "app");
    assert_eq!(body["payload"]["user_id"], "user");
}

#[tokio::test]
async fn an_app_without_an_endpoint_gets_no_webhook_and_retries_are_limited() {
    let zoom = TestZoom::new().await;
    let removed = json!({ "client_id": "app", "user_id": "user" });
    let removal = zoom.control("/sandbox/deauthorizations", &removed);
    expect_answer(removal, 201, Value::Null).await;

    let set = zoom.control(
        "/sandbox/webhooks",
        &registration("http://127.0.0.1:9/hook"),
    );
    expect_answer(set, 201, json!({ "client_id": "app", "validated": false })).await;
    let gone = json!({ "client_id": "app", "user_id": "user", "deleted": true });
    let departure = zoom.control("/sandbox/departures", &gone);
    let delivery =
        json!({ "event": "user.deleted", "attempts": [null, null, null, null], "heard": false });
    expect_answer(departure, 201, delivery).await;

    let https = json!({ "client_id": "app", "url": "https://example.com", "secret_token": "hush" });
    let (status, _) = answer_of(zoom.control("/sandbox/webhooks", &https)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
