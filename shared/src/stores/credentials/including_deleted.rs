//! Operations that treat soft-deleted credentials like the others. Zoom's webhooks and a rotated client secret
//! concern every credential that could still be restored.

use aws_sdk_dynamodb::types::AttributeValue;

use super::row::{Change, CredentialRow, StoredCredential};
use super::table::{Credentials, EMAIL_KEY, touch, when_grant_is_as_seen};
use crate::credential::{ClientId, CredentialId, State, TeamId};
use crate::stores::error::{Error, failed};
use crate::stores::expression::Update;
use crate::stores::item::{Listed, from_item, key_of, number, parse_rows, text};
use crate::stores::transaction::{RowKind, Transaction, Write};
use crate::timestamp::Timestamp;

impl Credentials {
    /// Reads up to `rows` rows of a team, oldest first, starting after `after`. Returns those of the Zoom app, and
    /// where the next page begins.
    ///
    /// A page may be empty and still have a next page, because the filter runs after the limit.
    pub async fn page_of_app(
        &self,
        team: &TeamId,
        client_id: &ClientId,
        after: Option<CredentialId>,
        rows: i32,
    ) -> Result<(Listed<StoredCredential>, Option<CredentialId>), Error> {
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
        let items = answer.items.unwrap_or_default();
        let holders = parse_rows(items, (&self.table, "credential_id"), |item| {
            from_item::<CredentialRow>(item)?.try_into()
        });
        let end = answer.last_evaluated_key;
        let next = end.map(|end| key_of(&end, "credential_id")).transpose()?;
        Ok((holders, next))
    }

    /// Makes a credential invalid because its user has deauthorized the app, and clears the user's email and name.
    ///
    /// The update is refused if the row differs from `seen`. `message` must begin with the word of the reason. The
    /// user id stays: Zoom's later webhooks name the user, and the index finds the credential by the user id.
    pub async fn deauthorize(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
        message: &str,
    ) -> Result<(), Error> {
        let update = invalidation(seen, message)
            .remove("zoom_email")
            .remove(EMAIL_KEY)
            .remove("zoom_display_name");
        let id = seen.credential.credential_id;
        self.write(team, id, update).await.map(drop)
    }

    /// Makes a credential invalid because its Zoom user no longer exists. The update is refused if the row differs
    /// from `seen`. `message` must begin with the word of the reason.
    pub async fn mark_user_gone(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
        message: &str,
    ) -> Result<(), Error> {
        let id = seen.credential.credential_id;
        let update = invalidation(seen, message);
        self.write(team, id, update).await.map(drop)
    }

    /// Begins a transaction that replaces the credential's client secret. The caller adds the write of the secret.
    ///
    /// The transaction is refused if the app or the grant differs from `seen`. With `healed`, the update clears the
    /// last error and is also refused if the last error differs from `seen`.
    pub fn begin_secret_replacement(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
        healed: bool,
    ) -> Result<Transaction<'_>, Error> {
        let change = if healed {
            streamed_change(seen, Change::Updated)
        } else {
            Change::Quiet
        };
        let update = touch(change).when_equal("client_id", text(seen.client_id.as_str()));
        let update = match &seen.credential.last_error_message {
            Some(message) if healed => update
                .when_equal("last_error_message", text(message))
                .remove("last_error_message")
                .remove("last_error_at"),
            _ => update,
        };
        let write = Write::update(
            RowKind::Credential,
            &self.table,
            Self::key(team, seen.credential.credential_id),
            when_as_seen(update, seen).build(),
        )?;
        Ok(Transaction::new(&self.client, write))
    }
}

/// The update that makes a credential invalid. The condition on the version lets one of several concurrent webhooks
/// write.
fn invalidation(seen: &StoredCredential, message: &str) -> Update {
    let change = match seen.credential.state {
        State::Active => streamed_change(seen, Change::Invalid),
        State::Invalid => Change::Quiet,
    };
    let update = touch(change)
        .set("state", text("invalid"))
        .set("last_error_message", text(message))
        .set("last_error_at", text(&Timestamp::now()))
        .when_equal("version", number(&seen.version));
    when_as_seen(update, seen)
}

/// Adds the conditions that the grant and the soft deletion are the same as in `seen`.
fn when_as_seen(update: Update, seen: &StoredCredential) -> Update {
    when_grant_is_as_seen(update, seen).when_equal("deleted", AttributeValue::Bool(!seen.is_live()))
}

/// The value of `change` for the stream. Readers of the stream already treat a soft-deleted credential as gone.
fn streamed_change(seen: &StoredCredential, change: Change) -> Change {
    if seen.is_live() {
        change
    } else {
        Change::Quiet
    }
}
