//! The table `token-urls`. The partition key is `credential_id`, the sort key is `url_id` (UUIDv7), the TTL is
//! `purge_at`. The URLs of a team have the team's partition in place of a credential's id. A row holds the SHA-256 of
//! the URL's token, not the token.
//!
//! A token contains the key of its row, so every read is a consistent read of the table. A revoked URL therefore
//! stops at once, and no use of a URL has to pay for an index.

use std::collections::HashMap;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::choosing_url::AnyUrl;
use crate::credential::{CredentialId, TeamId};
use crate::stores::error::{Error, failed};
use crate::stores::expression::Update;
use crate::stores::item::{Item, from_item, number, query_newest, text, to_item};
use crate::stores::transaction::{RowKind, Transaction, Write};
use crate::timestamp::Timestamp;
use crate::token_url::{UrlId, UrlPartition, UrlToken};

/// The index that finds the URLs of a team. It does not have the uses, so that a use costs one write.
const BY_TEAM: &str = "by-team";

/// How many rows are read at the same time for a list of a team.
const CONCURRENT_READS: usize = 16;

/// How long the row of a URL is kept after the URL has expired or was revoked.
const ENDED_URL_RETENTION: Duration = Duration::from_hours(30 * 24);

/// A token URL as DynamoDB stores it.
#[derive(Serialize, Deserialize)]
struct TokenUrlRow {
    #[serde(rename = "credential_id")]
    partition: UrlPartition,
    team_id: TeamId,
    token_hash: String,
    revoked_at: Option<Timestamp>,
    purge_at: Option<i64>,
    #[serde(flatten)]
    url: AnyUrl,
}

/// A token URL that is neither revoked nor expired.
#[derive(Debug)]
pub struct UsableTokenUrl {
    /// The team of the URL.
    pub team: TeamId,
    /// The URL.
    pub url: AnyUrl,
}

/// A token URL of a team, as the index shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct TeamTokenUrl {
    /// The id of the URL.
    pub url_id: UrlId,
    /// The credential that the URL mints with, or the partition of the team.
    #[serde(rename = "credential_id")]
    pub partition: UrlPartition,
    /// The id of the API key that created the URL.
    pub created_by: String,
}

/// A token URL for the operator, with its team and its credential. It contains no secret.
#[derive(Clone, Debug, Serialize)]
pub struct TokenUrlListing {
    /// The team of the URL.
    pub team: TeamId,
    /// The credential that the URL mints with. `None` if the URL chooses.
    pub credential_id: Option<CredentialId>,
    /// The URL.
    #[serde(flatten)]
    pub url: AnyUrl,
    /// When the URL was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl From<TokenUrlRow> for TokenUrlListing {
    fn from(row: TokenUrlRow) -> Self {
        let credential_id = match row.url {
            AnyUrl::Choosing(_) => None,
            AnyUrl::OfCredential(_) => Some(row.partition.credential()),
        };
        Self {
            team: row.team_id,
            credential_id,
            url: row.url,
            revoked_at: row.revoked_at,
        }
    }
}

impl TokenUrlListing {
    /// Where the URL's row lies.
    pub fn partition(&self) -> UrlPartition {
        let of_team = || UrlPartition::of_team(&self.team);
        self.credential_id.map_or_else(of_team, UrlPartition::from)
    }
}

/// A page of URLs, newest first.
#[derive(Debug)]
pub struct TokenUrlPage {
    /// The URLs of this page.
    pub urls: Vec<AnyUrl>,
    /// The next page begins after this URL. `None` on the last page.
    pub next: Option<UrlId>,
}

/// The table `token-urls`.
#[derive(Clone, Debug)]
pub struct TokenUrls {
    client: Client,
    table: String,
}

