//! Inserts a credential whose grant came from another system.

use super::row::{AuthorizedGrant, StoredCredential};
use super::table::Credentials;
use crate::credential::{ClientId, CredentialId, Name, TeamId};
use crate::extra::Extra;
use crate::pair::PairId;
use crate::profile::Profile;
use crate::stores::credentials::edit::new_row;
use crate::stores::error::Error;
use crate::stores::transaction::Transaction;
use crate::timestamp::Timestamp;

/// A credential for an imported grant.
#[derive(Clone, Debug)]
pub struct ImportedCredential {
    /// Its id.
    pub id: CredentialId,
    /// Its name.
    pub name: Name,
    /// The app.
    pub client_id: ClientId,
    /// Its owner's own JSON object.
    pub extra: Option<Extra>,
    /// The grant.
    pub authorized: AuthorizedGrant,
    /// The pair and the profile of the user, or why Zoom does not show who the user is.
    pub user: Result<(PairId, Profile), String>,
}

impl Credentials {
    /// Begins a transaction that inserts a credential for an imported grant. The caller adds the write that counts the
    /// credential in, if its user is known.
    pub fn insert_imported(
        &self,
        team: &TeamId,
        new: ImportedCredential,
    ) -> Result<(StoredCredential, Transaction<'_>), Error> {
        let authorized = Some(new.authorized);
        let mut row = new_row(team, new.id, new.name, new.client_id, new.extra, authorized);
        match new.user {
            Ok((pair, profile)) => {
                row.pair = Some(pair);
                row.profile = profile;
            }
            Err(message) => {
                row.last_error_message = Some(message);
                row.last_error_at = Some(Timestamp::now());
            }
        }
        self.insert_row(row)
    }
}
