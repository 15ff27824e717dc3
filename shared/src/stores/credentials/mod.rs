//! The table `credentials`: what may be shown, and where the secrets of it are.
//!
//! Partition key `team_id`, sort key `credential_id`. Deleted rows stay until their TTL and are
//! invisible outside this file. Every write raises `version` and says in `change` what it was: that is
//! what the table's stream is filtered by.

mod holders;
mod row;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use uuid::Uuid;

pub use self::row::{Authorized, Changes, ExtraChange, GrantRef, Profile, Stored};
use self::row::{Change, Row};
use super::expression::Update;
use super::transaction::Write;
use super::{Error, Item, Part, Transaction, failed, from_item, number, text, to_item};
use crate::credential::{
    ClientId, Credential, CredentialId, CredentialType, GrantId, Name, Reconnect, State, TeamId,
};
use crate::extra::Extra;
use crate::timestamp::Timestamp;

/// The index that finds a Zoom user's credentials. Keys `zoom_user_id`, `team_id`.
const BY_ZOOM_USER: &str = "by-zoom-user";

/// How far apart, at least, two authorizations must be for the later one to be called newer. Overlapping
/// ones are left alone: no clock knows the order in which Zoom took them.
const APART: Duration = Duration::from_secs(5);

/// How many siblings are re-pointed at a time.
const AT_ONCE: usize = 16;

/// How long an update is tried while a transaction holds its row: those take milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// Some of a team's credentials, newest first.
#[derive(Debug)]
pub struct Page {
    /// The credentials.
    pub stored: Vec<Stored>,
    /// Where the next page begins, if there is one: after this id.
    pub next: Option<CredentialId>,
}

/// The credentials that have a grant.
#[derive(Debug, Default)]
pub struct Holders {
    /// Those that can be used, oldest first.
    pub live: Vec<Stored>,
    /// Those that can be restored, oldest first.
    pub deleted: Vec<Stored>,
}

/// A credential, deleted or not, and what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Owner {
    /// The credential, whose client secret and token URLs have its id.
    #[serde(rename = "credential_id")]
    pub credential: CredentialId,
    /// The grant it has. Others may have it too.
    #[serde(rename = "grant_id")]
    pub grant: Option<GrantId>,
    /// Whether it was deleted, and can be restored.
    pub deleted: bool,
}

/// The table `credentials`.
#[derive(Clone, Debug)]
pub struct Credentials {
    client: Client,
    table: String,
}

