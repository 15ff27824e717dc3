//! The scheduled function that keeps grants alive. Everything it does is in [`shared::keep_alive`].

pub use shared::keep_alive::{NAME, Report, run as handle};
