//! The operator's read-only checks: the health of the tables, and their rows without any plaintext.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{PointInTimeRecoveryStatus, TableDescription, TimeToLiveStatus};
use serde::Deserialize;

use crate::attention::Attention;
use crate::credential::{ClientId, ReconnectReason, State};
use crate::pair::{Pair, PairId};
use crate::stores::error::{Error, failed};
use crate::stores::item::{from_item, scan_each, text};
use crate::stores::pairs::StoredPair;
use crate::stores::secrets::DUE_AT_ONCE;
use crate::stores::stream::CredentialIds;
use crate::timestamp::Timestamp;

/// The settings and the state of a table.
#[derive(Clone, Debug)]
pub struct TableHealth {
    /// The names of the attributes that are the key of a row.
    pub keys: Vec<String>,
    /// DynamoDB's word for the state of the table. Only an `ACTIVE` table can be used.
    pub status: String,
    /// Whether the table has a stream of its changes.
    pub streams: bool,
    /// Whether the table is protected against deletion.
    pub is_protected: bool,
    /// The attribute that holds the TTL, if the TTL is enabled.
    pub ttl: Option<String>,
    /// Whether point-in-time recovery is enabled. `None` if the engine cannot say.
    pub recovers: Option<bool>,
}

/// A row of `secrets`, without its plaintext.
#[derive(Clone, Debug)]
pub struct SealedRow {
    /// The key of the row.
    pub secret_id: String,
    /// The version and the suite of each ciphertext. A row has one ciphertext, two with a stash, none after the
    /// tokens were destroyed.
    pub formats: BTreeSet<(u8, u8)>,
    /// The ARNs of the KMS keys that wrap the data keys of the row.
    pub kids: BTreeSet<String>,
    /// Why the user must authorize again, if the grant is dead.
    pub reason: Option<ReconnectReason>,
    /// When Zoom last issued tokens for the grant, if the keep-alive schedule has the grant.
    pub scheduled_since: Option<Timestamp>,
    /// Whether the next run of keep-alive handles the grant.
    pub is_due: bool,
    /// Whether the row of a grant names its Zoom app. Without the app, no version of the vault that counts pairs wrote
    /// the row.
    pub has_app: bool,
    /// Whether the row has a stashed pair.
    pub has_stash: bool,
}

/// What the row of a credential says about its secrets, its pair and its state.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CredentialLinks {
    /// The credential, its team, its grant and its pair.
    #[serde(flatten)]
    pub ids: CredentialIds,
    /// The client id of the Zoom app.
    pub client_id: Option<ClientId>,
    /// Zoom's id of the user, if the user is known.
    pub zoom_user_id: Option<String>,
    /// The owner's name for the credential.
    #[serde(default)]
    pub name: String,
    /// Whether the credential works.
    pub state: Option<State>,
    /// The last error.
    pub last_error_message: Option<String>,
    /// Whether the credential is soft-deleted.
    #[serde(default)]
    pub deleted: bool,
}

/// The pair that should count a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairLink {
    /// The user is not known, so no pair counts the credential.
    None,
    /// The row names this pair, which is the pair of its app and user.
    Counted(PairId, Pair),
    /// The user is known, but the row names no pair. No version of the vault that counts pairs wrote the row.
    Uncounted,
    /// The row names another pair than that of its app and user. Somebody changed it by hand.
    Foreign,
}

impl CredentialLinks {
    /// Why the credential needs a person. `None` if nobody must act.
    pub fn attention(&self) -> Option<Attention> {
        Attention::of(self.state?, self.last_error_message.as_deref())
    }

    /// The pair that counts the credential, if the row is as the vault writes it.
    pub fn pair(&self) -> PairLink {
        let user = self.client_id.clone().zip(self.zoom_user_id.clone());
        let pair = user.map(|(client_id, zoom_user_id)| Pair {
            team: self.ids.team.clone(),
            client_id,
            zoom_user_id,
        });
        match (&self.ids.pair, pair) {
            (None, None) => PairLink::None,
            (None, Some(_)) => PairLink::Uncounted,
            (Some(id), Some(pair)) if pair.id() == *id => PairLink::Counted(id.clone(), pair),
            (Some(_), _) => PairLink::Foreign,
        }
    }
}

#[derive(Deserialize)]
struct InspectedRow {
    secret_id: String,
    #[serde(default, with = "serde_bytes")]
    sealed: Option<Vec<u8>>,
    #[serde(default, with = "serde_bytes")]
    alt_sealed: Option<Vec<u8>>,
    kid: Option<String>,
    alt_kid: Option<String>,
    reason: Option<ReconnectReason>,
    client_id: Option<ClientId>,
    due_shard: Option<String>,
    refreshed_at: Option<Timestamp>,
    idle_since: Option<Timestamp>,
}