impl Credentials {
    /// `table` is the table's name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    pub(super) fn key(team: &TeamId, id: CredentialId) -> Item {
        HashMap::from([
            ("team_id".to_owned(), text(team)),
            ("credential_id".to_owned(), text(&id)),
        ])
    }

    /// One credential of a team.
    pub async fn get(&self, team: &TeamId, id: CredentialId) -> Result<Stored, Error> {
        let stored = self.read(team, id).await?;
        stored.is_live().then_some(stored).ok_or(Error::NotFound)
    }

    /// One credential of a team that was deleted and can be restored.
    pub async fn deleted(&self, team: &TeamId, id: CredentialId) -> Result<Stored, Error> {
        let stored = self.read(team, id).await?;
        let restorable = stored.is_restorable();
        restorable.then_some(stored).ok_or(Error::NotFound)
    }

    /// One credential of a team, deleted or not.
    pub async fn read(&self, team: &TeamId, id: CredentialId) -> Result<Stored, Error> {
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

    /// Up to `rows` rows of a team, newest first, after `after`; the deleted ones instead, where asked for.
    /// A page may hold fewer than there are, or none, and still have a next.
    pub async fn page(
        &self,
        team: &TeamId,
        after: Option<CredentialId>,
        rows: Option<i32>,
        deleted: bool,
    ) -> Result<Page, Error> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("team_id = :team")
            .filter_expression("deleted = :deleted")
            .expression_attribute_values(":team", text(team))
            .expression_attribute_values(":deleted", AttributeValue::Bool(deleted))
            .set_exclusive_start_key(after.map(|id| Self::key(team, id)))
            .set_limit(rows)
            .scan_index_forward(false)
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("Query", error))?;
        let stored = answer
            .items
            .unwrap_or_default()
            .into_iter()
            .map(|item| from_item::<Row>(item)?.try_into());
        let next = answer
            .last_evaluated_key
            .and_then(|key| match key.get("credential_id") {
                Some(AttributeValue::S(id)) => id.parse().ok(),
                _ => None,
            });
        Ok(Page {
            stored: stored.collect::<Result<_, Error>>()?,
            next,
        })
    }

    /// A transaction that begins with a new credential: `app`, or `user` where it comes with an authorization.
    pub fn insert(
        &self,
        team: &TeamId,
        id: CredentialId,
        name: Name,
        client_id: ClientId,
        extra: Option<Extra>,
        authorized: Option<Authorized>,
    ) -> Result<(Stored, Transaction<'_>), Error> {
        let (grant, scopes) = authorized.map_or((None, None), |it| (Some(it.grant), it.scopes));
        let row = Row {
            team_id: team.clone(),
            credential_id: id,
            name,
            credential_type: if grant.is_some() {
                CredentialType::User
            } else {
                CredentialType::App
            },
            client_id,
            grant,
            profile: Profile::default(),
            scopes,
            state: State::Active,
            last_error_message: None,
            last_error_at: None,
            created_at: id.created_at(),
            updated_at: id.created_at(),
            extra: extra.map(|extra| extra.as_json().to_owned()),
            version: 1,
            change: Change::Created,
            deleted: false,
            purge_at: None,
        };
        let item = to_item(&row)?;
        let absent = "attribute_not_exists(credential_id)";
        let write = Write::put(
            Part::Credential,
            &self.table,
            item,
            Some(absent),
            HashMap::new(),
        )?;
        Ok((row.try_into()?, Transaction::new(&self.client, write)))
    }

    /// Changes name and extra, each on its own: concurrent changes of different fields are both kept.
    pub async fn change(
        &self,
        team: &TeamId,
        id: CredentialId,
        changes: Changes,
    ) -> Result<Stored, Error> {
        self.update(team, id, changes.apply(touched(Change::Updated)))
            .await
    }

    /// A transaction that begins with a new client id, if the credential still has the app and the grant
    /// that were `seen`; and what it makes of the credential. On an active credential the errors go too: they were the
    /// old secret's.
    pub fn change_app(
        &self,
        team: &TeamId,
        seen: &Stored,
        client_id: &ClientId,
        changes: Changes,
    ) -> Result<(Stored, Transaction<'_>), Error> {
        let now = Timestamp::now();
        let mut stored = seen.changed(&changes, now);
        stored.client_id = client_id.clone();
        let mut update = changes
            .apply(touched_at(Change::Updated, now))
            .set("client_id", text(client_id.as_str()));
        if seen.credential.state == State::Active {
            update = update.remove("last_error_message").remove("last_error_at");
            stored.credential.last_error_message = None;
            stored.credential.last_error_at = None;
        }
        let update = when_seen(update, seen).when_equal("client_id", text(seen.client_id.as_str()));
        let transaction = self.begin(team, seen.credential.credential_id, update)?;
        Ok((stored, transaction))
    }

    /// A transaction that begins with a new authorization, if the credential still has the grant that was
    /// `seen`, and its app, where that is to stay; and what it makes of the credential. The profile is emptied: it may
    /// be another Zoom user.
    pub fn reauthorize(
        &self,
        team: &TeamId,
        seen: &Stored,
        new_app: Option<&ClientId>,
        authorized: &Authorized,
        changes: Changes,
    ) -> Result<(Stored, Transaction<'_>), Error> {
        let now = Timestamp::now();
        let mut stored = seen.changed(&changes, now);
        stored.grant = Some(authorized.grant);
        stored.client_id = new_app.unwrap_or(&seen.client_id).clone();
        stored.credential = Credential {
            credential_type: CredentialType::User,
            zoom_user_id: None,
            zoom_account_id: None,
            zoom_email: None,
            zoom_display_name: None,
            scopes: authorized.scopes.clone(),
            state: State::Active,
            last_error_message: None,
            last_error_at: None,
            ..stored.credential
        };
        let change = match seen.credential.state {
            State::Active => Change::Updated,
            State::Invalid => Change::Active,
        };
        let update = authorize(changes.apply(touched_at(change, now)), authorized)
            .set("credential_type", text("user"))
            .remove("zoom_user_id")
            .remove("zoom_account_id")
            .remove("zoom_email")
            .remove("zoom_display_name");
        let update = match new_app {
            Some(client_id) => update.set("client_id", text(client_id.as_str())),
            None => update.when_equal("client_id", text(seen.client_id.as_str())),
        };
        let update = when_seen(update, seen);
        let transaction = self.begin(team, seen.credential.credential_id, update)?;
        Ok((stored, transaction))
    }

    /// Writes what Zoom said of the user, or why it could not be read, if the credential still has this grant: and not
    /// any more where the user has taken the authorization back since, and the name was blanked.
    pub async fn complete_profile(
        &self,
        team: &TeamId,
        id: CredentialId,
        grant: GrantId,
        profile: Result<Profile, String>,
    ) -> Result<Stored, Error> {
        let update = touched(Change::Updated)
            .when_equal("grant_id", text(&grant))
            .when_not_begun("last_error_message", Reconnect::Deauthorized.as_str());
        let update = match profile {
            Ok(profile) => update
                .assign("zoom_user_id", profile.zoom_user_id.as_ref().map(text))
                .assign(
                    "zoom_account_id",
                    profile.zoom_account_id.as_ref().map(text),
                )
                .assign("zoom_email", profile.zoom_email.as_ref().map(text))
                .assign(
                    "zoom_display_name",
                    profile.zoom_display_name.as_ref().map(text),
                ),
            Err(reason) => update
                .set("last_error_message", text(&reason))
                .set("last_error_at", text(&Timestamp::now())),
        };
        self.update(team, id, update).await
    }

    /// The team's credentials of a Zoom user, the most recently authorized first, the active ones before the others.
    /// The index may be a moment behind; the rows themselves are not.
    pub async fn of_zoom_user(
        &self,
        team: &TeamId,
        zoom_user_id: &str,
    ) -> Result<Vec<Stored>, Error> {
        let query = self
            .by_zoom_user(team, zoom_user_id)
            .filter_expression("deleted = :no AND attribute_exists(grant_id)")
            .expression_attribute_values(":no", AttributeValue::Bool(false));
        let mut found = self.read_all(team, query).await?;
        found.retain(|stored| {
            stored.is_live() && stored.credential.zoom_user_id.as_deref() == Some(zoom_user_id)
        });
        found.sort_by_key(|stored| {
            let authorized_at = stored.grant.map(|grant| grant.authorized_at);
            Reverse((stored.credential.state == State::Active, authorized_at))
        });
        Ok(found)
    }

    /// The team's other credentials of the same Zoom app and user; those that can be restored instead, where asked for.
    pub async fn pair_of(
        &self,
        team: &TeamId,
        stored: &Stored,
        deleted: bool,
    ) -> Result<Vec<Stored>, Error> {
        let Some(zoom_user_id) = &stored.credential.zoom_user_id else {
            return Ok(Vec::new());
        };
        let query = self
            .by_zoom_user(team, zoom_user_id)
            .filter_expression("client_id = :app AND deleted = :deleted")
            .expression_attribute_values(":app", text(stored.client_id.as_str()))
            .expression_attribute_values(":deleted", AttributeValue::Bool(deleted));
        let mut found = self.read_all(team, query).await?;
        let id = stored.credential.credential_id;
        found.retain(|other| {
            let usable = if deleted {
                other.is_restorable()
            } else {
                other.is_live()
            };
            usable
                && other.credential.credential_id != id
                && other.is_of(&stored.client_id, zoom_user_id)
        });
        Ok(found)
    }

    /// Whether any credential that can be used has this grant, or is of the same Zoom app and user as `of`, and may yet
    /// find that it needs it. Reads the whole team: the index is a moment behind, and this is asked before what nothing
    /// brings back.
    pub async fn is_wanted(
        &self,
        team: &TeamId,
        grant: GrantId,
        of: &Stored,
    ) -> Result<bool, Error> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("team_id = :team")
            .expression_attribute_values(":team", text(team))
            .expression_attribute_values(":grant", text(&grant))
            .expression_attribute_values(":no", AttributeValue::Bool(false))
            .projection_expression("credential_id")
            .consistent_read(true);
        let query = match &of.credential.zoom_user_id {
            None => query.filter_expression("deleted = :no AND grant_id = :grant"),
            Some(user) => query
                .filter_expression(
                    "deleted = :no AND (grant_id = :grant \
                     OR (client_id = :app AND zoom_user_id = :user))",
                )
                .expression_attribute_values(":app", text(of.client_id.as_str()))
                .expression_attribute_values(":user", text(user)),
        };
        let mut rows = query.into_paginator().items().send();
        let first = rows.next().await.transpose();
        Ok(first.map_err(|error| failed("Query", error))?.is_some())
    }

    /// The team's credentials that have this grant. Reads the whole team, for no index knows grants.
    pub async fn with_grant(&self, team: &TeamId, grant: GrantId) -> Result<Holders, Error> {
        let mut rows = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("team_id = :team")
            .filter_expression("grant_id = :grant")
            .expression_attribute_values(":team", text(team))
            .expression_attribute_values(":grant", text(&grant))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut holders = Holders::default();
        while let Some(item) = rows.next().await {
            let item = item.map_err(|error| failed("Query", error))?;
            let stored = Stored::try_from(from_item::<Row>(item)?)?;
            if stored.is_live() {
                holders.live.push(stored);
            } else {
                holders.deleted.push(stored);
            }
        }
        Ok(holders)
    }

    /// All of a team's credentials, deleted or not, oldest first. Reads the whole team.
    pub async fn owners(&self, team: &TeamId) -> Result<Vec<Owner>, Error> {
        let mut rows = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("team_id = :team")
            .expression_attribute_values(":team", text(team))
            .projection_expression("credential_id, grant_id, deleted")
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut owners = Vec::new();
        while let Some(item) = rows.next().await {
            owners.push(from_item(item.map_err(|error| failed("Query", error))?)?);
        }
        Ok(owners)
    }

    /// A transaction that begins with the credential turning invalid, if it still has this grant. `message` begins
    /// with the reason's word.
    pub fn invalidate(
        &self,
        team: &TeamId,
        id: CredentialId,
        grant: GrantId,
        message: &str,
    ) -> Result<Transaction<'_>, Error> {
        let update = touched(Change::Invalid)
            .set("state", text("invalid"))
            .set("last_error_message", text(message))
            .set("last_error_at", text(&Timestamp::now()))
            .when_equal("grant_id", text(&grant));
        self.begin(team, id, update)
    }

    /// A transaction that begins with the credential being active and without errors, if it still has this grant.
    pub fn activate(
        &self,
        team: &TeamId,
        seen: &Stored,
        grant: GrantId,
    ) -> Result<Transaction<'_>, Error> {
        let change = match seen.credential.state {
            State::Active => Change::Quiet,
            State::Invalid => Change::Active,
        };
        let update = touched(change)
            .set("state", text("active"))
            .remove("last_error_message")
            .remove("last_error_at")
            .when_equal("grant_id", text(&grant));
        self.begin(team, seen.credential.credential_id, update)
    }

    /// A transaction that begins with the credential pointing at another grant of the same app and user, which Zoom has
    /// just accepted: if it still has the one that was `seen`.
    pub fn adopt(
        &self,
        team: &TeamId,
        seen: &Stored,
        authorized: &Authorized,
    ) -> Result<Transaction<'_>, Error> {
        let update = authorize(touched(Change::Active), authorized);
        self.begin(team, seen.credential.credential_id, when_seen(update, seen))
    }

    /// Writes down what went wrong, if the credential still has the grant that was `seen`. The state stays, unless
    /// it is `invalid` for now: with the grant as it is, a mint that works makes it active again.
    pub async fn note_failure(
        &self,
        team: &TeamId,
        seen: &Stored,
        message: &str,
        invalid: bool,
    ) -> Result<Stored, Error> {
        let update = if invalid {
            touched(Change::Invalid).set("state", text("invalid"))
        } else {
            touched(Change::Quiet)
        };
        let update = update
            .set("last_error_message", text(message))
            .set("last_error_at", text(&Timestamp::now()));
        self.update(team, seen.credential.credential_id, when_seen(update, seen))
            .await
    }

    fn by_zoom_user(&self, team: &TeamId, zoom_user_id: &str) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .index_name(BY_ZOOM_USER)
            .key_condition_expression("zoom_user_id = :user AND team_id = :team")
            .expression_attribute_values(":user", text(zoom_user_id))
            .expression_attribute_values(":team", text(team))
    }

    /// The rows that a query of the index finds, as they are now: the index may be a moment behind, the rows are not.
    async fn read_all(
        &self,
        team: &TeamId,
        query: QueryFluentBuilder,
    ) -> Result<Vec<Stored>, Error> {
        let mut pages = query.into_paginator().items().send();
        let mut ids: Vec<CredentialId> = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| failed("Query", error))?;
            ids.push(from_item::<Found>(item)?.credential_id);
        }
        let reads = ids.into_iter().map(|id| self.read(team, id));
        let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
        let mut found = Vec::new();
        while let Some(read) = reads.next().await {
            match read {
                Ok(stored) => found.push(stored),
                Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Deletes: the row is hidden at once, keeps what it had, and goes for good after `retention`.
    pub async fn delete(
        &self,
        team: &TeamId,
        id: CredentialId,
        retention: Duration,
    ) -> Result<(), Error> {
        let now = Timestamp::now();
        let update = touched(Change::Deleted)
            .set("deleted", AttributeValue::Bool(true))
            .set("deleted_at", text(&now))
            .set("purge_at", number(&now.plus(retention).as_seconds()));
        self.update(team, id, update).await.map(drop)
    }

    /// A transaction that begins with a deleted credential being there again, as it was `seen`; invalid, where
    /// `message` says why its grant is of no use any more. It can be restored once, and until its time is over.
    pub fn restore(
        &self,
        team: &TeamId,
        seen: &Stored,
        message: Option<&str>,
    ) -> Result<Transaction<'_>, Error> {
        let now = Timestamp::now();
        let mut update = touched(Change::Restored)
            .set("deleted", AttributeValue::Bool(false))
            .remove("deleted_at")
            .remove("purge_at");
        if let Some(message) = message {
            update = update
                .set("state", text("invalid"))
                .set("last_error_message", text(message))
                .set("last_error_at", text(&now));
        }
        let update = when_seen(update, seen)
            .when_equal("deleted", AttributeValue::Bool(true))
            .when_equal("version", number(&seen.version))
            .when_not_less("purge_at", number(&now.as_seconds()));
        let key = Self::key(team, seen.credential.credential_id);
        let write = Write::update(Part::Credential, &self.table, key, update.build())?;
        Ok(Transaction::new(&self.client, write))
    }

    /// Points the team's other credentials of the same Zoom app and user at `authorized`: Zoom has killed
    /// their grants. Best effort, each on its own; answers how many were moved, or the last failure.
    pub async fn adopt_siblings(
        &self,
        team: &TeamId,
        client_id: &ClientId,
        zoom_user_id: &str,
        authorized: &Authorized,
        code_sent_at: Timestamp,
    ) -> Result<Moved, Error> {
        let siblings = self
            .siblings(team, client_id, zoom_user_id, authorized.grant.id)
            .await?;
        let updates = siblings.into_iter().map(|sibling| {
            let update = authorize(touched(Change::Active), authorized)
                .when_equal("grant_id", text(&sibling.grant_id))
                .when_less(
                    "grant_authorized_at",
                    number(&code_sent_at.minus(APART).as_millis()),
                );
            async move {
                let moved = self.update(team, sibling.credential_id, update).await;
                (sibling, moved)
            }
        });
        let mut outcomes = stream::iter(updates).buffer_unordered(AT_ONCE);
        let mut moved = Moved::default();
        let mut failure = None;
        while let Some((sibling, outcome)) = outcomes.next().await {
            match outcome {
                Ok(_) => moved.note(&sibling),
                // Deleted meanwhile, or authorized meanwhile, or too close to call.
                Err(Error::NotFound | Error::Conflict) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(moved), Err)
    }

    async fn siblings(
        &self,
        team: &TeamId,
        client_id: &ClientId,
        zoom_user_id: &str,
        newest: GrantId,
    ) -> Result<Vec<Sibling>, Error> {
        let mut pages = self
            .by_zoom_user(team, zoom_user_id)
            .filter_expression("client_id = :app AND deleted = :no AND grant_id <> :newest")
            .expression_attribute_values(":no", AttributeValue::Bool(false))
            .expression_attribute_values(":app", text(client_id.as_str()))
            .expression_attribute_values(":newest", text(&newest))
            .into_paginator()
            .items()
            .send();
        let mut siblings = Vec::new();
        while let Some(item) = pages.next().await {
            siblings.push(from_item(item.map_err(|error| failed("Query", error))?)?);
        }
        Ok(siblings)
    }

    /// Updates a row that is not deleted, and waits where a transaction is about to.
    ///
    /// An update that was applied, but whose answer was lost, is recognised by its `writer` when the SDK's
    /// retry finds its condition gone.
    async fn update(
        &self,
        team: &TeamId,
        id: CredentialId,
        update: Update,
    ) -> Result<Stored, Error> {
        let update = update.when_equal("deleted", AttributeValue::Bool(false));
        self.write(team, id, update).await
    }

    /// As [`Self::update`], of a row that may be deleted.
    async fn write(
        &self,
        team: &TeamId,
        id: CredentialId,
        update: Update,
    ) -> Result<Stored, Error> {
        let writer = Uuid::new_v4().to_string();
        let update = update.set("writer", text(&writer)).build();
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Self::key(team, id)))
            .update_expression(update.update)
            .set_condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let until = Timestamp::now().plus(PATIENCE);
        let mut pause = Duration::from_millis(25);
        let item = loop {
            let error = match request.clone().send().await {
                Ok(answer) => break answer.attributes,
                Err(error) => error,
            };
            // The SDK does not retry this one by itself.
            let held = error
                .as_service_error()
                .is_some_and(UpdateItemError::is_transaction_conflict_exception);
            if !held || Timestamp::now().plus(pause) >= until {
                break Some(applied(error, &writer)?);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        };
        from_item::<Row>(item.ok_or(Error::NotFound)?)?.try_into()
    }

    fn begin(
        &self,
        team: &TeamId,
        id: CredentialId,
        update: Update,
    ) -> Result<Transaction<'_>, Error> {
        let update = update
            .when_equal("deleted", AttributeValue::Bool(false))
            .build();
        let write = Write::update(Part::Credential, &self.table, Self::key(team, id), update)?;
        Ok(Transaction::new(&self.client, write))
    }
}

