//! `/v2/zoom-credentials`. Each endpoint has its own file.

pub mod check;
pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod restore;
pub mod update;

mod authorization;
pub(crate) mod filter;
