//! What the stream of `credentials` invokes: sees to what credentials leave behind.
//!
//! Of one that has another grant now, the one that it left is destroyed, if nobody else has it.
//! Of one that was deleted, the schedule is told at once, where nobody else mints with its grant: it lets the grant
//! rest, or revokes it at Zoom, as the team wants it. Of one whose time to be restored is over, and whose row is gone,
//! everything sealed is destroyed, and its token URLs. All of it may be done twice.
//!
//! Who has a grant, no index knows: a team is read whole for it, and so once for all of a batch. Else who deletes many
//! would throttle their own mints, which read the same rows. The grants' own rows are read before: one that a credential
//! joins meanwhile is another by then, and is not destroyed.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use shared::cause::chain;
use shared::credential::{CredentialId, GrantId, TeamId};
use shared::envelope::SecretId;
use shared::stores::{
    self, Credentials, Moment, Owner, Passed, Record, Remains, Secrets, TokenUrls,
};
use shared::timestamp::Timestamp;
use tokio::time::timeout;

/// What the logs call it.
pub const NAME: &str = "purge";

/// Rows that are read at a time.
const AT_ONCE: usize = 8;
/// Kept for the report.
const RESERVE: Duration = Duration::from_secs(2);

/// A batch of the stream's records, in order.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Batch {
    records: Vec<Record>,
}

/// Where to begin again: the first record that could not be seen to. None where all were.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Of one, or none.
    pub batch_item_failures: Vec<Failure>,
}

/// A record, by its number.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Its sequence number.
    pub item_identifier: String,
}

/// Sees to each record in turn, up to the first that fails, or for which the time until `deadline` is too short. `id`
/// names the invocation in the logs.
pub async fn handle(
    credentials: &Credentials,
    secrets: &Secrets,
    token_urls: &TokenUrls,
    batch: Batch,
    deadline: Timestamp,
    id: &str,
) -> Report {
    let records = batch.records.into_iter();
    let records: Vec<_> = records
        .map(|record| (record.sequence_number().to_owned(), record.passed()))
        .collect();
    let mut run = Run {
        credentials,
        secrets,
        token_urls,
        teams: HashMap::new(),
        id,
    };
    for (_, passed) in &records {
        if let Ok(Some(Passed::Left(remains) | Passed::Purged(remains))) = passed {
            let team = run.teams.entry(remains.team.clone()).or_default();
            team.grants.extend(remains.grant);
        }
    }
    let deadline = deadline.minus(RESERVE);
    for (number, passed) in records {
        let left = Timestamp::now().until(deadline);
        let cause = match timeout(left, run.see_to(passed)).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => chain(&error),
            Err(_) => "out of time".to_owned(),
        };
        tracing::error!(
            request_id = id,
            route = NAME,
            cause,
            "what a credential left is not seen to"
        );
        let failure = Failure {
            item_identifier: number,
        };
        return Report {
            batch_item_failures: vec![failure],
        };
    }
    Report::default()
}

/// One batch.
struct Run<'a> {
    credentials: &'a Credentials,
    secrets: &'a Secrets,
    token_urls: &'a TokenUrls,
    teams: HashMap<TeamId, Team>,
    id: &'a str,
}

/// A team of a batch.
#[derive(Default)]
struct Team {
    /// What its records say was left.
    grants: Vec<GrantId>,
    /// Read when it is first needed, after the records.
    holdings: Option<Holdings>,
}

/// Who of a team has what.
struct Holdings {
    owners: Vec<Owner>,
    /// The grants that may have to go, as they were before.
    moments: HashMap<GrantId, Moment>,
}

impl Holdings {
    async fn read(
        credentials: &Credentials,
        secrets: &Secrets,
        team: &TeamId,
        grants: &[GrantId],
    ) -> Result<Self, stores::Error> {
        let moments = grants.iter().copied().map(|grant| async move {
            let moment = secrets.moment(grant).await?;
            Ok::<_, stores::Error>((grant, moment))
        });
        let moments = stream::iter(moments).buffer_unordered(AT_ONCE);
        let moments = moments.try_collect().await?;
        Ok(Self {
            owners: credentials.owners(team).await?,
            moments,
        })
    }

