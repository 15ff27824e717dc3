//! Destroys what credentials leave behind, once no other credential needs it. Every step is idempotent.
//!
//! - A credential moved to another grant: the old grant is destroyed, unless another credential uses it.
//! - A credential was deleted: the grant becomes due for keep-alive, unless another live credential uses it. Keep-alive
//!   then lets the grant rest, or revokes it at Zoom if the team wants that.
//! - A deleted credential can no longer be restored, and DynamoDB has removed its row: its sealed data and its token
//!   URLs are destroyed, and its grant, unless another credential uses it.
//!
//! No index tells which credentials use a grant, so the team is read whole, once per batch. The rows of the grants are
//! read before that. If a credential joins a grant in the meantime, the grant's row has changed, and the grant is kept.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::credential::{CredentialId, GrantId, TeamId};
use crate::envelope::sealed::SecretId;
use crate::stores::{
    self, CleanupTrigger, CredentialIds, Credentials, GrantVersion, SecretOwner, Secrets, TokenUrls,
};

/// How many rows are read at a time.
const CONCURRENT_READS: usize = 8;

/// Cleans up after the changes of one batch. Each team is read once.
pub struct Cleanup<'a> {
    credentials: &'a Credentials,
    secrets: &'a Secrets,
    token_urls: &'a TokenUrls,
    teams: HashMap<TeamId, TeamOfBatch>,
}

/// The grants and credentials of one team, as one batch needs them.
#[derive(Default)]
struct TeamOfBatch {
    /// The grants that the batch's changes name.
    grants: Vec<GrantId>,
    /// `None` until the first change needs it.
    owners: Option<GrantOwners>,
}

/// Which credentials of a team use which grant.
struct GrantOwners {
    owners: Vec<SecretOwner>,
    /// The grants that may be destroyed, as they were before the owners were read.
    grants: HashMap<GrantId, GrantVersion>,
}

impl GrantOwners {
    async fn read(
        credentials: &Credentials,
        secrets: &Secrets,
        team: &TeamId,
        grants: &[GrantId],
    ) -> Result<Self, stores::Error> {
        let grants = grants.iter().copied().map(|grant| async move {
            let version = secrets.grant_version(grant).await?;
            Ok::<_, stores::Error>((grant, version))
        });
        let grants = stream::iter(grants).buffer_unordered(CONCURRENT_READS);
        let grants = grants.try_collect().await?;
        Ok(Self {
            owners: credentials.secret_owners(team).await?,
            grants,
        })
    }

    /// Whether a credential that is not deleted uses the grant.
    fn is_used(&self, grant: GrantId) -> bool {
        let mut owners = self.owners.iter();
        owners.any(|it| it.grant == Some(grant) && !it.deleted)
    }

    /// Destroys a grant that no credential uses, deleted or not. The credential `gone` does not count, since its row is
    /// about to go.
    async fn purge(
        &self,
        secrets: &Secrets,
        team: &TeamId,
        grant: GrantId,
        gone: Option<CredentialId>,
    ) -> Result<(), stores::Error> {
        let counts = |it: &&SecretOwner| !(it.deleted && Some(it.credential) == gone);
        let mut owners = self.owners.iter().filter(counts);
        if owners.any(|it| it.grant == Some(grant)) {
            return Ok(());
        }
        let version = self.grants.get(&grant).copied().unwrap_or_default();
        secrets.purge_grant(team, grant, version).await
    }
}

impl<'a> Cleanup<'a> {
    /// A cleanup after `changes`. Pass them to [`Self::clean_up_after`] one by one.
    pub fn new(
        credentials: &'a Credentials,
        secrets: &'a Secrets,
        token_urls: &'a TokenUrls,
        changes: impl IntoIterator<Item = &'a CleanupTrigger>,
    ) -> Self {
        let mut teams: HashMap<TeamId, TeamOfBatch> = HashMap::new();
        for change in changes {
            if let CleanupTrigger::GrantReplaced(remains) | CleanupTrigger::Purged(remains) = change
            {
                let team = teams.entry(remains.team.clone()).or_default();
                team.grants.extend(remains.grant);
            }
        }
        Self {
            credentials,
            secrets,
            token_urls,
            teams,
        }
    }

    /// Cleans up after one change.
    pub async fn clean_up_after(&mut self, change: &CleanupTrigger) -> Result<(), stores::Error> {
        let secrets = self.secrets;
        match change {
            CleanupTrigger::SoftDeleted(remains) => {
                let Some(grant) = remains.grant else {
                    return Ok(());
                };
                if self.owners(&remains.team).await?.is_used(grant) {
                    return Ok(());
                }
                secrets.schedule_first(&remains.team, grant).await
            }
            CleanupTrigger::GrantReplaced(remains) => {
                let Some(grant) = remains.grant else {
                    return Ok(());
                };
                // A request that still works with the old grant finds it destroyed, and reads the credential again.
                let owners = self.owners(&remains.team).await?;
                owners.purge(secrets, &remains.team, grant, None).await
            }
            CleanupTrigger::Purged(remains) => {
                if let Some(grant) = remains.grant {
                    let (team, gone) = (&remains.team, Some(remains.credential));
                    let owners = self.owners(team).await?;
                    owners.purge(secrets, team, grant, gone).await?;
                }
                destroy_own(secrets, self.token_urls, remains).await
            }
        }
    }

    async fn owners(&mut self, id: &TeamId) -> Result<&GrantOwners, stores::Error> {
        let team = self.teams.entry(id.clone()).or_default();
        let owners = match team.owners.take() {
            Some(owners) => owners,
            None => GrantOwners::read(self.credentials, self.secrets, id, &team.grants).await?,
        };
        Ok(team.owners.insert(owners))
    }
}

/// Destroys what a purged credential leaves behind: its client secret, its token URLs, and its grant. Keeps the grant
/// if another credential of the team uses it, deleted or not.
pub async fn destroy(
    credentials: &Credentials,
    secrets: &Secrets,
    token_urls: &TokenUrls,
    remains: &CredentialIds,
) -> Result<(), stores::Error> {
    if let Some(grant) = remains.grant {
        let (team, gone) = (&remains.team, Some(remains.credential));
        let owners = GrantOwners::read(credentials, secrets, team, &[grant]).await?;
        owners.purge(secrets, team, grant, gone).await?;
    }
    destroy_own(secrets, token_urls, remains).await
}

/// Destroys what belongs to the credential alone.
async fn destroy_own(
    secrets: &Secrets,
    token_urls: &TokenUrls,
    remains: &CredentialIds,
) -> Result<(), stores::Error> {
    let app = SecretId::App(remains.credential);
    secrets.purge(&remains.team, app).await?;
    token_urls.purge(remains.credential).await
}
