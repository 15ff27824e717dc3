//! The table `credentials`: one row per credential, with what the API may show and the ids of its secrets.
//!
//! The partition key is `team_id`, the sort key is `credential_id`. A soft-deleted row stays until its TTL; only the
//! stores see it. Every write raises `version` and names its kind in `change`. The table's stream is filtered by
//! `change`.
//!
//! [`Credentials`] has one file per subject:
//! - `table`: reads by key, pages, and the conditional update that the other files use
//! - `edit`: creates, changes, deletes and restores a credential
//! - `grant_outcome`: writes the result of using a grant
//! - `siblings`: finds and updates credentials of the same Zoom app and user
//! - `by_grant`: finds the credentials that use a grant
//! - `including_deleted`: operations that treat soft-deleted credentials like the others

mod by_grant;
mod changes;
mod edit;
mod grant_outcome;
mod including_deleted;
mod row;
mod siblings;
mod table;

pub use self::by_grant::{CredentialsOfGrant, SecretOwner};
pub use self::changes::{CredentialChanges, ExtraChange};
pub use self::row::{AuthorizedGrant, GrantRef, StoredCredential};
pub use self::siblings::UpdatedSiblings;
pub use self::table::{CredentialPage, Credentials};
