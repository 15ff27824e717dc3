//! The table `requests`: short-lived rows about requests. No row holds a secret. Keys, codes and bodies are stored
//! only as SHA-256.
//!
//! The partition key is `request_id`, the TTL is `expires_at`.
//!
//! [`Requests`] has one file per kind of row:
//! - `table`: the store itself
//! - `rate`: counts a team's calls per second
//! - `idempotency`: the rows of idempotency keys, and the lock of a credential that is authorized again
//! - `imports`: what became of imported refresh tokens
//! - `last_use`: when each API key last changed something or minted a token
//! - `new_session`: what a connect session was created with
//! - `connect_sessions`: how far it has come

mod connect_sessions;
mod idempotency;
mod imports;
mod last_use;
mod new_session;
mod rate;
mod table;

pub use self::connect_sessions::{OpenSession, Session, SessionClaim};
pub use self::idempotency::{
    ClaimOutcome, EarlierRequest, HeldClaim, IdempotencyClaim, RequestName,
};
pub use self::imports::{ImportVerdict, StoredImport};
pub use self::new_session::{NewSession, SessionApp};
pub use self::rate::{Admission, Charged, Hits, RateLimits};
pub use self::table::Requests;
