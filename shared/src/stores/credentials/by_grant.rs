//! Finds the credentials that use a grant. No index has the grant id, so each operation reads all rows of the team.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;

use super::row::{CredentialRow, StoredCredential};
use super::table::Credentials;
use crate::credential::{CredentialId, GrantId, TeamId};
use crate::stores::error::{Error, failed};
use crate::stores::item::{from_item, text};

/// The credentials that use a grant.
#[derive(Debug, Default)]
pub struct CredentialsOfGrant {
    /// The credentials that are not deleted, oldest first.
    pub live: Vec<StoredCredential>,
    /// The soft-deleted credentials, oldest first.
    pub deleted: Vec<StoredCredential>,
}

/// A credential, soft-deleted or not, as the owner of secrets. Its client secret and token URLs carry its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct SecretOwner {
    /// The credential.
    #[serde(rename = "credential_id")]
    pub credential: CredentialId,
    /// The credential's grant. Other credentials may use the same grant.
    #[serde(rename = "grant_id")]
    pub grant: Option<GrantId>,
    /// Whether the credential is soft-deleted.
    pub deleted: bool,
}

impl Credentials {
    /// Whether a live credential needs this grant: it uses the grant, or it is a sibling of `of` and may switch to
    /// the grant.
    ///
    /// Callers ask before an action that cannot be undone. A consistent read of the team's rows therefore replaces
    /// the index, which may be stale.
    pub async fn is_grant_needed(
        &self,
        team: &TeamId,
        grant: GrantId,
        of: &StoredCredential,
    ) -> Result<bool, Error> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("team_id = :team")
            .expression_attribute_values(":team", text(team))
            .expression_attribute_values(":grant", text(&grant))
            .expression_attribute_values(":no", AttributeValue::Bool(false))
            .projection_expression("credential_id")
            .consistent_read(true);
        let query = match &of.credential.zoom_user_id {
            None => query.filter_expression("deleted = :no AND grant_id = :grant"),
            Some(user) => query
                .filter_expression(
                    "deleted = :no AND (grant_id = :grant \
                     OR (client_id = :app AND zoom_user_id = :user))",
                )
                .expression_attribute_values(":app", text(of.client_id.as_str()))
                .expression_attribute_values(":user", text(user)),
        };
        let mut rows = query.into_paginator().items().send();
        let first = rows.next().await.transpose();
        Ok(first.map_err(|error| failed("Query", error))?.is_some())
    }

    /// Finds the team's credentials that use this grant, soft-deleted or not.
    pub async fn with_grant(
        &self,
        team: &TeamId,
        grant: GrantId,
    ) -> Result<CredentialsOfGrant, Error> {
        let mut rows = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("team_id = :team")
            .filter_expression("grant_id = :grant")
            .expression_attribute_values(":team", text(team))
            .expression_attribute_values(":grant", text(&grant))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut holders = CredentialsOfGrant::default();
        while let Some(item) = rows.next().await {
            let item = item.map_err(|error| failed("Query", error))?;
            let stored = StoredCredential::try_from(from_item::<CredentialRow>(item)?)?;
            if stored.is_live() {
                holders.live.push(stored);
            } else {
                holders.deleted.push(stored);
            }
        }
        Ok(holders)
    }

    /// Lists all credentials of the team, soft-deleted or not, oldest first.
    pub async fn secret_owners(&self, team: &TeamId) -> Result<Vec<SecretOwner>, Error> {
        let mut rows = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("team_id = :team")
            .expression_attribute_values(":team", text(team))
            .projection_expression("credential_id, grant_id, deleted")
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut owners = Vec::new();
        while let Some(item) = rows.next().await {
            owners.push(from_item(item.map_err(|error| failed("Query", error))?)?);
        }
        Ok(owners)
    }
}
