//! Vendors that prove their calls: a team's secret at a vendor, and token URLs that answer only the vendor.

mod calls;
mod laws;
mod refusals;
mod secrets;
mod vectors;

use std::fmt::Write;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use shared::timestamp::Timestamp;

use crate::token_urls::Url;
use crate::world::{Answer, Caller, World, send};

/// The secrets at the vendors, as the vendors show them.
pub(crate) const RECALL: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
pub(crate) const ATTENDEE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub(crate) const MEETSTREAM: &str = "the-secret-of-MeetStream";
/// Other secrets of the same form.
pub(crate) const OTHER_RECALL: &str = "whsec_CAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const OTHER_ATTENDEE: &str = "CAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_MEETSTREAM: &str = "the-secret-of-MeetStream.";

/// The vendors and their secrets.
const VENDORS: [(&str, &str, &str); 3] = [
    ("recall", RECALL, OTHER_RECALL),
    ("attendee", ATTENDEE, OTHER_ATTENDEE),
    ("meetstream", MEETSTREAM, OTHER_MEETSTREAM),
];

/// The text that Attendee sends, and the text that it signs. Attendee's own code made both.
const WIRE: &str = r#"{"bot_id": "bot_abcDEF123", "bot_metadata": {"b": "Zo\u00eb/1", "a": "x \"q\"", "\u00e9": "1"}, "callback_type": "zoom_tokens", "meeting_url": "https://us02web.zoom.us/j/98765432101?pwd=a.1"}"#;
const CANONICAL: &str = r#"{"bot_id":"bot_abcDEF123","bot_metadata":{"a":"x \"q\"","b":"Zoë/1","é":"1"},"callback_type":"zoom_tokens","meeting_url":"https://us02web.zoom.us/j/98765432101?pwd=a.1"}"#;

/// A value in the form in which Python's `requests` sends JSON, as Attendee does: blanks after commas and colons, and
/// escapes for all that is not ASCII. The keys of an object are in reverse order, which is not the order of the signed
/// text.
pub(crate) fn python_json(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().rev();
            let fields = fields.map(|(key, value)| {
                let key = python_json(&json!(key));
                format!("{key}: {}", python_json(value))
            });
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(python_json).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let mut ascii = String::new();
            for character in value.to_string().chars() {
                if character.is_ascii() {
                    ascii.push(character);
                    continue;
                }
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(ascii, "\\u{unit:04x}").unwrap();
                }
            }
            ascii
        }
    }
}

impl Caller {
    /// `PUT /v2/vendors/{vendor}`
    pub(crate) async fn put_vendor(&self, vendor: &str, body: Value) -> Answer {
        let path = format!("/v2/vendors/{vendor}");
        send(self.request(Method::PUT, &path).json(&body)).await
    }

    /// `GET /v2/vendors/{vendor}`
    pub(crate) async fn vendor(&self, vendor: &str) -> Answer {
        send(self.request(Method::GET, &format!("/v2/vendors/{vendor}"))).await
    }

    /// `DELETE /v2/vendors/{vendor}`
    pub(crate) async fn delete_vendor(&self, vendor: &str) -> Answer {
        send(self.request(Method::DELETE, &format!("/v2/vendors/{vendor}"))).await
    }
}

/// The HMAC-SHA256 of a message in base64, under the key in a vendor's secret.
pub(crate) fn hmac(secret: &str, message: &[u8]) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_"));
    let key = Key::new(HMAC_SHA256, &key.unwrap());
    STANDARD.encode(sign(&key, message))
}

pub(crate) fn now_in_seconds() -> i64 {
    Timestamp::now().as_seconds()
}

/// The headers with which Recall.ai signs a call.
pub(crate) fn recall_headers(
    secret: &str,
    id: &str,
    at: i64,
    body: &str,
) -> [(&'static str, String); 3] {
    let signature = hmac(secret, format!("{id}.{at}.{body}").as_bytes());
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", format!("v1,{signature}")),
    ]
}

impl World {
    /// A call as the vendor makes it, proved with this secret.
    pub(crate) fn vendor_call(&self, vendor: &str, secret: &str, url: &Url) -> RequestBuilder {
        let http = self.acme.http();
        match vendor {
            "recall" => {
                let headers = recall_headers(secret, "msg_1", now_in_seconds(), "");
                let mut call = http.get(&url.url);
                for (name, value) in headers {
                    call = call.header(name, value);
                }
                call
            }
            "attendee" => http
                .post(&url.url)
                .header("content-type", "application/json")
                .header("x-webhook-signature", hmac(secret, CANONICAL.as_bytes()))
                .body(WIRE),
            _ => http.get(&url.url).header("x-webhook-secret", secret),
        }
    }

    /// A URL of one use that answers only the vendor. The vendor's secret is stored.
    async fn given_verifying_url(&self, id: &str, vendor: &str, secret: &str) -> Url {
        let stored = self.acme.put_vendor(vendor, json!({ "secrets": [secret] }));
        stored.await.expect(200);
        let body = json!({ "type": "onbehalf", "verify": vendor, "max_uses": 1 });
        self.given_url(id, body).await
    }
}

/// Sends a call, whose answer is not part of the published contract.
pub(crate) async fn answer_to(call: RequestBuilder) -> Answer {
    let response = call.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}
