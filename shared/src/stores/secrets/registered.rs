//! What a team has stored besides credentials: its registered Zoom apps, and its secrets at bot vendors.
//!
//! Of all rows of secrets, only these two kinds and the endpoint for notifications have the attribute `updated_at`. So
//! an index over the team and this attribute contains no other rows. The index has no sealed attributes, and may be
//! stale.

use serde::Deserialize;

use super::table::Secrets;
use super::zoom_apps::ZoomApp;
use crate::credential::TeamId;
use crate::envelope::sealed::SecretId;
use crate::stores::error::{Error, failed};
use crate::stores::item::{Item, from_item, parse_rows, text};
use crate::timestamp::Timestamp;
use crate::vendor::Vendor;

/// The index that finds a team's Zoom apps and vendors. Its keys are `team_id` and `updated_at`.
const BY_TEAM: &str = "by-team";

/// That a team has secrets at a vendor, without the secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredVendor {
    /// The vendor.
    pub vendor: Vendor,
    /// How many secrets are stored: one, or two during a rotation.
    pub secrets: u8,
    /// When the team stored them.
    pub updated_at: Timestamp,
}

/// What a team has registered, the newest first.
#[derive(Clone, Debug, Default)]
pub struct Registered {
    /// Its Zoom apps.
    pub apps: Vec<ZoomApp>,
    /// The vendors at which it has secrets.
    pub vendors: Vec<RegisteredVendor>,
}

/// A row of the index.
enum Row {
    App(ZoomApp),
    Vendor(RegisteredVendor),
}

#[derive(Deserialize)]
struct VendorRow {
    updated_at: Timestamp,
    /// Set if there is a second secret.
    alt_generation: Option<u64>,
}

impl Row {
    /// `None` for the endpoint for notifications.
    fn read(item: Item) -> Result<Option<Self>, Error> {
        let id = item.get("secret_id").and_then(|id| id.as_s().ok());
        match id.and_then(|id| id.parse().ok()) {
            Some(SecretId::Webhook(..)) => Ok(Some(Self::App(from_item(item)?))),
            Some(SecretId::Vendor(_, vendor)) => {
                let row: VendorRow = from_item(item)?;
                Ok(Some(Self::Vendor(RegisteredVendor {
                    vendor,
                    secrets: 1 + u8::from(row.alt_generation.is_some()),
                    updated_at: row.updated_at,
                })))
            }
            Some(SecretId::Notification(_)) => Ok(None),
            Some(SecretId::App(_) | SecretId::Grant(_) | SecretId::Session(_)) | None => {
                Err(Error::earlier_version())
            }
        }
    }
}

impl Secrets {
    /// Lists a team's Zoom apps and vendors, from the index.
    pub async fn registered(&self, team: &TeamId) -> Result<Registered, Error> {
        let mut items = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_TEAM)
            .key_condition_expression("team_id = :team")
            .expression_attribute_values(":team", text(team))
            .scan_index_forward(false)
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(item) = items.next().await {
            found.push(item.map_err(|error| failed("Query", error))?);
        }
        let mut registered = Registered::default();
        let rows = parse_rows(found, (self.table.as_str(), "secret_id"), Row::read).rows;
        for row in rows.into_iter().flatten() {
            match row {
                Row::App(app) => registered.apps.push(app),
                Row::Vendor(vendor) => registered.vendors.push(vendor),
            }
        }
        Ok(registered)
    }
}
