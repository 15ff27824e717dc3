//! One file for each group of parsers.

pub mod events;
pub mod links;
pub mod requests;
pub mod sealed;
pub mod secrets;
pub mod vendors;
pub mod webhooks;
pub mod zoom;

mod bodies;
mod strangers;

use std::fmt::Write;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use functions::http::request::{Event, Request};
use functions::parsers;
use serde_json::{Map, Value, json};
use shared::timestamp::Timestamp;

/// The text that stands for the current second in an input. A kept input cannot name it.
const NOW: &str = "NOW";

/// The first byte of the input, which chooses a variant, and the rest.
fn choice(data: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((usize::from(*first), rest))
}

/// The first line of the input, and what follows it.
fn line(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (line, rest) = data.split_at(end.unwrap_or(data.len()));
    (line, rest.get(1..).unwrap_or_default())
}

/// The first line of the input as text, and what follows it.
fn text_line(data: &[u8]) -> Option<(&str, &[u8])> {
    let (line, rest) = line(data);
    Some((str::from_utf8(line).ok()?, rest))
}

/// The text with the current second in place of [`NOW`].
fn with_time(text: &str) -> String {
    text.replace(NOW, &Timestamp::now().as_seconds().to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), message).as_ref().to_vec()
}

/// Whether `shown` contains eight consecutive characters of the secret, which is ASCII.
fn shows(shown: &str, secret: &str) -> bool {
    let mut parts = (0..secret.len()).filter_map(|start| secret.get(start..start + 8));
    // Comparing windows of bytes would be slow: the fuzzer looks at every comparison of bytes.
    parts.any(|part| shown.contains(part))
}

/// A request as API Gateway passes it on.
#[derive(Default)]
struct Call<'a> {
    method: &'a str,
    headers: Vec<(&'a str, String)>,
    query: Vec<(String, String)>,
    path: Vec<(&'a str, &'a str)>,
    body: &'a [u8],
}

impl Call<'_> {
    fn request(&self) -> Option<Request> {
        let all = |pairs: &mut dyn Iterator<Item = (&str, &str)>| {
            let mut map = Map::new();
            for (name, value) in pairs {
                let values = map.entry(name).or_insert_with(|| json!([]));
                values.as_array_mut()?.push(json!(value));
            }
            Some(map)
        };
        // API Gateway's single values are the last ones of each name.
        let last = |map: &Map<String, Value>| -> Map<String, Value> {
            let last = map
                .iter()
                .map(|(name, values)| (name, values.as_array().and_then(|it| it.last())));
            last.map(|(name, value)| (name.clone(), json!(value)))
                .collect()
        };
        let headers = all(&mut self.headers.iter().map(|(name, it)| (*name, it.as_str())))?;
        let query = self.query.iter();
        let query = all(&mut query.map(|(name, it)| (name.as_str(), it.as_str())))?;
        let path: Map<String, Value> = self
            .path
            .iter()
            .map(|(name, it)| ((*name).to_owned(), json!(it)))
            .collect();
        let event = json!({
            "httpMethod": self.method,
            "headers": last(&headers),
            "multiValueHeaders": headers,
            "queryStringParameters": last(&query),
            "multiValueQueryStringParameters": query,
            "pathParameters": path,
            "body": STANDARD.encode(self.body),
            "isBase64Encoded": true,
        });
        let event: Event = serde_json::from_value(event).ok()?;
        Some(parsers::request(event))
    }
}
