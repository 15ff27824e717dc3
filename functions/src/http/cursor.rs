//! Where a page of a list ended, in a form that callers pass back and do not read: base64url, without padding.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::invalid::Invalid;

/// Which list a cursor is of, and in which form: its first byte.
#[derive(Clone, Copy, Debug)]
pub(crate) enum List {
    Credentials,
    Events,
    TokenUrls,
    /// The credentials of an app, whose secret is being rotated.
    Rotation,
}

impl List {
    fn tag(self) -> u8 {
        match self {
            Self::Credentials => 1,
            Self::Events => 2,
            Self::TokenUrls => 3,
            Self::Rotation => 4,
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
}
