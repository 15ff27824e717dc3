//! The HTTP API: one handler per endpoint, and the Lambda binaries that run them.
//!
//! A handler authenticates the caller, counts the call, parses the request, calls the domain in `shared`, and answers.
//! Its parameters are its powers, and the role of its Lambda allows the same.

pub mod background;
pub mod connect;
pub mod console;
pub mod credentials;
pub mod token_urls;
pub mod tokens;
pub mod vendors;
pub mod zoom_apps;

pub mod endpoints;
pub mod events;
pub mod http;
pub mod metrics;
pub mod notifications;
pub mod openapi;
pub mod overview;
pub mod parsers;
pub mod powers;
pub mod runtime;
