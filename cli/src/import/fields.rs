//! Takes typed fields out of a line of an export. No message repeats a value: it may be a token in the wrong place.

use secrecy::zeroize::Zeroize;
use serde_json::{Map, Value};
use shared::invalid::Invalid;
use shared::timestamp::Timestamp;

/// A number above this is a time in milliseconds. As seconds it would be in the year 5138.
const LARGEST_SECONDS: f64 = 1e11;
/// The longest id of the other system that a report shows.
const MAX_SOURCE_CHARS: usize = 200;

/// The fields of a JSON object. Its texts are wiped when it is dropped, because they may be tokens.
pub(super) struct Fields {
    /// What the object is called in messages: `credentials.`, or nothing for the line itself.
    prefix: &'static str,
    map: Map<String, Value>,
}

impl Drop for Fields {
    fn drop(&mut self) {
        self.map.values_mut().for_each(wipe);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Fields {
    /// The fields of a line.
    pub(super) fn of_line(line: &[u8]) -> Result<Self, String> {
        // The error of serde_json would repeat a part of the line.
        match serde_json::from_slice(line) {
            Ok(Value::Object(map)) => Ok(Self { prefix: "", map }),
            Ok(mut other) => {
                wipe(&mut other);
                Err("the line is not a JSON object".to_owned())
            }
            Err(error) => Err(format!(
                "the line is not JSON, from its character {} on",
                error.column()
            )),
        }
    }

    /// A field of several names. The first that is there counts: exports of one library name their columns differently.
    fn take(&mut self, names: &[&'static str]) -> Option<(String, Value)> {
        let name = names.iter().find(|name| {
            let value = self.map.get(**name);
            value.is_some_and(|value| !value.is_null())
        })?;
        let value = self.map.remove(*name)?;
        Some((format!("{}{name}", self.prefix), value))
    }

    fn missing(&self, names: &[&'static str]) -> String {
        let name = names.first().copied().unwrap_or_default();
        format!("{}{name} is missing", self.prefix)
    }

    /// A text. An empty text counts as missing.
    pub(super) fn text(&mut self, names: &[&'static str]) -> Result<Option<String>, String> {
        match self.take(names) {
            None => Ok(None),
            Some((_, Value::String(text))) if text.is_empty() => Ok(None),
            Some((_, Value::String(text))) => Ok(Some(text)),
            Some((name, mut other)) => {
                wipe(&mut other);
                Err(format!("{name} is not a text"))
            }
        }
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, names: &[&'static str]) -> Result<String, String> {
        self.text(names)?.ok_or_else(|| self.missing(names))
    }

    /// A text that is checked when it becomes a `T`.
    pub(super) fn parsed<T: TryFrom<String, Error = Invalid>>(
        &mut self,
        names: &[&'static str],
    ) -> Result<Option<T>, String> {
        let text = self.text(names)?;
        let name = names.first().copied().unwrap_or_default();
        text.map(T::try_from)
            .transpose()
            .map_err(|rule| format!("{}{name} {rule}", self.prefix))
    }

    /// An id of the other system, a text or a number.
    pub(super) fn id(&mut self, names: &[&'static str]) -> Result<Option<String>, String> {
        match self.take(names) {
            None => Ok(None),
            Some((_, Value::Number(number))) => Ok(Some(number.to_string())),
            Some((name, Value::String(text))) => {
                let shown = text.chars().all(|c| !c.is_control() && !c.is_whitespace());
                if shown && text.chars().count() <= MAX_SOURCE_CHARS {
                    Ok(Some(text).filter(|text| !text.is_empty()))
                } else {
                    Err(format!("{name} is not an id"))
                }
            }
            Some((name, mut other)) => {
                wipe(&mut other);
                Err(format!("{name} is not a text or a number"))
            }
        }
    }

    /// A time: a text in the format of RFC 3339, or a number of seconds or milliseconds since 1970. A text without an
    /// offset is in UTC.
    pub(super) fn time(&mut self, names: &[&'static str]) -> Result<Option<Timestamp>, String> {
        let Some((name, value)) = self.take(names) else {
            return Ok(None);
        };
        let time = match &value {
            Value::Number(number) => number.as_f64().and_then(since_1970),
            Value::String(text) if text.is_empty() => return Ok(None),
            Value::String(text) => match text.parse() {
                Ok(number) => since_1970(number),
                Err(_) => Timestamp::try_from(text.clone())
                    .or_else(|_| Timestamp::try_from(format!("{text}Z")))
                    .ok(),
            },
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        time.map(Some)
            .ok_or_else(|| format!("{name} is not a time"))
    }

    /// An object. Some databases export it as a text.
    pub(super) fn object(
        &mut self,
        name: &'static str,
        prefix: &'static str,
    ) -> Result<Option<Self>, String> {
        let map = match self.take(&[name]) {
            None => return Ok(None),
            Some((_, Value::Object(map))) => Some(map),
            Some((_, Value::String(mut text))) => {
                let map = serde_json::from_str(&text).ok();
                text.zeroize();
                map
            }
            Some((_, mut other)) => {
                wipe(&mut other);
                None
            }
        };
        match map {
            Some(map) => Ok(Some(Self { prefix, map })),
            None => Err(format!("{}{name} is not an object", self.prefix)),
        }
    }

    /// The JSON of an object.
    pub(super) fn json(&mut self, name: &'static str) -> Result<Option<String>, String> {
        match self.take(&[name]) {
            None => Ok(None),
            Some((_, value @ Value::Object(_))) => Ok(Some(value.to_string())),
            Some((name, mut other)) => {
                wipe(&mut other);
                Err(format!("{name} is not an object"))
            }
        }
    }

    /// Fails if a field is left that has another name than these.
    pub(super) fn expect_no_others(&self) -> Result<(), String> {
        let mut left = self.map.iter().filter(|(_, value)| !value.is_null());
        let Some((name, _)) = left.next() else {
            return Ok(());
        };
        // A name that looks like anything else may be a token.
        let is_name = name.len() <= 40
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_uppercase());
        Err(if is_name {
            format!("{}{name} is not a field of this format", self.prefix)
        } else {
            "the line has a field that this format does not have".to_owned()
        })
    }
}

fn since_1970(number: f64) -> Option<Timestamp> {
    const FIRST: f64 = 0.0;
    const LAST: f64 = 1e14;
    if !(FIRST..LAST).contains(&number) {
        return None;
    }
    let millis = if number > LARGEST_SECONDS {
        number
    } else {
        number * 1000.0
    };
    let millis = std::time::Duration::from_secs_f64(millis / 1000.0).as_millis();
    i64::try_from(millis).ok().map(Timestamp::from_millis)
}

/// Scopes that are separated by blanks or commas, separated by commas.
pub(super) fn scopes(text: &str) -> Option<String> {
    let words = text
        .split([' ', ',', '\t', '\n'])
        .filter(|word| !word.is_empty());
    let scopes = words.collect::<Vec<_>>().join(",");
    (!scopes.is_empty()).then_some(scopes)
}
