//! Soft-deletes a credential.

use std::time::Duration;

use crate::counted;
use crate::credential::{CredentialId, TeamId};
use crate::event::{Change, EventKind};
use crate::invocation::Invocation;
use crate::stores::{
    self, CommitOutcome, CountChange, Credentials, Events, Pairs, StoredCredential,
    TRANSACTION_TIMEOUT,
};
use crate::timestamp::Timestamp;

/// How often a deletion starts over because the credential has moved to another pair.
const MAX_ROUNDS: usize = 5;

/// Soft-deletes the credential that was read as `seen`, and counts that in its pair, in one transaction. DynamoDB
/// removes the row after `restorable`.
///
/// Returns whether there was one that the caller can see. [`stores::Error::Conflict`] if the credential keeps changing.
pub async fn delete(
    credentials: &Credentials,
    pairs: &Pairs,
    events: &Events,
    invocation: &Invocation,
    team: &TeamId,
    id: CredentialId,
    mut seen: Option<StoredCredential>,
    restorable: Duration,
) -> Result<bool, stores::Error> {
    for _ in 0..MAX_ROUNDS {
        let Some(stored) = seen else {
            return Ok(false);
        };
        let now = Timestamp::now();
        let deletion = credentials.delete(team, &stored, now, restorable)?;
        let count = match &stored.pair {
            Some(pair) => Some(pairs.count(team, pair, CountChange::Deleted(now))?),
            None => None,
        };
        let event = invocation.event(Change::new(EventKind::Deleted, Vec::new()).into());
        let event = events.write(team, Some(id), &event)?;
        let deletion = deletion.and_maybe(count).and(event);
        match counted::commit(deletion, team, id, now.plus(TRANSACTION_TIMEOUT)).await? {
            CommitOutcome::Committed => return Ok(true),
            CommitOutcome::Refused(_) => {
                let now = credentials.get(team, id).await?;
                seen = now.and_then(|now| now.through(&stored.seen_through));
            }
        }
    }
    Err(stores::Error::Conflict)
}
