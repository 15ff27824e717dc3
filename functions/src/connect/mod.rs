//! Connect sessions. The API creates a session, and a user's browser goes to Zoom and back with it.

pub mod callback;
pub mod create;
pub mod get;
pub mod page;

mod exchange;
pub(crate) mod scopes;
