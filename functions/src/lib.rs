//! The handlers, one file each, and what they read requests and write answers with.
//!
//! An endpoint is one function that reads top to bottom: who calls, how often, what they want, then the
//! domain, the store and the answer. Its parameters are the powers it holds, and its Lambda's role the same.

pub mod check_credential;
pub mod connect;
pub mod connect_callback;
pub mod create_connect_session;
pub mod create_credential;
pub mod create_token_url;
pub mod delete_credential;
pub mod delete_token_url;
pub mod delete_zoom_app;
pub mod get_connect_session;
pub mod get_credential;
pub mod get_zoom_app;
pub mod keep_alive;
pub mod list_credentials;
pub mod list_events;
pub mod list_token_urls;
pub mod mint_token;
pub mod purge;
pub mod put_zoom_app;
pub mod restore_credential;
pub mod rotate_secret;
pub mod token_url;
pub mod update_credential;
pub mod zoom_webhook;

pub mod capsule;
pub mod error;
pub mod grants;
pub mod metrics;
pub mod openapi;
pub mod reply;
pub mod request;
pub mod runtime;

mod access;
mod app;
mod authorization;
mod body;
mod cursor;
mod dialect;
mod filter;
mod idempotency;
mod minting;
mod opened;
mod pages;
mod patience;
mod record;
mod refresh;
mod zoom_app;
