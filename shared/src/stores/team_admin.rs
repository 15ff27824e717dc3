//! The table `keys` for the operator. [`TeamAdmin`] is its only writer.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::expression::Update;
use super::keys::{KEY_PREFIX, KeyRow, SETTINGS, key};
use super::{Team, Trail};
use crate::api_key::{ApiKey, KeyId, KeyTerms};
use crate::brand::{Logo, SupportContact};
use crate::connect::ReturnOrigin;
use crate::credential::{Name, TeamId};
use crate::event::{Change, EventKind, Target};
use crate::stores::error::{Error, failed};
use crate::stores::item::{Item, Listed, from_item, number, parse_rows, scan_each, text, to_item};
use crate::stores::transaction::{CommitOutcome, RowKind, TRANSACTION_TIMEOUT, Transaction, Write};
use crate::timestamp::Timestamp;

/// How often a new key is tried while the team's settings change.
const MAX_ATTEMPTS: usize = 5;

/// An API key in a list, without the key itself.
#[derive(Debug, Serialize)]
pub struct KeyListing {
    /// The id of the key. It is needed to revoke the key.
    pub key_id: KeyId,
    /// The team of the key.
    pub team: TeamId,
    /// What the operator has decided about the key.
    #[serde(flatten)]
    pub terms: KeyTerms,
    /// When the key was created.
    pub created_at: Timestamp,
    /// When the key was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// The key that a rotation has made in place of this one.
    pub replaced_by: Option<KeyId>,
}

impl From<KeyRow> for KeyListing {
    fn from(row: KeyRow) -> Self {
        Self {
            key_id: row.key_id(),
            team: row.team_id,
            terms: row.terms,
            created_at: row.created_at,
            revoked_at: row.revoked_at,
            replaced_by: row.replaced_by,
        }
    }
}

impl KeyRow {
    fn key_id(&self) -> KeyId {
        KeyId::of_hash(record_hash(&self.record))
    }
}

/// The hash of the key whose row has this sort key.
fn record_hash(record: &str) -> &str {
    record.strip_prefix(KEY_PREFIX).unwrap_or_default()
}

/// A rotation: the second key, and the first one.
#[derive(Debug)]
pub struct Rotation {
    /// The second key. Nothing else holds it.
    pub key: ApiKey,
    /// The second key in a list.
    pub new: KeyListing,
    /// The first key in a list, with its end.
    pub old: KeyListing,
}

/// A new key of this team and its row.
fn new_key(team: &Team, terms: KeyTerms) -> Result<(ApiKey, KeyRow), Error> {
    let key = ApiKey::generate(team.team_id.clone()).map_err(|error| Error::Refused {
        operation: "generating a key",
        source: error.into(),
    })?;
    let row = KeyRow::new(&key, terms, Some(team));
    Ok((key, row))
}

/// The change that a new key is.
fn created(row: &KeyRow) -> Change {
    let target = Target::Key(row.key_id());
    Change::of(target, EventKind::KeyCreated, row.terms.fields())
}

/// A change of a team's settings. A field that is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct TeamSettingsChange {
    /// Mutating calls per second.
    pub rate: Option<u32>,
    /// Minted tokens per second.
    pub mint_rate: Option<u32>,
    /// Reading calls per second. `Some(None)`: any number.
    pub read_rate: Option<Option<u32>>,
    /// The longest lifetime of a token that a caller may ask for, in seconds.
    pub max_token_ttl: Option<u32>,
    /// Whether the vault revokes a grant at Zoom when the last credential that uses the grant is deleted.
    pub revoke_on_delete: Option<bool>,
    /// Whether the team may try `onbehalf` tokens of account-level credentials.
    pub account_onbehalf: Option<bool>,
    /// Whether token URLs may give access tokens of the team's users to vendors.
    pub access_token_urls: Option<bool>,
    /// The origins that a user may be sent back to after connecting.
    pub return_origins: Option<Vec<ReturnOrigin>>,
    /// The team's name for people. `Some(None)`: none.
    pub display_name: Option<Option<Name>>,
    /// The logo on the connect page. `Some(None)`: none.
    pub logo: Option<Option<Logo>>,
    /// Whom a user can ask. `Some(None)`: nobody.
    pub support_contact: Option<Option<SupportContact>>,
}

/// Teams and API keys, with the power to write them.
#[derive(Clone, Debug)]
pub struct TeamAdmin {
    client: Client,
    table: String,
    trail: Option<Trail>,
}

impl TeamAdmin {
    /// Creates a store for the table `keys`, which is named `table` in AWS.
    pub fn new(client: Client, table: String) -> Self {
        Self {
            client,
            table,
            trail: None,
        }
    }

