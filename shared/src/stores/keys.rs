//! The table `keys`: teams and API keys. Functions only read this table; [`super::TeamAdmin`] writes it.
//!
//! The partition key is `team_id`. The sort key `record` is `settings`, or `key#` with the SHA-256 of an API key.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::api_key::{ApiKey, KeyHash, KeyId, KeyTerms};
use crate::brand::Brand;
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

/// The longest lifetime of a token that a caller may ask for by default, in seconds. It is the lifetime that Zoom gives
/// a token if nobody asks for another one.
pub const DEFAULT_MAX_TOKEN_TTL: u32 = 7_200;

/// The kinds of calls that have a rate limit of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateKind {
    /// Calls that change something.
    Mutations,
    /// Calls that mint a token.
    Mints,
    /// Calls that read.
    Reads,
}

/// A key that the store knows, and that works now.
#[derive(Clone, Debug)]
pub struct KnownKey {
    /// Its id.
    pub id: KeyId,
    /// What the operator has decided about it.
    pub terms: KeyTerms,
    /// How many calls a second the team may make that read. `None`: any number.
    pub read_rate: Option<u32>,
}

/// The row of an API key.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeyRow {
    pub(super) team_id: TeamId,
    pub(super) record: String,
    #[serde(flatten)]
    pub(super) terms: KeyTerms,
    pub(super) created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revoked_at: Option<Timestamp>,
    /// The key that a rotation has made in place of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replaced_by: Option<KeyId>,
    /// When the operator suspended the team. Here too, so that a call reads one row to know its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) suspended_at: Option<Timestamp>,
    /// The team's rate of reads. Here too, for the same reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) read_rate: Option<u32>,
}

impl KeyRow {
    /// The row of a new key of this team.
    pub(super) fn new(key: &ApiKey, terms: KeyTerms, team: Option<&Team>) -> Self {
        Self {
            team_id: key.team().clone(),
            record: record(&key.hash()),
            terms,
            created_at: Timestamp::now(),
            revoked_at: None,
            replaced_by: None,
            suspended_at: team.and_then(|team| team.suspended_at),
            read_rate: team.and_then(|team| team.read_rate),
        }
    }

    fn works_at(&self, now: Timestamp) -> bool {
        let has_ended = self.terms.expires_at.is_some_and(|end| end <= now);
        self.revoked_at.is_none() && self.suspended_at.is_none() && !has_ended
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
    /// How many calls a second the team may make that read. `None`: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_rate: Option<u32>,
    /// The longest lifetime of a token that a caller may ask for, in seconds.
    #[serde(default = "default_max_token_ttl")]
    pub max_token_ttl: u32,
    /// When the operator suspended the team: its keys and token URLs do not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<Timestamp>,
    /// Whether the vault revokes a grant at Zoom when the last credential that uses the grant is deleted.
    #[serde(default)]
    pub revoke_on_delete: bool,
    /// Whether the team may try `onbehalf` tokens of account-level credentials.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub account_onbehalf: bool,
    /// Whether token URLs may give access tokens of the team's users to vendors.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub access_token_urls: bool,
    /// The origins that a user may be sent back to after connecting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub return_origins: Vec<ReturnOrigin>,
    /// How the team presents itself on the connect page.
    #[serde(flatten)]
    pub brand: Brand,
    /// When the team was created.
    pub created_at: Timestamp,
}

/// The mint rate of a team that was created before mints had a rate of their own.
fn default_mint_rate() -> u32 {
    DEFAULT_MINT_RATE
}

fn default_max_token_ttl() -> u32 {
    DEFAULT_MAX_TOKEN_TTL
}

impl Team {
    /// A team with these rates, and otherwise with the defaults.
    pub fn new(team_id: TeamId, rate: u32, mint_rate: u32) -> Self {
        Self {
            team_id,
            rate,
            mint_rate,
            read_rate: None,
            max_token_ttl: DEFAULT_MAX_TOKEN_TTL,
            suspended_at: None,
            revoke_on_delete: false,
            account_onbehalf: false,
            access_token_urls: false,
            return_origins: Vec::new(),
            brand: Brand::default(),
            created_at: Timestamp::now(),
        }
    }

    /// How many calls of this kind a second the team may make. `None`: any number.
    pub fn rate_of(&self, kind: RateKind) -> Option<u32> {
        match kind {
            RateKind::Mutations => Some(self.rate),
            RateKind::Mints => Some(self.mint_rate),
            RateKind::Reads => self.read_rate,
        }
    }
}

/// The table `keys`.
#[derive(Clone, Debug)]
pub struct Keys {
    pub(super) client: Client,
    pub(super) table: String,
}

impl Keys {
    /// Creates a store for the table that is named `table` in AWS.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Reads what is known about an API key. Returns `None` if the key is unknown, revoked or expired, or if its team
    /// is suspended.
    pub async fn known(&self, key: &ApiKey) -> Result<Option<KnownKey>, Error> {
        let row = self.read(key.team(), &record(&key.hash())).await?;
        parse(key, row)
    }

    /// Reads a team's settings. The default settings if the team has no row.
    pub async fn settings(&self, team: &TeamId) -> Result<Team, Error> {
        let row = self.read(team, SETTINGS).await?;
        let stored: Option<Team> = row.map(from_item).transpose()?;
        Ok(stored.unwrap_or_else(|| Team::new(team.clone(), DEFAULT_RATE, DEFAULT_MINT_RATE)))
    }

    /// Reads whether the vault revokes the grants of the team's deleted credentials at Zoom.
    pub async fn revokes_on_delete(&self, team: &TeamId) -> Result<bool, Error> {
        Ok(self.settings(team).await?.revoke_on_delete)
    }

    /// Opens so many connections to DynamoDB. An HTTP/1 connection carries one call, so pass the number of calls that a
    /// request makes at the same time. Reads a row that no team can have.
    pub async fn warm(&self, connections: usize) {
        let read = async |_| {
            let row = ["team_id", "record"].map(|name| (name.to_owned(), text("~")));
            let get = self.client.get_item().table_name(&self.table);
            // Any answer leaves the connection open.
            get.set_key(Some(row.into())).send().await.ok();
        };
        join_all((0..connections).map(read)).await;
    }

    async fn read(&self, team: &TeamId, record: &str) -> Result<Option<Item>, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(team, record)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        Ok(answer.item)
    }
}

/// What the row of a key says about the key.
pub(super) fn parse(key: &ApiKey, row: Option<Item>) -> Result<Option<KnownKey>, Error> {
    let row: Option<KeyRow> = row.map(from_item).transpose()?;
    let row = row.filter(|row| row.works_at(Timestamp::now()));
    Ok(row.map(|row| KnownKey {
        id: key.hash().id(),
        terms: row.terms,
        read_rate: row.read_rate,
    }))
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
