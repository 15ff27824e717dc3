//! From API Gateway's event to a handler, and from a handler's answer back to API Gateway.

pub mod error;
mod error_details;
pub(crate) mod files;
pub mod reply;
pub mod request;

pub(crate) mod access;
pub(crate) mod body;
pub(crate) mod cursor;
pub(crate) mod idempotency;
pub(crate) mod pages;
pub(crate) mod query;
pub(crate) mod schema;
pub(crate) mod terms;
