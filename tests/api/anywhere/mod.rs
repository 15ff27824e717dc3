//! Tests that need only an address, keys and the Zoom sandbox. Like the other tests, each runs in a world of its own.
//! If `VAULT_URL` is set, they run against the vault that is deployed there:
//!
//! ```sh
//! set -a; . .local/env; set +a      # the operator's AWS, KEYS_TABLE, ZOOM_OAUTH_BASE_URL
//! VAULT_URL=http://127.0.0.1:3000 cargo test -p tests anywhere::
//! ```

mod access;
mod creating;
mod deleting;
mod idempotency;
mod input;
mod limits;
mod minting;
mod reading;
mod round_trip;
mod updating;
