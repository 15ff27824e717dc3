//! Calling a token URL, as the vendors of bots do. Each vendor gets the answer that it expects, byte for byte.

mod bounds;
mod origins;
mod parameters;
mod refusals;
mod uses;
mod vendors;

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::token_url::UrlToken;

use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Rule, Service};
use crate::token_urls::Url;
use crate::world::{Answer, World};

/// The token that Zoom mints after [`World::zoom_mints`].
pub(crate) const TOKEN: &str =
    "eyJzdiI6IjAwMDAwMSIsImFsZyI6IkhTMjU2In0.eyJhdWQiOiJjbGllbnRzbSJ9.s1g-n_ature";
pub(crate) const MEETING: &str = "98765432101";
const MINT_PATH: &str = "/v2/users/me/token";
const LOCAL_RECORDING_PATH: &str = "/v2/meetings/98765432101/jointoken/local_recording";
const WEBINAR_PATH: &str = "/v2/webinars/98765432101/jointoken/local_recording";

/// Sends a vendor's request. The vendor's answer is not part of the published contract, so nothing checks it.
async fn send_as_vendor(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

impl World {
    /// Makes Zoom answer every mint with this token.
    pub(crate) fn zoom_mints(&self, token: &str) {
        for operation in [MINT_PATH, LOCAL_RECORDING_PATH, WEBINAR_PATH] {
            self.wire.inject(Rule {
                service: Some(Service::Zoom),
                operation: Some(operation),
                nth: None,
                fault: Fault::Answer(StatusCode::OK, json!({ "token": token }).to_string()),
            });
        }
    }

    /// A vendor's request, without headers and body.
    fn vendor_request(&self, method: Method, url: &Url, query: &str) -> RequestBuilder {
        let url = format!("{}{query}", url.url);
        self.acme
            .http()
            .request(method, url)
            .timeout(Duration::from_mins(1))
    }

    pub(crate) async fn vendor_gets(&self, url: &Url, query: &str) -> Answer {
        send_as_vendor(self.vendor_request(Method::GET, url, query)).await
    }

    pub(crate) async fn vendor_posts(&self, url: &Url, body: &Value) -> Answer {
        send_as_vendor(self.vendor_request(Method::POST, url, "").json(body)).await
    }

    /// The path and query of each call that Zoom's API has received since the last reset of the wire.
    pub(crate) fn zoom_api_calls(&self) -> Vec<String> {
        let calls = self.wire.calls().into_iter();
        calls
            .filter(|call| call.service == Service::Zoom && call.operation != "/oauth/token")
            .map(|call| call.target)
            .collect()
    }

    /// How many calls KMS and Zoom have received since the last reset of the wire.
    fn kms_and_zoom_calls(&self) -> usize {
        self.wire.count(Service::Kms) + self.wire.count(Service::Zoom)
    }

    pub(crate) async fn newest_event(&self, id: &str) -> Value {
        self.acme.events(id, "?limit=1").await.expect(200)[0].clone()
    }

    /// A user credential that has minted before, so that its grant is in the function's memory.
    pub(crate) async fn given_warm_user(&self) -> String {
        let id = self.add_user_credential("bot").await;
        mint_onbehalf(&self.acme, &id).await.expect(200);
        id
    }

    /// A URL that mints an `onbehalf` token this often.
    async fn given_limited_url(&self, id: &str, max_uses: u32) -> Url {
        let body = json!({ "type": "onbehalf", "max_uses": max_uses });
        self.given_url(id, body).await
    }
}

/// The answer is this token as text, and nothing else.
#[track_caller]
pub(crate) fn expect_text(answer: &Answer, token: &str) {
    expect_plain_text(answer, 200, token);
}

/// The answer is exactly this JSON.
#[track_caller]
fn expect_json(answer: &Answer, body: &str) {
    assert_eq!((answer.status, answer.text.as_str()), (200, body));
    assert_eq!(
        answer.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    expect_private(answer);
}

/// The answer is plain text. A GET gets its errors in this form, too.
#[track_caller]
pub(crate) fn expect_plain_text(answer: &Answer, status: u16, text: &str) {
    assert_eq!((answer.status, answer.text.as_str()), (status, text));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    expect_private(answer);
}

/// The headers forbid to cache the answer and to send the URL as a referrer.
#[track_caller]
fn expect_private(answer: &Answer) {
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(
        answer.header("strict-transport-security"),
        Some("max-age=63072000")
    );
    assert!(
        answer
            .header("x-request-id")
            .is_some_and(|id| !id.is_empty())
    );
    assert_eq!(answer.header("location"), None);
}

/// The plain text of a URL's token.
#[expect(
    clippy::disallowed_methods,
    reason = "a vendor sends the text of the token that it holds"
)]
pub(crate) fn text_of(token: UrlToken) -> String {
    token.into_text().expose_secret().to_owned()
}
