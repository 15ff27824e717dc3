//! The scheduled function that keeps grants alive. See [`shared::keep_alive`].

pub use shared::keep_alive::{NAME, Report, run as handle};
