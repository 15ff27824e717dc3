//! Reads from a call whose token it wants.
//!
//! Vendors pass on what their customer has given them: in the query, in the JSON object `extra` of the query
//! (MeetingBaas), in `bot_metadata` of the body (Attendee), or in the body itself (MeetStream). The first of these
//! places that names somebody counts. If the vendor signed the body, only the body counts: anyone who knows the URL can
//! change the query, and send a recorded body with it.

use serde_json::Value;
use shared::choosing_url::{CallKey, CallKeys, MAX_CANDIDATES};
use shared::credential::CredentialId;

use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::request::Request;

/// The longest id or email address of a user, in bytes. Longer ones name nobody.
const MAX_NAME_BYTES: usize = 256;

/// Whose token a call wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// This credential.
    Credential(CredentialId),
    /// The Zoom user with this id.
    UserId(String),
    /// The Zoom user with this email address.
    Email(String),
    /// Nobody: no credential or user can have this name.
    Nobody,
}

/// Whom the call names, in the order of the call. Fails if it names nobody, or too many.
pub(crate) fn named(
    request: &Request,
    body_is_signed: bool,
    keys: &CallKeys,
) -> Result<Vec<Named>, ApiError> {
    let query = || {
        let texts = |key: &CallKey| {
            let value = request.query(key.as_str());
            value.map(texts_in_query).unwrap_or_default()
        };
        all(keys, texts)
    };
    let extra = || in_object(keys, request.query("extra"));
    let fields = Fields::of_any(request);
    let metadata = || in_object(keys, fields.json("bot_metadata"));
    let body = || {
        let texts = |key: &CallKey| {
            let value = fields.json(key.as_str());
            value.map(texts_in_json).unwrap_or_default()
        };
        all(keys, texts)
    };
    let places: &[&dyn Fn() -> Vec<Named>] = if body_is_signed {
        &[&metadata, &body]
    } else {
        &[&query, &extra, &metadata, &body]
    };
    let found = places.iter().map(|place| place());
    let names = found.into_iter().find(|names| !names.is_empty());
    match names {
        Some(names) if names.len() > MAX_CANDIDATES => {
            let rule = "must NOT name more than 10 credentials and Zoom users";
            Err(ApiError::validation("the call", rule))
        }
        Some(names) => Ok(names),
        None => {
            let rule = "must name a credential or a Zoom user, under one of the URL's call_keys";
            Err(ApiError::validation("the call", rule))
        }
    }
}

/// What the values of all keys name. `texts` are the values of a key.
fn all(keys: &CallKeys, texts: impl Fn(&CallKey) -> Vec<String>) -> Vec<Named> {
    let mut names: Vec<Named> = Vec::new();
    let of_credentials = keys
        .credential
        .iter()
        .flat_map(&texts)
        .map(|text| credential(&text));
    let of_users = keys.user.iter().flat_map(&texts).map(user);
    for name in of_credentials.chain(of_users) {
        if !names.contains(&name) {
            names.push(name);
        }
        // More are not needed to know that they are too many. A body has room for tens of thousands.
        if names.len() > MAX_CANDIDATES {
            break;
        }
    }
    names
}

/// What a JSON object names. Any other text names nobody.
fn in_object(keys: &CallKeys, json: Option<&str>) -> Vec<Named> {
    let object = json.and_then(|json| serde_json::from_str::<Value>(json).ok());
    let Some(Value::Object(object)) = object else {
        return Vec::new();
    };
    all(keys, |key| {
        object.get(key.as_str()).map(texts).unwrap_or_default()
    })
}

fn texts_in_json(json: &str) -> Vec<String> {
    let value: Result<Value, _> = serde_json::from_str(json);
    value.map(|value| texts(&value)).unwrap_or_default()
}

/// A text, a text with commas, or an array of texts.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => split(text),
        Value::Array(values) => {
            let texts = values.iter().filter_map(Value::as_str);
            texts.map(str::trim).map(str::to_owned).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// In a query, a `+` that is not encoded arrives as a blank. No id or address has a blank, and many addresses have a
/// `+`.
fn texts_in_query(value: &str) -> Vec<String> {
    let texts = split(value).into_iter();
    texts.map(|text| text.replace(' ', "+")).collect()
}

fn split(text: &str) -> Vec<String> {
    let texts = text.split(',').map(str::trim);
    texts
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect()
}

fn credential(text: &str) -> Named {
    text.parse().map_or(Named::Nobody, Named::Credential)
}

fn user(text: String) -> Named {
    if text.is_empty() || text.len() > MAX_NAME_BYTES {
        Named::Nobody
    } else if text.contains('@') {
        Named::Email(text)
    } else {
        Named::UserId(text)
    }
}
