//! The table `secrets`: sealed secrets, and the state that goes with them. No row holds plaintext.
//!
//! The partition key is `secret_id`. Only rows of connect sessions have the TTL `purge_at`.
//!
//! [`Secrets`] has one file per kind of row, and one file per subject for grants:
//! - `table`: client secrets, secrets of connect sessions, new grants, deletion
//! - `zoom_apps`: a team's Zoom apps, with the secret that signs their webhooks
//! - `vendors`: the secrets with which bot vendors prove their calls
//! - `registered`: the list of a team's Zoom apps and vendors
//! - `notification_endpoint`: a team's endpoint for notifications, with the secret that signs them
//! - `grant_row`: the types of a grant's row
//! - `grant_refresh`: reads a grant and runs the refresh protocol (lease, commit, stash)
//! - `grant_end`: marks a grant dead, gives it up, destroys its tokens, deletes its row
//! - `keep_alive`: the schedule that refreshes idle grants

mod due_shard;
mod grant_end;
mod grant_refresh;
mod grant_row;
mod keep_alive;
mod notification_endpoint;
mod registered;
mod table;
mod vendors;
mod zoom_apps;

pub use self::due_shard::{DUE_AT_ONCE, due_shards};
pub use self::grant_refresh::{AcquireOutcome, AcquiredLease, NewPair, PairWrite};
pub use self::grant_row::{GrantState, Lease, RefreshAttempt, StoredGrant};
pub use self::keep_alive::{DueGrant, DuePosition};
pub use self::notification_endpoint::{EndpointSecret, NotificationEndpoint};
pub use self::registered::{Registered, RegisteredVendor};
pub use self::table::{AppSecret, GrantSecret, Secrets, SessionSecretRow};
pub use self::vendors::VendorSecrets;
pub use self::zoom_apps::ZoomApp;
