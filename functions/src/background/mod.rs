//! The functions that a schedule or a stream invokes, and no HTTP request.

pub mod keep_alive;
pub mod purge;
