//! The store of the table: what the other files build on.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;

use crate::stores::item::{Item, text};
use futures_util::future::join_all;

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

    /// Opens so many connections to DynamoDB, as [`Keys::warm`](crate::stores::Keys::warm) does. Reads a session that
    /// cannot exist.
    pub async fn warm(&self, connections: usize) {
        let read = async |_| {
            let get = self.client.get_item().table_name(&self.table);
            // Any answer leaves the connection open.
            get.set_key(Some(key("connect#~"))).send().await.ok();
        };
        join_all((0..connections).map(read)).await;
    }
}

pub(super) fn key(id: &str) -> Item {
    HashMap::from([("request_id".to_owned(), text(id))])
}
