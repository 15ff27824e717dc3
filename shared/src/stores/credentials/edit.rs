//! Creates, changes, deletes and restores a credential on behalf of its owner.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use super::changes::CredentialChanges;
use super::row::{AuthorizedGrant, Change, CredentialRow, StoredCredential};
use super::table::{
    Credentials, EMAIL_KEY, set_grant, touch, touch_at, when_grant_is_as_seen,
    when_pair_is_as_seen, when_visible,
};
use crate::account::AccountId;
use crate::connect::ZoomUserHash;
use crate::credential::{
    ClientId, Credential, CredentialId, CredentialType, GrantId, Name, ReconnectReason, State,
    TeamId,
};
use crate::extra::Extra;
use crate::pair::Pair;
use crate::profile::{Profile, UNKNOWN_PROFILE};
use crate::stores::error::Error;
use crate::stores::expression::Update;
use crate::stores::item::{number, text, to_item};
use crate::stores::transaction::{RowKind, Transaction, Write};
use crate::timestamp::Timestamp;

impl Credentials {
    /// Begins a transaction that inserts a credential. The type is `user` with `authorized`, else `app`. With
    /// `account`, it is an account-level credential.
    pub fn insert(
        &self,
        team: &TeamId,
        id: CredentialId,
        name: Name,
        client_id: ClientId,
        extra: Option<Extra>,
        account: Option<&AccountId>,
        authorized: Option<AuthorizedGrant>,
    ) -> Result<(StoredCredential, Transaction<'_>), Error> {
        let mut row = new_row(team, id, name, client_id, extra, authorized);
        row.profile.zoom_account_id = account.map(|account| account.as_str().to_owned());
        self.insert_row(row)
    }

    /// Begins a transaction that inserts this row.
    pub(super) fn insert_row(
        &self,
        row: CredentialRow,
    ) -> Result<(StoredCredential, Transaction<'_>), Error> {
        let mut item = to_item(&row)?;
        if let Some(email) = &row.profile.zoom_email {
            item.insert(EMAIL_KEY.to_owned(), text(&email.to_lowercase()));
        }
        let absent = "attribute_not_exists(credential_id)";
        let write = Write::put(
            RowKind::Credential,
            &self.table,
            item,
            Some(absent),
            HashMap::new(),
        )?;
        Ok((row.try_into()?, Transaction::new(&self.client, write)))
    }

    /// Begins a transaction that changes the name, `extra` or both. Returns the credential as the transaction leaves
    /// it, if nothing else has changed since it was `seen`. Each field is written on its own, so concurrent changes of
    /// different fields are both kept.
    ///
    /// With `unchanged`, the transaction is refused if anything has changed since.
    pub fn change(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
        changes: CredentialChanges,
        unchanged: bool,
    ) -> Result<(StoredCredential, Transaction<'_>), Error> {
        let now = Timestamp::now();
        let stored = seen.changed(&changes, now);
        let mut update = changes.apply(touch_at(Change::Updated, now));
        if unchanged {
            update = update.when_equal("version", number(&seen.version));
        }
        let update = when_visible(update, seen);
        let transaction = self.begin(team, seen.credential.credential_id, update)?;
        Ok((stored, transaction))
    }

    /// Begins a transaction that sets a new client id. Returns the credential as the transaction leaves it.
    ///
    /// The transaction is refused if the app or the grant differs from `seen`. On an active credential, the update
    /// also clears the last error, because the error was about the old client secret.
    pub fn change_app(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
        client_id: &ClientId,
        changes: CredentialChanges,
    ) -> Result<(StoredCredential, Transaction<'_>), Error> {
        let now = Timestamp::now();
        let mut stored = seen.changed(&changes, now);
        stored.client_id = client_id.clone();
        let mut update = changes
            .apply(touch_at(Change::Updated, now))
            .set("client_id", text(client_id.as_str()));
        if seen.credential.state == State::Active {
            update = update.remove("last_error_message").remove("last_error_at");
            stored.credential.last_error_message = None;
            stored.credential.last_error_at = None;
        }
        let update = when_grant_is_as_seen(update, seen)
            .when_equal("client_id", text(seen.client_id.as_str()));
        let update = when_visible(update, seen);
        let transaction = self.begin(team, seen.credential.credential_id, update)?;
        Ok((stored, transaction))
    }

