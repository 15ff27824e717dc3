//! The store of the table: what the other files build on.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use uuid::Uuid;

use super::row::{AuthorizedGrant, Change, CredentialRow, StoredCredential};
use crate::credential::{CredentialId, TeamId};
use crate::stores::error::{Error, failed};
use crate::stores::expression::Update;
use crate::stores::item::{Item, from_item, log_unreadable, number, text};
use crate::stores::row_lock::retry_while_locked;
use crate::stores::transaction::{RowKind, Transaction, Write};
use crate::timestamp::Timestamp;

/// The index that finds the credentials of a Zoom user. Its keys are `zoom_user_id` and `team_id`.
pub(super) const BY_ZOOM_USER: &str = "by-zoom-user";

/// The index that finds the credentials of an email address. Its keys are [`EMAIL_KEY`] and `team_id`.
pub(super) const BY_ZOOM_EMAIL: &str = "by-zoom-email";
/// The attribute with the email address of the user in lower case. A caller may spell an address in any case.
pub(super) const EMAIL_KEY: &str = "zoom_email_key";

/// How many rows one operation reads or updates at the same time.
pub(super) const MAX_CONCURRENT_CALLS: usize = 16;

/// The table `credentials`.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub(super) client: Client,
    pub(in crate::stores) table: String,
}

impl Credentials {
    /// Creates a store for the table that is named `table` in AWS.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    pub(in crate::stores) fn key(team: &TeamId, id: CredentialId) -> Item {
        HashMap::from([
            ("team_id".to_owned(), text(team)),
            ("credential_id".to_owned(), text(&id)),
        ])
    }

    /// Reads a credential that is not deleted.
    pub async fn get(
        &self,
        team: &TeamId,
        id: CredentialId,
    ) -> Result<Option<StoredCredential>, Error> {
        let stored = self.get_including_deleted(team, id).await?;
        Ok(stored.filter(StoredCredential::is_live))
    }

    /// Reads a credential that is soft-deleted and can still be restored.
    pub async fn get_deleted(
        &self,
        team: &TeamId,
        id: CredentialId,
    ) -> Result<Option<StoredCredential>, Error> {
        let stored = self.get_including_deleted(team, id).await?;
        Ok(stored.filter(StoredCredential::is_restorable))
    }

    /// Reads a credential, soft-deleted or not.
    pub async fn get_including_deleted(
        &self,
        team: &TeamId,
        id: CredentialId,
    ) -> Result<Option<StoredCredential>, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(Self::key(team, id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        Self::parse(answer.item)
    }

    pub(in crate::stores) fn parse(row: Option<Item>) -> Result<Option<StoredCredential>, Error> {
        let row: Option<CredentialRow> = row.map(from_item).transpose()?;
        row.map(TryInto::try_into).transpose()
    }

    /// Begins a query of the index `by-zoom-user`.
    pub(super) fn by_zoom_user(&self, team: &TeamId, zoom_user_id: &str) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .index_name(BY_ZOOM_USER)
            .key_condition_expression("zoom_user_id = :user AND team_id = :team")
            .expression_attribute_values(":user", text(zoom_user_id))
            .expression_attribute_values(":team", text(team))
    }

    /// Reads the current row of each credential that a query of the index finds, at most `limit`. The index may be
    /// stale. Leaves out rows of unknown shape: no caller can use them, and they must not stop the work on the others.
    pub(super) async fn read_all(
        &self,
        team: &TeamId,
        query: QueryFluentBuilder,
        limit: Option<usize>,
    ) -> Result<Vec<StoredCredential>, Error> {
        let limit = limit.unwrap_or(usize::MAX);
        let mut pages = query.into_paginator().items().send();
        let mut ids: Vec<CredentialId> = Vec::new();
        while ids.len() < limit {
            let Some(item) = pages.next().await else {
                break;
            };
            let item = item.map_err(|error| failed("Query", error))?;
            ids.push(from_item::<IndexedKey>(item)?.credential_id);
        }
        let reads = ids
            .into_iter()
            .map(async |id| (id, self.get_including_deleted(team, id).await));
        let mut reads = stream::iter(reads).buffer_unordered(MAX_CONCURRENT_CALLS);
        let mut found = Vec::new();
        while let Some((id, read)) = reads.next().await {
            match read {
                Err(Error::Shape(_)) => log_unreadable(&self.table, &id.to_string()),
                read => found.extend(read?),
            }
        }
        Ok(found)
    }

    /// Updates a row that is not deleted. Retries while a transaction locks the row.
    ///
    /// The SDK retries an update whose response was lost, and then the condition fails. The `writer` attribute shows
    /// that the first try was applied.
    pub(super) async fn update(
        &self,
        team: &TeamId,
        id: CredentialId,
        update: Update,
    ) -> Result<StoredCredential, Error> {
        let update = update.when_equal("deleted", AttributeValue::Bool(false));
        self.write(team, id, update).await
    }

    /// Does the same as [`Self::update`] on a row that may be deleted.
    pub(super) async fn write(
        &self,
        team: &TeamId,
        id: CredentialId,
        update: Update,
    ) -> Result<StoredCredential, Error> {
        let writer = Uuid::new_v4().to_string();
        let update = update.set("writer", text(&writer)).build();
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Self::key(team, id)))
            .update_expression(update.update)
            .set_condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let item = match retry_while_locked(|| request.clone().send()).await {
            Ok(answer) => answer.attributes,
            Err(error) => Some(row_if_applied(error, &writer)?),
        };
        from_item::<CredentialRow>(item.ok_or(Error::NotFound)?)?.try_into()
    }

    /// Begins a transaction with an update of a row that is not deleted.
    pub(super) fn begin(
        &self,
        team: &TeamId,
        id: CredentialId,
        update: Update,
    ) -> Result<Transaction<'_>, Error> {
        let write = self.write_live(team, id, update)?;
        Ok(Transaction::new(&self.client, write))
    }

    /// The write that updates a row that is not deleted.
    pub(super) fn write_live(
        &self,
        team: &TeamId,
        id: CredentialId,
        update: Update,
    ) -> Result<Write, Error> {
        let update = update.when_equal("deleted", AttributeValue::Bool(false));
        let key = Self::key(team, id);
        Write::update(RowKind::Credential, &self.table, key, update.build())
    }
}

