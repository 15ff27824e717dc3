//! The table `requests`: short-lived rows about requests. No row holds a secret. Keys, codes and bodies are stored
//! only as SHA-256.
//!
//! The partition key is `request_id`, the TTL is `expires_at`.
//!
//! [`Requests`] has one file per kind of row:
//! - `rate`: counts a team's calls per second
//! - `idempotency`: the rows of idempotency keys, and the lock of a credential that is authorized again
//! - `connect_sessions`: how far a connect session has come

mod connect_sessions;
mod idempotency;
mod rate;

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;

pub use self::connect_sessions::{NewSession, Session, SessionApp, SessionClaim};
pub use self::idempotency::{ClaimOutcome, EarlierRequest, HeldClaim, IdempotencyClaim};
pub use self::rate::Admission;
use super::{Item, text};

/// The table `requests`.
#[derive(Clone, Debug)]
pub struct Requests {
    client: Client,
    table: String,
}

impl Requests {
    /// Creates a store for the table that is named `table` in AWS.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Opens two connections to DynamoDB, because a request makes up to two calls at the same time. Reads a session
    /// that cannot exist.
    pub async fn warm(&self) {
        let read = async || {
            let get = self.client.get_item().table_name(&self.table);
            // Any answer leaves the connection open.
            get.set_key(Some(key("connect#~"))).send().await.ok();
        };
        tokio::join!(read(), read());
    }
}

fn key(id: &str) -> Item {
    HashMap::from([("request_id".to_owned(), text(id))])
}
