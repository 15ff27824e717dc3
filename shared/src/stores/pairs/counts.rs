//! How many credentials a pair has.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use super::row::StoredPair;
use super::table::{Pairs, RowUpdate, key, when_of_team};
use crate::credential::{CredentialId, GrantId, TeamId};
use crate::pair::{Pair, PairId};
use crate::stores::error::{Error, failed};
use crate::stores::expression::Update;
use crate::stores::item::{number, text};
use crate::stores::transaction::{RowKind, Write};
use crate::timestamp::Timestamp;

/// How long it is remembered that a credential was counted out. Longer than the stream and the queue of failed records
/// keep a record.
const GONE_FOR: Duration = Duration::from_hours(35 * 24);

/// A change of a counted credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountChange {
    /// A live credential leaves the pair, because it has a new authorization.
    Left,
    /// A live credential was soft-deleted at this time.
    Deleted(Timestamp),
    /// A soft-deleted credential was restored.
    Restored,
    /// The row of a soft-deleted credential was removed.
    Purged,
}

impl Pairs {
    /// The write that counts a credential in and adds its grant to the pair's. Creates the row if there is none. A
    /// credential that is not `live` counts as deleted now, so that its grant is not revoked too early.
    ///
    /// Refused if the user has removed the app since the code was sent to Zoom at `authorize_sent_at`, in milliseconds.
    pub fn count_in(
        &self,
        pair: &Pair,
        grant: GrantId,
        live: bool,
        authorize_sent_at: i64,
    ) -> Result<Write, Error> {
        let update = counted_in(pair, grant, live);
        self.write(&pair.id(), when_authorized_since(update, authorize_sent_at))
    }

    /// As [`Self::count_in`], for a live credential. Refused if the pair has a live credential.
    pub fn count_first_live(
        &self,
        pair: &Pair,
        grant: GrantId,
        authorize_sent_at: i64,
    ) -> Result<Write, Error> {
        let update = counted_in(pair, grant, true).when_absent_or_equal("live", number(&0));
        self.write(&pair.id(), when_authorized_since(update, authorize_sent_at))
    }

    /// The write that counts the change of a credential. Refused if the team has no such pair.
    pub fn count(&self, team: &TeamId, id: &PairId, change: CountChange) -> Result<Write, Error> {
        let update = Update::new().add("version", 1);
        let update = match change {
            CountChange::Left => update.add("members", -1).add("live", -1),
            CountChange::Deleted(at) => update
                .set("last_deleted_at", number(&at.as_millis()))
                .add("live", -1),
            CountChange::Restored => update.add("live", 1),
            CountChange::Purged => update.add("members", -1),
        };
        self.write(id, when_of_team(update, team))
    }

    /// The write that remembers that a credential was counted out. Refused if that was remembered before.
    pub fn remember_gone(&self, credential: CredentialId) -> Result<Write, Error> {
        let expires_at = Timestamp::now().plus(GONE_FOR).as_seconds();
        let mut item = key(&format!("gone#{credential}"));
        item.insert("expires_at".to_owned(), number(&expires_at));
        let absent = "attribute_not_exists(pair_id)";
        let values = HashMap::new();
        Write::put(RowKind::Gone, &self.table, item, Some(absent), values)
    }

    /// Whether a credential was purged in the last days. Later, this is forgotten.
    pub async fn is_gone(&self, credential: CredentialId) -> Result<bool, Error> {
        let row = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(&format!("gone#{credential}"))))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        Ok(row.item.is_some())
    }

    /// Corrects the counts of a pair, if its row is as `seen`. Returns whether it was.
    pub async fn correct(&self, seen: &StoredPair, members: i64, live: i64) -> Result<bool, Error> {
        let update = Update::new()
            .set("members", number(&members))
            .set("live", number(&live))
            .set_if_absent("last_deleted_at", number(&Timestamp::now().as_millis()))
            .add("version", 1)
            .when_equal("version", number(&seen.version));
        let update = if members > 0 {
            update.remove("expires_at")
        } else {
            update
        };
        let corrected = self.update(&seen.id, update).await?;
        Ok(matches!(corrected, RowUpdate::Applied(_)))
    }

    /// Creates the row of a pair whose row was lost. Returns whether it was missing.
    pub async fn recreate(
        &self,
        pair: &Pair,
        members: i64,
        live: i64,
        grants: &BTreeSet<GrantId>,
    ) -> Result<bool, Error> {
        let update = described(Update::new(), pair)
            .set("members", number(&members))
            .set("live", number(&live))
            // Without it, no grant of the pair could be revoked.
            .set("last_deleted_at", number(&Timestamp::now().as_millis()))
            .when_absent("pair_id");
        let grants: Vec<String> = grants.iter().map(GrantId::to_string).collect();
        // DynamoDB has no empty set.
        let update = if grants.is_empty() {
            update
        } else {
            update.set("grants", AttributeValue::Ss(grants))
        };
        let created = self.update(&pair.id(), update).await?;
        Ok(matches!(created, RowUpdate::Applied(_)))
    }
}

/// Counts a credential in and adds its grant. A credential that is not `live` counts as deleted now.
fn counted_in(pair: &Pair, grant: GrantId, live: bool) -> Update {
    let update = described(Update::new(), pair)
        .add("members", 1)
        .add("live", i32::from(live))
        .add_to_set("grants", &grant)
        .remove("expires_at");
    if live {
        update
    } else {
        update.set("last_deleted_at", number(&Timestamp::now().as_millis()))
    }
}

/// Sets what the row says about its pair.
pub(super) fn described(update: Update, pair: &Pair) -> Update {
    update
        .set("team_id", text(&pair.team))
        .set("client_id", text(pair.client_id.as_str()))
        .set("zoom_user_id", text(&pair.zoom_user_id))
        .add("version", 1)
}

/// The condition that the user has not removed the app since `authorize_sent_at`.
pub(super) fn when_authorized_since(update: Update, authorize_sent_at: i64) -> Update {
    let sent = AttributeValue::N(authorize_sent_at.to_string());
    update.when_absent_or_less("deauthorized_at", sent)
}
