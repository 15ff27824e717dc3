//! API keys: what a stranger costs, the rate of each key, what a key may see and mint, and how keys end.

use reqwest::Method;
use serde_json::{Value, json};
use shared::api_key::{ApiKey, KeyTerms};
use shared::connect::SessionId;
use shared::token_url::UrlId;

use crate::access;
use crate::world::{CLIENT_ID, Caller, World, app_body, text_of};

mod ends;
mod moved;
mod rates;
mod scope;
mod strangers;
mod tenancy;

impl World {
    /// A caller whose key has these terms.
    pub(crate) async fn caller_with_terms(&self, terms: KeyTerms) -> Caller {
        let created = self.operator.create_key(&self.team("acme"), terms).await;
        self.caller_with_key(&text_of(created.unwrap().0))
    }

    /// A caller whose key is well formed and was never created.
    pub(crate) fn stranger(&self, team: &str) -> Caller {
        let team = team.parse().unwrap();
        self.caller_with_key(&text_of(ApiKey::generate(team).unwrap()))
    }
}

/// Every endpoint that wants a key. Each path names this credential, if it names one.
fn all_endpoints(id: &str) -> Vec<(Method, String, Option<Value>)> {
    let app = format!("/v2/zoom-apps/{CLIENT_ID}");
    let urls = format!("/v2/zoom-credentials/{id}/token-urls");
    let sessions = "/v2/zoom-connect-sessions";
    let vendor = "/v2/vendors/meetstream";
    let endpoint = "/v2/notification-endpoint";
    let mut all = access::endpoints(id);
    all.extend([
        (
            Method::POST,
            "/v2/zoom-tokens".to_owned(),
            Some(json!({ "credential_id": id, "type": "onbehalf" })),
        ),
        (Method::POST, urls.clone(), Some(json!({ "type": "zak" }))),
        (
            Method::DELETE,
            format!("{urls}/{}", UrlId::generate()),
            None,
        ),
        (
            Method::POST,
            sessions.to_owned(),
            Some(with_app(json!({ "name": "desk" }))),
        ),
        (
            Method::GET,
            format!("{sessions}/{}", SessionId::generate()),
            None,
        ),
        (
            Method::PUT,
            app.clone(),
            Some(json!({ "client_secret": "x", "webhook_secret_token": "y" })),
        ),
        (Method::GET, app.clone(), None),
        (Method::DELETE, app.clone(), None),
        (
            Method::PUT,
            vendor.to_owned(),
            Some(json!({ "secret": "a-shared-secret" })),
        ),
        (Method::GET, "/v2/overview".to_owned(), None),
        (Method::GET, vendor.to_owned(), None),
        (Method::DELETE, vendor.to_owned(), None),
        (
            Method::PUT,
            endpoint.to_owned(),
            Some(json!({ "url": "https://example.com/" })),
        ),
        (Method::GET, endpoint.to_owned(), None),
        (Method::POST, format!("{endpoint}/test"), None),
        (Method::DELETE, endpoint.to_owned(), None),
        (
            Method::POST,
            format!("{app}/rotate-secret"),
            Some(json!({ "client_secret": "x" })),
        ),
    ]);
    all
}

fn with_app(mut body: Value) -> Value {
    let app = app_body("unused");
    for name in ["client_id", "client_secret"] {
        body[name] = app[name].clone();
    }
    body
}
