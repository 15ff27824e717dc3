//! Requests of strangers and of callers: the query, the path, headers, cookies, the body, and the event as a whole.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use functions::http::error::ApiError;
use functions::http::reply;
use functions::http::request::{Event, Request};
use functions::parsers::{self, Parser};
use serde_json::Value;
use url::form_urlencoded;

use super::{Call, bodies as body_laws, choice, strangers};

/// A refusal is the caller's mistake, and its answer is an error in JSON.
pub(super) fn refused(error: &ApiError, statuses: &[u16]) {
    let answer = reply::error(error);
    let status = answer.status().as_u16();
    assert!(statuses.contains(&status), "{status} for {error}");
    let body: Result<Value, _> = serde_json::from_str(answer.body());
    assert!(body.is_ok_and(|body| body["code"].is_string() && body["message"].is_string()));
}

/// A cursor belongs to one list at most, and is the only text for its place.
pub fn cursor(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    // The text, and the text of these bytes.
    for text in [text.to_owned(), URL_SAFE_NO_PAD.encode(data)] {
        let again = parsers::cursors(&text);
        assert!(again.len() <= 1, "{text:?} is a cursor of two lists");
        assert!(again.iter().all(|again| *again == text), "{text:?}");
        let query = vec![("cursor".to_owned(), text.clone())];
        let call = Call {
            query,
            ..Call::default()
        };
        let Some(request) = call.request() else {
            return;
        };
        let accepted = parsers::QUERIES
            .iter()
            .filter(|(_, read)| read(&request).is_ok());
        let expected = if text.is_empty() {
            parsers::QUERIES.len()
        } else {
            again.len()
        };
        assert_eq!(accepted.count(), expected, "{text:?}");
    }
}

/// A query is read or refused with 400. An accepted `limit` is a number from 1 to 1,000, and an accepted list of words
/// has known words only.
pub fn queries(data: &[u8]) {
    let query: Vec<(String, String)> = form_urlencoded::parse(data).into_owned().collect();
    let call = Call {
        query: query.clone(),
        ..Call::default()
    };
    let Some(request) = call.request() else {
        return;
    };
    let first = |wanted: &str| {
        let value = query.iter().find(|(name, _)| name == wanted);
        value.map_or("", |(_, value)| value.as_str())
    };
    let words = |text: &str, known: &[&str]| {
        text.is_empty() || text.split(',').all(|it| known.contains(&it.trim()))
    };
    for (list, read) in &parsers::QUERIES {
        match read(&request) {
            Ok(_) => {
                let limit = first("limit");
                let is_number = limit.bytes().all(|it| it.is_ascii_digit())
                    && limit.parse().is_ok_and(|it: u64| (1..=1000).contains(&it));
                let has_limit = *list != "rotation" && !limit.is_empty();
                assert!(!has_limit || is_number, "{list}: {limit:?}");
                if *list == "credentials" {
                    assert!(words(first("state"), &["active", "invalid"]));
                    assert!(words(first("credential_type"), &["app", "user"]));
                    assert!(words(first("deleted"), &["true", "false"]));
                    assert!(words(first("needs_attention"), &["true", "false"]));
                    let extra = first("extra");
                    assert!(extra.is_empty() || extra.split(',').all(|it| it.contains(':')));
                }
            }
            Err(error) => refused(&error, &[400]),
        }
    }
}

/// The text as each name in a path, each secret in a header, and as a cookie: it is read or refused, and a secret is
/// not shown.
pub fn names(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let path = ["id", "url_id", "client_id", "vendor", "token", "file"];
    let key = "x-meeting-baas-api-key";
    let call = Call {
        headers: vec![
            (key, text.to_owned()),
            ("cookie", format!("a=b; __Host-zoom-connect={text}")),
        ],
        query: vec![("state".to_owned(), text.to_owned())],
        path: path.into_iter().map(|name| (name, text)).collect(),
        ..Call::default()
    };
    let Some(request) = call.request() else {
        return;
    };
    for (name, read) in &parsers::NAMES {
        match read(&request) {
            Ok(shown) => name_law(name, text, &shown),
            Err(error) => refused(&error, &[400, 401, 403, 404]),
        }
    }
    let is_visible =
        (1..=255).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic());
    assert_eq!(parsers::idempotency_key(text).is_ok(), is_visible);

    // A header that comes twice counts as missing.
    let twice = Call {
        headers: vec![(key, text.to_owned()), (key, text.to_owned())],
        ..Call::default()
    };
    let api_key = parsers::NAMES.iter().find(|(name, _)| *name == "API key");
    if let (Some(request), Some((_, read))) = (twice.request(), api_key) {
        assert!(read(&request).is_err());
    }
}

fn name_law(name: &str, text: &str, shown: &str) {
    match name {
        "credential" | "URL" | "session" => {
            assert_eq!(text.len(), 36, "{name} {text:?}");
            assert!(
                shown.contains(&text.to_ascii_lowercase()),
                "{name} {text:?}"
            );
        }
        "app" => assert!(
            text.bytes()
                .all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it))
        ),
        "vendor" => assert!(["recall", "attendee", "meetstream"].contains(&text)),
        _ => assert!(!shown.contains(text), "{name} is shown"),
    }
}

/// A body is read or refused. The first byte chooses the endpoint. The laws of accepted bodies are in `bodies.rs`.
pub fn bodies(data: &[u8]) {
    let Some((chosen, body)) = choice(data) else {
        return;
    };
    let Some((name, read)) = parsers::BODIES.get(chosen % parsers::BODIES.len()) else {
        return;
    };
    let call = Call {
        method: "POST",
        headers: vec![("content-type", "application/json".to_owned())],
        body,
        ..Call::default()
    };
    let Some(request) = call.request() else {
        return;
    };
    body_laws::check(name, body, &read(&request));

    // Without its media type, no body is read.
    let call = Call {
        headers: Vec::new(),
        ..call
    };
    let request = call.request();
    if let Some(request) = request.filter(|_| !body.is_empty()) {
        assert!(read(&request).is_err());
    }
}

/// Any event of API Gateway is read. Every parser reads it, and every function that strangers reach answers it, or gets
/// as far as a table. The first byte chooses the function.
pub fn gateway_event(data: &[u8]) {
    let Some((chosen, json)) = choice(data) else {
        return;
    };
    let parse = || serde_json::from_slice::<Event>(json).ok();
    let Some(event) = parse() else { return };
    let request: Request = parsers::request(event);
    let groups: [&[(&str, Parser)]; 3] = [&parsers::BODIES, &parsers::QUERIES, &parsers::NAMES];
    for (_, read) in groups.into_iter().flatten() {
        if let Err(error) = read(&request) {
            refused(&error, &[400, 401, 403, 404, 413, 415]);
        }
    }
    if let Some(event) = parse() {
        strangers::answer(chosen, event);
    }
}
