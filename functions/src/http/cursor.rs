//! Where a page of a list ended, in a form that callers pass back and do not read: base64url, without padding.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::invalid::Invalid;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{Object, ObjectBuilder};

/// Which list a cursor is of, and in which form: its first byte.
#[derive(Clone, Copy, Debug)]
pub(crate) enum List {
    Credentials,
    Events,
    TokenUrls,
    /// The credentials of an app, whose secret is being rotated.
    Rotation,
    TeamEvents,
}

impl List {
    fn tag(self) -> u8 {
        match self {
            Self::Credentials => 1,
            Self::Events => 2,
            Self::TokenUrls => 3,
            Self::Rotation => 4,
            Self::TeamEvents => 5,
        }
    }

    /// The cursor of a page that ended with this id.
    pub(crate) fn after(self, id: &[u8; 16]) -> String {
        URL_SAFE_NO_PAD.encode([&[self.tag()], id.as_slice()].concat())
    }

    /// The id that a cursor of this list says the page before ended with.
    pub(crate) fn last_id(self, cursor: &str) -> Result<[u8; 16], Invalid> {
        const RULE: Invalid = Invalid("must be a cursor from the header x-next-cursor");
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| RULE)?;
        match bytes.split_first() {
            Some((&tag, id)) if tag == self.tag() => id.try_into().map_err(|_| RULE),
            _ => Err(RULE),
        }
    }

    /// The schema of this list's cursors, and of an empty parameter. The two characters at the start carry the tag and
    /// four bits of the id. The last character carries four bits.
    pub(crate) fn schema(self) -> Object {
        let starts = (0..16).map(|bits| URL_SAFE_NO_PAD.encode([self.tag(), bits << 4]));
        let starts: Vec<String> = starts.map(|text| text.chars().take(2).collect()).collect();
        let starts = starts.join("|");
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(format!(
                "^(({starts})[A-Za-z0-9_-]{{20}}[AEIMQUYcgkosw048])?$"
            )))
            .build()
    }
}