    /// Begins a transaction that stores a new authorization. Returns the credential as the transaction leaves it.
    ///
    /// The transaction is refused if the grant or the pair differs from `seen`, or the app differs and `new_app` is
    /// `None`. The update clears the profile and the pair, because the new grant may belong to another Zoom user. The
    /// caller adds the write that takes the credential out of its old pair.
    pub fn reauthorize(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
        new_app: Option<&ClientId>,
        authorized: &AuthorizedGrant,
        changes: CredentialChanges,
    ) -> Result<(StoredCredential, Transaction<'_>), Error> {
        let now = Timestamp::now();
        let mut stored = seen.changed(&changes, now);
        stored.grant = Some(authorized.grant);
        stored.pair = None;
        stored.first_user = first_user(seen);
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
        let update = set_grant(changes.apply(touch_at(change, now)), authorized)
            .set("credential_type", text("user"))
            .assign(
                "first_user",
                stored.first_user.as_ref().map(|user| text(user.as_str())),
            )
            .remove("pair_id")
            .remove("zoom_user_id")
            .remove("zoom_account_id")
            .remove("zoom_email")
            .remove(EMAIL_KEY)
            .remove("zoom_display_name");
        let update = match new_app {
            Some(client_id) => update.set("client_id", text(client_id.as_str())),
            None => update.when_equal("client_id", text(seen.client_id.as_str())),
        };
        let update = when_pair_is_as_seen(when_grant_is_as_seen(update, seen), seen);
        let update = when_visible(update, seen);
        let transaction = self.begin(team, seen.credential.credential_id, update)?;
        Ok((stored, transaction))
    }

    /// Begins a transaction that stores who the user of the credential's grant is. Returns the credential as the
    /// transaction leaves it. The caller adds the writes that count the credential in.
    /// A reason why the user was unknown, which begins with [`UNKNOWN_PROFILE`], is cleared.
    ///
    /// The transaction is refused if the credential has another grant or app, is counted already, or was deleted or
    /// restored since `seen`.
    pub fn learn(
        &self,
        pair: &Pair,
        seen: &StoredCredential,
        grant: GrantId,
        profile: Profile,
    ) -> Result<(StoredCredential, Transaction<'_>), Error> {
        let now = Timestamp::now();
        let change = if seen.is_live() {
            Change::Updated
        } else {
            Change::Quiet
        };
        let update = set_profile(touch_at(change, now), &profile)
            .set("pair_id", text(&pair.id()))
            .when_equal("grant_id", text(&grant))
            .when_absent("pair_id")
            .when_equal("client_id", text(pair.client_id.as_str()))
            .when_equal("deleted", AttributeValue::Bool(!seen.is_live()));
        let mut stored = seen.changed(&CredentialChanges::default(), now);
        stored.pair = Some(pair.id());
        stored.credential.set_profile(profile);
        let message = seen.credential.last_error_message.as_ref();
        let update = match message.filter(|message| message.starts_with(UNKNOWN_PROFILE)) {
            Some(message) => {
                stored.credential.last_error_message = None;
                stored.credential.last_error_at = None;
                update
                    .when_equal("last_error_message", text(message))
                    .remove("last_error_message")
                    .remove("last_error_at")
            }
            None => update,
        };
        let key = Self::key(&pair.team, seen.credential.credential_id);
        let write = Write::update(RowKind::Credential, &self.table, key, update.build())?;
        Ok((stored, Transaction::new(&self.client, write)))
    }

    /// Stores a profile that has changed. The user is the same as before.
    ///
    /// The update is refused if the credential has another grant or pair, or if the user has removed the app since.
    /// After that the profile must stay empty.
    pub async fn change_profile(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
        profile: &Profile,
    ) -> Result<StoredCredential, Error> {
        let update = set_profile(touch(Change::Updated), profile)
            .when_not_prefixed("last_error_message", ReconnectReason::Deauthorized.as_str());
        let update = when_pair_is_as_seen(when_grant_is_as_seen(update, seen), seen);
        self.update(team, seen.credential.credential_id, update)
            .await
    }

