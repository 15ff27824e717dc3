//! The function that a stream invokes, and no HTTP request.
//!
//! The scheduled function has no file here: its row in [`crate::endpoints`] calls [`shared::keep_alive`].

pub mod purge;
