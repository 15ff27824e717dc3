//! Writes to the credential what Zoom answered when the vault used a grant.

use super::row::{AuthorizedGrant, Change, StoredCredential};
use super::table::{Credentials, set_grant, touch, when_grant_is_as_seen};
use crate::credential::{CredentialId, GrantId, State, TeamId};
use crate::stores::error::Error;
use crate::stores::item::text;
use crate::stores::transaction::Transaction;
use crate::timestamp::Timestamp;

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

    /// Begins a transaction that points the credential at another grant of the same app and user. Zoom has just
    /// accepted that grant. The transaction is refused if the credential's grant differs from `seen`.
    pub fn repoint(
        &self,
        team: &TeamId,
        seen: &StoredCredential,
        authorized: &AuthorizedGrant,
    ) -> Result<Transaction<'_>, Error> {
        let update = set_grant(touch(Change::Active), authorized);
        self.begin(
            team,
            seen.credential.credential_id,
            when_grant_is_as_seen(update, seen),
        )
    }

    /// Stores the last error. With `invalid`, also makes the credential invalid until a mint succeeds.
    ///
    /// The update is refused if the grant differs from `seen`.
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
        self.update(
            team,
            seen.credential.credential_id,
            when_grant_is_as_seen(update, seen),
        )
        .await
    }
}
