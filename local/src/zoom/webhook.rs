//! Webhooks to apps, signed and retried as Zoom does.
//!
//! The endpoints and secret tokens belong to this run, because the state file keeps no secret. Timestamps come from the
//! machine's clock, not from the sandbox's clock, because the receiver compares them with its own clock.

use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::Sandbox;
use super::grant::EndReason;

/// How long the sandbox waits for an answer, as Zoom does.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// The delays before the retries. Zoom waits 5, 30 and 90 minutes.
const RETRY_DELAYS: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];
/// Larger than any valid answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The webhook endpoint of an app.
#[derive(Clone)]
pub struct Webhook {
    /// The event notification endpoint. Must be HTTP, because the sandbox calls only this machine.
    pub url: Url,
    /// The secret token of the app. It signs the webhooks.
    pub secret_token: String,
}

/// An event, and the result of its delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// The name of the event.
    pub event: String,
    /// The status of each attempt. `None` if no answer came in time.
    pub attempts: Vec<Option<u16>>,
    /// Whether the endpoint accepted the event: the last status is 200 or 204.
    pub heard: bool,
}

/// The answer of one attempt.
struct EndpointAnswer {
    status: u16,
    body: Vec<u8>,
}

impl Webhook {
    /// Zoom's signature of a body: `v0=` and the HMAC-SHA256 in hex.
    pub fn signature(&self, timestamp: i64, body: &[u8]) -> String {
        let signed = [format!("v0:{timestamp}:").as_bytes(), body].concat();
        format!("v0={}", self.mac(&signed))
    }

    /// The HMAC-SHA256 of a text in hex. It also answers Zoom's validation challenge.
    fn mac(&self, text: &[u8]) -> String {
        let tag = sign(&Key::new(HMAC_SHA256, self.secret_token.as_bytes()), text);
        let digits: Vec<String> = tag
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        digits.concat()
    }

    /// Sends a body once. `None` if no answer comes in time.
    async fn post(&self, body: &[u8]) -> Option<EndpointAnswer> {
        let timestamp = Timestamp::now().as_second();
        let request = Request::post(self.url.as_str())
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .header("x-zm-signature", self.signature(timestamp, body))
            .header("x-zm-request-timestamp", timestamp)
            .body(Body::from(body.to_vec()))
            .ok()?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let sent = async {
            let answer = client.request(request).await.ok()?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.ok()?;
            Some(EndpointAnswer {
                status: head.status.as_u16(),
                body: body.to_bytes().to_vec(),
            })
        };
        tokio::time::timeout(ANSWER_TIMEOUT, sent)
            .await
            .ok()
            .flatten()
    }

    /// Sends an event until the endpoint accepts it, with as many retries as Zoom.
    async fn deliver(&self, event: &str, payload: Value) -> Delivery {
        let body = json!({
            "event": event,
            "event_ts": Timestamp::now().as_millisecond(),
            "payload": payload,
        })
        .to_string();
        let mut delivery = Delivery {
            event: event.to_owned(),
            attempts: Vec::new(),
            heard: false,
        };
        for delay in std::iter::once(Duration::ZERO).chain(RETRY_DELAYS) {
            tokio::time::sleep(delay).await;
            let status = self.post(body.as_bytes()).await.map(|answer| answer.status);
            delivery.attempts.push(status);
            if matches!(status, Some(200 | 204)) {
                delivery.heard = true;
                break;
            }
        }
        delivery
    }

    /// Whether the endpoint knows the secret token.
    async fn validate(&self) -> bool {
        let plain_token = Uuid::new_v4().simple().to_string();
        let body = json!({
            "event": "endpoint.url_validation",
            "event_ts": Timestamp::now().as_millisecond(),
            "payload": { "plainToken": plain_token },
        });
        let Some(answer) = self.post(body.to_string().as_bytes()).await else {
            return false;
        };
        let expected = json!({
            "plainToken": plain_token,
            "encryptedToken": self.mac(plain_token.as_bytes()),
        });
        let received: Option<Value> = serde_json::from_slice(&answer.body).ok();
        answer.status == StatusCode::OK.as_u16() && received == Some(expected)
    }
}

impl Sandbox {
    /// Sets the webhook endpoint of an app for this run. Replaces a former endpoint.
    pub fn set_webhook(&self, client_id: &str, webhook: Webhook) {
        self.settings()
            .webhooks
            .insert(client_id.to_owned(), webhook);
    }

    /// Does what Zoom does when the developer clicks Validate: checks that the endpoint knows the secret token.
    ///
    /// `None` if the app has no endpoint.
    pub async fn validate_webhook(&self, client_id: &str) -> Option<bool> {
        Some(self.webhook(client_id)?.validate().await)
    }

    /// Does what happens when the user removes the app in Zoom's marketplace.
    ///
    /// Ends every grant of the app and user, and sends a webhook if the app has an endpoint.
    pub async fn deauthorize(&self, client_id: &str, user_id: &str) -> Option<Delivery> {
        self.change_unreported(|state| state.end_grants(client_id, user_id, EndReason::Revoked));
        let webhook = self.webhook(client_id)?;
        let payload = json!({
            "account_id": self.account_of(user_id),
            "user_id": user_id,
            "signature": webhook.mac(user_id.as_bytes()),
            "deauthorization_time": format!("{:.3}", Timestamp::now()),
            "client_id": client_id,
        });
        Some(webhook.deliver("app_deauthorized", payload).await)
    }

    /// Does what happens when an administrator deactivates or deletes a user.
    ///
    /// The REST API then no longer knows the user. Sends a webhook if the app has an endpoint.
    pub async fn deactivate_user(
        &self,
        client_id: &str,
        user_id: &str,
        deleted: bool,
    ) -> Option<Delivery> {
        self.set_user_deactivated(user_id, true);
        let webhook = self.webhook(client_id)?;
        let event = if deleted {
            "user.deleted"
        } else {
            "user.deactivated"
        };
        let account = self.account_of(user_id);
        let payload = json!({
            "account_id": account,
            "operator": "admin@example.com",
            "object": { "id": user_id, "type": 1 },
        });
        Some(webhook.deliver(event, payload).await)
    }

    fn webhook(&self, client_id: &str) -> Option<Webhook> {
        self.settings().webhooks.get(client_id).cloned()
    }

    fn account_of(&self, user_id: &str) -> Option<String> {
        self.shared
            .store
            .read(|state| state.users.get(user_id)?.user.account_id.clone())
    }
}
