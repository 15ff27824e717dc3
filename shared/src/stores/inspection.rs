//! For the operator alone: how the tables are, and what lies in them, told without opening anything.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{PointInTimeRecoveryStatus, TimeToLiveStatus};
use serde::Deserialize;

use super::{Error, failed, from_item, scanned};
use crate::credential::{CredentialId, GrantId, Reconnect, TeamId};
use crate::timestamp::Timestamp;

/// How a table is.
#[derive(Clone, Debug)]
pub struct TableHealth {
    /// DynamoDB's word for its state: `ACTIVE` is the one in which it can be used.
    pub status: String,
    /// Whether its changes are in a stream.
    pub streams: bool,
    /// Whether it cannot be deleted by mistake.
    pub is_protected: bool,
    /// The attribute that rows end by, if they do.
    pub ttl: Option<String>,
    /// Whether it can be restored to any moment of the last weeks. None where the engine does not say.
    pub recovers: Option<bool>,
}

/// What is known of a row of `secrets` without opening it.
#[derive(Clone, Debug)]
pub struct SealedRow {
    /// The row's key, as it stands in the table.
    pub secret_id: String,
    /// Whose it is.
    pub team: TeamId,
    /// Version and suite of each ciphertext in it: one, or where a pair is stashed two; none where it was destroyed.
    pub formats: BTreeSet<(u8, u8)>,
    /// The ARNs of the KMS keys that wrap its data keys.
    pub kids: BTreeSet<String>,
    /// Why its user has to authorize again, where that is so.
    pub reason: Option<Reconnect>,
    /// When a grant was last refreshed, if it is to be.
    pub due_since: Option<Timestamp>,
    /// Whether a pair is stashed.
    pub has_stash: bool,
}

/// What a credential holds, deleted or not.
#[derive(Clone, Debug, Deserialize)]
pub struct Holding {
    /// Whose it is.
    #[serde(rename = "team_id")]
    pub team: TeamId,
    /// Which it is.
    #[serde(rename = "credential_id")]
    pub credential: CredentialId,
    /// Its grant, if it has one.
    #[serde(rename = "grant_id")]
    pub grant: Option<GrantId>,
}

#[derive(Deserialize)]
struct Row {
    secret_id: String,
    team_id: TeamId,
    #[serde(default, with = "serde_bytes")]
    sealed: Option<Vec<u8>>,
    #[serde(default, with = "serde_bytes")]
    alt_sealed: Option<Vec<u8>>,
    kid: Option<String>,
    alt_kid: Option<String>,
    reason: Option<Reconnect>,
    due_shard: Option<String>,
    refreshed_at: Option<Timestamp>,
}

/// The tables, with the power to look through all of them and to change nothing.
#[derive(Clone, Debug)]
pub struct Inspection {
    client: Client,
}

impl Inspection {
    /// With the operator's client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// How a table is; `NoTable` where it is not there.
    pub async fn table(&self, name: &str) -> Result<TableHealth, Error> {
        let described = self.client.describe_table().table_name(name).send().await;
        let described = described.map_err(|error| failed("DescribeTable", error))?;
        let table = described.table;
        let table = table.ok_or(Error::NotFound)?;
        let ttl = self
            .client
            .describe_time_to_live()
            .table_name(name)
            .send()
            .await
            .map_err(|error| failed("DescribeTimeToLive", error))?;
        let ttl = ttl.time_to_live_description.filter(|ttl| {
            matches!(
                ttl.time_to_live_status,
                Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
            )
        });
        // Engines that play DynamoDB may not know the question.
        let backups = self.client.describe_continuous_backups();
        let backups = backups.table_name(name).send().await.ok();
        let recovery = backups
            .and_then(|answer| answer.continuous_backups_description)
            .and_then(|backups| backups.point_in_time_recovery_description);
        Ok(TableHealth {
            status: table.table_status.map_or_else(
                || "of no status".to_owned(),
                |status| status.as_str().to_owned(),
            ),
            streams: table
                .stream_specification
                .is_some_and(|stream| stream.stream_enabled),
            is_protected: table.deletion_protection_enabled.unwrap_or_default(),
            ttl: ttl.and_then(|ttl| ttl.attribute_name),
            recovers: recovery.map(|recovery| {
                recovery.point_in_time_recovery_status == Some(PointInTimeRecoveryStatus::Enabled)
            }),
        })
    }

    /// Every row of the table `secrets`, which `table` names.
    pub async fn sealed(&self, table: &str) -> Result<Vec<SealedRow>, Error> {
        let scan = self.client.scan().projection_expression(
            "secret_id, team_id, sealed, alt_sealed, kid, alt_kid, reason, due_shard, refreshed_at",
        );
        let rows = scanned(scan.table_name(table)).await?.into_iter();
        rows.map(|item| {
            let row: Row = from_item(item)?;
            let format = |sealed: &Vec<u8>| match sealed.as_slice() {
                [version, suite, ..] => (*version, *suite),
                [] | [_] => (0, 0),
            };
            let formats = row.sealed.iter().chain(&row.alt_sealed);
            Ok(SealedRow {
                formats: formats.map(format).collect(),
                kids: row.kid.into_iter().chain(row.alt_kid).collect(),
                has_stash: row.alt_sealed.is_some(),
                due_since: row.due_shard.and(row.refreshed_at),
                reason: row.reason,
                secret_id: row.secret_id,
                team: row.team_id,
            })
        })
        .collect()
    }

    /// What every credential holds, of the table `credentials`, which `table` names.
    pub async fn holdings(&self, table: &str) -> Result<Vec<Holding>, Error> {
        let scan = self.client.scan();
        let scan = scan.projection_expression("team_id, credential_id, grant_id");
        let rows = scanned(scan.table_name(table)).await?.into_iter();
        rows.map(from_item).collect()
    }
}
