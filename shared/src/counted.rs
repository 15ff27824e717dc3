//! Commits a change of a credential that its pair counts.

use crate::credential::{CredentialId, TeamId};
use crate::stores::{self, CommitOutcome, RowKind, Transaction};
use crate::timestamp::Timestamp;

/// Commits a transaction that also changes the counts of a pair. If the pair has no row, commits it without: a wrong
/// count must not make a user's request fail. The log line raises an alarm, and
/// `zoom-vault credentials sweep --repair` corrects the counts.
pub(crate) async fn commit(
    transaction: Transaction<'_>,
    team: &TeamId,
    credential: CredentialId,
    until: Timestamp,
) -> Result<CommitOutcome, stores::Error> {
    match transaction.clone().commit(until).await? {
        CommitOutcome::Refused(RowKind::Pair) => {
            report_lost_count(team, credential);
            transaction.without(RowKind::Pair).commit(until).await
        }
        outcome @ (CommitOutcome::Committed | CommitOutcome::Refused(_)) => Ok(outcome),
    }
}

/// Logs that the pair of a credential has no row that could count the credential's change.
pub(crate) fn report_lost_count(team: &TeamId, credential: CredentialId) {
    tracing::error!(
        team = %team,
        credential_id = %credential,
        pair_counts_wrong = 1_u32,
        "a pair has no row although it counts a credential: run `zoom-vault credentials sweep --repair`"
    );
}
