//! Tests of the local stack, in the process that `cargo run` starts.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a broken assumption is a failed test"
)]

mod combinations;
mod commands_in_docs;
mod door;
mod endpoints;
mod errors;
mod process;
mod secrecy;
mod start_and_stop;
