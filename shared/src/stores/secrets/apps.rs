//! The rows of Zoom apps: what Zoom signs an app's webhooks with, sealed, and what its team calls it.
//!
//! Several teams may hold the same Zoom app, and a webhook names the app alone. So an index finds their rows by the
//! app; only these rows are in it, and nothing sealed.

use aws_sdk_dynamodb::types::ReturnValue;
use serde::{Deserialize, Serialize};

use super::{Secrets, attributes, key};
use crate::credential::{ClientId, Name, TeamId};
use crate::envelope::{Sealed, SecretId};
use crate::stores::expression::Update;
use crate::stores::{Error, failed, from_item, number, text};
use crate::timestamp::Timestamp;

/// The index that finds the teams that hold a Zoom app. Keys `webhook_app`, `team_id`.
const BY_WEBHOOK_APP: &str = "by-webhook-app";

/// A team's Zoom app: what may be shown of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoomApp {
    /// The app.
    #[serde(rename = "webhook_app")]
    pub client_id: ClientId,
    /// What the team calls it.
    pub name: Option<Name>,
    /// When the team first registered it.
    pub created_at: Timestamp,
    /// When it was last registered.
    pub updated_at: Timestamp,
}

/// Whose an app is.
#[derive(Deserialize)]
struct Holding {
    team_id: TeamId,
}

impl Secrets {
    /// Registers a Zoom app of a team, in place of what was registered of it. One write: the last one wins, whole.
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

    /// A team's Zoom app, as the index has it: it may be a moment behind.
    pub async fn zoom_app(&self, team: &TeamId, client_id: &ClientId) -> Result<ZoomApp, Error> {
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
        from_item(found.next().ok_or(Error::NotFound)?)
    }

    /// Forgets a team's Zoom app. Nothing that Zoom says of it is believed for this team any more.
    pub async fn delete_zoom_app(&self, team: &TeamId, client_id: &ClientId) -> Result<(), Error> {
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
        answer.attributes.map(drop).ok_or(Error::NotFound)
    }

    /// Up to `limit` teams that hold a Zoom app. The index may be a moment behind.
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
        rows.map(|item| Ok(from_item::<Holding>(item)?.team_id))
            .collect()
    }

    /// What Zoom signs the webhooks of a team's app with.
    pub async fn webhook(&self, team: &TeamId, client_id: &ClientId) -> Result<Sealed, Error> {
        self.read(SecretId::Webhook(team.clone(), client_id.clone()))
            .await
    }
}
