//! What any Lambda may use. Nothing here knows HTTP.
//!
//! `credential` is the domain; `envelope`, `stores` and `zoom` reach the outside; `config` reads the
//! environment. Arrows point from the outside to the domain, never back.

pub mod api_key;
pub mod cause;
pub mod config;
pub mod connect;
pub mod credential;
pub mod envelope;
pub mod event;
pub mod extra;
pub mod meter;
pub mod sdk_jwt;
pub mod secret;
pub mod stores;
pub mod timestamp;
pub mod token;
pub mod token_url;
pub mod zoom;
