//! Services that fail, deny or are silent, and a proxy that counts connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

/// Starts a service that answers every call in the same way.
pub(crate) async fn service(status: StatusCode, answer: impl Into<String>) -> String {
    let answer = answer.into();
    serve(Router::new().fallback(async move || (status, answer))).await
}

/// Starts a service that accepts every call and never answers.
pub(crate) async fn silence() -> String {
    serve(Router::new().fallback(std::future::pending::<StatusCode>)).await
}

pub(crate) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// The answer of AWS if a role lacks a right.
pub(crate) fn denial(action: &str) -> String {
    let message = format!(
        "User: arn:aws:sts::123456789012:assumed-role/role/f is not authorized to perform: {action} on resource: \
         arn:aws:aws:us-east-1:123456789012:it because no identity-based policy allows the {action} action"
    );
    json!({ "__type": "com.amazon.coral.service#AccessDeniedException", "Message": message })
        .to_string()
}

/// A proxy to a service, which counts the connections.
pub(crate) struct CountingProxy {
    pub(crate) url: String,
    connections: Arc<AtomicUsize>,
}

impl CountingProxy {
    pub(crate) async fn of(service: &str) -> Self {
        let service = service.strip_prefix("http://").unwrap();
        let service = service.trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let mut far = TcpStream::connect(&service).await.unwrap();
                tokio::spawn(async move {
                    // Either side may close the connection.
                    tokio::io::copy_bidirectional(&mut near, &mut far)
                        .await
                        .ok();
                });
            }
        });
        Self { url, connections }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
