//! Bot vendors whose calls of a token URL can be verified.
//!
//! Each vendor has its own way to prove a call, and each team has its own secret at each vendor. This module checks
//! proofs. It makes no calls, and knows no tables.
//!
//! | file | job |
//! | --- | --- |
//! | `secret` | the vendors, the secret that a team pastes, and the key that the secret holds |
//! | `proof` | what a call brings to prove that the vendor made it |
//! | `canonical_json` | the JSON text that Attendee signs |

mod canonical_json;
mod proof;
mod secret;

pub use self::canonical_json::canonical;
pub use self::proof::{Proof, TOLERANCE};
pub use self::secret::{Vendor, VendorKey, VendorSecret};
