//! The keys of the index `by-due`.

use crate::credential::GrantId;
use crate::timestamp::Timestamp;

/// The value of `idle_since` that makes a grant the first in the next run.
pub const DUE_AT_ONCE: Timestamp = Timestamp::EPOCH;

/// The shard of the index `by-due` for a grant. Sixteen shards avoid a hot partition.
pub(super) fn due_shard(id: GrantId) -> String {
    id.to_string().chars().take(1).collect()
}

/// All shards of the index `by-due`.
pub fn due_shards() -> impl Iterator<Item = String> {
    (0..16).map(|shard| format!("{shard:x}"))
}