    /// Records every change as an event of its team, in the same transaction.
    #[must_use]
    pub fn recording(self, trail: Trail) -> Self {
        Self {
            trail: Some(trail),
            ..self
        }
    }

    /// Creates a team with its rates. Returns `Conflict` if the team exists.
    pub async fn create_team(
        &self,
        team: &TeamId,
        rate: u32,
        mint_rate: u32,
    ) -> Result<Team, Error> {
        let team = Team::new(team.clone(), rate, mint_rate);
        let mut item = to_item(&team)?;
        item.insert("record".to_owned(), text(SETTINGS));
        let change = Change::new(EventKind::TeamChanged, vec!["rate", "mint_rate"]);
        let put = self.put_new(RowKind::Team, item)?;
        self.commit(put, &team.team_id, [change])
            .await?
            .or_conflict()?;
        Ok(team)
    }

    /// Changes a team's settings. Returns `NotFound` if the team does not exist.
    pub async fn set(&self, team: &TeamId, settings: TeamSettingsChange) -> Result<Team, Error> {
        let TeamSettingsChange {
            rate,
            mint_rate,
            read_rate,
            max_token_ttl,
            revoke_on_delete,
            account_onbehalf,
            access_token_urls,
            return_origins,
            display_name,
            logo,
            support_contact,
        } = settings;
        let flag = |value: Option<bool>| value.map(AttributeValue::Bool);
        let origins = return_origins.map(serde_dynamo::to_attribute_value);
        let values = [
            ("rate", rate.map(|rate| number(&rate))),
            ("mint_rate", mint_rate.map(|rate| number(&rate))),
            ("max_token_ttl", max_token_ttl.map(|ttl| number(&ttl))),
            ("revoke_on_delete", flag(revoke_on_delete)),
            ("account_onbehalf", flag(account_onbehalf)),
            ("access_token_urls", flag(access_token_urls)),
            ("return_origins", origins.transpose().map_err(Error::Shape)?),
        ];
        let mut row = Update::new().when_equal("record", text(SETTINGS));
        let mut fields = Vec::new();
        for (name, value) in values {
            if let Some(value) = value {
                row = row.set(name, value);
                fields.push(name);
            }
        }
        let brand = [
            ("display_name", display_name.map(|it| it.map(String::from))),
            ("logo", logo.map(|it| it.map(String::from))),
            (
                "support_contact",
                support_contact.map(|it| it.map(String::from)),
            ),
        ];
        for (name, value) in brand {
            if let Some(value) = value {
                row = row.assign(name, value.as_ref().map(text));
                fields.push(name);
            }
        }
        if let Some(rate) = read_rate {
            row = row.assign("read_rate", rate.map(|rate| number(&rate)));
            fields.push("read_rate");
        }
        let change = Change::new(EventKind::TeamChanged, fields);
        let changed = self.update(team, SETTINGS, row, change).await?;
        if let Some(rate) = read_rate {
            let rate = rate.map(|rate| number(&rate));
            self.update_keys(team, || Update::new().assign("read_rate", rate.clone()))
                .await?;
        }
        Ok(changed)
    }

    /// Stops all keys and token URLs of a team at once, or lets them work again. Returns `NotFound` if the team does
    /// not exist.
    ///
    /// The team's row comes first, because token URLs look at it, and a new key takes its state from it.
    pub async fn suspend(&self, team: &TeamId, suspended: bool) -> Result<Team, Error> {
        let at = suspended.then(|| text(&Timestamp::now()));
        let update = || Update::new().assign("suspended_at", at.clone());
        let row = update().when_equal("record", text(SETTINGS));
        let done = if suspended { "suspended" } else { "resumed" };
        let change = Change::new(EventKind::TeamChanged, vec![done]);
        let changed = self.update(team, SETTINGS, row, change).await?;
        self.update_keys(team, update).await?;
        Ok(changed)
    }

    /// Updates the rows of all keys of a team, also of revoked ones.
    async fn update_keys(&self, team: &TeamId, update: impl Fn() -> Update) -> Result<(), Error> {
        for row in self.key_rows(team, String::new()).await? {
            let Some(record) = row.get("record").and_then(|record| record.as_s().ok()) else {
                continue;
            };
            let update = update().when_equal("record", text(record));
            let write = self.write(team, record, update)?;
            let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
            // Refused only if the row was removed by hand. The event is that of the team.
            let (CommitOutcome::Committed | CommitOutcome::Refused(_)) =
                Transaction::new(&self.client, write).commit(until).await?;
        }
        Ok(())
    }

