//! A row of the table `pairs`.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::credential::GrantId;
use crate::pair::{Pair, PairId};

/// A pair's row.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StoredPair {
    /// The key of the row.
    #[serde(rename = "pair_id")]
    pub id: PairId,
    /// The app and the user.
    #[serde(flatten)]
    pub pair: Pair,
    /// Every write raises it.
    pub version: u64,
    /// How many credentials of the pair have a row, soft-deleted or not. Below 0 only if a count was lost.
    #[serde(default)]
    pub members: i64,
    /// How many of them are not deleted.
    #[serde(default)]
    pub live: i64,
    /// The pair's grants.
    #[serde(default)]
    pub grants: BTreeSet<GrantId>,
    /// When a credential of the pair was last deleted, in milliseconds.
    pub last_deleted_at: Option<i64>,
    /// When the user removed the app at Zoom, in milliseconds. Grants that were authorized before are destroyed.
    pub deauthorized_at: Option<i64>,
    /// When the TTL deletes the row, in seconds. Only the row of a pair without credentials has it.
    pub expires_at: Option<i64>,
}
