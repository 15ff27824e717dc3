//! `/v2/zoom-credentials`: one file per endpoint.

pub mod check;
pub mod create;
pub mod delete;
pub mod events;
pub mod get;
pub mod list;
pub mod restore;
pub mod update;

mod authorization;
mod filter;
