//! Points credentials of a pair at another of the pair's grants, which works.

use crate::credential::TeamId;
use crate::pair::PairId;
use crate::stores::{self, AuthorizedGrant, CommitOutcome, Credentials, Holder, RowKind, Secrets};
use crate::timestamp::Timestamp;

/// A grant that works, for credentials of its pair.
pub(crate) struct HandOver<'a> {
    pub(crate) credentials: &'a Credentials,
    pub(crate) secrets: &'a Secrets,
    pub(crate) team: &'a TeamId,
    pub(crate) pair: &'a PairId,
    pub(crate) authorized: &'a AuthorizedGrant,
    /// Since when keep-alive counts the grant as unused.
    pub(crate) idle_since: Timestamp,
}

impl HandOver<'_> {
    /// Points these live credentials at the grant, in one transaction. Leaves out those that have changed, and those
    /// whose own authorization is not older than `authorized_before`. Returns those that have the grant now.
    ///
    /// [`stores::Error::Conflict`] if the grant can no longer be used. There may be at most [`stores::BATCH`] holders.
    pub(crate) async fn to(
        &self,
        holders: &[Holder],
        authorized_before: Option<Timestamp>,
        until: Timestamp,
    ) -> Result<Vec<Holder>, stores::Error> {
        if holders.is_empty() {
            return Ok(Vec::new());
        }
        let (team, pair) = (self.team, self.pair);
        let credentials = self.credentials;
        let moved =
            credentials.hand_over(team, pair, holders, self.authorized, authorized_before)?;
        let grant = self.authorized.grant.id;
        let kept = self.secrets.hand_over(grant, pair, self.idle_since)?;
        let moved = moved.and(kept);
        let (outcome, left_out) = moved
            .commit_without_refused(RowKind::Credential, until)
            .await?;
        match outcome {
            CommitOutcome::Committed => {
                let moved = holders.iter().enumerate();
                let moved = moved.filter(|(position, _)| !left_out.contains(position));
                Ok(moved.map(|(_, holder)| *holder).collect())
            }
            CommitOutcome::Refused(RowKind::Credential) => Ok(Vec::new()),
            CommitOutcome::Refused(_) => Err(stores::Error::Conflict),
        }
    }
}
