//! Each function's binary, as Lambda runs it: a process that asks the runtime API for events and posts its answers.
//! A local stack holds the data. Its gateway must answer like the binaries.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a broken assumption is a failed test"
)]

mod answers;
mod binaries;
mod events;
mod logs;
mod plain_http;
mod process;
mod services;
mod stack;
mod start;
