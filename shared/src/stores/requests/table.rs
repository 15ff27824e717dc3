//! The store of the table: what the other files build on.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;

use crate::stores::item::{Item, text};

/// The table `requests`.
#[derive(Clone, Debug)]
pub struct Requests {
    pub(super) client: Client,
    pub(super) table: String,
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

pub(super) fn key(id: &str) -> Item {
    HashMap::from([("request_id".to_owned(), text(id))])
}
