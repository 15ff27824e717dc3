//! The end of a grant: marks it dead, gives it up, destroys its tokens, deletes its row.

use super::due_shard::{DUE_AT_ONCE, due_shard};
use super::grant_row::{STASH_ATTRIBUTES, StoredGrant};
use super::table::{Secrets, attributes, key};
use crate::credential::{GrantId, ReconnectReason, TeamId};
use crate::envelope::sealed::SecretId;
use crate::pair::PairId;
use crate::stores::error::Error;
use crate::stores::expression::Update;
use crate::stores::item::{number, text};
use crate::stores::transaction::{RowKind, Transaction, Write};
use crate::timestamp::Timestamp;

impl Secrets {
    /// Destroys a grant's tokens, its stash and their data keys, and records the `reason`. Idempotent, also if the
    /// row does not exist.
    ///
    /// The generation rises, so a concurrent refresh cannot commit. A stash is refused as well, because the row has
    /// no tokens any more. A grant of another team stays, as in [`Self::purge`]. Does not check whether the
    /// grant is needed, because Zoom, the user or the revocation has ended it.
    pub async fn destroy(
        &self,
        team: &TeamId,
        id: GrantId,
        reason: ReconnectReason,
    ) -> Result<(), Error> {
        let mut update = Update::new()
            .set("state", text("reconnect"))
            .set("reason", text(reason.as_str()))
            .increment("generation", 1)
            .when_equal("team_id", text(team))
            .when_present("sealed");
        for name in ["sealed", "dek", "kid"].into_iter().chain(STASH_ATTRIBUTES) {
            update = update.remove(name);
        }
        // The grant stays due: if no credential uses it, keep-alive deletes its row.
        for name in [
            "lease_id",
            "lease_at",
            "lease_until",
            "attempt",
            "committed_at",
            "writer",
            "refreshed_at",
        ] {
            update = update.remove(name);
        }
        match self.update(id, update).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The write that marks a grant dead, so that its user must authorize again.
    ///
    /// The write is refused if the generation or the stash differs from `seen`. Zoom has refused the stashed pair
    /// too, so the write removes it. The grant stays due: if no credential uses it, keep-alive deletes its row.
    pub fn mark_dead(
        &self,
        id: GrantId,
        seen: &StoredGrant,
        reason: ReconnectReason,
    ) -> Result<Write, Error> {
        self.write(id, dead(seen, reason))
    }

    /// As [`Self::mark_dead`], but makes the grant due at once: if no credential uses it, keep-alive deletes it.
    pub fn mark_dead_and_due(
        &self,
        id: GrantId,
        seen: &StoredGrant,
        reason: ReconnectReason,
    ) -> Result<Write, Error> {
        let update = dead(seen, reason)
            .set("idle_since", text(&DUE_AT_ONCE))
            .set("due_shard", text(&due_shard(id)));
        self.write(id, update)
    }

    /// The check that a grant is active if `usable`, or dead if not, when the transaction commits.
    pub fn check_state(&self, id: GrantId, usable: bool) -> Result<Write, Error> {
        let check = if usable {
            Update::new()
                .when_equal("state", text("active"))
                .when_absent("closed")
        } else {
            Update::new().when_equal_or_present("state", text("reconnect"), "closed")
        };
        let key = key(SecretId::Grant(id));
        Write::check(RowKind::Grant, &self.table, key, check.build())
    }

    /// The delete of a grant that Zoom refused, with its stash if it has one. The row must be as `seen`. Unless
    /// `whatever_attempt`, no refresh of it may be unfinished: a capsule may hold the tokens that work.
    pub fn delete_refused(
        &self,
        id: GrantId,
        seen: &StoredGrant,
        whatever_attempt: bool,
    ) -> Result<Write, Error> {
        let condition = Update::new()
            .when_equal("team_id", text(&seen.team_id))
            .when_equal("generation", number(&seen.generation()));
        let condition = if whatever_attempt {
            condition
        } else {
            condition.when_absent("attempt")
        };
        let condition = match &seen.stash {
            None => condition.when_absent("alt_sealed"),
            Some(stash) => {
                let [_, _, (_, bytes)] = attributes(stash);
                condition.when_equal("alt_sealed", bytes)
            }
        };
        self.delete(id, condition)
    }

    /// The delete of a grant of a pair that has no credential. Refused if the grant was authorized since
    /// `young_since`, because an invocation that still runs may be about to add a credential that needs the grant.
    pub fn delete_unneeded(
        &self,
        id: GrantId,
        pair: &PairId,
        young_since: Timestamp,
    ) -> Result<Write, Error> {
        let condition = Update::new()
            .when_equal("pair_id", text(pair))
            .when_less("authorized_at", number(&young_since.as_millis()))
            .or_when_row_absent("secret_id");
        self.delete(id, condition)
    }

    /// The delete of a grant whose pair is not on its row. Refused if the grant was authorized since `young_since`.
    pub fn delete_without_pair(
        &self,
        id: GrantId,
        team: &TeamId,
        young_since: Timestamp,
    ) -> Result<Write, Error> {
        let condition = Update::new()
            .when_equal("team_id", text(team))
            .when_absent("pair_id")
            .when_less("authorized_at", number(&young_since.as_millis()));
        self.delete(id, condition)
    }

    fn delete(&self, id: GrantId, condition: Update) -> Result<Write, Error> {
        let key = key(SecretId::Grant(id));
        Write::delete(RowKind::Grant, &self.table, key, condition.build())
    }

    /// Begins a transaction with these writes.
    pub fn begin(&self, first: Write) -> Transaction<'_> {
        Transaction::new(&self.client, first)
    }

