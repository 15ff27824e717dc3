//! The secrets with which bot vendors prove their calls: one row for each team and vendor.
//!
//! A row has one secret or, during a rotation, two. The second one is in the attributes `alt_*`, which `rewrap` moves
//! to another KMS key too.

use aws_sdk_dynamodb::types::ReturnValue;
use serde::Deserialize;

use super::grant_row::{STASH_ATTRIBUTES, STASH_PREFIX, sealed_attributes, stash_attributes};
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
    /// A secret.
    pub one: Sealed,
    /// Another one, during a rotation.
    pub other: Option<Sealed>,
    /// When the team stored them.
    pub updated_at: Timestamp,
}

#[derive(Deserialize)]
struct VendorRow {
    #[serde(flatten)]
    one: Sealed,
    updated_at: Timestamp,
}

impl VendorSecrets {
    fn read(item: Item) -> Result<Self, Error> {
        let other = sealed_attributes(&item, STASH_PREFIX);
        let row: VendorRow = from_item(item)?;
        Ok(Self {
            one: row.one,
            other: other.map(from_item).transpose()?,
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

    /// Stores a team's secrets at a vendor, the one or two in `secrets`. They replace all earlier ones.
    pub async fn put_vendor_secrets(
        &self,
        team: &TeamId,
        vendor: Vendor,
        secrets: &[Sealed],
    ) -> Result<VendorSecrets, Error> {
        let mut secrets = secrets.iter();
        let one = secrets.next().ok_or(Error::NotFound)?;
        let now = Timestamp::now();
        let mut update = Update::new()
            .set("team_id", text(team))
            .set("generation", number(&one.generation()))
            .set("updated_at", text(&now));
        for (name, value) in attributes(one) {
            update = update.set(name, value);
        }
        match secrets.next() {
            Some(other) => {
                for (name, value) in stash_attributes(other) {
                    update = update.set(name, value);
                }
            }
            None => {
                for name in STASH_ATTRIBUTES {
                    update = update.remove(name);
                }
            }
        }
        let update = update.build();
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(SecretId::Vendor(team.clone(), vendor))))
            .update_expression(update.update)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|error| failed("UpdateItem", error))?;
        VendorSecrets::read(answer.attributes.ok_or(Error::NotFound)?)
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
