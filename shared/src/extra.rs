//! The owner's free-form JSON object. It is stored and returned exactly as it was sent.

use std::collections::HashMap;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::invalid::Invalid;

/// Longest JSON text of an `extra`, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;
/// Deepest nesting of objects and arrays in an `extra`. The outermost object counts as one level.
pub const MAX_DEPTH: usize = 32;

/// A JSON object of at most 16 KB and 32 levels, without duplicate keys, NUL characters or lone surrogates.
///
/// The text is never re-serialized, so numbers keep their spelling and keys their order.
#[derive(Clone, PartialEq, Eq)]
pub struct Extra(String);

impl Extra {
    /// The JSON text, as it was sent.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// Whether the object has each of the keys with the given value.
    ///
    /// A string is compared by its text, a number or a boolean by its JSON spelling. Null, arrays and objects never
    /// match.
    pub fn has_all(&self, pairs: &[(String, String)]) -> bool {
        let Ok(fields) = serde_json::from_str::<HashMap<String, &RawValue>>(&self.0) else {
            return false;
        };
        let has = |(key, value): &(String, String)| {
            let Some(json) = fields.get(key).map(|raw| raw.get()) else {
                return false;
            };
            match json.bytes().next() {
                Some(b'"') => serde_json::from_str::<String>(json).is_ok_and(|text| text == *value),
                Some(b'{' | b'[' | b'n') | None => false,
                Some(_) => json == value,
            }
        };
        pairs.iter().all(has)
    }
}

/// Which values of `extra` a credential must have: `key:value` pairs, separated by commas. A value may contain `:`.
/// Keys and values must match exactly. Without pairs, every credential matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExtraFilter(Vec<(String, String)>);

impl ExtraFilter {
    /// Whether every credential matches.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses a filter that somebody typed by mistake and that no credential is meant to match: JSON instead of pairs,
    /// or a pair without a name or a value.
    pub fn check_typed(&self) -> Result<(), Invalid> {
        let is_mistake = |(key, value): &(String, String)| {
            key.is_empty() || value.is_empty() || key.contains(['{', '}', '"'])
        };
        if self.0.iter().any(is_mistake) {
            Err(Invalid(
                "must be NAME:VALUE pairs without braces and quotes, such as customer:acme",
            ))
        } else {
            Ok(())
        }
    }

    /// Whether a credential with this `extra` matches.
    pub fn matches(&self, extra: Option<&Extra>) -> bool {
        self.is_empty() || extra.is_some_and(|extra| extra.has_all(&self.0))
    }
}

impl TryFrom<String> for ExtraFilter {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl FromStr for ExtraFilter {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let one = |pair: &str| match pair.split_once(':') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(Invalid("must be key:value pairs, separated by commas")),
        };
        text.split(',').map(one).collect::<Result<_, _>>().map(Self)
    }
}

impl From<ExtraFilter> for String {
    fn from(filter: ExtraFilter) -> Self {
        filter.to_string()
    }
}

impl fmt::Display for ExtraFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{key}:{value}")?;
        }
        Ok(())
    }
}

impl TryFrom<&RawValue> for Extra {
    type Error = Invalid;

    fn try_from(raw: &RawValue) -> Result<Self, Invalid> {
        Self::try_from(raw.get().to_owned())
    }
}

impl TryFrom<String> for Extra {
    type Error = Invalid;

    fn try_from(json: String) -> Result<Self, Invalid> {
        if json.len() > MAX_BYTES {
            return Err(Invalid("must NOT be larger than 16384 bytes of JSON"));
        }
        if !json.starts_with('{') {
            return Err(Invalid("must be object"));
        }
        // The visitor replaces this rule if it finds a more exact one.
        let mut broken_rule = Invalid("must be JSON with valid Unicode and representable numbers");
        let mut parser = serde_json::Deserializer::from_str(&json);
        let object = StrictJson {
            levels_left: MAX_DEPTH,
            broken_rule: &mut broken_rule,
        };
        // Text after the object would make the answer that contains it invalid JSON.
        match object.deserialize(&mut parser).and_then(|()| parser.end()) {
            Ok(()) => Ok(Self(json)),
            Err(_) => Err(broken_rule),
        }
    }
}

/// Hides the content, because it belongs to the owner and must not appear in logs.
impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extra({} bytes)", self.0.len())
    }
}

impl Serialize for Extra {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// Checks a JSON value without building it. Refuses JSON that other parsers may read differently or not at all.
struct StrictJson<'a> {
    levels_left: usize,
    broken_rule: &'a mut Invalid,
}

impl StrictJson<'_> {
    fn refuse<E: de::Error>(self, rule: &'static str) -> E {
        *self.broken_rule = Invalid(rule);
        E::custom(rule)
    }

    fn text<E: de::Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') {
            Err(self.refuse("must NOT contain NUL characters"))
        } else {
            Ok(())
        }
    }

    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Self {
                levels_left,
                ..self
            }),
            None => Err(self.refuse("must NOT be nested deeper than 32 levels")),
        }
    }

    fn inner(&mut self) -> StrictJson<'_> {
        StrictJson {
            levels_left: self.levels_left,
            broken_rule: self.broken_rule,
        }
    }
}

impl<'de> DeserializeSeed<'de> for StrictJson<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictJson<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.text(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut this = self.deeper()?;
        while seq.next_element_seed(this.inner())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut this = self.deeper()?;
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            this.inner().text(&key)?;
            if !keys.insert(key) {
                return Err(this.refuse("must NOT have duplicate keys"));
            }
            map.next_value_seed(this.inner())?;
        }
        Ok(())
    }
}