    /// Whether a credential that can be used has the grant.
    fn is_used(&self, grant: GrantId) -> bool {
        let mut owners = self.owners.iter();
        owners.any(|it| it.grant == Some(grant) && !it.deleted)
    }

    /// Destroys a grant that no credential has, deleted or not; but for the one that is `gone`.
    async fn purge(
        &self,
        secrets: &Secrets,
        team: &TeamId,
        grant: GrantId,
        gone: Option<CredentialId>,
    ) -> Result<(), stores::Error> {
        let is_left = |it: &&Owner| !(it.deleted && Some(it.credential) == gone);
        let mut owners = self.owners.iter().filter(is_left);
        if owners.any(|it| it.grant == Some(grant)) {
            return Ok(());
        }
        let moment = self.moments.get(&grant).copied().unwrap_or_default();
        secrets.purge_grant(team, grant, moment).await
    }
}

impl Run<'_> {
    async fn see_to(
        &mut self,
        passed: Result<Option<Passed>, stores::Error>,
    ) -> Result<(), stores::Error> {
        let secrets = self.secrets;
        match passed? {
            None => Ok(()),
            Some(Passed::Deleted(remains)) => {
                let Some(grant) = remains.grant else {
                    return Ok(());
                };
                if self.holdings(&remains.team).await?.is_used(grant) {
                    return Ok(());
                }
                secrets.hasten(&remains.team, grant).await
            }
            Some(Passed::Left(remains)) => {
                let Some(grant) = remains.grant else {
                    return Ok(());
                };
                // Whoever is at it with a credential as it was a moment ago finds that it is gone, and looks again.
                let holdings = self.holdings(&remains.team).await?;
                holdings.purge(secrets, &remains.team, grant, None).await
            }
            Some(Passed::Purged(remains)) => {
                if let Some(grant) = remains.grant {
                    let (team, gone) = (&remains.team, Some(remains.credential));
                    let holdings = self.holdings(team).await?;
                    holdings.purge(secrets, team, grant, gone).await?;
                }
                destroy_own(secrets, self.token_urls, &remains).await?;
                tracing::info!(
                    request_id = self.id,
                    route = NAME,
                    team = %remains.team,
                    credential_id = %remains.credential,
                    "purged"
                );
                Ok(())
            }
        }
    }

    async fn holdings(&mut self, id: &TeamId) -> Result<&Holdings, stores::Error> {
        let team = self.teams.entry(id.clone()).or_default();
        let holdings = match team.holdings.take() {
            Some(holdings) => holdings,
            None => Holdings::read(self.credentials, self.secrets, id, &team.grants).await?,
        };
        Ok(team.holdings.insert(holdings))
    }
}

/// Destroys what a credential that cannot be restored any more leaves behind: its client secret, its token URLs, and
/// the grant, where no other credential of the team has it, deleted or not.
pub async fn destroy(
    credentials: &Credentials,
    secrets: &Secrets,
    token_urls: &TokenUrls,
    remains: &Remains,
) -> Result<(), stores::Error> {
    if let Some(grant) = remains.grant {
        let (team, gone) = (&remains.team, Some(remains.credential));
        let holdings = Holdings::read(credentials, secrets, team, &[grant]).await?;
        holdings.purge(secrets, team, grant, gone).await?;
    }
    destroy_own(secrets, token_urls, remains).await
}

/// What belongs to nobody else.
async fn destroy_own(
    secrets: &Secrets,
    token_urls: &TokenUrls,
    remains: &Remains,
) -> Result<(), stores::Error> {
    let app = SecretId::App(remains.credential);
    secrets.purge(&remains.team, app).await?;
    token_urls.purge(remains.credential).await
}