    /// Reads a team and its settings.
    pub async fn team(&self, team: &TeamId) -> Result<Team, Error> {
        self.read(team, SETTINGS).await
    }

    /// Lists all teams, sorted by id.
    pub async fn teams(&self) -> Result<Listed<Team>, Error> {
        let scan = self
            .client
            .scan()
            .filter_expression("#record = :settings")
            .expression_attribute_names("#record", "record")
            .expression_attribute_values(":settings", text(SETTINGS));
        let mut rows = Vec::new();
        let unreadable = scan_each(scan, (&self.table, "team_id"), from_item::<Team>, |team| {
            rows.push(team);
        });
        let unreadable = unreadable.await?;
        rows.sort_by(|a, b| a.team_id.as_str().cmp(b.team_id.as_str()));
        Ok(Listed { rows, unreadable })
    }

    /// Creates an API key for a team and stores the hash of the key. Nothing but the return value holds the key
    /// itself.
    pub async fn create_key(
        &self,
        team: &TeamId,
        terms: KeyTerms,
    ) -> Result<(ApiKey, KeyListing), Error> {
        for _ in 0..MAX_ATTEMPTS {
            let settings = self.team(team).await?;
            let (api_key, row) = new_key(&settings, terms.clone())?;
            let key = self.put_new(RowKind::Key, to_item(&row)?)?;
            let writes = key.and(self.has_not_changed(&settings)?);
            match self.commit(writes, team, [created(&row)]).await? {
                CommitOutcome::Refused(RowKind::Team) => {}
                // Keys are random. If the row exists, an earlier try of this transaction was applied.
                CommitOutcome::Committed | CommitOutcome::Refused(_) => {
                    return Ok((api_key, row.into()));
                }
            }
        }
        Err(Error::Conflict)
    }

    /// Stores the hash of a key that was created elsewhere. Returns `Conflict` if the hash is stored already.
    pub async fn insert_key(&self, api_key: &ApiKey, terms: KeyTerms) -> Result<KeyListing, Error> {
        let row = KeyRow::new(api_key, terms, None);
        let put = self.put_new(RowKind::Key, to_item(&row)?)?;
        self.commit(put, api_key.team(), [created(&row)])
            .await?
            .or_conflict()?;
        Ok(row.into())
    }

    /// Reads a key. Returns `NotFound` if no key of the team has this id.
    pub async fn key(&self, team: &TeamId, key_id: &KeyId) -> Result<KeyListing, Error> {
        self.key_row(team, key_id).await.map(KeyListing::from)
    }

    /// Lists all keys of a team, oldest first, with revoked keys. Returns `NotFound` if the team does not exist.
    pub async fn keys(&self, team: &TeamId) -> Result<Listed<KeyListing>, Error> {
        self.team(team).await?;
        let items = self.key_rows(team, String::new()).await?;
        let mut keys = parse_rows(items, (&self.table, "record"), |item| {
            from_item::<KeyRow>(item).map(KeyListing::from)
        });
        keys.rows.sort_by_key(|key| key.created_at);
        for record in &mut keys.unreadable {
            *record = KeyId::of_hash(record_hash(record)).to_string();
        }
        Ok(keys)
    }

    /// Revokes a key. The key stops working with the next request. Revoking the key again keeps the first
    /// `revoked_at`. Returns `NotFound` if no key has this id.
    pub async fn revoke_key(&self, team: &TeamId, key_id: &KeyId) -> Result<KeyListing, Error> {
        let row = self.key_row(team, key_id).await?;
        if row.revoked_at.is_some() {
            return Ok(row.into());
        }
        let revoked = Update::new()
            .set("revoked_at", text(&Timestamp::now()))
            .when_equal("record", text(&row.record));
        let target = Target::Key(row.key_id());
        let change = Change::of(target, EventKind::KeyRevoked, vec!["revoked_at"]);
        self.update::<KeyRow>(team, &row.record, revoked, change)
            .await
            .map(KeyListing::from)
    }

