//! Reading a JSON body, field by field. A refusal names the field and the rule, and never the value.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use shared::extra::Extra;
use shared::invalid::Invalid;
use shared::stores::ExtraChange;

use crate::http::error::ApiError;
use crate::http::request::Request;

/// Largest body that is parsed.
pub(crate) const MAX_BYTES: usize = 256 * 1024;

/// The fields of a JSON object, not yet interpreted. Fields that nobody asks for are ignored.
pub(crate) struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    /// The body as an object. Fails if it is too large, compressed, not declared as JSON, or not an object.
    pub(crate) fn of(request: &'a Request) -> Result<Self, ApiError> {
        let body = request.body()?;
        if body.len() > MAX_BYTES {
            return Err(ApiError::BodyTooLarge);
        }
        if !request.header("content-encoding").is_none_or(is_identity) {
            return Err(ApiError::ContentEncoding);
        }
        if !request.header("content-type").is_some_and(is_json) {
            return Err(ApiError::MediaType);
        }
        let text =
            str::from_utf8(body).map_err(|_| ApiError::validation("body", "must be UTF-8"))?;
        let object: Object<'a> =
            serde_json::from_str(text).map_err(|error| syntax(&error, text))?;
        if object.duplicates {
            return Err(ApiError::validation("body", "must NOT have duplicate keys"));
        }
        Ok(Self(object.fields))
    }

    /// As [`Self::of`], but no body at all is an empty object.
    pub(crate) fn of_optional(request: &'a Request) -> Result<Self, ApiError> {
        if request.body()?.is_empty() {
            Ok(Self::none())
        } else {
            Self::of(request)
        }
    }

    /// No fields at all.
    pub(crate) fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// The body, whatever its content type. A body that is not a JSON object has no fields.
    pub(crate) fn of_any(request: &'a Request) -> Self {
        let body = request.body().unwrap_or_default();
        let text = str::from_utf8(body)
            .ok()
            .filter(|text| text.len() <= MAX_BYTES);
        let object = text.and_then(|text| serde_json::from_str::<Object<'a>>(text).ok());
        Self(object.map(|object| object.fields).unwrap_or_default())
    }

    /// A field's text, or the digits of a number; nothing where it is missing or of another kind.
    pub(crate) fn loose(&self, name: &str) -> Option<String> {
        let raw = self.0.get(name)?;
        let digits = raw.get().bytes().all(|byte| byte.is_ascii_digit());
        if digits {
            Some(raw.get().to_owned())
        } else {
            string(raw).ok()
        }
    }

    /// A field's JSON text; nothing where it is missing.
    pub(crate) fn json(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|raw| raw.get())
    }

    /// A field that may be missing. `at` is `body/` and its name.
    pub(crate) fn optional<T>(&self, at: &'static str) -> Result<Option<T>, ApiError>
    where
        T: TryFrom<String, Error = Invalid>,
    {
        let Some(raw) = self.raw(at) else {
            return Ok(None);
        };
        let text = string(raw)
            .and_then(T::try_from)
            .map_err(|rule| ApiError::Validation { at, rule })?;
        Ok(Some(text))
    }

    /// A field that must be there.
    pub(crate) fn required<T>(&self, at: &'static str) -> Result<T, ApiError>
    where
        T: TryFrom<String, Error = Invalid>,
    {
        self.optional(at)?
            .ok_or(ApiError::validation(at, "is required"))
    }

    /// A whole number that may be missing. It is written in digits: `5.0`, `5e0` and `"5"` are refused.
    pub(crate) fn integer(
        &self,
        at: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, ApiError> {
        let Some(raw) = self.raw(at) else {
            return Ok(None);
        };
        match raw.get().parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            Ok(_) | Err(_) => Err(ApiError::Integer { at, range }),
        }
    }

    /// An object in the body, which may be missing.
    pub(crate) fn object(&self, at: &'static str) -> Result<Option<Self>, ApiError> {
        let Some(raw) = self.raw(at) else {
            return Ok(None);
        };
        match serde_json::from_str::<Object<'a>>(raw.get()) {
            Ok(object) if object.duplicates => {
                Err(ApiError::validation(at, "must NOT have duplicate keys"))
            }
            Ok(object) => Ok(Some(Self(object.fields))),
            Err(_) => Err(ApiError::validation(at, "must be object")),
        }
    }

    /// 1 to 10 different texts in an array, which may be missing.
    pub(crate) fn up_to_ten<T>(&self, at: &'static str) -> Result<Option<Vec<T>>, ApiError>
    where
        T: TryFrom<String, Error = Invalid> + PartialEq,
    {
        let Some(raw) = self.raw(at) else {
            return Ok(None);
        };
        let rule = || ApiError::validation(at, "must be an array of 1 to 10 different strings");
        let all: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| rule())?;
        let mut texts: Vec<T> = Vec::new();
        for raw in all {
            let text = string(raw).and_then(T::try_from);
            let text = text.map_err(|rule| ApiError::Validation { at, rule })?;
            if texts.len() == 10 || texts.contains(&text) {
                return Err(rule());
            }
            texts.push(text);
        }
        if texts.is_empty() {
            return Err(rule());
        }
        Ok(Some(texts))
    }

    /// One or two texts in an array, which must be there.
    pub(crate) fn one_or_two<T>(&self, at: &'static str) -> Result<(T, Option<T>), ApiError>
    where
        T: TryFrom<String, Error = Invalid>,
    {
        let rule = || ApiError::validation(at, "must be an array of 1 or 2 strings");
        let raw = self
            .raw(at)
            .ok_or(ApiError::validation(at, "is required"))?;
        let all: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| rule())?;
        let text = |raw: &RawValue| {
            let text = string(raw).and_then(T::try_from);
            text.map_err(|rule| ApiError::Validation { at, rule })
        };
        match all.as_slice() {
            [one] => Ok((text(one)?, None)),
            [one, two] => Ok((text(one)?, Some(text(two)?))),
            _ => Err(rule()),
        }
    }

    /// Some of the words of a choice, in an array that may be missing.
    pub(crate) fn choice<T>(
        &self,
        at: &'static str,
        choice: &[T],
    ) -> Result<Option<Vec<T>>, ApiError>
    where
        T: TryFrom<String, Error = Invalid> + PartialEq,
    {
        let Some(raw) = self.raw(at) else {
            return Ok(None);
        };
        let rule = || ApiError::validation(at, "must be an array of 1 to all of the known words");
        let words: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| rule())?;
        let word = |raw: &&RawValue| {
            let word = string(raw).and_then(T::try_from);
            word.map_err(|rule| ApiError::Validation { at, rule })
        };
        let words: Vec<T> = words.iter().map(word).collect::<Result<_, _>>()?;
        let is_chosen = words.iter().all(|word| choice.contains(word));
        if is_chosen && (1..=choice.len()).contains(&words.len()) {
            Ok(Some(words))
        } else {
            Err(rule())
        }
    }

    /// `true` or `false`, which may be missing.
    pub(crate) fn boolean(&self, at: &'static str) -> Result<Option<bool>, ApiError> {
        let Some(raw) = self.raw(at) else {
            return Ok(None);
        };
        let rule = |_| ApiError::validation(at, "must be boolean");
        raw.get().parse().map(Some).map_err(rule)
    }

    /// `extra`: an object, or null to have none.
    pub(crate) fn extra(&self) -> Result<Option<ExtraChange>, ApiError> {
        let Some(raw) = self.raw("body/extra") else {
            return Ok(None);
        };
        if raw.get() == "null" {
            return Ok(Some(ExtraChange::Clear));
        }
        let extra = Extra::try_from(raw).map_err(|rule| ApiError::Validation {
            at: "body/extra",
            rule,
        })?;
        Ok(Some(ExtraChange::Replace(extra)))
    }

    fn raw(&self, at: &str) -> Option<&'a RawValue> {
        let (_, name) = at.rsplit_once('/')?;
        self.0.get(name).copied()
    }
}

