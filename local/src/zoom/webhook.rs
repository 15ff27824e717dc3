//! What apps are told: signed as Zoom signs, and told again until it is heard.
//!
//! Where an app hears and what its webhooks are signed with belongs to this run: the state file keeps no secret. Times
//! are the machine's, not the sandbox's own clock: whoever hears compares them with theirs.

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
use super::grant::Ending;

/// How long an answer is waited for, as at Zoom.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait before it is told again. At Zoom it is 5, 30 and 90 minutes.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];
/// No answer that Zoom understands is longer.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Where an app hears what happens, and what that is signed with.
#[derive(Clone)]
pub struct Webhook {
    /// Its event notification endpoint. HTTP only: the sandbox calls this machine.
    pub url: Url,
    /// The app's secret token.
    pub secret_token: String,
}

/// An event, and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Which.
    pub event: String,
    /// What each try was answered; none where nothing came in time.
    pub attempts: Vec<Option<u16>>,
    /// Whether it was heard in the end.
    pub heard: bool,
}

/// One try's answer.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Webhook {
    /// `v0=` and the HMAC-SHA256 that Zoom signs a body with, in hex.
    pub fn signature(&self, timestamp: i64, body: &[u8]) -> String {
        let signed = [format!("v0:{timestamp}:").as_bytes(), body].concat();
        format!("v0={}", self.mac(&signed))
    }

    /// What a challenge is to be answered with.
    fn mac(&self, text: &[u8]) -> String {
        let tag = sign(&Key::new(HMAC_SHA256, self.secret_token.as_bytes()), text);
        let digits: Vec<String> = tag
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        digits.concat()
    }

    /// Tells it once.
    async fn post(&self, body: &[u8]) -> Option<Answer> {
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
            let body = Limited::new(body, LONGEST_ANSWER).collect().await.ok()?;
            Some(Answer {
                status: head.status.as_u16(),
                body: body.to_bytes().to_vec(),
            })
        };
        tokio::time::timeout(PATIENCE, sent).await.ok().flatten()
    }

    /// Tells it until it is heard, or Zoom would give up.
    async fn tell(&self, event: &str, payload: Value) -> Delivery {
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
        for pause in std::iter::once(Duration::ZERO).chain(PAUSES) {
            tokio::time::sleep(pause).await;
            let status = self.post(body.as_bytes()).await.map(|answer| answer.status);
            delivery.attempts.push(status);
            if matches!(status, Some(200 | 204)) {
                delivery.heard = true;
                break;
            }
        }
        delivery
    }

    /// Whether the one that hears holds the secret token.
    async fn validate(&self) -> bool {
        let plain = Uuid::new_v4().simple().to_string();
        let body = json!({
            "event": "endpoint.url_validation",
            "event_ts": Timestamp::now().as_millisecond(),
            "payload": { "plainToken": plain },
        });
        let Some(answer) = self.post(body.to_string().as_bytes()).await else {
            return false;
        };
        let expected = json!({
            "plainToken": plain,
            "encryptedToken": self.mac(plain.as_bytes()),
        });
        let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
        answer.status == StatusCode::OK.as_u16() && said == Some(expected)
    }
}

impl Sandbox {
    /// Says where an app hears what happens, in place of what was said before. For this run only.
    pub fn set_webhook(&self, client_id: &str, webhook: Webhook) {
        self.settings()
            .webhooks
            .insert(client_id.to_owned(), webhook);
    }

    /// What Zoom does when the app's developer clicks Validate: whether the endpoint holds the secret token. None where
    /// the app has no endpoint.
    pub async fn validate_webhook(&self, client_id: &str) -> Option<bool> {
        Some(self.webhook(client_id)?.validate().await)
    }

    /// What happens when the user removes the app in Zoom's marketplace: every grant of the pair dies, and the app is
    /// told, if it has an endpoint.
    pub async fn deauthorize(&self, client_id: &str, user_id: &str) -> Option<Delivery> {
        self.arrange(|state| state.end_grants(client_id, user_id, Ending::Revoked));
        let webhook = self.webhook(client_id)?;
        let payload = json!({
            "account_id": self.account_of(user_id),
            "user_id": user_id,
            "signature": webhook.mac(user_id.as_bytes()),
            "deauthorization_time": format!("{:.3}", Timestamp::now()),
            "client_id": client_id,
        });
        Some(webhook.tell("app_deauthorized", payload).await)
    }

    /// What happens when an administrator deactivates or deletes a user: the REST API does not know them any more, and
    /// the app is told, if it has an endpoint.
    pub async fn lose_user(
        &self,
        client_id: &str,
        user_id: &str,
        deleted: bool,
    ) -> Option<Delivery> {
        self.deactivate_user(user_id, true);
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
        Some(webhook.tell(event, payload).await)
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
