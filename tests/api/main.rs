//! The behaviour of the whole, through the handlers, over a real world: a file per behaviour, a sentence
//! per test. Each test has a world of its own, and all of them run in parallel. What is in `anywhere` needs no more
//! than a vault's address, and runs against one that was deployed too.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a broken assumption is a failed test"
)]

mod access;
mod anywhere;
mod apps;
mod bots;
mod bounds;
mod checking;
mod concurrency;
mod connecting;
mod contract;
mod crashes;
mod creating;
mod deleting;
mod envelope;
mod events;
mod idempotency;
mod input;
mod keep_alive;
mod life;
mod limits;
mod methods;
mod minting;
mod openapi;
mod outage;
mod patience;
mod pkce;
mod properties;
mod proxy;
mod reading;
mod record;
mod refreshing;
mod roles;
mod secrecy;
mod siblings;
mod token_urls;
mod updating;
mod vault;
mod webhooks;
mod world;
mod zoom_faults;
