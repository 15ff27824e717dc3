//! The Zoom apps that a team registered: the team's name for the app, and the sealed secret that signs its webhooks.
//!
//! Several teams may register the same Zoom app, and a webhook names only the app. An index therefore finds the rows
//! by app. The index has only these rows, without their sealed attributes. It may be stale.

use aws_sdk_dynamodb::types::ReturnValue;
use serde::{Deserialize, Serialize};

use super::table::{Secrets, attributes, key};
use crate::credential::{ClientId, Name, TeamId};
use crate::envelope::sealed::{Sealed, SecretId};
use crate::stores::error::{Error, failed};
use crate::stores::expression::Update;
use crate::stores::item::{from_item, number, text};
use crate::timestamp::Timestamp;

/// The index that finds the teams of a Zoom app. Its keys are `webhook_app` and `team_id`.
const BY_WEBHOOK_APP: &str = "by-webhook-app";

/// A team's Zoom app, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoomApp {
    /// The client id of the app.
    #[serde(rename = "webhook_app")]
    pub client_id: ClientId,
    /// The team's name for the app.
    pub name: Option<Name>,
    /// When the team first registered the app.
    pub created_at: Timestamp,
    /// When the team last registered the app.
    pub updated_at: Timestamp,
}

/// A row of the index.
#[derive(Deserialize)]
struct TeamOfApp {
    team_id: TeamId,
}

impl Secrets {
    /// Registers a Zoom app of a team, or replaces its registration. Of concurrent calls, the last one wins
    /// completely.
    pub async fn put_zoom_app(
        &self,
        team: &TeamId,
        client_id: &ClientId,
        name: Option<&Name>,
        secret: &Sealed,
    ) -> Result<ZoomApp, Error> {
        let now = Timestamp::now();
        let mut update = Update::new()
            .set("team_id", text(team))
            .set("webhook_app", text(client_id.as_str()))
            .set("generation", number(&secret.generation()))
            .set_if_absent("created_at", text(&now))
            .set("updated_at", text(&now))
            .assign("name", name.map(|name| text(name.as_str())));
        for (name, value) in attributes(secret) {
            update = update.set(name, value);
        }
        let update = update.build();
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(SecretId::Webhook(
                team.clone(),
                client_id.clone(),
            ))))
            .update_expression(update.update)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|error| failed("UpdateItem", error))?;
        from_item(answer.attributes.ok_or(Error::NotFound)?)
    }

    /// Reads a team's Zoom app from the index.
    pub async fn zoom_app(
        &self,
        team: &TeamId,
        client_id: &ClientId,
    ) -> Result<Option<ZoomApp>, Error> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_WEBHOOK_APP)
            .key_condition_expression("webhook_app = :app AND team_id = :team")
            .expression_attribute_values(":app", text(client_id.as_str()))
            .expression_attribute_values(":team", text(team))
            .send()
            .await
            .map_err(|error| failed("Query", error))?;
        let mut found = answer.items.unwrap_or_default().into_iter();
        found.next().map(from_item).transpose()
    }

    /// Deletes a team's Zoom app. Returns whether there was one. The vault then ignores the app's webhooks for this
    /// team.
    pub async fn delete_zoom_app(
        &self,
        team: &TeamId,
        client_id: &ClientId,
    ) -> Result<bool, Error> {
        let answer = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key(SecretId::Webhook(
                team.clone(),
                client_id.clone(),
            ))))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| failed("DeleteItem", error))?;
        Ok(answer.attributes.is_some())
    }

    /// Lists up to `limit` teams that registered a Zoom app, from the index.
    pub async fn teams_of_app(
        &self,
        client_id: &ClientId,
        limit: u16,
    ) -> Result<Vec<TeamId>, Error> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_WEBHOOK_APP)
            .key_condition_expression("webhook_app = :app")
            .expression_attribute_values(":app", text(client_id.as_str()))
            .limit(limit.into())
            .send()
            .await
            .map_err(|error| failed("Query", error))?;
        let rows = answer.items.unwrap_or_default().into_iter();
        rows.map(|item| Ok(from_item::<TeamOfApp>(item)?.team_id))
            .collect()
    }

    /// Reads the sealed secret that Zoom signs the webhooks of a team's app with.
    pub async fn webhook_secret(
        &self,
        team: &TeamId,
        client_id: &ClientId,
    ) -> Result<Option<Sealed>, Error> {
        self.read(SecretId::Webhook(team.clone(), client_id.clone()))
            .await
    }
}
