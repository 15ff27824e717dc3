//! What the stream of `credentials` invokes: sees to what credentials leave behind.
//!
//! Of one that has another grant now, the one that it left is destroyed, if nobody else has it.
//! Of one that was deleted, the schedule is told at once, where nobody else mints with its grant: it lets the grant
//! rest, or revokes it at Zoom, as the team wants it. Of one whose time to be restored is over, and whose row is gone,
//! everything sealed is destroyed, and its token URLs. All of it may be done twice.
//!
//! Who has a grant, no index knows: a team is read whole for it, and so once for all of a batch. Else who deletes many
//! would throttle their own mints, which read the same rows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::cause::chain;
use shared::credential::{GrantId, TeamId};
use shared::envelope::SecretId;
use shared::stores::{self, Credentials, Owner, Passed, Record, Remains, Secrets, TokenUrls};
use shared::timestamp::Timestamp;
use tokio::time::timeout;

/// What the logs call it.
pub const NAME: &str = "purge";

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
    let mut run = Run {
        credentials,
        secrets,
        token_urls,
        owners: HashMap::new(),
        id,
    };
    let deadline = deadline.minus(RESERVE);
    for record in batch.records {
        let number = record.sequence_number().to_owned();
        let left = Timestamp::now().until(deadline);
        let cause = match timeout(left, run.see_to(record)).await {
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
    /// The teams that were read, all of them after the batch's records.
    owners: HashMap<TeamId, Vec<Owner>>,
    id: &'a str,
}

impl Run<'_> {
    async fn see_to(&mut self, record: Record) -> Result<(), stores::Error> {
        let Some(passed) = record.passed()? else {
            return Ok(());
        };
        let (Passed::Deleted(remains) | Passed::Left(remains) | Passed::Purged(remains)) = &passed;
        let (team, secrets) = (&remains.team, self.secrets);
        let owners = match (remains.grant, self.owners.entry(team.clone())) {
            (None, _) => &Vec::new(),
            (Some(_), Entry::Occupied(known)) => known.into_mut(),
            (Some(_), Entry::Vacant(unknown)) => {
                unknown.insert(self.credentials.owners(team).await?)
            }
        };
        let grant = remains.grant;
        match &passed {
            Passed::Deleted(_) => match grant {
                Some(grant) if !owners.iter().any(|it| has(it, grant) && !it.deleted) => {
                    secrets.hasten(team, grant).await
                }
                _ => Ok(()),
            },
            Passed::Left(_) => match grant {
                // Whoever is at it with a credential as it was a moment ago finds that it is gone, and looks again.
                Some(grant) if !owners.iter().any(|it| has(it, grant)) => {
                    secrets.purge(team, SecretId::Grant(grant)).await
                }
                _ => Ok(()),
            },
            Passed::Purged(remains) => {
                purge(secrets, self.token_urls, remains, owners).await?;
                tracing::info!(
                    request_id = self.id,
                    route = NAME,
                    team = %team,
                    credential_id = %remains.credential,
                    "purged"
                );
                Ok(())
            }
        }
    }
}

fn has(owner: &Owner, grant: GrantId) -> bool {
    owner.grant == Some(grant)
}

/// Destroys what a credential that cannot be restored any more leaves behind: its client secret, its token URLs, and
/// the grant, where no other credential of the team has it, deleted or not.
pub async fn destroy(
    credentials: &Credentials,
    secrets: &Secrets,
    token_urls: &TokenUrls,
    remains: &Remains,
) -> Result<(), stores::Error> {
    let owners = match remains.grant {
        Some(_) => credentials.owners(&remains.team).await?,
        None => Vec::new(),
    };
    purge(secrets, token_urls, remains, &owners).await
}

/// As [`destroy`], where the team's credentials are known.
async fn purge(
    secrets: &Secrets,
    token_urls: &TokenUrls,
    remains: &Remains,
    owners: &[Owner],
) -> Result<(), stores::Error> {
    let team = &remains.team;
    if let Some(grant) = remains.grant {
        let is_other = |it: &&Owner| !(it.deleted && it.credential == remains.credential);
        if !owners.iter().filter(is_other).any(|it| has(it, grant)) {
            secrets.purge(team, SecretId::Grant(grant)).await?;
        }
    }
    let app = SecretId::App(remains.credential);
    secrets.purge(team, app).await?;
    token_urls.purge(remains.credential).await
}
