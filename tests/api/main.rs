//! Tests of the API's behaviour, through the handlers and over real sockets. Each file covers one subject, and each
//! test name is a sentence.
//!
//! Each test has a world of its own, so all tests run in parallel. The tests in `anywhere` need only the address of a
//! vault. They also run against a deployed vault.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a broken assumption is a failed test"
)]

mod access;
mod account;
mod anywhere;
mod apps;
mod attention;
mod audit;
mod bots;
mod call_counts;
mod checking;
mod choosing;
mod code_verifier;
mod concurrency;
mod connecting;
mod console;
mod contract;
mod crashes;
mod creating;
mod deleting;
mod envelope;
mod errors_in_docs;
mod events;
mod first_read;
mod idempotency;
mod importing;
mod input;
mod keep_alive;
mod keys;
mod life;
mod limits;
mod limits_in_docs;
mod lists;
mod meeting_links;
mod methods;
mod minting;
mod notifications;
mod openapi;
mod outage;
mod overview;
mod pkce;
mod properties;
mod proxy;
mod reading;
mod record;
mod refreshing;
mod releasing;
mod roles;
mod rtms;
mod secrecy;
mod siblings;
mod time_limits;
mod token_urls;
mod unreadable_rows;
mod updating;
mod vault;
mod vendors;
mod webhooks;
mod webinars;
mod world;
mod zoom_errors;
mod zoom_faults;