    /// Makes a second key with the same terms, and lets the first one end at `old_ends_at`, or earlier if it would have
    /// ended earlier. Both happen in one transaction. Returns `NotFound` if no key has this id, and `Conflict` if the
    /// key does not work any more or was replaced before.
    pub async fn rotate_key(
        &self,
        team: &TeamId,
        key_id: &KeyId,
        old_ends_at: Timestamp,
    ) -> Result<Rotation, Error> {
        for _ in 0..MAX_ATTEMPTS {
            let mut old = self.key_row(team, key_id).await?;
            let has_ended = |end| end <= Timestamp::now();
            if old.revoked_at.is_some()
                || old.replaced_by.is_some()
                || old.terms.expires_at.is_some_and(has_ended)
            {
                return Err(Error::Conflict);
            }
            let settings = self.team(team).await?;
            let (key, new) = new_key(&settings, old.terms.clone())?;
            let mut ends = Update::new()
                .set("replaced_by", text(&new.key_id()))
                .when_equal("record", text(&old.record))
                .when_absent("revoked_at")
                .when_absent("replaced_by");
            let mut fields = vec!["replaced_by"];
            if old.terms.expires_at.is_none_or(|end| end > old_ends_at) {
                ends = ends.set("expires_at", text(&old_ends_at));
                fields.push("expires_at");
                old.terms.expires_at = Some(old_ends_at);
            }
            let replaced = Change::of(Target::Key(key_id.clone()), EventKind::KeyRevoked, fields);
            let writes = self
                .put_new(RowKind::Key, to_item(&new)?)?
                .and(self.write(team, &old.record, ends)?)
                .and(self.has_not_changed(&settings)?);
            let outcome = self.commit(writes, team, [created(&new), replaced]).await?;
            if outcome == CommitOutcome::Refused(RowKind::Team) {
                continue;
            }
            outcome.or_conflict()?;
            old.replaced_by = Some(new.key_id());
            let (new, old) = (new.into(), old.into());
            return Ok(Rotation { key, new, old });
        }
        Err(Error::Conflict)
    }

    async fn key_row(&self, team: &TeamId, key_id: &KeyId) -> Result<KeyRow, Error> {
        let item = self.key_rows(team, key_id.to_string()).await?.pop();
        from_item(item.ok_or(Error::NotFound)?)
    }

    async fn key_rows(&self, team: &TeamId, id_prefix: String) -> Result<Vec<Item>, Error> {
        let mut rows = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("team_id = :team AND begins_with(#record, :prefix)")
            .expression_attribute_names("#record", "record")
            .expression_attribute_values(":team", text(team))
            .expression_attribute_values(":prefix", text(&format!("{KEY_PREFIX}{id_prefix}")))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut keys = Vec::new();
        while let Some(item) = rows.next().await {
            keys.push(item.map_err(|error| failed("Query", error))?);
        }
        Ok(keys)
    }

    /// Begins a transaction that inserts a row. Refused if the row exists.
    fn put_new(&self, kind: RowKind, item: Item) -> Result<Transaction<'_>, Error> {
        let absent = Some("attribute_not_exists(team_id)");
        let put = Write::put(kind, &self.table, item, absent, HashMap::new())?;
        Ok(Transaction::new(&self.client, put))
    }

    /// Checks that the settings are those from which a new key has taken its state. Otherwise a suspension that runs at
    /// the same time would not reach the key.
    fn has_not_changed(&self, team: &Team) -> Result<Write, Error> {
        let check = Update::new().when_equal("record", text(SETTINGS));
        let check = match team.suspended_at {
            Some(_) => check.when_present("suspended_at"),
            None => check.when_absent("suspended_at"),
        };
        let check = match team.read_rate {
            Some(rate) => check.when_equal("read_rate", number(&rate)),
            None => check.when_absent("read_rate"),
        };
        let key = key(&team.team_id, SETTINGS);
        Write::check(RowKind::Team, &self.table, key, check.build())
    }

    /// Updates a row, and returns it as it is then. Returns `NotFound` if the condition fails.
    async fn update<T: DeserializeOwned>(
        &self,
        team: &TeamId,
        record: &str,
        update: Update,
        change: Change,
    ) -> Result<T, Error> {
        let write = self.write(team, record, update)?;
        let write = Transaction::new(&self.client, write);
        if !self.commit(write, team, [change]).await?.is_committed() {
            return Err(Error::NotFound);
        }
        self.read(team, record).await
    }

    fn write(&self, team: &TeamId, record: &str, update: Update) -> Result<Write, Error> {
        let key = key(team, record);
        Write::update(RowKind::Key, &self.table, key, update.build())
    }

    /// Makes changes and records them.
    async fn commit(
        &self,
        writes: Transaction<'_>,
        team: &TeamId,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<CommitOutcome, Error> {
        let mut writes = writes;
        if let Some(trail) = &self.trail {
            for change in changes {
                writes = writes.and(trail.change(team, None, change)?);
            }
        }
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        writes.commit(until).await
    }

    async fn read<T: DeserializeOwned>(&self, team: &TeamId, record: &str) -> Result<T, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(team, record)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        from_item(answer.item.ok_or(Error::NotFound)?)
    }
}
