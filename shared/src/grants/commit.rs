//! Where a new token pair is stored: as the grant's pair, or stashed beside a newer one.

use uuid::Uuid;

use crate::credential::GrantId;
use crate::envelope::Sealed;
use crate::stores::{self, NewPair, PairWrite, Secrets};
use crate::timestamp::Timestamp;

/// Where a new token pair is.
pub(crate) enum StoredPair {
    /// It is the grant's pair.
    Current {
        /// Whether the grant had been declared dead.
        reactivated: bool,
    },
    /// Another pair was first, so this one is stashed beside it.
    Stashed {
        /// Whether the grant had been declared dead.
        reactivated: bool,
    },
    /// The grant's tokens were destroyed on purpose in the meantime, so this pair is dropped.
    GrantDestroyed,
}

/// The longest two sealed pairs that may be in one row. DynamoDB allows 400 KB for a row. The rest is for the other
/// attributes: a row that is full could not take a lease, so its grant could never be refreshed again.
const MAX_PAIRS_BYTES: usize = 390 * 1024;

/// Commits a pair, or stashes it if another pair was first. Even then this pair may be the only live pair, because Zoom
/// may have accepted an old refresh token again.
///
/// Fails with `RowTooLarge` if the row has no room for both pairs.
///
/// `drop_stash` removes the stash that was there before. `writer` names this invocation, so that a commit whose
/// answer was lost is recognized.
pub(crate) async fn store(
    secrets: &Secrets,
    id: GrantId,
    pair: &NewPair,
    writer: Uuid,
    drop_stash: bool,
    until: Timestamp,
) -> Result<StoredPair, stores::Error> {
    let generation = pair.sealed.generation();
    let before = generation.saturating_sub(1);
    let committed = secrets.commit(id, before, pair, writer, drop_stash, until);
    let now = match committed.await {
        Ok(PairWrite::Written { reactivated }) => return Ok(StoredPair::Current { reactivated }),
        Ok(PairWrite::Stale(now)) => now,
        Err(stores::Error::NotFound) => return Ok(StoredPair::GrantDestroyed),
        Err(error) => return Err(error),
    };
    let length = |sealed: &Sealed| sealed.parts().2.len();
    let pairs = now.sealed.as_ref().map_or(0, length) + length(&pair.sealed);
    if pairs > MAX_PAIRS_BYTES && now.sealed.is_some() {
        return Err(stores::Error::RowTooLarge {
            operation: "UpdateItem",
        });
    }
    match secrets.stash(id, &pair.sealed, until).await {
        Ok(PairWrite::Written { reactivated }) => Ok(StoredPair::Stashed { reactivated }),
        Ok(PairWrite::Stale(now)) if now.sealed.is_none() => Ok(StoredPair::GrantDestroyed),
        Err(stores::Error::NotFound) => Ok(StoredPair::GrantDestroyed),
        Ok(PairWrite::Stale(_)) => Err(stores::Error::Conflict),
        Err(error) => Err(error),
    }
}
