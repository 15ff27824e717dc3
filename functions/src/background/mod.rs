//! The functions that a stream or a queue invokes, and no HTTP request.
//!
//! The scheduled function has no file here: its row in [`crate::endpoints`] calls [`shared::keep_alive`].

pub mod notify_deliver;
pub mod notify_enqueue;
pub mod purge;
pub mod report;
