//! The secrets with which bot vendors prove their calls: one row for each team and vendor.
//!
//! A row has the team's current secret and, during a rotation, the previous one. The previous one is in the attributes
//! `alt_*`, which `rewrap` moves to another KMS key too.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use serde::Deserialize;

use super::grant_row::{STASH_ATTRIBUTES, STASH_PREFIX, sealed_attributes};
use super::table::{Secrets, attributes, key};
use crate::credential::TeamId;
use crate::envelope::sealed::{Sealed, SecretId};
use crate::stores::error::{Error, failed};
use crate::stores::expression::Update;
use crate::stores::item::{Item, from_item, number, text};
use crate::timestamp::Timestamp;
use crate::vendor::Vendor;

/// The sealed secrets of a team at a vendor.
#[derive(Clone, Debug)]
pub struct VendorSecrets {
    /// The secret that the team stored last.
    pub current: Sealed,
    /// The secret before, if it still verifies calls.
    pub previous: Option<Sealed>,
    /// When the team first stored a secret.
    pub created_at: Timestamp,
    /// When the team last stored a secret.
    pub updated_at: Timestamp,
}

#[derive(Deserialize)]
struct VendorRow {
    #[serde(flatten)]
    current: Sealed,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl VendorSecrets {
    fn read(item: Item) -> Result<Self, Error> {
        let previous = sealed_attributes(&item, STASH_PREFIX);
        let row: VendorRow = from_item(item)?;
        Ok(Self {
            current: row.current,
            previous: previous.map(from_item).transpose()?,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

impl Secrets {
    /// Reads the sealed secrets of a team at a vendor.
    pub async fn vendor_secrets(
        &self,
        team: &TeamId,
        vendor: Vendor,
    ) -> Result<Option<VendorSecrets>, Error> {
        let row = self
            .read_item(SecretId::Vendor(team.clone(), vendor))
            .await?;
        row.map(VendorSecrets::read).transpose()
    }

    /// Stores a team's secret at a vendor. With `keep_previous`, the secret that was stored before becomes the previous
    /// one. Otherwise it is forgotten. The secret before that is always forgotten.
    pub async fn put_vendor_secret(
        &self,
        team: &TeamId,
        vendor: Vendor,
        secret: &Sealed,
        keep_previous: bool,
    ) -> Result<VendorSecrets, Error> {
        if keep_previous && let Some(row) = self.rotate_vendor_secret(team, vendor, secret).await? {
            return VendorSecrets::read(row);
        }
        let mut update = new_secret(team, secret);
        for name in STASH_ATTRIBUTES {
            update = update.remove(name);
        }
        let sent = self.update_vendor(team, vendor, update).send().await;
        let answer = sent.map_err(|error| failed("UpdateItem", error))?;
        VendorSecrets::read(answer.attributes.ok_or(Error::NotFound)?)
    }

    /// Replaces the current secret, which becomes the previous one. `None` if no secret is stored.
    ///
    /// The SDK retries an update whose response was lost. A second update would replace the previous secret by the new
    /// one, so the condition refuses it.
    async fn rotate_vendor_secret(
        &self,
        team: &TeamId,
        vendor: Vendor,
        secret: &Sealed,
    ) -> Result<Option<Item>, Error> {
        let [(dek, new_dek), _, _] = attributes(secret);
        let mut update = new_secret(team, secret)
            .when_present("sealed")
            .when_not_equal(dek, new_dek.clone());
        for name in STASH_ATTRIBUTES {
            if let Some(current) = name.strip_prefix(STASH_PREFIX) {
                update = update.copy(name, current);
            }
        }
        let update = self.update_vendor(team, vendor, update);
        let update = update
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let error = match update.send().await {
            Ok(answer) => return Ok(answer.attributes),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                let row = refused.item.clone();
                Ok(row.filter(|row| row.get(dek) == Some(&new_dek)))
            }
            _ => Err(failed("UpdateItem", error)),
        }
    }

    fn update_vendor(
        &self,
        team: &TeamId,
        vendor: Vendor,
        update: Update,
    ) -> UpdateItemFluentBuilder {
        let update = update.build();
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(SecretId::Vendor(team.clone(), vendor))))
            .update_expression(update.update)
            .set_condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
    }

    /// Deletes both secrets of a team at a vendor. Returns whether there was one.
    pub async fn delete_vendor_secrets(
        &self,
        team: &TeamId,
        vendor: Vendor,
    ) -> Result<bool, Error> {
        let answer = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key(SecretId::Vendor(team.clone(), vendor))))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| failed("DeleteItem", error))?;
        Ok(answer.attributes.is_some())
    }
}

fn new_secret(team: &TeamId, secret: &Sealed) -> Update {
    let now = Timestamp::now();
    let update = Update::new()
        .set("team_id", text(team))
        .set("generation", number(&secret.generation()))
        .set_if_absent("created_at", text(&now))
        .set("updated_at", text(&now));
    let secret: [(&'static str, AttributeValue); 3] = attributes(secret);
    secret
        .into_iter()
        .fold(update, |update, (name, value)| update.set(name, value))
}
