//! Names a refresh token that another system had, without revealing it.

use std::fmt;

use aws_lc_rs::digest::SHA256_OUTPUT_LEN;
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::credential::{ClientId, GrantId};
use crate::secret::RefreshToken;

/// The pattern of the ids of imported grants, for conditions of IAM and KMS. `?` stands for one character. Only imports
/// make UUIDs of version 8.
pub const IMPORTED_GRANT_IDS: &str = "????????-????-8???-????-????????????";

/// Names a refresh token of one app: HMAC-SHA-256 of the token, under the client id.
///
/// The key is no secret. A refresh token has more than 128 random bits, so nobody finds it by trying. The same token
/// always has the same id, in every team: so no second import sends it again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImportId([u8; SHA256_OUTPUT_LEN]);

impl ImportId {
    /// The id of a token.
    pub fn of(client_id: &ClientId, token: &RefreshToken) -> Self {
        let key = Key::new(HMAC_SHA256, client_id.as_str().as_bytes());
        let tag = sign(&key, token.revealed().as_bytes());
        let mut id = [0; SHA256_OUTPUT_LEN];
        for (to, from) in id.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        Self(id)
    }

    /// The id of the grant that an import of the token makes.
    pub fn grant(&self) -> GrantId {
        let mut first = [0; 16];
        for (to, from) in first.iter_mut().zip(self.0) {
            *to = from;
        }
        GrantId::of_import(first)
    }
}

impl fmt::Display for ImportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for ImportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImportId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(client_id: &str, token: &str) -> ImportId {
        let client_id = client_id.to_owned().try_into().unwrap();
        ImportId::of(&client_id, &token.to_owned().try_into().unwrap())
    }

    #[test]
    fn the_same_token_of_the_same_app_is_the_same_grant() {
        let token = "a-token-of-another-system";
        assert_eq!(id("app", token), id("app", token));
        assert_ne!(id("app", token), id("other", token));
        assert_ne!(id("app", token), id("app", "another-token-of-that-one"));
        assert_eq!(id("app", token).grant(), id("app", token).grant());
    }

    #[test]
    fn only_ids_of_imported_grants_match_the_pattern() {
        let matches = |id: GrantId| {
            let text = id.to_string();
            let mut pairs = text.chars().zip(IMPORTED_GRANT_IDS.chars());
            text.len() == IMPORTED_GRANT_IDS.len() && pairs.all(|(it, at)| at == '?' || it == at)
        };
        for number in 0..100 {
            assert!(matches(
                id("app", &format!("the-refresh-token-number-{number}")).grant()
            ));
            assert!(!matches(GrantId::generate()));
        }
    }

    #[test]
    fn the_id_of_a_token_never_changes() {
        let id = id("app", "a-token-of-another-system");
        assert_eq!(
            id.to_string(),
            "OT5jY1i0onhxo06Tf2g278wvEBhanAPSu0IHaaWg4B8"
        );
        assert_eq!(
            id.grant().to_string(),
            "393e6363-58b4-8278-b1a3-4e937f6836ef"
        );
    }
}
