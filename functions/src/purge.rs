//! What the stream of `credentials` invokes: sees to what credentials leave behind.
//!
//! Of one that has another grant now, the tokens that it left are destroyed, if nobody else has them.
//! Of one that was deleted, the schedule is told at once, where nobody else mints with its grant: it lets the grant
//! rest, or revokes it at Zoom, as the team wants it. Of one whose time to be restored is over, and whose row is gone,
//! everything sealed is destroyed, and its token URLs. All of it may be done twice.

use serde::{Deserialize, Serialize};
use shared::cause::chain;
use shared::credential::Reconnect;
use shared::envelope::SecretId;
use shared::stores::{self, Credentials, Passed, Record, Remains, Secrets, TokenUrls};

/// What the logs call it.
pub const NAME: &str = "purge";

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

/// Sees to each record in turn, up to the first that fails. `id` names the invocation in the logs.
pub async fn handle(
    credentials: &Credentials,
    secrets: &Secrets,
    token_urls: &TokenUrls,
    batch: Batch,
    id: &str,
) -> Report {
    for record in batch.records {
        let number = record.sequence_number().to_owned();
        if let Err(error) = see_to(credentials, secrets, token_urls, record, id).await {
            let cause = chain(&error);
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
    }
    Report::default()
}

async fn see_to(
    credentials: &Credentials,
    secrets: &Secrets,
    token_urls: &TokenUrls,
    record: Record,
    id: &str,
) -> Result<(), stores::Error> {
    match record.passed()? {
        None => Ok(()),
        Some(Passed::Deleted(remains)) => {
            let Some(grant) = remains.grant else {
                return Ok(());
            };
            let holders = credentials.with_grant(&remains.team, grant).await?;
            if holders.live.is_empty() {
                secrets.hasten(&remains.team, grant).await?;
            }
            Ok(())
        }
        Some(Passed::Left(remains)) => {
            let Some(grant) = remains.grant else {
                return Ok(());
            };
            let holders = credentials.with_grant(&remains.team, grant).await?;
            if holders.live.is_empty() && holders.deleted.is_empty() {
                // Whoever is at it with a credential as it was a moment ago finds the row, and looks again.
                secrets
                    .destroy(&remains.team, grant, Reconnect::Revoked)
                    .await?;
            }
            Ok(())
        }
        Some(Passed::Purged(remains)) => {
            destroy(credentials, secrets, token_urls, &remains).await?;
            tracing::info!(
                request_id = id,
                route = NAME,
                team = %remains.team,
                credential_id = %remains.credential,
                "purged"
            );
            Ok(())
        }
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
        let mut holders = credentials.with_grant(&remains.team, grant).await?;
        holders
            .deleted
            .retain(|other| other.credential.credential_id != remains.credential);
        if holders.live.is_empty() && holders.deleted.is_empty() {
            secrets.purge(&remains.team, SecretId::Grant(grant)).await?;
        }
    }
    let app = SecretId::App(remains.credential);
    secrets.purge(&remains.team, app).await?;
    token_urls.purge(remains.credential).await
}
