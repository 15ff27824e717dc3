//! Restores a deleted credential.

use crate::cause::chain;
use crate::counted;
use crate::credential::{CredentialId, ReconnectReason, State, TeamId};
use crate::event::{Change, EventDetails, EventKind};
use crate::extra::ExtraFilter;
use crate::grants::state::reconnect_message;
use crate::invocation::Invocation;
use crate::stores::{
    self, CommitOutcome, CountChange, Credentials, Events, GrantState, Pairs, Secrets,
    StoredCredential, TRANSACTION_TIMEOUT, Write,
};
use crate::timestamp::Timestamp;

/// How often a restore starts over because the credential or its grant has changed.
const MAX_ROUNDS: usize = 5;

/// Restores a deleted credential, counts that in its pair, and puts its grant back into keep-alive, in one transaction.
/// The credential's state is what its grant allows at that moment.
///
/// `None` if the credential is not deleted, was deleted too long ago, or does not match `filter`.
/// [`stores::Error::Conflict`] if the credential or the grant keeps changing.
pub async fn restore(
    credentials: &Credentials,
    pairs: &Pairs,
    secrets: &Secrets,
    events: &Events,
    invocation: &Invocation,
    team: &TeamId,
    id: CredentialId,
    filter: &ExtraFilter,
) -> Result<Option<StoredCredential>, stores::Error> {
    for _ in 0..MAX_ROUNDS {
        let seen = credentials.get_deleted(team, id).await?;
        let Some(seen) = seen.and_then(|seen| seen.through(filter)) else {
            return Ok(None);
        };
        let (dead, write) = grant_state(secrets, team, &seen).await?;
        // An invalid credential has a message already, which may say more than the reason.
        let dead = dead.filter(|_| seen.credential.state == State::Active);
        let message = dead.map(|reason| reconnect_message(reason, None));
        let restored = credentials.restore(team, &seen, message.as_deref())?;
        let count = match &seen.pair {
            Some(pair) => Some(pairs.count(team, pair, CountChange::Restored)?),
            None => None,
        };
        let event = invocation.event(Change::new(EventKind::Restored, Vec::new()).into());
        let event = events.write(team, Some(id), &event)?;
        let restored = restored.and_maybe(write).and_maybe(count).and(event);
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        match counted::commit(restored, team, id, until).await? {
            CommitOutcome::Committed => {
                if let Some(reason) = dead {
                    record_invalid(events, invocation, team, id, reason).await;
                }
                let now = credentials.get(team, id).await?;
                return Ok(now.and_then(|now| now.through(filter)));
            }
            // A deleted credential changes too: its user becomes known, its client secret is replaced, a webhook comes.
            // Or the grant was refreshed or declared dead. Or another request has restored the credential.
            CommitOutcome::Refused(_) => {}
        }
    }
    Err(stores::Error::Conflict)
}

/// Why the credential's grant is dead, if it is; and the write that holds only while the grant stays as it is.
async fn grant_state(
    secrets: &Secrets,
    team: &TeamId,
    seen: &StoredCredential,
) -> Result<(Option<ReconnectReason>, Option<Write>), stores::Error> {
    let Some(grant) = seen.grant else {
        return Ok((None, None));
    };
    let Some(row) = secrets.grant(team, grant.id).await? else {
        return Ok((Some(ReconnectReason::Revoked), None));
    };
    Ok(match row.state {
        GrantState::Active => (None, Some(secrets.resume_keep_alive(grant.id, &row)?)),
        GrantState::Reconnect(reason) => {
            (Some(reason), Some(secrets.check_state(grant.id, false)?))
        }
    })
}

/// Writes the event that the credential came back without a working grant. Best effort.
async fn record_invalid(
    events: &Events,
    invocation: &Invocation,
    team: &TeamId,
    id: CredentialId,
    reason: ReconnectReason,
) {
    let event = invocation.event(EventDetails::StateChange {
        reason: Some(reason),
    });
    if let Err(error) = events.record(team, id, &event).await {
        let cause = chain(&error);
        tracing::warn!(cause, "a change of state is missing among the events");
    }
}
