//! The recovery capsule: a pair of tokens that DynamoDB would not take, as one line of the log.
//!
//! It holds ciphertext and ids only. `cli capsule replay` writes it where it belongs, once DynamoDB is back; what
//! it says opens nowhere else.

use serde::{Deserialize, Serialize};
use shared::credential::{GrantId, TeamId};
use shared::stores::NewPair;

/// A new pair and the grant that it is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Capsule {
    /// Whose.
    pub team: TeamId,
    /// Which grant's.
    pub grant: GrantId,
    /// The pair, sealed, and what goes with it.
    pub pair: NewPair,
}

impl Capsule {
    pub(crate) fn new(team: &TeamId, grant: GrantId, pair: &NewPair) -> Self {
        Self {
            team: team.clone(),
            grant,
            pair: pair.clone(),
        }
    }

    /// One line, at error.
    pub(crate) fn log(&self, request_id: &str) {
        // What cannot be written as JSON does not exist: ids, numbers and bytes.
        let capsule = serde_json::to_string(self).unwrap_or_default();
        tracing::error!(
            request_id,
            capsule,
            "a refreshed grant could not be stored: replay this capsule with `cli capsule replay`"
        );
    }
}
