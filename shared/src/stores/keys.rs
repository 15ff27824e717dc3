//! The table `keys`, as functions see it: read only. Partition key `team_id`, sort key `record`
//! (`settings`, or `key#` and the key's SHA-256).

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use serde::{Deserialize, Serialize};

use super::{Error, Item, failed, from_item, text};
use crate::api_key::{ApiKey, KeyHash, Permission};
use crate::connect::ReturnOrigin;
use crate::credential::TeamId;
use crate::timestamp::Timestamp;

/// The sort key of a team's settings.
pub(super) const SETTINGS: &str = "settings";
/// What the sort key of an API key begins with.
pub(super) const KEY: &str = "key#";

/// How many mutating calls a second a team may make, unless it was set.
pub const DEFAULT_RATE: u32 = 20;

/// How many tokens a second a team may mint, unless it was set.
pub const DEFAULT_MINT_RATE: u32 = 200;

/// What is counted against a rate of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Calls that change something.
    Changes,
    /// Calls that mint.
    Mints,
}

/// An API key's row.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeyRow {
    pub(super) team_id: TeamId,
    pub(super) record: String,
    pub(super) permission: Permission,
    pub(super) created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revoked_at: Option<Timestamp>,
}

impl KeyRow {
    /// A key that is not revoked.
    pub(super) fn new(key: &ApiKey, permission: Permission) -> Self {
        Self {
            team_id: key.team().clone(),
            record: record(&key.hash()),
            permission,
            created_at: Timestamp::now(),
            revoked_at: None,
        }
    }
}

/// A team and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// The team.
    pub team_id: TeamId,
    /// Mutating calls allowed in a second.
    pub rate: u32,
    /// Tokens minted in a second.
    #[serde(default = "default_mint_rate")]
    pub mint_rate: u32,
    /// Whether a grant is revoked at Zoom when the last credential that had it is deleted.
    #[serde(default)]
    pub revoke_on_delete: bool,
    /// Where its users may be sent back to after they connected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub return_origins: Vec<ReturnOrigin>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Of a team that was created before there was such a rate.
fn default_mint_rate() -> u32 {
    DEFAULT_MINT_RATE
}

/// The table `keys`.
#[derive(Clone, Debug)]
pub struct Keys {
    client: Client,
    table: String,
}

impl Keys {
    /// `table` is the table's name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// What a key may do; `NotFound` where it is unknown or revoked.
    pub async fn permission(&self, key: &ApiKey) -> Result<Permission, Error> {
        let row: KeyRow = self.read(key.team(), &record(&key.hash())).await?;
        match row.revoked_at {
            None => Ok(row.permission),
            Some(_) => Err(Error::NotFound),
        }
    }

    /// How many such calls a second a team may make.
    pub async fn rate(&self, team: &TeamId, counted: Counted) -> Result<u32, Error> {
        let team = match self.read::<Team>(team, SETTINGS).await {
            Err(Error::NotFound) => None,
            team => Some(team?),
        };
        Ok(match counted {
            Counted::Changes => team.map_or(DEFAULT_RATE, |team| team.rate),
            Counted::Mints => team.map_or(DEFAULT_MINT_RATE, |team| team.mint_rate),
        })
    }

    /// Whether the team wants the grants of its deleted credentials revoked at Zoom.
    pub async fn revokes_on_delete(&self, team: &TeamId) -> Result<bool, Error> {
        match self.read::<Team>(team, SETTINGS).await {
            Err(Error::NotFound) => Ok(false),
            team => Ok(team?.revoke_on_delete),
        }
    }

    /// Where a team may have its users sent back to after they connected.
    pub async fn return_origins(&self, team: &TeamId) -> Result<Vec<ReturnOrigin>, Error> {
        match self.read::<Team>(team, SETTINGS).await {
            Err(Error::NotFound) => Ok(Vec::new()),
            team => team.map(|team| team.return_origins),
        }
    }

    /// Opens connections to DynamoDB, by reads of a row that no team can have. Two, since that is how many
    /// calls a request makes at once, and an HTTP/1 connection carries one.
    pub async fn warm(&self) {
        let read = async || {
            let row = ["team_id", "record"].map(|name| (name.to_owned(), text("~")));
            let get = self.client.get_item().table_name(&self.table);
            // Whatever comes back, it comes over a connection that then is open.
            get.set_key(Some(row.into())).send().await.ok();
        };
        tokio::join!(read(), read());
    }

    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        team: &TeamId,
        record: &str,
    ) -> Result<T, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(team, record)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        from_item(answer.item.ok_or(Error::NotFound)?)
    }
}

pub(super) fn record(hash: &KeyHash) -> String {
    format!("{KEY}{}", hash.as_str())
}

pub(super) fn key(team: &TeamId, record: &str) -> Item {
    HashMap::from([
        ("team_id".to_owned(), text(team)),
        ("record".to_owned(), text(record)),
    ])
}