    /// The write that gives a grant up for revocation at `now`. From then on only the revocation may use it.
    ///
    /// Refused if the grant was authorized since `young_since`, or closed since then: whoever closed it may be about to
    /// revoke it.
    pub fn close(
        &self,
        id: GrantId,
        pair: &PairId,
        now: Timestamp,
        young_since: Timestamp,
    ) -> Result<Write, Error> {
        self.write(
            id,
            closed(now, young_since).when_equal("pair_id", text(pair)),
        )
    }

    /// As [`Self::close`], for a grant whose pair is not known.
    pub fn close_without_pair(
        &self,
        id: GrantId,
        team: &TeamId,
        now: Timestamp,
        young_since: Timestamp,
    ) -> Result<Write, Error> {
        let update = closed(now, young_since)
            .when_equal("team_id", text(team))
            .when_absent("pair_id");
        self.write(id, update)
    }

    /// The write that reopens a grant. `closed` is when it was closed, in milliseconds.
    pub fn reopen(&self, id: GrantId, closed: i64) -> Result<Write, Error> {
        let update = Update::new()
            .remove("closed")
            .when_equal("closed", number(&closed));
        self.write(id, update)
    }

    pub(super) fn write(&self, id: GrantId, update: Update) -> Result<Write, Error> {
        let key = key(SecretId::Grant(id));
        Write::update(RowKind::Grant, &self.table, key, update.build())
    }
}

/// Marks a grant dead, if it is as `seen`.
fn dead(seen: &StoredGrant, reason: ReconnectReason) -> Update {
    let update = Update::new()
        .set("state", text("reconnect"))
        .set("reason", text(reason.as_str()))
        .when_equal("generation", number(&seen.generation()))
        .when_equal("state", text("active"))
        .when_absent("closed");
    match &seen.stash {
        None => update.when_absent("alt_sealed"),
        // Removing the refused stash makes room for a pair that comes late. The condition compares the ciphertext,
        // because a rewrap changes the wrapped data key.
        Some(stash) => {
            let [_, _, (_, bytes)] = attributes(stash);
            STASH_ATTRIBUTES
                .into_iter()
                .fold(update, Update::remove)
                .when_equal("alt_sealed", bytes)
        }
    }
}

/// The update that closes a grant at `now`, and the conditions that hold for each grant.
fn closed(now: Timestamp, young_since: Timestamp) -> Update {
    let young_since = number(&young_since.as_millis());
    Update::new()
        .set("closed", number(&now.as_millis()))
        .when_present("sealed")
        .when_less("authorized_at", young_since.clone())
        .when_absent_or_less("closed", young_since)
}
