//! Writes to the credential what Zoom answered when the vault used a grant.

use super::members::Holder;
use super::row::{AuthorizedGrant, Change, StoredCredential};
use super::table::{Credentials, set_grant, touch, when_grant_is_as_seen};
use crate::credential::{CredentialId, CredentialType, GrantId, State, TeamId};
use crate::pair::PairId;
use crate::stores::error::Error;
use crate::stores::item::{number, text};
use crate::stores::transaction::Transaction;
use crate::timestamp::Timestamp;

/// The most credentials that one transaction points at another grant. A credential's row has up to 20 KB, and a
/// partition writes 1 MB a second.
pub const BATCH: usize = 25;

impl Credentials {
    /// Begins a transaction that makes the credential invalid. The transaction is refused if the credential has
    /// another grant. `message` must begin with the word of the reason.
    pub fn invalidate(
        &self,
        team: &TeamId,
        id: CredentialId,
        grant: GrantId,
        message: &str,
    ) -> Result<Transaction<'_>, Error> {
        let update = touch(Change::Invalid)
            .set("state", text("invalid"))
            .set("last_error_message", text(message))
            .set("last_error_at", text(&Timestamp::now()))
            .when_equal("grant_id", text(&grant));
        self.begin(team, id, update)
    }

    /// Begins a transaction that makes the credential active and clears its last error. The transaction is refused if
    /// the credential has another grant.
    pub fn activate(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
        grant: GrantId,
    ) -> Result<Transaction<'_>, Error> {
        let change = match seen.credential.state {
            State::Active => Change::Quiet,
            State::Invalid => Change::Active,
        };
        let update = touch(change)
            .set("state", text("active"))
            .remove("last_error_message")
            .remove("last_error_at")
            .when_equal("grant_id", text(&grant));
        self.begin(team, seen.credential.credential_id, update)
    }

    /// Begins a transaction that points live credentials of a pair at another of its grants. `holders` has at least one
    /// and at most [`BATCH`].
    ///
    /// The update of a credential is refused if it has another grant or pair by now. With `authorized_before`, it is
    /// also refused if the credential's own authorization was answered later.
    pub fn hand_over(
        &self,
        team: &TeamId,
        pair: &PairId,
        holders: &[Holder],
        authorized: &AuthorizedGrant,
        authorized_before: Option<Timestamp>,
    ) -> Result<Transaction<'_>, Error> {
        let mut transaction = None;
        for holder in holders {
            let update = set_grant(touch(Change::Active), authorized)
                .when_equal("grant_id", text(&holder.grant_id))
                .when_equal("pair_id", text(pair));
            let update = match authorized_before {
                Some(at) => update.when_less("grant_authorized_at", number(&at.as_millis())),
                None => update,
            };
            let write = self.write_live(team, holder.credential_id, update)?;
            transaction = Some(match transaction.take() {
                None => Transaction::new(&self.client, write),
                Some(transaction) => Transaction::and(transaction, write),
            });
        }
        transaction.ok_or(Error::NotFound)
    }

    /// Stores the last error. With `invalid`, also makes the credential invalid until a mint succeeds.
    ///
    /// The update is refused if the grant differs from `seen`. An app credential has no grant. So its update is refused
    /// if anything differs: the failure could be that of an earlier client secret.
    pub async fn note_failure(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
        message: &str,
        invalid: bool,
    ) -> Result<StoredCredential, Error> {
        let update = if invalid {
            touch(Change::Invalid).set("state", text("invalid"))
        } else {
            touch(Change::Quiet)
        };
        let update = update
            .set("last_error_message", text(message))
            .set("last_error_at", text(&Timestamp::now()));
        let update = match seen.credential.credential_type {
            CredentialType::App => update.when_equal("version", number(&seen.version)),
            CredentialType::User => update,
        };
        self.update(
            team,
            seen.credential.credential_id,
            when_grant_is_as_seen(update, seen),
        )
        .await
    }

    /// Clears the last error. The update is refused if the credential has another error than in `seen`.
    pub async fn clear_failure(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
        message: &str,
    ) -> Result<StoredCredential, Error> {
        let update = touch(Change::Quiet)
            .remove("last_error_message")
            .remove("last_error_at")
            .when_equal("last_error_message", text(message));
        self.update(team, seen.credential.credential_id, update)
            .await
    }
}
