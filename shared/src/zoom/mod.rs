//! The client for Zoom's OAuth and REST hosts.
//!
//! - The client sends a code, a refresh token or a revocation once, on a new connection. Only the caller can decide to
//!   send it again.
//! - The client repeats a mint, a profile, the host of a meeting, the check of an app or the token of an account-level
//!   app once on a new connection, if the connection breaks.
//! - The client follows no redirect and reads no answer past a limit, because Zoom's answers are untrusted.
//! - Secrets travel in headers and bodies, never in a URL.
//!
//! | file | job |
//! | --- | --- |
//! | `client` | [`Zoom`]: one method for each call |
//! | `transport` | sends a request and reads the answer |
//! | `connection` | a connection that is opened before its request is sent |
//! | `answer` | reads an error answer: status, code, words |
//! | `refusal` | the table of Zoom's error codes, and the [`Error`] that each code becomes |
//! | [`outcome`] | what the answer to each call means: the values in it, or an [`Error`] |
//! | `error` | [`Error`], and whether a code or refresh token may be spent after it |
//! | `tokens`, `mint`, `user`, `meeting` | what is sent and received |
//! | `api_url` | the REST hosts that may receive a token |
//! | `consent` | the page on which a user consents |
//! | [`webhook`] | the calls that Zoom makes to the vault |

mod answer;
mod api_url;
mod client;
mod connection;
mod consent;
mod error;
mod meeting;
mod mint;
pub mod outcome;
mod refusal;
mod tokens;
mod transport;
mod user;
pub mod webhook;

pub use self::api_url::ApiUrl;
pub use self::client::{
    ANSWER_TIMEOUT, API_BASE_URL, OAUTH_BASE_URL, REFRESH_ANSWER_TIMEOUT, Zoom,
};
pub use self::connection::Connection;
pub use self::consent::ConsentPage;
pub use self::error::{Actor, Error, Fault};
pub use self::mint::{MintRequest, TokenOwner, ZakTtl, ZoomToken};
pub use self::tokens::{AccountToken, Authorization, Tokens};
