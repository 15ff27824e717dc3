//! The table `token-urls`. Partition key `credential_id`, sort key `url_id` (UUIDv7), TTL `purge_at`. Of a URL's
//! token it holds the SHA-256.
//!
//! A token says which row it is of, so every read is of the table itself and consistent: a revoked URL is dead with
//! the answer to its revocation, and no index has to be waited for or paid for with every use.

use std::collections::HashMap;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Error, Item, failed, from_item, newest, number, text, to_item};
use crate::credential::{CredentialId, TeamId};
use crate::timestamp::Timestamp;
use crate::token_url::{TokenUrl, UrlId, UrlToken};

/// How long the row of a URL stays that has expired or was revoked.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);

/// A token URL, as it is stored.
#[derive(Serialize, Deserialize)]
struct Row {
    credential_id: CredentialId,
    team_id: TeamId,
    token_hash: String,
    revoked_at: Option<Timestamp>,
    purge_at: Option<i64>,
    #[serde(flatten)]
    url: TokenUrl,
}

/// A URL that may be used, and whose it is.
#[derive(Debug)]
pub struct UrlRow {
    /// The team it is of.
    pub team: TeamId,
    /// What it gives.
    pub url: TokenUrl,
}

/// Some of a credential's URLs, newest first.
#[derive(Debug)]
pub struct UrlPage {
    /// The URLs.
    pub urls: Vec<TokenUrl>,
    /// Where the next page begins, if there is one: after this URL.
    pub next: Option<UrlId>,
}

/// The table `token-urls`.
#[derive(Clone, Debug)]
pub struct TokenUrls {
    client: Client,
    table: String,
}

