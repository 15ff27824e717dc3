//! A due grant whose pair has no credential, or no row.

use crate::error::Error;
use crate::keep_alive::due::{KEPT_FOR_CAPSULE, TakenGrant};
use crate::keep_alive::report::GrantOutcome;
use crate::pair::PairId;
use crate::pair_end::{PairEnd, YOUNG, drop_pair};
use crate::stores::{CommitOutcome, StoredPair, TRANSACTION_TIMEOUT};
use crate::timestamp::Timestamp;

impl TakenGrant<'_> {
    /// A grant that names a pair without a row. The row was lost, because only a pair without grants loses it. So
    /// nobody knows who needs the grant, until Zoom has ended it.
    pub(super) async fn settle_without_pair(&self, pair: &PairId) -> Result<GrantOutcome, Error> {
        if self.has_ended_at_zoom() {
            self.drop_without_pair(pair).await
        } else {
            self.counts_are_wrong()
        }
    }

    /// Whether Zoom has ended the grant, because the vault has not refreshed it for too long.
    pub(super) fn has_ended_at_zoom(&self) -> bool {
        // Destroyed tokens have no such time.
        let refreshed_at = self.row.refreshed_at;
        refreshed_at.is_none_or(|at| at.until(Timestamp::now()) >= KEPT_FOR_CAPSULE)
    }

    /// The grant of a pair that counts no credential.
    pub(super) async fn drop_with_pair(&self, pair: &StoredPair) -> Result<GrantOutcome, Error> {
        let grants = self.run.grants;
        let dropped = drop_pair(&grants.pairs, &grants.secrets, &grants.credentials, pair);
        match dropped.await? {
            PairEnd::Dropped(_) if pair.grants.contains(&self.id) => Ok(GrantOutcome::Destroyed),
            PairEnd::Dropped(_) => self.drop_without_pair(&pair.id).await,
            PairEnd::GrantLeft | PairEnd::StillNeeded => Ok(GrantOutcome::Left),
            PairEnd::CountsWrong => self.counts_are_wrong(),
        }
    }

    /// A grant that names a pair which has no credential and does not list it.
    async fn drop_without_pair(&self, pair: &PairId) -> Result<GrantOutcome, Error> {
        let grants = self.run.grants;
        let young_since = Timestamp::now().minus(YOUNG);
        let delete = grants.secrets.delete_unneeded(self.id, pair, young_since)?;
        let unneeded = grants.pairs.check_without_members(pair)?;
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        let deleted = grants.secrets.begin(delete).and(unneeded).commit(until);
        Ok(match deleted.await? {
            CommitOutcome::Committed => GrantOutcome::Destroyed,
            CommitOutcome::Refused(_) => GrantOutcome::Left,
        })
    }
}
