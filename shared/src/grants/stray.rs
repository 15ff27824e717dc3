//! Stray grants: no credential is known to use them, but one of their user's credentials may need them.

use crate::credential::{GrantId, ReconnectReason};
use crate::pair::Pair;
use crate::stores::{self, CommitOutcome, Pairs, RowKind, Secrets};
use crate::timestamp::Timestamp;

/// What became of a stray grant whose user is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    /// It is one of the pair's grants.
    InPair,
    /// The pair has no credential, so nothing was written.
    NoMembers,
    /// The user has removed the app since the authorization, so the tokens were destroyed.
    Deauthorized,
    /// The tokens were destroyed, or the grant belongs to another pair.
    Gone,
}

/// Adds a stray grant to the pair of its user, if the pair has a credential. The grant stays due.
pub(crate) async fn register(
    pairs: &Pairs,
    secrets: &Secrets,
    pair: &Pair,
    grant: GrantId,
    authorize_sent_at: i64,
    until: Timestamp,
) -> Result<Registered, stores::Error> {
    let id = pair.id();
    let named = secrets.name_pair(grant, &id, None)?;
    let added = pairs.add_grant(pair, grant, authorize_sent_at)?;
    let registered = secrets.begin(named).and(added).commit(until).await?;
    Ok(match registered {
        CommitOutcome::Committed => Registered::InPair,
        CommitOutcome::Refused(RowKind::Pair) => {
            let row = pairs.get(&id).await?;
            let bars = |at: i64| at >= authorize_sent_at;
            if row.and_then(|row| row.deauthorized_at).is_some_and(bars) {
                let reason = ReconnectReason::Deauthorized;
                secrets.destroy(&pair.team, grant, reason).await?;
                Registered::Deauthorized
            } else {
                Registered::NoMembers
            }
        }
        CommitOutcome::Refused(_) => Registered::Gone,
    })
}