    /// Stores why Zoom does not show the user's profile. Refused if the credential has another grant, or if its user is
    /// known by now.
    pub async fn note_unknown_user(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
        reason: &str,
    ) -> Result<StoredCredential, Error> {
        let update = touch(Change::Updated)
            .set("last_error_message", text(reason))
            .set("last_error_at", text(&Timestamp::now()))
            .when_absent("pair_id");
        let update = when_grant_is_as_seen(update, seen);
        self.update(team, seen.credential.credential_id, update)
            .await
    }

    /// Begins a transaction that soft-deletes a live credential at `now`. The row keeps its attributes, and DynamoDB
    /// removes it after `retention`. Refused if the credential is deleted, or if another pair counts it by now.
    pub fn delete(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
        now: Timestamp,
        retention: Duration,
    ) -> Result<Transaction<'_>, Error> {
        let update = touch_at(Change::Deleted, now)
            .set("deleted", AttributeValue::Bool(true))
            .set("deleted_at", text(&now))
            .set("purge_at", number(&now.plus(retention).as_seconds()));
        let update = when_visible(when_pair_is_as_seen(update, seen), seen);
        self.begin(team, seen.credential.credential_id, update)
    }

    /// Begins a transaction that restores a soft-deleted credential.
    ///
    /// With `message`, the credential becomes invalid, because its grant cannot be used any more. The transaction is
    /// refused if the row differs from `seen`, if the credential is not deleted, or if its time to restore is over.
    pub fn restore(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
        message: Option<&str>,
    ) -> Result<Transaction<'_>, Error> {
        let now = Timestamp::now();
        let mut update = touch(Change::Restored)
            .set("deleted", AttributeValue::Bool(false))
            .remove("deleted_at")
            .remove("purge_at");
        if let Some(message) = message {
            update = update
                .set("state", text("invalid"))
                .set("last_error_message", text(message))
                .set("last_error_at", text(&now));
        }
        let update = when_grant_is_as_seen(update, seen)
            .when_equal("deleted", AttributeValue::Bool(true))
            .when_equal("version", number(&seen.version))
            .when_not_less("purge_at", number(&now.as_seconds()));
        let update = when_visible(when_pair_is_as_seen(update, seen), seen);
        let key = Self::key(team, seen.credential.credential_id);
        let write = Write::update(RowKind::Credential, &self.table, key, update.build())?;
        Ok(Transaction::new(&self.client, write))
    }
}

/// The row of a new credential. The type is `user` with `authorized`, else `app`.
pub(super) fn new_row(
    team: &TeamId,
    id: CredentialId,
    name: Name,
    client_id: ClientId,
    extra: Option<Extra>,
    authorized: Option<AuthorizedGrant>,
) -> CredentialRow {
    let (grant, scopes) = authorized.map_or((None, None), |it| (Some(it.grant), it.scopes));
    CredentialRow {
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
        pair: None,
        profile: Profile::default(),
        first_user: None,
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
    }
}

/// The first user of a credential that is about to get another authorization.
fn first_user(seen: &StoredCredential) -> Option<ZoomUserHash> {
    let id = seen.credential.credential_id;
    let user = seen.credential.zoom_user_id.as_deref();
    let current = user.map(|user| ZoomUserHash::of_credential(id, user));
    seen.first_user.clone().or(current)
}

/// Sets the profile. What Zoom leaves out is removed.
fn set_profile(update: Update, profile: &Profile) -> Update {
    let optional = |value: &Option<String>| value.as_ref().map(text);
    update
        .assign("zoom_user_id", optional(&profile.zoom_user_id))
        .assign("zoom_account_id", optional(&profile.zoom_account_id))
        .assign("zoom_email", optional(&profile.zoom_email))
        .assign(
            EMAIL_KEY,
            profile
                .zoom_email
                .as_ref()
                .map(|it| text(&it.to_lowercase())),
        )
        .assign("zoom_display_name", optional(&profile.zoom_display_name))
}
