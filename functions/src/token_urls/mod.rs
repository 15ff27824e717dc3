//! Token URLs: made and revoked through the API, and called by bot vendors.

pub mod call;
pub mod create;
pub mod delete;
pub mod list;

mod dialect;
