//! The end of a pair that no credential belongs to: its grants are deleted, and its row expires.

use std::time::Duration;

use crate::credential::GrantId;
use crate::stores::{
    self, CommitOutcome, Credentials, Pairs, RowKind, Secrets, StoredPair, TRANSACTION_TIMEOUT,
};
use crate::timestamp::Timestamp;

/// A younger grant is never destroyed or closed because nobody needs it. An invocation that still runs may be about to
/// count a credential in that does. No invocation runs that long.
pub const YOUNG: Duration = Duration::from_mins(20);

/// The most grants that one transaction deletes.
const MAX_GRANTS: usize = 49;
/// How many rows of the index are asked whether the counts are right.
const SECOND_OPINION: usize = 100;

/// What became of the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairEnd {
    /// Its grants are deleted, this many.
    Dropped(usize),
    /// A grant is left: it is too young, has changed in the meantime, or has a row of unknown shape. Keep-alive tries
    /// again later.
    GrantLeft,
    /// It has a credential.
    StillNeeded,
    /// Its row counts no credential, but a credential says that it belongs to the pair. Nothing was done.
    CountsWrong,
}

/// Deletes the grants of a pair without credentials, and lets its row expire.
pub async fn drop_pair(
    pairs: &Pairs,
    secrets: &Secrets,
    credentials: &Credentials,
    pair: &StoredPair,
) -> Result<PairEnd, stores::Error> {
    if pair.members < 0 {
        return Ok(PairEnd::CountsWrong);
    }
    if pair.members > 0 {
        return Ok(PairEnd::StillNeeded);
    }
    let members = credentials.members_of(&pair.pair, Some(SECOND_OPINION));
    if !members.await?.is_empty() {
        return why_kept(pairs, pair).await;
    }
    let young_since = Timestamp::now().minus(YOUNG).as_millis();
    let mut old = Vec::new();
    for id in &pair.grants {
        match secrets.grant(&pair.pair.team, *id).await {
            Ok(row)
                if row
                    .as_ref()
                    .is_none_or(|row| row.authorized_at < young_since) =>
            {
                old.push(*id);
            }
            // A row of unknown shape must not keep the other grants.
            Ok(_) | Err(stores::Error::Shape(_)) => {}
            Err(error) => return Err(error),
        }
    }
    if pair.grants.is_empty() {
        pairs.let_expire(&pair.pair.team, &pair.id).await?;
    }
    let all_can_go = old.len() == pair.grants.len();
    let mut left = old.len();
    for grants in old.chunks(MAX_GRANTS) {
        left -= grants.len();
        // The row expires with its last grant, in one transaction: nobody would look at it again.
        let all = all_can_go && left == 0;
        match delete(pairs, secrets, pair, grants, all).await? {
            CommitOutcome::Committed => {}
            CommitOutcome::Refused(RowKind::Pair) => return why_kept(pairs, pair).await,
            CommitOutcome::Refused(_) => return Ok(PairEnd::GrantLeft),
        }
    }
    Ok(if all_can_go {
        PairEnd::Dropped(old.len())
    } else {
        PairEnd::GrantLeft
    })
}

/// Why a pair is kept that had no credential when its row was read. A credential may have joined since, and then the
/// row counts it.
async fn why_kept(pairs: &Pairs, pair: &StoredPair) -> Result<PairEnd, stores::Error> {
    let now = pairs.get(&pair.id).await?;
    Ok(match now {
        Some(now) if now.members > 0 => PairEnd::StillNeeded,
        Some(_) | None => PairEnd::CountsWrong,
    })
}

async fn delete(
    pairs: &Pairs,
    secrets: &Secrets,
    pair: &StoredPair,
    grants: &[GrantId],
    all: bool,
) -> Result<CommitOutcome, stores::Error> {
    let now = Timestamp::now();
    let removed = pairs.remove_unneeded_grants(&pair.pair.team, &pair.id, grants, all)?;
    let mut transaction = pairs.begin(removed);
    for id in grants {
        let deleted = secrets.delete_unneeded(*id, &pair.id, now.minus(YOUNG))?;
        transaction = transaction.and(deleted);
    }
    transaction.commit(now.plus(TRANSACTION_TIMEOUT)).await
}