impl TokenUrls {
    /// `table` is the table's name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    fn key(credential: CredentialId, url: UrlId) -> Item {
        HashMap::from([
            ("credential_id".to_owned(), text(&credential)),
            ("url_id".to_owned(), text(&url)),
        ])
    }

    /// Stores a new URL, to be called by `token`.
    pub async fn insert(
        &self,
        team: &TeamId,
        token: &UrlToken,
        url: &TokenUrl,
    ) -> Result<(), Error> {
        let end = url.expires_at.map(|end| end.plus(REMEMBERED).as_seconds());
        let mut item = to_item(Row {
            credential_id: token.credential(),
            team_id: team.clone(),
            token_hash: token.hash(),
            revoked_at: None,
            purge_at: end,
            url: url.clone(),
        })?;
        // To a condition, an attribute that is null exists.
        item.retain(|_, value| !value.is_null());
        let put = self.client.put_item().table_name(&self.table);
        let put = put.set_item(Some(item)).send().await;
        put.map(drop).map_err(|error| failed("PutItem", error))
    }

    /// What a URL gives; `NotFound` where it is unknown, revoked or expired. Its uses are not looked at.
    pub async fn get(&self, token: &UrlToken) -> Result<UrlRow, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(Self::key(token.credential(), token.url())))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        let row: Row = from_item(answer.item.ok_or(Error::NotFound)?)?;
        let (known, sent) = (row.token_hash.as_bytes(), token.hash());
        let is_known = verify_slices_are_equal(known, sent.as_bytes()).is_ok();
        let is_over = row.url.expires_at.is_some_and(|at| at <= Timestamp::now());
        if is_known && !is_over && row.revoked_at.is_none() {
            Ok(UrlRow {
                team: row.team_id,
                url: row.url,
            })
        } else {
            Err(Error::NotFound)
        }
    }

    /// Takes one of a URL's uses; `NotFound` where there is none left, or it was revoked or expired meanwhile.
    ///
    /// A use that was taken, but whose answer was lost, is recognised by its `taker` when the SDK's retry comes, unless
    /// another call has taken one in between: then it counts twice, and no more tokens come of it than are allowed.
    pub async fn take_use(&self, token: &UrlToken) -> Result<(), Error> {
        let me = Uuid::new_v4().to_string();
        let condition = "token_hash = :hash AND attribute_not_exists(revoked_at) \
                         AND (attribute_not_exists(expires_at) OR expires_at > :now) \
                         AND (attribute_not_exists(max_uses) OR uses < max_uses) \
                         AND (attribute_not_exists(taker) OR taker <> :me)";
        let update = self
            .update(token.credential(), token.url())
            .update_expression("SET uses = uses + :one, taker = :me")
            .condition_expression(condition)
            .expression_attribute_values(":one", number(&1))
            .expression_attribute_values(":hash", text(&token.hash()))
            .expression_attribute_values(":now", text(&Timestamp::now()))
            .expression_attribute_values(":me", text(&me))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = update.send().await else {
            return Ok(());
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                let row = refused.item.as_ref();
                match row.and_then(|row| row.get("taker")) {
                    Some(AttributeValue::S(taker)) if *taker == me => Ok(()),
                    _ => Err(Error::NotFound),
                }
            }
            _ => Err(failed("UpdateItem", error)),
        }
    }

    /// Gives back a use for which no token was released. Sent once: a use given back twice would be one more than
    /// the URL has, and one that is lost on the way is only one less.
    pub async fn give_back(&self, token: &UrlToken) -> Result<(), Error> {
        let once = aws_sdk_dynamodb::Config::builder().retry_config(RetryConfig::disabled());
        let update = self
            .update(token.credential(), token.url())
            .update_expression("SET uses = uses - :one")
            .condition_expression("token_hash = :hash AND uses > :none")
            .expression_attribute_values(":one", number(&1))
            .expression_attribute_values(":none", number(&0))
            .expression_attribute_values(":hash", text(&token.hash()));
        let sent = update.customize().config_override(once).send().await;
        sent.map(drop).map_err(missing)
    }

    /// Up to `limit` URLs of a team's credential that were not revoked, newest first, after `after`. A page may hold
    /// fewer than there are, or none, and still have a next.
    pub async fn page(
        &self,
        team: &TeamId,
        credential: CredentialId,
        after: Option<UrlId>,
        limit: u16,
    ) -> Result<UrlPage, Error> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("credential_id = :credential")
            .filter_expression("team_id = :team AND attribute_not_exists(revoked_at)")
            .expression_attribute_values(":credential", text(&credential))
            .expression_attribute_values(":team", text(team))
            .set_exclusive_start_key(after.map(|url| Self::key(credential, url)));
        let rows = newest(query, limit, "url_id", |row: &Row| row.url.url_id);
        let (rows, next) = rows.await?;
        let urls = rows.into_iter().map(|row| row.url).collect();
        Ok(UrlPage { urls, next })
    }

    /// Revokes a URL of a team's credential, for good; `NotFound` where it is unknown or was revoked before.
    pub async fn revoke(
        &self,
        team: &TeamId,
        credential: CredentialId,
        url: UrlId,
    ) -> Result<(), Error> {
        let now = Timestamp::now();
        // The same instant is this very call, whose answer was lost.
        let condition =
            "team_id = :team AND (attribute_not_exists(revoked_at) OR revoked_at = :now)";
        let update = self
            .update(credential, url)
            .update_expression("SET revoked_at = :now, purge_at = :later")
            .condition_expression(condition)
            .expression_attribute_values(":team", text(team))
            .expression_attribute_values(":now", text(&now))
            .expression_attribute_values(":later", number(&now.plus(REMEMBERED).as_seconds()));
        update.send().await.map(drop).map_err(missing)
    }

    /// Deletes all of a credential's URLs for good.
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

    fn update(&self, credential: CredentialId, url: UrlId) -> UpdateItemFluentBuilder {
        let update = self.client.update_item().table_name(&self.table);
        update.set_key(Some(Self::key(credential, url)))
    }
}

/// A condition that did not hold: no such row.
fn missing(error: SdkError<UpdateItemError>) -> Error {
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(_)) => Error::NotFound,
        _ => failed("UpdateItem", error),
    }
}
