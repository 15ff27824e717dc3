//! What needs an address, keys and the Zoom sandbox, and nothing from behind: all of it runs in worlds of its own like
//! the rest, and against a vault that was deployed, where `VAULT_URL` names one:
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
