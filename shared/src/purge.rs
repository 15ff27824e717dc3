//! What follows when credentials are deleted, leave a grant, or are removed for good. Every step can be repeated.
//!
//! - A credential was deleted, and no live credential of its pair is left: the pair's grants become due, so that
//!   keep-alive lets them rest or revokes them.
//! - A credential moved to another grant: the old grant becomes due, so that keep-alive finds out whether it still
//!   works.
//! - A deleted credential can no longer be restored, and DynamoDB has removed its row: it is counted out, and its
//!   sealed client secret and its token URLs are destroyed. If the pair has no credential left, its grants become due.
//!
//! No grant is destroyed here. Only keep-alive does that, after it has asked the pair.

use std::collections::HashSet;
use std::fmt;

use crate::counted::report_lost_count;
use crate::credential::GrantId;
use crate::envelope::sealed::SecretId;
use crate::event::{Change, EventKind};
use crate::stores::{
    self, CleanupTrigger, CommitOutcome, CountChange, CredentialIds, Pairs, RowKind, Secrets,
    TRANSACTION_TIMEOUT, TokenUrls, Trail,
};
use crate::timestamp::Timestamp;

/// Cleans up after the changes of one batch.
pub struct Cleanup<'a> {
    pairs: &'a Pairs,
    secrets: &'a Secrets,
    token_urls: &'a TokenUrls,
    trail: &'a Trail,
    /// The grants that the batch has made due. Thousands of credentials may leave one grant together.
    hastened: HashSet<GrantId>,
}

impl<'a> Cleanup<'a> {
    /// A cleanup after the changes of one batch.
    pub fn new(
        pairs: &'a Pairs,
        secrets: &'a Secrets,
        token_urls: &'a TokenUrls,
        trail: &'a Trail,
    ) -> Self {
        Self {
            pairs,
            secrets,
            token_urls,
            trail,
            hastened: HashSet::new(),
        }
    }

    /// Cleans up after one change.
    pub async fn clean_up_after(&mut self, change: &CleanupTrigger) -> Result<(), stores::Error> {
        match change {
            CleanupTrigger::SoftDeleted(ids) => self.hasten_unused(ids, false).await,
            CleanupTrigger::GrantReplaced(ids) => match ids.grant {
                Some(grant) => self.hasten(ids, grant).await,
                None => Ok(()),
            },
            CleanupTrigger::Purged(ids) => {
                count_out(self.pairs, self.trail, ids).await?;
                self.clean_up_after_purge(ids).await
            }
        }
    }

    /// Cleans up after the row of a deleted credential was removed and the credential was counted out.
    pub async fn clean_up_after_purge(&mut self, ids: &CredentialIds) -> Result<(), stores::Error> {
        destroy_own(self.secrets, self.token_urls, ids).await?;
        // The pair may have other credentials, but perhaps none that uses this grant.
        if let Some(grant) = ids.grant {
            self.hasten(ids, grant).await?;
        }
        self.hasten_unused(ids, true).await
    }

    /// Makes the grants of the credential's pair due, if the pair has no live credential any more; or, with
    /// `without_members`, no credential at all. Without a pair, makes the credential's own grant due.
    async fn hasten_unused(
        &mut self,
        ids: &CredentialIds,
        without_members: bool,
    ) -> Result<(), stores::Error> {
        let pair = match &ids.pair {
            // A forged row may name the pair of another team.
            Some(pair) => {
                let read = self.pairs.get(pair).await;
                let Some(pair) = pass_over_unknown_shape(read, pair)? else {
                    return Ok(());
                };
                pair.filter(|pair| pair.pair.team == ids.team)
            }
            None => None,
        };
        let Some(pair) = pair else {
            return match ids.grant {
                Some(grant) => self.hasten(ids, grant).await,
                None => Ok(()),
            };
        };
        let is_used = if without_members {
            pair.members != 0
        } else {
            pair.live != 0
        };
        if is_used {
            return Ok(());
        }
        if without_members && pair.grants.is_empty() {
            return self.pairs.let_expire(&ids.team, &pair.id).await;
        }
        for grant in pair.grants {
            self.hasten(ids, grant).await?;
        }
        Ok(())
    }

    async fn hasten(&mut self, ids: &CredentialIds, grant: GrantId) -> Result<(), stores::Error> {
        if self.hastened.insert(grant) {
            let hastened = self.secrets.hasten(&ids.team, grant).await;
            pass_over_unknown_shape(hastened, &grant)?;
        }
        Ok(())
    }
}

/// Reports a row of unknown shape, and returns `None` for it. An error would be retried for hours, and the records
/// behind it would wait.
fn pass_over_unknown_shape<T>(
    done: Result<T, stores::Error>,
    row_id: &impl fmt::Display,
) -> Result<Option<T>, stores::Error> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(stores::Error::Shape(_)) => {
            tracing::error!(
                unreadable_rows = 1_u32,
                row_id = %row_id,
                "a row of unknown shape is passed over by a cleanup"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Counts a credential out whose row was removed, and records the removal. Does both once, however often it is told.
async fn count_out(pairs: &Pairs, trail: &Trail, ids: &CredentialIds) -> Result<(), stores::Error> {
    let id = Some(ids.credential);
    let event = trail.change(&ids.team, id, Change::new(EventKind::Purged, Vec::new()))?;
    let gone = pairs.begin(pairs.remember_gone(ids.credential)?).and(event);
    let Some(pair) = &ids.pair else {
        // Refused if the removal was recorded before.
        return gone.commit(until()).await.map(drop);
    };
    let count = pairs.count(&ids.team, pair, CountChange::Purged)?;
    let counted = gone.clone().and(count).commit(until()).await?;
    if counted == CommitOutcome::Refused(RowKind::Pair) {
        report_lost_count(&ids.team, ids.credential);
        // Refused if the credential was counted out before.
        return gone.commit(until()).await.map(drop);
    }
    Ok(())
}

fn until() -> Timestamp {
    Timestamp::now().plus(TRANSACTION_TIMEOUT)
}

/// Destroys what belongs to the credential alone: its client secret and its token URLs.
async fn destroy_own(
    secrets: &Secrets,
    token_urls: &TokenUrls,
    ids: &CredentialIds,
) -> Result<(), stores::Error> {
    let app = SecretId::App(ids.credential);
    secrets.purge(&ids.team, app).await?;
    token_urls.purge(ids.credential).await
}
