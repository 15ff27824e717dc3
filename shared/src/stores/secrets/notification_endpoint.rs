//! A team's endpoint for notifications: one row for each team.
//!
//! A row has one secret or, during a rotation, two. The attributes `alt_*` hold the earlier secret, and `alt_until`
//! says how long it still signs. `rewrap` moves both to another KMS key.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use serde::Deserialize;

use super::grant_row::{STASH_ATTRIBUTES, STASH_PREFIX, sealed_attributes};
use super::table::{Secrets, attributes, key};
use crate::credential::TeamId;
use crate::envelope::sealed::{Sealed, SecretId};
use crate::notification::{EndpointUrl, NotificationKind};
use crate::stores::error::{Error, failed};
use crate::stores::expression::Update;
use crate::stores::item::{Item, from_item, number, text};
use crate::timestamp::Timestamp;

/// A team's endpoint for notifications.
#[derive(Clone, Debug)]
pub struct NotificationEndpoint {
    /// Where notifications go.
    pub url: EndpointUrl,
    /// The kinds of notifications that the team wants.
    pub kinds: Vec<NotificationKind>,
    /// The secret that signs notifications.
    pub secret: Sealed,
    /// The earlier secret, and until when it signs too.
    pub earlier: Option<(Sealed, Timestamp)>,
    /// When the team changed the endpoint last.
    pub updated_at: Timestamp,
}

/// What a change of an endpoint does to its secret.
#[derive(Clone, Debug)]
pub enum EndpointSecret {
    /// The secret stays. Fails if there is no endpoint.
    Kept,
    /// The secret of a new endpoint. Fails if there is an endpoint.
    New(Sealed),
    /// The secret replaces the present one, which signs too until then. Fails if there is no endpoint.
    Rotated(Sealed, Timestamp),
}

#[derive(Deserialize)]
struct EndpointRow {
    url: EndpointUrl,
    kinds: Vec<NotificationKind>,
    #[serde(flatten)]
    secret: Sealed,
    alt_until: Option<Timestamp>,
    updated_at: Timestamp,
}

impl NotificationEndpoint {
    fn read(item: Item) -> Result<Self, Error> {
        let earlier = sealed_attributes(&item, STASH_PREFIX);
        let earlier: Option<Sealed> = earlier.map(from_item).transpose()?;
        let row: EndpointRow = from_item(item)?;
        Ok(Self {
            url: row.url,
            kinds: row.kinds,
            secret: row.secret,
            earlier: earlier.zip(row.alt_until),
            updated_at: row.updated_at,
        })
    }

    /// Whether the team wants this kind. Everybody gets a test that they ask for.
    pub fn wants(&self, kind: NotificationKind) -> bool {
        kind == NotificationKind::EndpointTest || self.kinds.contains(&kind)
    }

    /// The secrets that sign a notification now, the present one first.
    pub fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &Sealed> {
        let earlier = self.earlier.as_ref().filter(|(_, until)| now < *until);
        std::iter::once(&self.secret).chain(earlier.map(|(sealed, _)| sealed))
    }
}

impl Secrets {
    /// Reads a team's endpoint for notifications.
    pub async fn notification_endpoint(
        &self,
        team: &TeamId,
    ) -> Result<Option<NotificationEndpoint>, Error> {
        let row = self.read_item(SecretId::Notification(team.clone())).await?;
        row.map(NotificationEndpoint::read).transpose()
    }

    /// Sets a team's endpoint for notifications. Fails with a conflict if the endpoint was made or deleted meanwhile.
    pub async fn put_notification_endpoint(
        &self,
        team: &TeamId,
        url: &EndpointUrl,
        kinds: &[NotificationKind],
        secret: &EndpointSecret,
    ) -> Result<NotificationEndpoint, Error> {
        let words = kinds.iter().map(text).collect();
        let update = Update::new()
            .set("team_id", text(team))
            .set("url", text(url.as_url()))
            .set("kinds", AttributeValue::L(words))
            .set("updated_at", text(&Timestamp::now()));
        let update = match secret {
            EndpointSecret::Kept => update.when_present("sealed"),
            EndpointSecret::New(sealed) => with_secret(update, sealed).when_absent("sealed"),
            EndpointSecret::Rotated(sealed, until) => {
                let earlier = STASH_ATTRIBUTES.into_iter();
                let present = ["dek", "kid", "sealed", "generation"];
                let update = earlier
                    .zip(present)
                    .fold(update, |update, (to, from)| update.set_from(to, from))
                    .set("alt_until", text(until))
                    .when_present("sealed");
                with_secret(update, sealed)
            }
        }
        .build();
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(SecretId::Notification(team.clone()))))
            .update_expression(update.update)
            .set_condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        let answer = sent.map_err(|error| match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(_)) => Error::Conflict,
            _ => failed("UpdateItem", error),
        })?;
        NotificationEndpoint::read(answer.attributes.ok_or(Error::NotFound)?)
    }

    /// Deletes a team's endpoint for notifications and its secrets. Returns whether there was one.
    pub async fn delete_notification_endpoint(&self, team: &TeamId) -> Result<bool, Error> {
        let answer = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key(SecretId::Notification(team.clone()))))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| failed("DeleteItem", error))?;
        Ok(answer.attributes.is_some())
    }
}

fn with_secret(update: Update, sealed: &Sealed) -> Update {
    let update = update.set("generation", number(&sealed.generation()));
    let sealed = attributes(sealed).into_iter();
    sealed.fold(update, |update, (name, value)| update.set(name, value))
}
