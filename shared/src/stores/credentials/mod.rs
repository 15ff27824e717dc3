//! The table `credentials`: one row per credential, with what the API may show and the ids of its secrets.
//!
//! The partition key is `team_id`, the sort key is `credential_id`. A soft-deleted row stays until its TTL; only the
//! stores see it. Every write raises `version` and names its kind in `change`. The table's stream is filtered by
//! `change`.
//!
//! [`Credentials`] has one file per subject:
//! - `table`: reads by key, and the conditional update that the other files use
//! - `list`: lists the credentials of a team, page by page
//! - `edit`: creates, changes, deletes and restores a credential
//! - `import`: inserts a credential whose grant came from another system
//! - `grant_outcome`: writes the result of using a grant
//! - `members`: finds the credentials of a Zoom user
//! - `including_deleted`: operations that treat soft-deleted credentials like the others

mod changes;
mod edit;
mod grant_outcome;
mod import;
mod including_deleted;
mod list;
mod members;
mod row;
mod table;

pub use self::changes::{CredentialChanges, ExtraChange};
pub use self::grant_outcome::BATCH;
pub use self::import::ImportedCredential;
pub use self::list::{CredentialFilter, CredentialPage};
pub use self::members::{Holder, SOME_MEMBERS};
pub use self::row::{AuthorizedGrant, GrantRef, StoredCredential};
pub use self::table::Credentials;
