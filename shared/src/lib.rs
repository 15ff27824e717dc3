//! The vault without HTTP: the domain, and the tables, keys and hosts that it calls.
//!
//! Imports point downwards:
//!
//! 1. use cases: [`authorize`], [`grants`], [`keep_alive`], [`purge`], [`restore`]
//! 2. the outside: [`stores`] (DynamoDB), [`envelope`] (KMS), [`zoom`]
//! 3. the domain types and small foundations

pub mod authorize;
pub mod grants;
pub mod keep_alive;
pub mod purge;
pub mod restore;
mod revoke;
pub mod time_limit;

pub mod error;
pub mod invocation;

pub mod envelope;
pub mod stores;
pub mod zoom;

pub mod api_key;
pub mod cause;
pub mod config;
pub mod connect;
pub mod credential;
pub mod event;
pub mod extra;
pub mod meter;
pub mod sdk_jwt;
pub mod secret;
pub mod timestamp;
pub mod token;
pub mod token_url;
