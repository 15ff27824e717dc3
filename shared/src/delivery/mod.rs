//! Calls to the endpoints of teams.
//!
//! A team chooses the URL, so the vault calls public addresses only. The check is made where the connection is made:
//! the client resolves a name with `resolver`, which passes on only addresses that the rule permits. A name that
//! changes its address between a check and a call is therefore no problem.

mod client;
mod resolver;

pub use self::client::{ATTEMPT_TIMEOUT, Call, Delivery, Failure};
