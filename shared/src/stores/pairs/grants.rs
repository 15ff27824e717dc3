//! Which grants a pair has, and the conditions to destroy or revoke them.

use std::time::Duration;

use super::counts::{described, when_authorized_since};
use super::row::StoredPair;
use super::table::{Pairs, RowUpdate, when_of_team};
use crate::credential::{GrantId, TeamId};
use crate::pair::{Pair, PairId};
use crate::stores::error::Error;
use crate::stores::expression::Update;
use crate::stores::item::number;
use crate::stores::transaction::Write;
use crate::timestamp::Timestamp;

/// How long the row of a pair without credentials stays. A deauthorization that it records must outlive the
/// authorizations that it bars.
const KEEP_EMPTY_FOR: Duration = Duration::from_hours(24);

impl Pairs {
    /// The write that adds a grant that no credential is known to use. Refused if the pair has no credential, or if
    /// the user has removed the app since `authorize_sent_at`, in milliseconds.
    pub fn add_grant(
        &self,
        pair: &Pair,
        grant: GrantId,
        authorize_sent_at: i64,
    ) -> Result<Write, Error> {
        self.add_grant_if_any(pair, grant, authorize_sent_at, "members")
    }

    /// As [`Self::add_grant`], but refused if the pair has no live credential.
    pub fn add_grant_for_live(
        &self,
        pair: &Pair,
        grant: GrantId,
        authorize_sent_at: i64,
    ) -> Result<Write, Error> {
        self.add_grant_if_any(pair, grant, authorize_sent_at, "live")
    }

    /// `count` is the attribute with the count of credentials, which must be more than zero.
    fn add_grant_if_any(
        &self,
        pair: &Pair,
        grant: GrantId,
        authorize_sent_at: i64,
        count: &'static str,
    ) -> Result<Write, Error> {
        let update = Update::new()
            .add_to_set("grants", &grant)
            .add("version", 1)
            .when_more(count, number(&0));
        let update = when_of_team(update, &pair.team);
        self.write(&pair.id(), when_authorized_since(update, authorize_sent_at))
    }

    /// The write that removes grants whose rows are deleted in the same transaction. Refused if the pair has no
    /// credential: then its row must expire with its last grant.
    pub fn remove_grants(
        &self,
        team: &TeamId,
        id: &PairId,
        grants: &[GrantId],
    ) -> Result<Write, Error> {
        let update = Update::new()
            .remove_from_set("grants", grants)
            .add("version", 1)
            .when_more("members", number(&0));
        self.write(id, when_of_team(update, team))
    }

    /// As [`Self::remove_grants`]. With `all`, the pair has no other grant, and its row expires. Refused if the pair
    /// has a credential, or if its counts are wrong.
    pub fn remove_unneeded_grants(
        &self,
        team: &TeamId,
        id: &PairId,
        grants: &[GrantId],
        all: bool,
    ) -> Result<Write, Error> {
        let update = Update::new()
            .remove_from_set("grants", grants)
            .add("version", 1)
            .when_absent_or_equal("members", number(&0));
        let update = if all {
            let expires_at = Timestamp::now().plus(KEEP_EMPTY_FOR).as_seconds();
            update.set("expires_at", number(&expires_at))
        } else {
            update
        };
        self.write(id, when_of_team(update, team))
    }

    /// The check that nobody can need a grant of this pair: it has no credential, or no row.
    pub fn check_without_members(&self, id: &PairId) -> Result<Write, Error> {
        let check = Update::new().when_absent_or_equal("members", number(&0));
        self.check(id, check)
    }

    /// The check that the pair's grants may be revoked at Zoom: the row is as `seen`, no credential of it is live, and
    /// none was deleted since `deleted_before`.
    pub fn check_revocable(
        &self,
        seen: &StoredPair,
        deleted_before: Timestamp,
    ) -> Result<Write, Error> {
        let check = Update::new()
            .when_absent_or_equal("live", number(&0))
            .when_equal("version", number(&seen.version))
            .when_less("last_deleted_at", number(&deleted_before.as_millis()));
        self.check(&seen.id, when_of_team(check, &seen.pair.team))
    }

    /// Lets the row of a pair without credentials and grants expire. Only the TTL deletes such a row.
    pub async fn let_expire(&self, team: &TeamId, id: &PairId) -> Result<(), Error> {
        let expires_at = Timestamp::now().plus(KEEP_EMPTY_FOR).as_seconds();
        let update = Update::new()
            .set("expires_at", number(&expires_at))
            .add("version", 1)
            .when_absent_or_equal("members", number(&0))
            .when_absent("grants");
        // Refused if a credential has joined, or a young grant is left.
        self.update(id, when_of_team(update, team)).await.map(drop)
    }

    /// Records that the user removed the app at `at`. From then on no grant that was authorized earlier can join the
    /// pair. Returns the row as it is then.
    pub async fn deauthorize(&self, pair: &Pair, at: Timestamp) -> Result<StoredPair, Error> {
        let id = pair.id();
        let mark = || {
            let at = number(&at.as_millis());
            described(Update::new(), pair)
                .set("deauthorized_at", at.clone())
                .when_absent_or_less("deauthorized_at", at)
        };
        // The row may be created or lose its last member between the two updates.
        for _ in 0..3 {
            let marked = self.update(&id, mark().when_present("members")).await?;
            match marked {
                RowUpdate::Applied(row) => return Ok(row),
                RowUpdate::Refused(Some(row)) if row.is_deauthorized_since(at) => return Ok(row),
                RowUpdate::Refused(_) => {}
            }
            // A row with members must never get a TTL.
            let expires_at = Timestamp::now().plus(KEEP_EMPTY_FOR).as_seconds();
            let update = mark()
                .set("expires_at", number(&expires_at))
                .when_absent("members");
            match self.update(&id, update).await? {
                RowUpdate::Applied(row) => return Ok(row),
                RowUpdate::Refused(Some(row)) if row.is_deauthorized_since(at) => return Ok(row),
                RowUpdate::Refused(_) => {}
            }
        }
        Err(Error::Conflict)
    }
}

impl StoredPair {
    /// Whether the row records a removal of the app at `at` or later.
    fn is_deauthorized_since(&self, at: Timestamp) -> bool {
        self.deauthorized_at
            .is_some_and(|marked| marked >= at.as_millis())
    }
}