/// Which credential the index found.
#[derive(Deserialize)]
struct Found {
    credential_id: CredentialId,
}

/// What the index knows of a credential.
#[derive(Deserialize)]
struct Sibling {
    credential_id: CredentialId,
    grant_id: GrantId,
    state: State,
}

/// What became of a user's other credentials when a new grant was given to them.
#[derive(Debug, Default)]
pub struct Moved {
    /// How many have it now.
    pub count: usize,
    /// Those of them that were invalid before, as far as the index knew.
    pub revived: Vec<CredentialId>,
}

impl Moved {
    fn note(&mut self, sibling: &Sibling) {
        self.count += 1;
        if sibling.state == State::Invalid {
            self.revived.push(sibling.credential_id);
        }
    }
}

/// What every update writes.
fn touched(change: Change) -> Update {
    touched_at(change, Timestamp::now())
}

/// As [`touched`], at a time.
fn touched_at(change: Change, at: Timestamp) -> Update {
    Update::new()
        .set("updated_at", text(&at))
        .set("change", change.attribute())
        .increment("version", 1)
}

/// What a new grant makes of a row, its own or a sibling's.
fn authorize(update: Update, authorized: &Authorized) -> Update {
    update
        .set("grant_id", text(&authorized.grant.id))
        .set(
            "grant_authorized_at",
            number(&authorized.grant.authorized_at),
        )
        .assign("scopes", authorized.scopes.as_ref().map(text))
        .set("state", text("active"))
        .remove("last_error_message")
        .remove("last_error_at")
}

/// Holds the update to a credential whose grant is still the one that was `seen`.
fn when_seen(update: Update, seen: &Stored) -> Update {
    match seen.grant {
        Some(grant) => update.when_equal("grant_id", text(&grant.id)),
        None => update.when_absent("grant_id"),
    }
}

/// The row as our own earlier try left it, or the error the failure stands for.
fn applied(error: SdkError<UpdateItemError>, writer: &str) -> Result<Item, Error> {
    let Some(UpdateItemError::ConditionalCheckFailedException(refused)) = error.as_service_error()
    else {
        return Err(failed("UpdateItem", error));
    };
    let item = refused.item.clone().ok_or(Error::NotFound)?;
    match (item.get("writer"), item.get("deleted")) {
        (Some(AttributeValue::S(last)), _) if last == writer => Ok(item),
        (_, Some(AttributeValue::Bool(false))) => Err(Error::Conflict),
        _ => Err(Error::NotFound),
    }
}
