//! The table `keys`: teams and API keys. Functions only read this table; [`super::TeamAdmin`] writes it.
//!
//! The partition key is `team_id`. The sort key `record` is `settings`, or `key#` with the SHA-256 of an API key.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use serde::{Deserialize, Serialize};

use crate::api_key::{ApiKey, KeyHash, Permission};
use crate::connect::ReturnOrigin;
use crate::credential::TeamId;
use crate::stores::error::{Error, failed};
use crate::stores::item::{Item, from_item, text};
use crate::timestamp::Timestamp;

/// The sort key of a team's settings.
pub(super) const SETTINGS: &str = "settings";
/// The prefix of the sort key of an API key.
pub(super) const KEY_PREFIX: &str = "key#";

/// How many mutating calls per second a team may make by default.
pub const DEFAULT_RATE: u32 = 20;

/// How many tokens per second a team may mint by default. One team alone must not fill the stage: `ThrottleRate` in
/// template.yaml is 100 for each method.
pub const DEFAULT_MINT_RATE: u32 = 50;

/// The kinds of calls that have a rate limit of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateKind {
    /// Calls that change something.
    Mutations,
    /// Calls that mint a token.
    Mints,
}

/// The row of an API key.
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
    /// The row of a new key.
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
    /// The id of the team.
    pub team_id: TeamId,
    /// How many mutating calls per second the team may make.
    pub rate: u32,
    /// How many tokens per second the team may mint.
    #[serde(default = "default_mint_rate")]
    pub mint_rate: u32,
    /// Whether the vault revokes a grant at Zoom when the last credential that uses the grant is deleted.
    #[serde(default)]
    pub revoke_on_delete: bool,
    /// The origins that a user may be sent back to after connecting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub return_origins: Vec<ReturnOrigin>,
    /// When the team was created.
    pub created_at: Timestamp,
}

/// The mint rate of a team that was created before mints had a rate of their own.
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
    /// Creates a store for the table that is named `table` in AWS.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Reads the permission of an API key. Returns `None` if the key is unknown or revoked.
    pub async fn permission(&self, key: &ApiKey) -> Result<Option<Permission>, Error> {
        let row: Option<KeyRow> = self.read(key.team(), &record(&key.hash())).await?;
        let row = row.filter(|row| row.revoked_at.is_none());
        Ok(row.map(|row| row.permission))
    }

    /// Reads how many calls of this kind per second a team may make.
    pub async fn rate(&self, team: &TeamId, counted: RateKind) -> Result<u32, Error> {
        let team = self.read::<Team>(team, SETTINGS).await?;
        Ok(match counted {
            RateKind::Mutations => team.map_or(DEFAULT_RATE, |team| team.rate),
            RateKind::Mints => team.map_or(DEFAULT_MINT_RATE, |team| team.mint_rate),
        })
    }

    /// Reads whether the vault revokes the grants of the team's deleted credentials at Zoom.
    pub async fn revokes_on_delete(&self, team: &TeamId) -> Result<bool, Error> {
        let team = self.read::<Team>(team, SETTINGS).await?;
        Ok(team.is_some_and(|team| team.revoke_on_delete))
    }

    /// Reads the origins that the team's users may be sent back to after connecting.
    pub async fn return_origins(&self, team: &TeamId) -> Result<Vec<ReturnOrigin>, Error> {
        let team = self.read::<Team>(team, SETTINGS).await?;
        Ok(team.map_or_else(Vec::new, |team| team.return_origins))
    }

    /// Opens two connections to DynamoDB, because a request makes up to two calls at the same time and an HTTP/1
    /// connection carries one. Reads a row that no team can have.
    pub async fn warm(&self) {
        let read = async || {
            let row = ["team_id", "record"].map(|name| (name.to_owned(), text("~")));
            let get = self.client.get_item().table_name(&self.table);
            // Any answer leaves the connection open.
            get.set_key(Some(row.into())).send().await.ok();
        };
        tokio::join!(read(), read());
    }

    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        team: &TeamId,
        record: &str,
    ) -> Result<Option<T>, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(team, record)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        answer.item.map(from_item).transpose()
    }
}

pub(super) fn record(hash: &KeyHash) -> String {
    format!("{KEY_PREFIX}{}", hash.as_str())
}

pub(super) fn key(team: &TeamId, record: &str) -> Item {
    HashMap::from([
        ("team_id".to_owned(), text(team)),
        ("record".to_owned(), text(record)),
    ])
}
