//! Sees to grants that are due: refreshes those that nobody has used for a while, so that Zoom does not end them for
//! idling, and settles those that no credential is known to need.
//!
//! A run finds the grants by the index `by-due`, the longest unused of each shard first. It takes each grant before it
//! looks at it, so a row that is broken, or that crashes the run, comes again only 50 minutes later and blocks no
//! other. Then every grant gets a new due time: a refreshed grant in weeks, a failed one in a day, one that rests none.
//! A grant that was put off without being tried is due within an hour, and before all that failed.
//!
//! Only this module destroys or revokes a grant because nobody needs it, and it asks the pair first:
//!
//! - [`run`](self::run()) takes the grants.
//! - `failures` decides which failures end the run, or block an app or a team.
//! - `due` is one grant: who uses it, and whether it still works.
//! - `nameless` is a grant whose user is not known.
//! - `unneeded` is a grant whose pair has no credential.
//! - `revoke` revokes the grants of a pair at Zoom.
//!
//! A grant idles out after months, so a run can wait. A refresh whose outcome is lost costs the user a reconnect. So a
//! run begins with one grant at a time, and it ends when Zoom fails for several apps in a row, or DynamoDB or KMS for
//! several teams. If Zoom fails for one app only, the run goes on with the other apps. If DynamoDB fails for one team
//! only, it goes on with the other teams.
//!
//! One process makes all refreshes of a run. It sees every failure, so it needs no queue and no count in a table.

mod due;
mod failures;
mod nameless;
mod report;
mod revoke;
mod run;
mod terms;
mod unneeded;

pub use self::report::Report;
pub use self::run::run;
pub use self::terms::NAME;
