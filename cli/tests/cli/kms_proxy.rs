//! A proxy in front of the local KMS, with the rights of the role in `RewrapRole`: only `DescribeKey` and `ReEncrypt`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use serde_json::json;

use crate::harness::serve;

pub(crate) struct KmsProxy {
    kms: String,
    http: reqwest::Client,
    /// How many `ReEncrypt` calls may still pass.
    remaining: AtomicUsize,
    /// The operations that the proxy denied.
    denied: Mutex<Vec<String>>,
}

impl KmsProxy {
    /// Starts a proxy that disables the key after `max_calls` calls of `ReEncrypt`. Returns its URL too.
    pub(crate) async fn start(kms: &str, max_calls: usize) -> (Arc<Self>, String) {
        let proxy = Arc::new(Self {
            kms: kms.to_owned(),
            http: reqwest::Client::new(),
            remaining: AtomicUsize::new(max_calls),
            denied: Mutex::default(),
        });
        let router = Router::new()
            .fallback(routing::any(forward))
            .with_state(proxy.clone());
        (proxy, serve(router).await)
    }

    pub(crate) fn denied(&self) -> Vec<String> {
        self.denied.lock().unwrap().clone()
    }
}

async fn forward(
    State(proxy): State<Arc<KmsProxy>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers.get("x-amz-target").unwrap().to_str().unwrap();
    let operation = target.rsplit('.').next().unwrap().to_owned();
    let refuse = |code: &str, message: &str| {
        let body = json!({ "__type": code, "message": message }).to_string();
        (StatusCode::BAD_REQUEST, body).into_response()
    };
    match operation.as_str() {
        "DescribeKey" => {}
        "ReEncrypt" => {
            let decrement = |remaining: usize| remaining.checked_sub(1);
            let counted =
                proxy
                    .remaining
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, decrement);
            if counted.is_err() {
                return refuse("DisabledException", "the key is disabled");
            }
        }
        _ => {
            proxy.denied.lock().unwrap().push(operation);
            return refuse("AccessDeniedException", "not authorized");
        }
    }
    let request = proxy
        .http
        .request(method, &proxy.kms)
        .headers(headers)
        .body(body);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.bytes().await.unwrap()).into_response()
}