/// All tables, with the power to describe and scan them, and to change nothing.
#[derive(Clone, Debug)]
pub struct TableInspector {
    client: Client,
}

impl TableInspector {
    /// Creates an inspector with the operator's client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The names of the attributes that are the key of a row of this table. Returns `NoTable` if the table does not
    /// exist.
    pub async fn keys_of(&self, name: &str) -> Result<Vec<String>, Error> {
        self.description(name).await.map(|table| keys(&table))
    }

    async fn description(&self, name: &str) -> Result<TableDescription, Error> {
        let described = self.client.describe_table().table_name(name).send().await;
        let described = described.map_err(|error| failed("DescribeTable", error))?;
        described.table.ok_or(Error::NotFound)
    }

    /// Describes a table. Returns `NoTable` if the table does not exist.
    pub async fn describe_table(&self, name: &str) -> Result<TableHealth, Error> {
        let table = self.description(name).await?;
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
        let backups = self.client.describe_continuous_backups();
        let recovery = match backups.table_name(name).send().await {
            Ok(answer) => answer
                .continuous_backups_description
                .and_then(|backups| backups.point_in_time_recovery_description),
            // A local DynamoDB engine may not have this call.
            Err(error) if error.code() == Some(UNKNOWN_OPERATION) => None,
            Err(error) => return Err(failed("DescribeContinuousBackups", error)),
        };
        Ok(TableHealth {
            keys: keys(&table),
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

    /// Reads all rows of the table `secrets`, one page at a time, and calls `visit` with each. Returns the ids of the
    /// rows of unknown shape. `table` is the name of the table in AWS.
    pub async fn visit_sealed_rows(
        &self,
        table: &str,
        visit: impl FnMut(SealedRow),
    ) -> Result<Vec<String>, Error> {
        // A ciphertext is read for its first two bytes: DynamoDB can project whole attributes only.
        let scan = self.client.scan().projection_expression(
            "secret_id, sealed, alt_sealed, kid, alt_kid, reason, client_id, due_shard, refreshed_at, \
             idle_since",
        );
        let parse = |item| from_item::<InspectedRow>(item).map(SealedRow::from);
        scan_each(scan, (table, "secret_id"), parse, visit).await
    }

    /// Reads all credentials of all teams with their grants and pairs, soft-deleted or not, one page at a time, and
    /// calls `visit` with each. Returns the ids of the rows of unknown shape. `table` is the name of the table
    /// `credentials` in AWS.
    pub async fn visit_credentials(
        &self,
        table: &str,
        visit: impl FnMut(CredentialLinks),
    ) -> Result<Vec<String>, Error> {
        // `name` and `state` are reserved words.
        let scan = self
            .client
            .scan()
            .projection_expression(
                "team_id, credential_id, client_id, grant_id, pair_id, zoom_user_id, deleted, #name, #state, \
                 last_error_message",
            )
            .expression_attribute_names("#name", "name")
            .expression_attribute_names("#state", "state");
        scan_each(scan, (table, "credential_id"), from_item, visit).await
    }

    /// Reads the rows of all pairs, one page at a time, and calls `visit` with each. Returns the ids of the rows of
    /// unknown shape. `table` is the name of the table `pairs` in AWS.
    pub async fn visit_pairs(
        &self,
        table: &str,
        visit: impl FnMut(StoredPair),
    ) -> Result<Vec<String>, Error> {
        // The other rows remember that a credential was counted out.
        let scan = self.client.scan();
        let scan = scan.filter_expression("begins_with(pair_id, :pair)");
        let scan = scan.expression_attribute_values(":pair", text("pair#"));
        scan_each(scan, (table, "pair_id"), from_item, visit).await
    }
}

/// The engine's code for a call that it does not have.
const UNKNOWN_OPERATION: &str = "UnknownOperationException";

fn keys(table: &TableDescription) -> Vec<String> {
    let keys = table.key_schema().iter();
    keys.map(|key| key.attribute_name().to_owned()).collect()
}

impl From<InspectedRow> for SealedRow {
    fn from(row: InspectedRow) -> Self {
        let format = |sealed: &Vec<u8>| match sealed.as_slice() {
            [version, suite, ..] => (*version, *suite),
            [] | [_] => (0, 0),
        };
        let formats = row.sealed.iter().chain(&row.alt_sealed);
        Self {
            formats: formats.map(format).collect(),
            kids: row.kid.into_iter().chain(row.alt_kid).collect(),
            has_stash: row.alt_sealed.is_some(),
            has_app: row.client_id.is_some(),
            is_due: row.due_shard.is_some() && row.idle_since == Some(DUE_AT_ONCE),
            scheduled_since: row.due_shard.and(row.refreshed_at),
            reason: row.reason,
            secret_id: row.secret_id,
        }
    }
}
