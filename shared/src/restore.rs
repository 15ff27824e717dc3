//! Restores a deleted credential.

use crate::cause::chain;
use crate::credential::{CredentialId, ReconnectReason, State, TeamId};
use crate::event::{Event, EventDetails};
use crate::grants::state::reconnect_message;
use crate::stores::{
    self, CommitOutcome, Credentials, Events, GrantState, RowKind, Secrets, StoredCredential,
    TRANSACTION_TIMEOUT, Write,
};
use crate::timestamp::Timestamp;

/// How often a restore starts over because the grant has changed.
const MAX_ROUNDS: usize = 3;

/// Restores a deleted credential, and puts its grant back into keep-alive, in one transaction. The credential's state
/// is what its grant allows at that moment.
///
/// `None` if the credential is not deleted, or was deleted too long ago. [`stores::Error::Conflict`] if the grant keeps
/// changing.
pub async fn restore(
    credentials: &Credentials,
    secrets: &Secrets,
    events: &Events,
    team: &TeamId,
    id: CredentialId,
) -> Result<Option<StoredCredential>, stores::Error> {
    for _ in 0..MAX_ROUNDS {
        let Some(seen) = credentials.get_deleted(team, id).await? else {
            return Ok(None);
        };
        let (dead, write) = grant_state(secrets, &seen).await?;
        // An invalid credential has a message already, which may say more than the reason.
        let dead = dead.filter(|_| seen.credential.state == State::Active);
        let message = dead.map(|reason| reconnect_message(reason, None));
        let restored = credentials.restore(team, &seen, message.as_deref())?;
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        match restored.and_maybe(write).commit(until).await? {
            CommitOutcome::Committed => {
                if let Some(reason) = dead {
                    record_invalid(events, team, id, reason).await;
                }
                return credentials.get(team, id).await;
            }
            // Another request has restored it, or its time is over.
            CommitOutcome::Refused(RowKind::Credential) => return Ok(None),
            // The grant was refreshed or declared dead in the meantime.
            CommitOutcome::Refused(_) => {}
        }
    }
    Err(stores::Error::Conflict)
}

/// Why the credential's grant is dead, if it is; and the write that holds only while the grant stays as it is.
async fn grant_state(
    secrets: &Secrets,
    seen: &StoredCredential,
) -> Result<(Option<ReconnectReason>, Option<Write>), stores::Error> {
    let Some(grant) = seen.grant else {
        return Ok((None, None));
    };
    let Some(row) = secrets.grant(grant.id).await? else {
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
async fn record_invalid(events: &Events, team: &TeamId, id: CredentialId, reason: ReconnectReason) {
    let event = Event::new(EventDetails::StateChange {
        reason: Some(reason),
    });
    if let Err(error) = events.record(team, id, &event).await {
        let cause = chain(&error);
        tracing::warn!(cause, "a change of state is missing among the events");
    }
}
