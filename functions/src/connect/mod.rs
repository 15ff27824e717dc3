//! Connect sessions: made through the API, and walked through by a browser.

pub mod callback;
pub mod create;
pub mod get;
pub mod page;

mod plan;