impl TokenUrls {
    /// Creates a store for the table that is named `table` in AWS.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    fn key(partition: UrlPartition, url: UrlId) -> Item {
        HashMap::from([
            ("credential_id".to_owned(), text(&partition)),
            ("url_id".to_owned(), text(&url)),
        ])
    }

    /// Begins a transaction with this write.
    pub fn begin(&self, write: Write) -> Transaction<'_> {
        Transaction::new(&self.client, write)
    }

    /// The write that inserts a URL. Callers of the URL present `token`.
    pub fn insert(&self, team: &TeamId, token: &UrlToken, url: AnyUrl) -> Result<Write, Error> {
        let end = url
            .terms()
            .expires_at
            .map(|end| end.plus(ENDED_URL_RETENTION).as_seconds());
        let mut item = to_item(TokenUrlRow {
            partition: token.partition(),
            team_id: team.clone(),
            token_hash: token.hash(),
            revoked_at: None,
            purge_at: end,
            url,
        })?;
        // `attribute_not_exists` is false for an attribute that is null.
        item.retain(|_, value| !value.is_null());
        let absent = Some("attribute_not_exists(url_id)");
        Write::put(RowKind::TokenUrl, &self.table, item, absent, HashMap::new())
    }

    /// Reads the URL of a token. Returns `None` if the token is unknown, or the URL is revoked, expired or used up.
    pub async fn get(&self, token: &UrlToken) -> Result<Option<UsableTokenUrl>, Error> {
        let now = Timestamp::now();
        let row = self.row_of(token).await?;
        let usable = row.filter(|row| {
            let terms = row.url.terms();
            let is_over = terms.expires_at.is_some_and(|end| end <= now);
            let is_used_up = terms.max_uses.is_some_and(|max| terms.uses >= max);
            row.revoked_at.is_none() && !is_over && !is_used_up
        });
        Ok(usable.map(|row| UsableTokenUrl {
            team: row.team_id,
            url: row.url,
        }))
    }

    /// Finds the URL of a token, also if it is revoked or expired. Returns `None` if the token is unknown.
    pub async fn find(&self, token: &UrlToken) -> Result<Option<TokenUrlListing>, Error> {
        let row = self.row_of(token).await?;
        Ok(row.map(TokenUrlListing::from))
    }

    /// The row whose secret is this token.
    async fn row_of(&self, token: &UrlToken) -> Result<Option<TokenUrlRow>, Error> {
        let row = self.row(token.partition(), token.url()).await?;
        let sent = token.hash();
        let is_known = |row: &TokenUrlRow| {
            verify_slices_are_equal(row.token_hash.as_bytes(), sent.as_bytes()).is_ok()
        };
        Ok(row.filter(is_known))
    }

    async fn row(&self, partition: UrlPartition, url: UrlId) -> Result<Option<TokenUrlRow>, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(Self::key(partition, url)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        answer.item.map(from_item).transpose()
    }

    /// Takes a use of a URL. Returns `false` if no use is left, or if the URL was revoked or has expired.
    ///
    /// The SDK retries an update whose response was lost. The `taker` attribute shows that the first try was applied.
    /// If another call took a use in between, the retry takes a second use. The URL then yields fewer tokens than
    /// allowed, never more.
    pub async fn take_use(&self, token: &UrlToken) -> Result<bool, Error> {
        let me = Uuid::new_v4().to_string();
        let condition = "token_hash = :hash AND attribute_not_exists(revoked_at) \
                         AND (attribute_not_exists(expires_at) OR expires_at > :now) \
                         AND (attribute_not_exists(max_uses) OR uses < max_uses) \
                         AND (attribute_not_exists(taker) OR taker <> :me)";
        let update = self
            .update(token.partition(), token.url())
            .update_expression("SET uses = uses + :one, taker = :me")
            .condition_expression(condition)
            .expression_attribute_values(":one", number(&1))
            .expression_attribute_values(":hash", text(&token.hash()))
            .expression_attribute_values(":now", text(&Timestamp::now()))
            .expression_attribute_values(":me", text(&me))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = update.send().await else {
            return Ok(true);
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                let row = refused.item.as_ref();
                let taker = row.and_then(|row| row.get("taker"));
                Ok(taker == Some(&AttributeValue::S(me)))
            }
            _ => Err(failed("UpdateItem", error)),
        }
    }

    /// Returns a use that yielded no token. The SDK must not retry this update: a use that is returned twice would
    /// allow one token too many, and a use that is not returned costs only one token.
    pub async fn return_use(&self, token: &UrlToken) -> Result<(), Error> {
        let once = aws_sdk_dynamodb::Config::builder().retry_config(RetryConfig::disabled());
        let update = self
            .update(token.partition(), token.url())
            .update_expression("SET uses = uses - :one")
            .condition_expression("token_hash = :hash AND uses > :none")
            .expression_attribute_values(":one", number(&1))
            .expression_attribute_values(":none", number(&0))
            .expression_attribute_values(":hash", text(&token.hash()));
        let sent = update.customize().config_override(once).send().await;
        sent.map(drop).map_err(missing)
    }

    /// Reads up to `limit` URLs of a partition that are not revoked, newest first, starting after `after`.
    ///
    /// A page may be short or empty and still have a next page, because the filter runs after the limit, and rows of
    /// unknown shape are left out.
    pub async fn page(
        &self,
        team: &TeamId,
        partition: UrlPartition,
        after: Option<UrlId>,
        limit: u16,
    ) -> Result<TokenUrlPage, Error> {
        let query = self
            .client
            .query()
            .key_condition_expression("credential_id = :partition")
            .filter_expression("team_id = :team AND attribute_not_exists(revoked_at)")
            .expression_attribute_values(":partition", text(&partition))
            .expression_attribute_values(":team", text(team))
            .consistent_read(true)
            .set_exclusive_start_key(after.map(|url| Self::key(partition, url)));
        let rows = query_newest::<TokenUrlRow, _>(query, limit, (&self.table, "url_id"));
        let (rows, next) = rows.await?;
        let urls = rows.into_iter().map(|row| row.url).collect();
        Ok(TokenUrlPage { urls, next })
    }

    /// Reads the `wanted` URLs of a team that are not revoked, newest first. A URL of the last second may be missing,
    /// because the index follows the table. The index has no uses, so each wanted URL costs a read.
    pub async fn of_team(
        &self,
        team: &TeamId,
        wanted: impl Fn(&TeamTokenUrl) -> bool,
    ) -> Result<Vec<TokenUrlListing>, Error> {
        let mut rows = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_TEAM)
            .key_condition_expression("team_id = :team")
            .filter_expression("attribute_not_exists(revoked_at)")
            .expression_attribute_values(":team", text(team))
            .scan_index_forward(false)
            .into_paginator()
            .items()
            .send();
        let mut found: Vec<TeamTokenUrl> = Vec::new();
        while let Some(row) = rows.next().await {
            found.push(from_item(row.map_err(|error| failed("Query", error))?)?);
        }
        found.retain(wanted);
        let rows = found.iter().map(|it| self.row(it.partition, it.url_id));
        let rows = stream::iter(rows).buffered(CONCURRENT_READS);
        let rows: Vec<Option<TokenUrlRow>> = rows.try_collect().await?;
        let rows = rows.into_iter().flatten();
        let rows = rows.filter(|row| row.revoked_at.is_none());
        Ok(rows.map(TokenUrlListing::from).collect())
    }

    /// The write that revokes a URL of a team. Refused if the URL is unknown or was revoked before.
    pub fn revoke(
        &self,
        team: &TeamId,
        partition: UrlPartition,
        url: UrlId,
    ) -> Result<Write, Error> {
        let now = Timestamp::now();
        let update = Update::new()
            .set("revoked_at", text(&now))
            .set(
                "purge_at",
                number(&now.plus(ENDED_URL_RETENTION).as_seconds()),
            )
            .when_equal("team_id", text(team))
            .when_absent("revoked_at");
        let key = Self::key(partition, url);
        Write::update(RowKind::TokenUrl, &self.table, key, update.build())
    }

    /// Deletes all URLs of a credential.
    pub async fn purge(&self, credential: CredentialId) -> Result<(), Error> {
        let mut rows = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("credential_id = :credential")
            .expression_attribute_values(":credential", text(&credential))
            .projection_expression("credential_id, url_id")
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        while let Some(key) = rows.next().await {
            let key = key.map_err(|error| failed("Query", error))?;
            let delete = self.client.delete_item().table_name(&self.table);
            let sent = delete.set_key(Some(key)).send().await;
            sent.map_err(|error| failed("DeleteItem", error))?;
        }
        Ok(())
    }

    fn update(&self, partition: UrlPartition, url: UrlId) -> UpdateItemFluentBuilder {
        let update = self.client.update_item().table_name(&self.table);
        update.set_key(Some(Self::key(partition, url)))
    }
}

/// Maps a failed condition to `NotFound`.
fn missing(error: SdkError<UpdateItemError>) -> Error {
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(_)) => Error::NotFound,
        _ => failed("UpdateItem", error),
    }
}
