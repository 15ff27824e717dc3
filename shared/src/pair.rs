//! The pair of a Zoom app and a Zoom user, in one team.
//!
//! Zoom keeps one live grant for each app and user. So the credentials of one pair must end up on the same grant, and
//! only the pair can say whether somebody still needs a grant.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::credential::{ClientId, TeamId};

/// A Zoom app and a Zoom user, in one team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The team.
    #[serde(rename = "team_id")]
    pub team: TeamId,
    /// The client id of the Zoom app.
    pub client_id: ClientId,
    /// Zoom's id of the user.
    pub zoom_user_id: String,
}

impl Pair {
    /// The key of the pair's row. Each part is hashed with its length, so that no two pairs have the same id.
    pub fn id(&self) -> PairId {
        let mut hash = Context::new(&SHA256);
        for part in [
            self.team.as_str(),
            self.client_id.as_str(),
            &self.zoom_user_id,
        ] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            hash.update(&length.to_be_bytes());
            hash.update(part.as_bytes());
        }
        PairId(format!("pair#{}", URL_SAFE_NO_PAD.encode(hash.finish())))
    }
}

/// The key of a pair's row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PairId(String);

impl PairId {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PairId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(team: &str, client_id: &str, zoom_user_id: &str) -> Pair {
        Pair {
            team: team.parse().unwrap(),
            client_id: client_id.to_owned().try_into().unwrap(),
            zoom_user_id: zoom_user_id.to_owned(),
        }
    }

    #[test]
    fn pairs_whose_parts_join_to_the_same_text_have_different_ids() {
        let id = |client_id, user| pair("team", client_id, user).id();
        assert_eq!(id("ab", "c"), id("ab", "c"));
        assert_ne!(id("ab", "c"), id("a", "bc"));
        assert_ne!(id("ab", "c"), pair("teama", "b", "c").id());
    }
}
