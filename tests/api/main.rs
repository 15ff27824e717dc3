//! The behaviour of the whole, through the handlers, over a real world: a file per behaviour, a sentence
//! per test. Each test has a world of its own, and all of them run in parallel.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a broken assumption is a failed test"
)]

mod contract;
mod envelope;
mod proxy;
mod reading;
mod secrecy;
mod world;
