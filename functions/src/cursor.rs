//! Where a page of a list ended, in a form that callers pass back and do not read.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::credential::{CredentialId, Invalid};

/// Of the cursor's form, so that another can follow.
const VERSION: u8 = 1;

/// After which credential a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(pub(crate) CredentialId);

impl Cursor {
    /// base64url, without padding.
    pub(crate) fn encode(self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.0.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(crate) fn decode(text: &str) -> Result<Self, Invalid> {
        const RULE: Invalid = Invalid("must be a cursor from the header x-next-cursor");
        match URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| RULE)?
            .split_first()
        {
            Some((&VERSION, id)) => id
                .try_into()
                .map(|id| Self(CredentialId::from_bytes(id)))
                .map_err(|_| RULE),
            _ => Err(RULE),
        }
    }
}