fn string(raw: &RawValue) -> Result<String, Invalid> {
    if !raw.get().starts_with('"') {
        return Err(Invalid("must be string"));
    }
    let text: String =
        serde_json::from_str(raw.get()).map_err(|_| Invalid("must be valid Unicode"))?;
    if text.contains('\0') {
        Err(Invalid("must NOT contain NUL characters"))
    } else {
        Ok(text)
    }
}

/// Whether the body is sent as it is.
fn is_identity(content_encoding: &str) -> bool {
    let mut encodings = content_encoding.split(',').map(str::trim);
    encodings.all(|encoding| encoding.is_empty() || encoding.eq_ignore_ascii_case("identity"))
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type
        .split_once(';')
        .map_or(content_type, |(essence, _)| essence);
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// Tells JSON that is not an object from text that is not JSON.
fn syntax(error: &serde_json::Error, text: &str) -> ApiError {
    if serde_json::from_str::<&RawValue>(text).is_ok() && !text.trim_start().starts_with('{') {
        ApiError::validation("body", "must be object")
    } else {
        ApiError::Syntax {
            line: error.line(),
            column: error.column(),
        }
    }
}

/// An object's fields. If a name comes twice, its first value counts, and `duplicates` is true.
struct Object<'a> {
    fields: BTreeMap<String, &'a RawValue>,
    duplicates: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut object = Object {
                    fields: BTreeMap::new(),
                    duplicates: false,
                };
                while let Some((name, value)) = map.next_entry()? {
                    object.duplicates |= object.fields.contains_key(&name);
                    object.fields.entry(name).or_insert(value);
                }
                Ok(object)
            }
        }

        deserializer
            .deserialize_map(Collect)
            .map_err(de::Error::custom)
    }
}
