//! The table `pairs`: one row per Zoom app and Zoom user of a team. It says who needs the pair's grants.
//!
//! The partition key is `pair_id`. A row counts the credentials of the pair and lists the pair's grants. Every write
//! raises `version`. A row with members has no TTL.
//!
//! A credential is counted exactly while its row has `pair_id`. Whoever changes that, or deletes or restores a
//! credential, changes the counts in the same transaction.
//!
//! The table also has rows `gone#<credential id>`: the credential was counted out after its row was removed. So a
//! record of the stream that comes twice counts once.
//!
//! [`Pairs`] has one file per subject:
//! - `table`: reads, and the update that the other files use
//! - `counts`: how many credentials a pair has
//! - `grants`: which grants a pair has, and the conditions to destroy or revoke them

mod counts;
mod grants;
mod row;
mod table;

pub use self::counts::CountChange;
pub use self::row::StoredPair;
pub use self::table::Pairs;
