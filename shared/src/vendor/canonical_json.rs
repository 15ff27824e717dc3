//! The JSON text that Attendee signs: keys sorted at every level, no spaces, and no escapes that are not needed.
//!
//! Attendee makes this text with Python's `json.dumps(sort_keys=True, separators=(",", ":"), ensure_ascii=False)`. It
//! sends another text of the same value. Numbers are written the same way in both texts, so they are copied.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deep arrays and objects may be nested. Attendee nests two levels. Each level is parsed again.
const MAX_DEPTH: usize = 16;

/// The canonical text of a JSON body. `None` if the body is not JSON in UTF-8, is nested too deep, or has a key twice
/// in an object.
///
/// A key that comes twice would have two readings: the signature could be over one, and the vault could act on the
/// other.
pub fn canonical(body: &[u8]) -> Option<Vec<u8>> {
    let value: &RawValue = serde_json::from_slice(body).ok()?;
    let mut text = Vec::with_capacity(body.len());
    write(value, MAX_DEPTH, &mut text)?;
    Some(text)
}

fn write(value: &RawValue, levels_left: usize, text: &mut Vec<u8>) -> Option<()> {
    let json = value.get();
    match json.as_bytes().first()? {
        b'{' => {
            let levels_left = levels_left.checked_sub(1)?;
            let Object(fields) = serde_json::from_str(json).ok()?;
            text.push(b'{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                serde_json::to_writer(&mut *text, &key).ok()?;
                text.push(b':');
                write(value, levels_left, text)?;
            }
            text.push(b'}');
        }
        b'[' => {
            let levels_left = levels_left.checked_sub(1)?;
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            text.push(b'[');
            for (index, item) in items.into_iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                write(item, levels_left, text)?;
            }
            text.push(b']');
        }
        // `serde_json` escapes the same characters as Python, in the same way.
        b'"' => {
            let string: String = serde_json::from_str(json).ok()?;
            serde_json::to_writer(&mut *text, &string).ok()?;
        }
        _ => text.extend_from_slice(json.as_bytes()),
    }
    Some(())
}

/// The fields of an object, sorted by the code points of their keys.
struct Object<'a>(BTreeMap<String, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    if fields.insert(key, value).is_some() {
                        return Err(A::Error::custom("a key came twice"));
                    }
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}
