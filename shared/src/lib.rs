//! The vault without HTTP: the domain, and the tables, keys and hosts that it calls.
//!
//! No module here knows HTTP servers, API Gateway or status codes. Imports point downwards:
//!
//! | modules | job |
//! | --- | --- |
//! | `import`, `keep_alive`, `delete`, `restore`, `purge`, `purge_now`, `pair_end`, `authorize`, `counted` | use cases that more than one entry point needs |
//! | `grants` | everything that is done with a user's tokens: refresh, mint, check |
//! | `error`, `invocation`, `time_limit` | what the use cases share |
//! | `envelope` | encryption of secrets. The only module that uses AES or calls KMS |
//! | `stores` | the DynamoDB tables. The only module that calls DynamoDB |
//! | `zoom` | the client for Zoom. Only this module and `delivery` make HTTP calls themselves |
//! | `delivery` | calls to the endpoints of teams |
//! | `queue` | the queue of notifications. The only module that calls SQS |
//! | `config` | the environment, and the clients that it describes |
//! | `credential`, `account`, `attention`, `pair`, `profile`, `token`, `meeting_link`, `token_url`, `choosing_url`, `connect`, `brand`, `event`, `api_key`, `extra`, `import_id`, `rtms`, `sdk_jwt`, `vendor`, `notification` | the domain: values that are checked when they are made |
//! | `secret`, `timestamp`, `characters`, `invalid`, `random`, `encoding`, `cause`, `meter`, `tls` | small foundations |
//!
//! `envelope`, `stores`, `zoom`, `delivery` and `queue` do not import each other, with one exception: `stores` reads
//! and writes the types of `envelope::sealed`, the part of a row that `envelope` makes. Only `envelope` can build a
//! `Sealed`, so the type cannot live elsewhere.

pub mod authorize;
mod counted;
pub mod delete;
pub mod grants;
pub mod import;
pub mod keep_alive;
pub mod pair_end;
pub mod purge;
pub mod purge_now;
pub mod restore;

pub mod error;
pub mod invocation;
pub mod time_limit;

pub mod delivery;
pub mod envelope;
pub mod queue;
pub mod stores;
pub mod zoom;

pub mod account;
pub mod api_key;
pub mod attention;
pub mod brand;
pub mod cause;
pub mod characters;
pub mod choosing_url;
pub mod config;
pub mod connect;
pub mod credential;
mod encoding;
pub mod event;
pub mod extra;
pub mod import_id;
pub mod invalid;
pub mod meeting_link;
pub mod meter;
pub mod notification;
pub mod pair;
pub mod profile;
pub mod random;
pub mod rtms;
pub mod sdk_jwt;
pub mod secret;
pub mod timestamp;
mod tls;
pub mod token;
pub mod token_url;
pub mod vendor;
