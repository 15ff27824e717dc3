//! The server of a team that receives notifications.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::net::TcpListener;

/// How a receiver answers.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    Accepts,
    Fails(StatusCode),
    Redirects(String),
    /// Answers after this time.
    Slow(Duration),
}

/// A call that a receiver got.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) at: String,
    pub(crate) signatures: Vec<String>,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Received {
    /// Whether a signature was made with this secret.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap());
        let key = Key::new(HMAC_SHA256, &key.unwrap());
        let message = format!("{}.{}.{}", self.id, self.at, self.text);
        let mac = STANDARD.encode(sign(&key, message.as_bytes()));
        self.signatures.contains(&format!("v1,{mac}"))
    }

    pub(crate) fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }
}

/// A server on this machine.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) port: u16,
    behaviour: Arc<Mutex<Behaviour>>,
    calls: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            port: listener.local_addr().unwrap().port(),
            behaviour: Arc::new(Mutex::new(behaviour)),
            calls: Arc::default(),
        };
        let router = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/zoom?team=acme", self.port)
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// The calls so far, in their order.
    pub(crate) fn calls(&self) -> Vec<Received> {
        self.calls.lock().unwrap().clone()
    }

    /// The types of the notifications so far, in alphabetical order.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let mut kinds: Vec<String> = self.calls().iter().map(|it| it.kind().to_owned()).collect();
        kinds.sort();
        kinds
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    receiver.calls.lock().unwrap().push(Received {
        id: header("webhook-id"),
        at: header("webhook-timestamp"),
        signatures: header("webhook-signature")
            .split(' ')
            .map(str::to_owned)
            .collect(),
        text: String::from_utf8(body.to_vec()).unwrap(),
        body: serde_json::from_slice(&body).unwrap(),
    });
    let behaviour = receiver.behaviour.lock().unwrap().clone();
    match behaviour {
        Behaviour::Accepts => StatusCode::NO_CONTENT.into_response(),
        Behaviour::Fails(status) => status.into_response(),
        Behaviour::Redirects(to) => Redirect::temporary(&to).into_response(),
        Behaviour::Slow(by) => {
            tokio::time::sleep(by).await;
            StatusCode::OK.into_response()
        }
    }
}
