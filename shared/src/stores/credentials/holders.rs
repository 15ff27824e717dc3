//! Credentials whether or not they are deleted: what Zoom says of a user, and what becomes of an app's secret,
//! concerns those that may be restored all the same.

use aws_sdk_dynamodb::types::AttributeValue;

use super::row::{Change, Row, Stored};
use super::{Credentials, touched, when_seen};
use crate::credential::{ClientId, CredentialId, State, TeamId};
use crate::stores::expression::Update;
use crate::stores::transaction::Write;
use crate::stores::{Error, Part, Transaction, failed, from_item, number, text};
use crate::timestamp::Timestamp;

impl Credentials {
    /// The team's credentials of a Zoom app and user, deleted or not. The index may be a moment behind; the rows
    /// themselves are not.
    pub async fn holders(
        &self,
        team: &TeamId,
        client_id: &ClientId,
        zoom_user_id: &str,
    ) -> Result<Vec<Stored>, Error> {
        let query = self
            .by_zoom_user(team, zoom_user_id)
            .filter_expression("client_id = :app")
            .expression_attribute_values(":app", text(client_id.as_str()));
        let mut found = self.read_all(team, query).await?;
        found.retain(|stored| stored.is_of(client_id, zoom_user_id));
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
    ) -> Result<(Vec<Stored>, Option<CredentialId>), Error> {
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
        seen: &Stored,
        message: &str,
    ) -> Result<(), Error> {
        let update = turned_invalid(seen, message)
            .remove("zoom_email")
            .remove("zoom_display_name");
        let id = seen.credential.credential_id;
        self.write(team, id, update).await.map(drop)
    }

    /// Turns a credential invalid whose user is gone, if it is as it was seen. `message` begins with the reason's word.
    pub async fn user_gone(
        &self,
        team: &TeamId,
        seen: &Stored,
        message: &str,
    ) -> Result<(), Error> {
        let id = seen.credential.credential_id;
        let update = turned_invalid(seen, message);
        self.write(team, id, update).await.map(drop)
    }

    /// A transaction that begins with a credential whose client secret is another by then, if it still has the app and
    /// the grant that were seen. With `healed`, what it says went wrong goes too, if it says no other thing by then.
    pub fn reseal(
        &self,
        team: &TeamId,
        seen: &Stored,
        healed: bool,
    ) -> Result<Transaction<'_>, Error> {
        let change = if healed {
            told(seen, Change::Updated)
        } else {
            Change::Quiet
        };
        let update = touched(change).when_equal("client_id", text(seen.client_id.as_str()));
        let update = match &seen.credential.last_error_message {
            Some(message) if healed => update
                .when_equal("last_error_message", text(message))
                .remove("last_error_message")
                .remove("last_error_at"),
            _ => update,
        };
        let write = Write::update(
            Part::Credential,
            &self.table,
            Self::key(team, seen.credential.credential_id),
            as_seen(update, seen).build(),
        )?;
        Ok(Transaction::new(&self.client, write))
    }
}

/// On the version: of those who were told the same at once, one writes it.
fn turned_invalid(seen: &Stored, message: &str) -> Update {
    let change = match seen.credential.state {
        State::Active => told(seen, Change::Invalid),
        State::Invalid => Change::Quiet,
    };
    let update = touched(change)
        .set("state", text("invalid"))
        .set("last_error_message", text(message))
        .set("last_error_at", text(&Timestamp::now()))
        .when_equal("version", number(&seen.version));
    as_seen(update, seen)
}

/// What is written to a credential that may be deleted is written to it as it was `seen`.
fn as_seen(update: Update, seen: &Stored) -> Update {
    when_seen(update, seen).when_equal("deleted", AttributeValue::Bool(!seen.is_live()))
}

/// What the change is to the stream's readers, who have been told that what is deleted is gone.
fn told(seen: &Stored, change: Change) -> Change {
    if seen.is_live() {
        change
    } else {
        Change::Quiet
    }
}
