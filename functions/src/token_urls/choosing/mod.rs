//! Token URLs of a team. Each call chooses the credentials.
//!
//! | file | job |
//! | --- | --- |
//! | `create`, `list`, `delete` | the team's routes of the functions with these names |
//! | `names` | reads from a call whose token it wants |
//! | `candidates` | finds the credentials that a call can use |
//! | `mint` | mints with the candidates, and says which one was used |

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;

pub(super) mod candidates;
pub(super) mod mint;
pub(crate) mod names;
