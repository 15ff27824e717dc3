//! The operator's tools for soft-deleted credentials: purge one before its time, and find rows without an owner.

use std::collections::HashSet;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use serde::Deserialize;

use super::expression::Update;
use crate::credential::{CredentialId, TeamId};
use crate::envelope::sealed::SecretId;
use crate::stores::credentials::Credentials;
use crate::stores::error::{Error, failed};
use crate::stores::item::{from_item, number, scan_all, text};
use crate::stores::stream::CredentialIds;
use crate::timestamp::Timestamp;

/// A row that belongs to one or more credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRow {
    /// The team of the row.
    pub team: TeamId,
    /// The id of the row.
    pub id: OwnedRowId,
}

/// The id of a row that belongs to credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedRowId {
    /// A sealed client secret, or the sealed tokens of a grant.
    Secret(SecretId),
    /// The token URLs of a credential, one or more rows.
    TokenUrls(CredentialId),
}

/// The tables, with the power to delete rows of `credentials` and to scan the other tables. No function has this
/// power.
#[derive(Clone, Debug)]
pub struct ManualPurge {
    client: Client,
    credentials: String,
    secrets: String,
    token_urls: String,
}

#[derive(Deserialize)]
struct ScannedSecret {
    secret_id: String,
    team_id: TeamId,
}

#[derive(Deserialize)]
struct ScannedTokenUrl {
    credential_id: CredentialId,
    team_id: TeamId,
}

impl ManualPurge {
    /// Creates a store from the names of the tables in AWS.
    pub fn new(client: Client, credentials: String, secrets: String, token_urls: String) -> Self {
        Self {
            client,
            credentials,
            secrets,
            token_urls,
        }
    }

    /// Ends the time in which a soft-deleted credential can be restored. Returns `NotFound` if no credential with
    /// this id is deleted.
    ///
    /// The caller then destroys the secrets of the credential, and last the row with [`Self::delete_expired`]. An
    /// interrupted purge can be repeated until the row is gone.
    pub async fn end_restore_period(
        &self,
        team: &TeamId,
        id: CredentialId,
    ) -> Result<CredentialIds, Error> {
        let past = Timestamp::now().as_seconds() - 1;
        let update = Update::new()
            .set("purge_at", number(&past))
            // `quiet`: the stream has reported the soft delete already.
            .set("change", text("quiet"))
            .when_equal("deleted", AttributeValue::Bool(true))
            .build();
        let sent = self
            .client
            .update_item()
            .table_name(&self.credentials)
            .set_key(Some(Credentials::key(team, id)))
            .update_expression(update.update)
            .set_condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        let answer = sent.map_err(|error| missing("UpdateItem", error))?;
        from_item(answer.attributes.unwrap_or_default())
    }

    /// Deletes the row of a credential whose time to restore is over. Idempotent.
    pub async fn delete_expired(&self, ids: &CredentialIds) -> Result<(), Error> {
        let delete = self.client.delete_item().table_name(&self.credentials);
        let sent = delete
            .set_key(Some(Credentials::key(&ids.team, ids.credential)))
            .condition_expression(
                "attribute_not_exists(team_id) OR (deleted = :yes AND purge_at < :now)",
            )
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .expression_attribute_values(":now", number(&Timestamp::now().as_seconds()))
            .send()
            .await;
        sent.map(drop).map_err(|error| missing("DeleteItem", error))
    }

    /// Lists the client secrets, grants and token URLs of all teams. The scan does not read sealed attributes.
    pub async fn owned_rows(&self) -> Result<Vec<OwnedRow>, Error> {
        let mut found = Vec::new();
        let secrets = self
            .scan(&self.secrets)
            .projection_expression("secret_id, team_id")
            // A row whose tokens were destroyed has no `dek`. It stays, because it records the reason.
            .filter_expression("attribute_exists(dek)");
        for item in scan_all(secrets).await? {
            let row: ScannedSecret = from_item(item)?;
            // The other secrets belong to no credential.
            if let Ok(id @ (SecretId::App(_) | SecretId::Grant(_))) = row.secret_id.parse() {
                found.push(OwnedRow {
                    team: row.team_id,
                    id: OwnedRowId::Secret(id),
                });
            }
        }
        let urls = self
            .scan(&self.token_urls)
            .projection_expression("credential_id, team_id");
        let mut seen = HashSet::new();
        for item in scan_all(urls).await? {
            let ScannedTokenUrl {
                credential_id,
                team_id,
            } = from_item(item)?;
            if seen.insert(credential_id) {
                found.push(OwnedRow {
                    team: team_id,
                    id: OwnedRowId::TokenUrls(credential_id),
                });
            }
        }
        Ok(found)
    }

    fn scan(&self, table: &str) -> ScanFluentBuilder {
        self.client.scan().table_name(table)
    }
}

/// Maps a failed condition to `NotFound`.
fn missing<E>(operation: &'static str, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error.code() {
        Some("ConditionalCheckFailedException") => Error::NotFound,
        _ => failed(operation, error),
    }
}
