//! Purges a soft-deleted credential before its time.

use crate::credential::{CredentialId, TeamId};
use crate::event::{Change, EventKind};
use crate::pair::PairId;
use crate::pair_end::{PairEnd, drop_pair};
use crate::purge::Cleanup;
use crate::stores::{
    self, CommitOutcome, CountChange, CredentialIds, Credentials, ManualPurge, Pairs, RowKind,
    Secrets, StoredCredential, TRANSACTION_TIMEOUT, TokenUrls, Trail,
};
use crate::timestamp::Timestamp;

/// How often a purge starts over because the credential has changed.
const MAX_ROUNDS: usize = 5;

/// The tables of a purge.
#[derive(Clone, Copy, Debug)]
pub struct PurgeNow<'a> {
    /// The table `credentials`.
    pub credentials: &'a Credentials,
    /// The table `pairs`.
    pub pairs: &'a Pairs,
    /// The table `secrets`.
    pub secrets: &'a Secrets,
    /// The table `token-urls`.
    pub token_urls: &'a TokenUrls,
    /// The power to delete rows of credentials.
    pub removal: &'a ManualPurge,
    /// Records the purge.
    pub trail: &'a Trail,
}

/// A purged credential.
#[derive(Clone, Debug)]
pub struct Purged {
    /// The credential, its grant and its pair.
    pub ids: CredentialIds,
    /// What became of the grants.
    pub grants: PurgedGrants,
}

/// What became of the grants of the purged credential's app and user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgedGrants {
    /// The credential had no grant.
    None,
    /// The user is not known, so the grant stays. It is due, and keep-alive sees to it.
    UserUnknown,
    /// The pair that should have counted the credential has no row, so the grant stays.
    NoPairRow,
    /// The user is known.
    OfPair(PairEnd),
}

impl PurgeNow<'_> {
    /// Removes the credential. Destroys its client secret and its token URLs, and the grants of its pair if the pair
    /// has no credential left. `None` if no credential with this id is deleted.
    ///
    /// If this stops after the removal, the function `purge` does the rest: the stream tells it of the removed row.
    pub async fn purge(
        &self,
        team: &TeamId,
        id: CredentialId,
    ) -> Result<Option<Purged>, stores::Error> {
        let Some(ids) = self.remove(team, id).await? else {
            return Ok(None);
        };
        let mut cleanup = Cleanup::new(self.pairs, self.secrets, self.token_urls, self.trail);
        cleanup.clean_up_after_purge(&ids).await?;
        let grants = match (&ids.pair, ids.grant) {
            (Some(pair), _) => self.end_pair(team, pair).await?,
            (None, Some(_)) => PurgedGrants::UserUnknown,
            (None, None) => PurgedGrants::None,
        };
        Ok(Some(Purged { ids, grants }))
    }

    /// Removes the row of the credential, and counts the credential out of its pair.
    async fn remove(
        &self,
        team: &TeamId,
        id: CredentialId,
    ) -> Result<Option<CredentialIds>, stores::Error> {
        for _ in 0..MAX_ROUNDS {
            let seen = self.credentials.get_including_deleted(team, id).await?;
            let Some(seen) = seen.filter(|stored| !stored.is_live()) else {
                return Ok(None);
            };
            // A deleted credential changes too: its user becomes known, or its client secret is replaced.
            if self.remove_as_seen(team, &seen).await? {
                return Ok(Some(CredentialIds {
                    team: team.clone(),
                    credential: id,
                    grant: seen.grant.map(|grant| grant.id),
                    pair: seen.pair,
                }));
            }
        }
        Err(stores::Error::Conflict)
    }

    /// Returns `false` if the credential has changed.
    async fn remove_as_seen(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
    ) -> Result<bool, stores::Error> {
        let until = || Timestamp::now().plus(TRANSACTION_TIMEOUT);
        let id = Some(seen.credential.credential_id);
        let change = Change::new(EventKind::Purged, Vec::new());
        let event = self.trail.change(team, id, change)?;
        let removal = self.removal.begin_removal(team, seen)?.and(event);
        let gone = self.pairs.remember_gone(seen.credential.credential_id)?;
        let Some(pair) = &seen.pair else {
            // The stream tells of the removal too. The row of `gone` keeps it from being recorded twice.
            let outcome = match removal.clone().and(gone).commit(until()).await? {
                CommitOutcome::Refused(RowKind::Gone) => removal.commit(until()).await?,
                outcome @ (CommitOutcome::Committed | CommitOutcome::Refused(_)) => outcome,
            };
            return Ok(outcome.is_committed());
        };
        let count = self.pairs.count(team, pair, CountChange::Purged)?;
        let counted = removal.clone().and(gone).and(count);
        let mut outcome = counted.clone().commit(until()).await?;
        if outcome == CommitOutcome::Refused(RowKind::Pair) {
            // The pair has no row that could count. The grants stay, and the caller learns about it.
            outcome = counted.without(RowKind::Pair).commit(until()).await?;
        }
        if outcome == CommitOutcome::Refused(RowKind::Gone) {
            // The credential was counted out before. Somebody has put its row back since.
            outcome = removal.commit(until()).await?;
        }
        Ok(outcome.is_committed())
    }

    /// Destroys the grants of the pair, if it has no credential left.
    async fn end_pair(&self, team: &TeamId, pair: &PairId) -> Result<PurgedGrants, stores::Error> {
        let row = self.pairs.get(pair).await?;
        let Some(row) = row.filter(|row| row.pair.team == *team) else {
            return Ok(PurgedGrants::NoPairRow);
        };
        let ended = drop_pair(self.pairs, self.secrets, self.credentials, &row);
        Ok(PurgedGrants::OfPair(ended.await?))
    }
}
