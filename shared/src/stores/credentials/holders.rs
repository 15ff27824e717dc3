//! Credentials whether or not they are deleted: what Zoom says of a user, and what becomes of an app's secret,
//! concerns those that may be restored all the same.

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, stream};

use super::row::{Change, Row, Stored};
use super::{AT_ONCE, BY_ZOOM_USER, Credentials, Found, touched, when_seen};
use crate::credential::{ClientId, CredentialId, State, TeamId};
use crate::stores::expression::Update;
use crate::stores::transaction::Write;
use crate::stores::{Error, Part, Transaction, failed, from_item, number, text};
use crate::timestamp::Timestamp;

/// A credential that may be deleted. What is written to it is written to it as it was seen.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The credential.
    pub stored: Stored,
    deleted: bool,
}

impl TryFrom<Row> for Holder {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            deleted: row.deleted,
            stored: row.try_into()?,
        })
    }
}

impl Holder {
    fn when_seen(&self, update: Update) -> Update {
        when_seen(update, &self.stored).when_equal("deleted", AttributeValue::Bool(self.deleted))
    }

    /// What the change is to the stream's readers, who have been told that what is deleted is gone.
    fn told(&self, change: Change) -> Change {
        if self.deleted { Change::Quiet } else { change }
    }
}

impl Credentials {
    /// One credential of a team, deleted or not.
    pub async fn holder(&self, team: &TeamId, id: CredentialId) -> Result<Holder, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(Self::key(team, id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        from_item::<Row>(answer.item.ok_or(Error::NotFound)?)?.try_into()
    }

    /// The team's credentials of a Zoom app and user, deleted or not. The index may be a moment behind; the rows
    /// themselves are not.
    pub async fn holders(
        &self,
        team: &TeamId,
        client_id: &ClientId,
        zoom_user_id: &str,
    ) -> Result<Vec<Holder>, Error> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_ZOOM_USER)
            .key_condition_expression("zoom_user_id = :user AND team_id = :team")
            .filter_expression("client_id = :app")
            .expression_attribute_values(":user", text(zoom_user_id))
            .expression_attribute_values(":team", text(team))
            .expression_attribute_values(":app", text(client_id.as_str()))
            .into_paginator()
            .items()
            .send();
        let mut ids: Vec<CredentialId> = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| failed("Query", error))?;
            ids.push(from_item::<Found>(item)?.credential_id);
        }
        let reads = ids.into_iter().map(|id| self.holder(team, id));
        let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
        let mut found = Vec::new();
        while let Some(read) = reads.next().await {
            match read {
                Ok(holder) => found.push(holder),
                Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        found.retain(|holder| {
            holder.stored.client_id == *client_id
                && holder.stored.credential.zoom_user_id.as_deref() == Some(zoom_user_id)
        });
        Ok(found)
    }

    /// The credentials of a Zoom app among up to `rows` rows of a team, deleted or not, oldest first, after `after`;
    /// and where the next page begins, if there is one. A page may hold none, and still have a next.
    pub async fn holders_of_app(
        &self,
        team: &TeamId,
        client_id: &ClientId,
        after: Option<CredentialId>,
        rows: i32,
    ) -> Result<(Vec<Holder>, Option<CredentialId>), Error> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("team_id = :team")
            .filter_expression("client_id = :app")
            .expression_attribute_values(":team", text(team))
            .expression_attribute_values(":app", text(client_id.as_str()))
            .set_exclusive_start_key(after.map(|id| Self::key(team, id)))
            .limit(rows)
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("Query", error))?;
        let items = answer.items.unwrap_or_default().into_iter();
        let holders = items.map(|item| from_item::<Row>(item)?.try_into());
        let end = answer.last_evaluated_key;
        let id = end.and_then(|mut end| end.remove("credential_id"));
        let next = id.map(serde_dynamo::from_attribute_value).transpose();
        Ok((
            holders.collect::<Result<_, Error>>()?,
            next.map_err(Error::Shape)?,
        ))
    }

    /// Turns a credential invalid whose user took the authorization back, and blanks what names the user; if it is as
    /// it was seen. `message` begins with the reason's word. The user's id stays: it is what Zoom's events name, and by
    /// what the credential is found.
    pub async fn deauthorize(
        &self,
        team: &TeamId,
        seen: &Holder,
        message: &str,
    ) -> Result<(), Error> {
        let update = turned_invalid(seen, message)
            .remove("zoom_email")
            .remove("zoom_display_name");
        let id = seen.stored.credential.credential_id;
        self.write(team, id, update).await.map(drop)
    }

    /// Turns a credential invalid whose user is gone, if it is as it was seen. `message` begins with the reason's word.
    pub async fn user_gone(
        &self,
        team: &TeamId,
        seen: &Holder,
        message: &str,
    ) -> Result<(), Error> {
        let id = seen.stored.credential.credential_id;
        let update = turned_invalid(seen, message);
        self.write(team, id, update).await.map(drop)
    }

    /// A transaction that begins with a credential whose client secret is another by then, if it still has the app and
    /// the grant that were seen. With `healed`, what it says went wrong goes too, if it says no other thing by then.
    pub fn reseal(
        &self,
        team: &TeamId,
        seen: &Holder,
        healed: bool,
    ) -> Result<Transaction<'_>, Error> {
        let stored = &seen.stored;
        let change = if healed {
            seen.told(Change::Updated)
        } else {
            Change::Quiet
        };
        let update = touched(change).when_equal("client_id", text(stored.client_id.as_str()));
        let update = match &stored.credential.last_error_message {
            Some(message) if healed => update
                .when_equal("last_error_message", text(message))
                .remove("last_error_message")
                .remove("last_error_at"),
            _ => update,
        };
        let write = Write::update(
            Part::Credential,
            &self.table,
            Self::key(team, stored.credential.credential_id),
            seen.when_seen(update).build(),
        )?;
        Ok(Transaction::new(&self.client, write))
    }
}

/// On the version: of those who were told the same at once, one writes it.
fn turned_invalid(seen: &Holder, message: &str) -> Update {
    let change = match seen.stored.credential.state {
        State::Active => seen.told(Change::Invalid),
        State::Invalid => Change::Quiet,
    };
    let update = touched(change)
        .set("state", text("invalid"))
        .set("last_error_message", text(message))
        .set("last_error_at", text(&Timestamp::now()))
        .when_equal("version", number(&seen.stored.version));
    seen.when_seen(update)
}
