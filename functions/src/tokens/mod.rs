//! `/v2/zoom-tokens`: mints tokens for bots.

pub mod mint;
mod mint_type;
mod owner;
