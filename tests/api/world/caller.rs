//! Clients of the API.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::Answer;
use crate::contract;

/// A client of the API with its key.
#[derive(Clone)]
pub(crate) struct Caller {
    url: String,
    key: String,
    http: reqwest::Client,
}

impl Caller {
    /// A client that sends this key to this address.
    pub(crate) fn new(url: String, key: String, http: reqwest::Client) -> Self {
        Self { url, key, http }
    }

    /// The address of a path.
    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The HTTP client.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The API key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// A request with the key and nothing else.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, self.address(path));
        request
            .header("x-meeting-baas-api-key", &self.key)
            .timeout(Duration::from_mins(1))
    }

    /// Sends a text as the JSON body, well-formed or not.
    pub(crate) async fn send_text(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let request = self.request(method, path);
        let request = request.header("content-type", "application/json");
        send(request.body(body)).await
    }

    /// `POST /v2/zoom-credentials`
    pub(crate) async fn create(&self, body: Value) -> Answer {
        let request = self.request(Method::POST, "/v2/zoom-credentials");
        send(request.json(&body)).await
    }

    /// `POST /v2/zoom-credentials` with an `Idempotency-Key`.
    pub(crate) async fn create_as(&self, key: &str, body: Value) -> Answer {
        let request = self.request(Method::POST, "/v2/zoom-credentials");
        send(request.header("idempotency-key", key).json(&body)).await
    }

    /// `GET /v2/zoom-credentials` and a query, `?` included.
    pub(crate) async fn list(&self, query: &str) -> Answer {
        send(self.request(Method::GET, &format!("/v2/zoom-credentials{query}"))).await
    }

    /// `GET /v2/zoom-credentials/{id}`
    pub(crate) async fn get(&self, id: &str) -> Answer {
        send(self.request(Method::GET, &format!("/v2/zoom-credentials/{id}"))).await
    }

    /// `GET /v2/zoom-credentials/{id}/events` and a query, `?` included.
    pub(crate) async fn events(&self, id: &str, query: &str) -> Answer {
        let path = format!("/v2/zoom-credentials/{id}/events{query}");
        send(self.request(Method::GET, &path)).await
    }

    /// `POST /v2/zoom-credentials/{id}/check`
    pub(crate) async fn check(&self, id: &str) -> Answer {
        let path = format!("/v2/zoom-credentials/{id}/check");
        send(self.request(Method::POST, &path)).await
    }

    /// As [`Self::check`], with a body.
    pub(crate) async fn check_with(&self, id: &str, body: Value) -> Answer {
        let path = format!("/v2/zoom-credentials/{id}/check");
        send(self.request(Method::POST, &path).json(&body)).await
    }

    /// `PATCH /v2/zoom-credentials/{id}`
    pub(crate) async fn update(&self, id: &str, body: Value) -> Answer {
        let path = format!("/v2/zoom-credentials/{id}");
        send(self.request(Method::PATCH, &path).json(&body)).await
    }

    /// `POST /v2/zoom-credentials/{id}/restore`
    pub(crate) async fn restore(&self, id: &str) -> Answer {
        let path = format!("/v2/zoom-credentials/{id}/restore");
        send(self.request(Method::POST, &path)).await
    }

    /// `DELETE /v2/zoom-credentials/{id}`
    pub(crate) async fn delete(&self, id: &str) -> Answer {
        send(self.request(Method::DELETE, &format!("/v2/zoom-credentials/{id}"))).await
    }
}

/// Sends a request, and checks its answer against the published contract.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    let (http, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (
        request.method().to_string(),
        request.url().path().to_owned(),
    );
    let response = http.execute(request).await.unwrap();
    let answer = Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    };
    contract::check(&method, &path, &answer);
    answer
}
