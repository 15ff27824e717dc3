//! Token URLs. The API creates, lists and revokes them. Bot vendors call them.

pub mod call;
pub mod create;
pub mod delete;
pub mod list;
pub mod verify;

pub(crate) mod choosing;
pub(crate) mod dialect;
