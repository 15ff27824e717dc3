//! Reads a JSON object field by field. An error names the field and the rule, and never repeats the value.

use std::ops::RangeInclusive;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use url::Url;

use super::super::wire::has_media_type;

const MAX_BODY_BYTES: usize = 1_000_000;

/// A field of the request, and the rule that it breaks.
pub(super) struct InvalidField {
    field: String,
    rule: String,
}

impl InvalidField {
    pub(super) fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            rule: rule.into(),
        }
    }
}

impl IntoResponse for InvalidField {
    fn into_response(self) -> Response {
        let message = format!("{}: {}", self.field, self.rule);
        let body = json!({ "error": { "code": "invalid_request", "field": self.field, "message": message } });
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }
}

/// The fields that were not read yet. `null` means the same as a missing field.
pub(super) struct Fields(Map<String, Value>);

impl<S: Sync> FromRequest<S> for Fields {
    type Rejection = InvalidField;

    /// Requires the media type of JSON: a web page of another origin cannot send it without a preflight request.
    async fn from_request(request: Request, _: &S) -> Result<Self, InvalidField> {
        if !has_media_type(request.headers(), "application/json") {
            return Err(InvalidField::new(
                "content-type",
                "must be application/json",
            ));
        }
        let body = to_bytes(request.into_body(), MAX_BODY_BYTES).await;
        let body = body.map_err(|_| InvalidField::new("body", "must be at most 1 MB"))?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|_| InvalidField::new("body", "must be a JSON object"))
    }
}

impl Fields {
    pub(super) fn text(&mut self, name: &str) -> Result<String, InvalidField> {
        self.optional_text(name)?.ok_or_else(|| required(name))
    }

    pub(super) fn optional_text(&mut self, name: &str) -> Result<Option<String>, InvalidField> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(InvalidField::new(name, "must be a non-empty string")),
        }
    }

    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, InvalidField> {
        self.optional_texts(name)?.ok_or_else(|| required(name))
    }

    pub(super) fn optional_texts(
        &mut self,
        name: &str,
    ) -> Result<Option<Vec<String>>, InvalidField> {
        let wrong = || InvalidField::new(name, "must be an array of non-empty strings");
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let texts: Vec<String> = serde_json::from_value(value).map_err(|_| wrong())?;
        if texts.iter().any(String::is_empty) {
            Err(wrong())
        } else {
            Ok(Some(texts))
        }
    }

    pub(super) fn whole(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<u64, InvalidField> {
        self.optional_whole(name, range)?
            .ok_or_else(|| required(name))
    }

    pub(super) fn optional_whole(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, InvalidField> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = value.as_u64().filter(|number| range.contains(number));
        let rule = || {
            format!(
                "must be a whole number from {} to {}",
                range.start(),
                range.end()
            )
        };
        number
            .map(Some)
            .ok_or_else(|| InvalidField::new(name, rule()))
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, InvalidField> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(InvalidField::new(name, "must be true or false")),
        }
    }

    pub(super) fn optional_object(
        &mut self,
        name: &str,
    ) -> Result<Option<Map<String, Value>>, InvalidField> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(InvalidField::new(name, "must be an object")),
        }
    }

    pub(super) fn url(&mut self, name: &str) -> Result<Url, InvalidField> {
        Url::parse(&self.text(name)?)
            .map_err(|_| InvalidField::new(name, "must be an absolute URL"))
    }

    /// Takes the field if its value is this word. The field may also be a number.
    pub(super) fn take_word(&mut self, name: &str, word: &str) -> bool {
        let is_word = self.0.get(name).and_then(Value::as_str) == Some(word);
        if is_word {
            self.0.remove(name);
        }
        is_word
    }

    /// Refuses unknown fields: ignoring them would hide a misspelled name.
    pub(super) fn finish(self) -> Result<(), InvalidField> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(InvalidField::new(name, "is not a field of this request")),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }
}

fn required(name: &str) -> InvalidField {
    InvalidField::new(name, "is required")
}