/// The key that a query of the index returns.
#[derive(Deserialize)]
struct IndexedKey {
    credential_id: CredentialId,
}

/// The attributes that every update sets.
pub(super) fn touch(change: Change) -> Update {
    touch_at(change, Timestamp::now())
}

/// Does the same as [`touch`] with a given time.
pub(super) fn touch_at(change: Change, at: Timestamp) -> Update {
    Update::new()
        .set("updated_at", text(&at))
        .set("change", change.attribute())
        .increment("version", 1)
}

/// Sets the attributes that a new grant changes. Used for the authorized credential and for its siblings.
pub(super) fn set_grant(update: Update, authorized: &AuthorizedGrant) -> Update {
    update
        .set("grant_id", text(&authorized.grant.id))
        .set(
            "grant_authorized_at",
            number(&authorized.grant.authorized_at),
        )
        .assign("scopes", authorized.scopes.as_ref().map(text))
        .set("state", text("active"))
        .remove("last_error_message")
        .remove("last_error_at")
}

/// Adds the condition that the credential still has the grant of `seen`.
pub(super) fn when_grant_is_as_seen(update: Update, seen: &StoredCredential) -> Update {
    match seen.grant {
        Some(grant) => update.when_equal("grant_id", text(&grant.id)),
        None => update.when_absent("grant_id"),
    }
}

/// Adds the condition that `extra` is as in `seen`, if `seen` was seen through a filter.
pub(super) fn when_visible(update: Update, seen: &StoredCredential) -> Update {
    if seen.seen_through.is_empty() {
        return update;
    }
    match &seen.credential.extra {
        Some(extra) => update.when_equal("extra", text(extra.as_json())),
        None => update.when_absent("extra"),
    }
}

/// Adds the condition that the same pair still counts the credential, or none does.
pub(super) fn when_pair_is_as_seen(update: Update, seen: &StoredCredential) -> Update {
    match &seen.pair {
        Some(pair) => update.when_equal("pair_id", text(pair)),
        None => update.when_absent("pair_id"),
    }
}

/// Maps a failed update to its error. Returns the row if an earlier try of the same update was applied.
pub(super) fn row_if_applied(
    error: SdkError<UpdateItemError>,
    writer: &str,
) -> Result<Item, Error> {
    let Some(UpdateItemError::ConditionalCheckFailedException(refused)) = error.as_service_error()
    else {
        return Err(failed("UpdateItem", error));
    };
    let item = refused.item.clone().ok_or(Error::NotFound)?;
    match (item.get("writer"), item.get("deleted")) {
        (Some(AttributeValue::S(last)), _) if last == writer => Ok(item),
        (_, Some(AttributeValue::Bool(false))) => Err(Error::Conflict),
        _ => Err(Error::NotFound),
    }
}
