//! What only an operator may do with what was deleted: end it before its time, and look for what was left behind.

use std::collections::HashSet;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use serde::Deserialize;

use super::expression::Update;
use super::{Credentials, Error, Remains, failed, from_item, number, scanned, text};
use crate::credential::{CredentialId, TeamId};
use crate::envelope::SecretId;
use crate::timestamp::Timestamp;

/// A row that belongs to a credential, or to several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belonging {
    /// Whose it is.
    pub team: TeamId,
    /// What it is.
    pub what: What,
}

/// What belongs to credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A sealed client secret, or the sealed tokens of a grant.
    Secret(SecretId),
    /// The token URLs of a credential, one or more.
    TokenUrls(CredentialId),
}

/// The tables, with the power to take rows out of `credentials` and to look through the others from end to end.
#[derive(Clone, Debug)]
pub struct Removal {
    client: Client,
    credentials: String,
    secrets: String,
    token_urls: String,
}

#[derive(Deserialize)]
struct Secret {
    secret_id: String,
    team_id: TeamId,
}

#[derive(Deserialize)]
struct Url {
    credential_id: CredentialId,
    team_id: TeamId,
}

impl Removal {
    /// With the tables' names.
    pub fn new(client: Client, credentials: String, secrets: String, token_urls: String) -> Self {
        Self {
            client,
            credentials,
            secrets,
            token_urls,
        }
    }

    /// Ends the time in which a deleted credential can be restored; `NotFound` where none is deleted. What it leaves is
    /// to be destroyed now, and then its row: [`Self::forget`]. Until that is done, this finds it again.
    pub async fn expire(&self, team: &TeamId, id: CredentialId) -> Result<Remains, Error> {
        let past = Timestamp::now().as_seconds() - 1;
        let update = Update::new()
            .set("purge_at", number(&past))
            // Nobody is told: that it is deleted was told before.
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

    /// Takes the row of a credential whose time is over.
    pub async fn forget(&self, remains: &Remains) -> Result<(), Error> {
        let delete = self.client.delete_item().table_name(&self.credentials);
        let sent = delete
            .set_key(Some(Credentials::key(&remains.team, remains.credential)))
            .condition_expression(
                "attribute_not_exists(team_id) OR (deleted = :yes AND purge_at < :now)",
            )
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .expression_attribute_values(":now", number(&Timestamp::now().as_seconds()))
            .send()
            .await;
        sent.map(drop).map_err(|error| missing("DeleteItem", error))
    }

    /// Everything in `secrets` that is sealed, and in `token-urls`, and belongs to credentials. No sealed byte is asked
    /// for.
    pub async fn belongings(&self) -> Result<Vec<Belonging>, Error> {
        let mut found = Vec::new();
        let secrets = self
            .scan(&self.secrets)
            .projection_expression("secret_id, team_id")
            // Where tokens were destroyed, the row says why.
            .filter_expression("attribute_exists(dek)");
        for item in scanned(secrets).await? {
            let row: Secret = from_item(item)?;
            // What else is there belongs to no credential.
            if let Ok(id @ (SecretId::App(_) | SecretId::Grant(_))) = row.secret_id.parse() {
                found.push(Belonging {
                    team: row.team_id,
                    what: What::Secret(id),
                });
            }
        }
        let urls = self
            .scan(&self.token_urls)
            .projection_expression("credential_id, team_id");
        let mut seen = HashSet::new();
        for item in scanned(urls).await? {
            let Url {
                credential_id,
                team_id,
            } = from_item(item)?;
            if seen.insert(credential_id) {
                found.push(Belonging {
                    team: team_id,
                    what: What::TokenUrls(credential_id),
                });
            }
        }
        Ok(found)
    }

    fn scan(&self, table: &str) -> ScanFluentBuilder {
        self.client.scan().table_name(table)
    }
}

/// A condition that did not hold: no such row.
fn missing<E>(operation: &'static str, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error.code() {
        Some("ConditionalCheckFailedException") => Error::NotFound,
        _ => failed(operation, error),
    }
}
