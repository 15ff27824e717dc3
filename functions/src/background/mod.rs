//! Functions that no HTTP request invokes: a schedule and a stream do.

pub mod keep_alive;
pub mod purge;
