//! Lets time pass in a test environment, without waiting.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use shared::stores::DUE_AT_ONCE;
use shared::timestamp::Timestamp;

use super::{World, attribute};

impl World {
    /// Sets a time attribute to the past in every row of a table that has the attribute.
    async fn set_to_past(&self, table: &str, name: &str) {
        for mut row in self.items(table).await {
            if row.contains_key(name) {
                row.insert(name.to_owned(), AttributeValue::N("1".to_owned()));
                self.put(table, row).await;
            }
        }
    }

    /// Lets the claims of all running requests expire.
    pub(crate) async fn expire_claims(&self) {
        self.set_to_past("requests", "in_progress_until").await;
    }

    /// Lets the leases of all running refreshes expire.
    pub(crate) async fn expire_leases(&self) {
        self.set_to_past("secrets", "lease_until").await;
    }

    /// Lets the second end in which the calls so far are counted.
    pub(crate) async fn end_second(&self) {
        for row in self.items("requests").await {
            let id = attribute(&row, "request_id").to_owned();
            if id.starts_with("rate#") || id.starts_with("mint#") {
                let delete = self.dynamodb.delete_item().table_name("requests");
                let delete = delete.key("request_id", AttributeValue::S(id));
                delete.send().await.unwrap();
            }
        }
    }

    /// Lets all access tokens expire, at Zoom and in the vault.
    pub(crate) async fn expire_access_tokens(&self) {
        self.zoom.advance(Duration::from_hours(1));
        self.set_to_past("secrets", "access_expires_at").await;
    }

    /// Makes the access tokens old enough that a refresh may help if Zoom refuses them.
    pub(crate) async fn age_access_tokens(&self) {
        self.set_to_past("secrets", "authorized_at").await;
        self.set_to_past("secrets", "committed_at").await;
    }

    /// Lets the retention of deleted credentials end. DynamoDB's TTL then deletes their rows.
    pub(crate) async fn expire_deleted(&self) {
        self.set_to_past("credentials", "purge_at").await;
        self.database.sweep_ttl().unwrap();
    }

    /// Lets the rows of pairs without credentials expire. DynamoDB's TTL then deletes them.
    pub(crate) async fn expire_pairs(&self) {
        self.set_to_past("pairs", "expires_at").await;
        self.database.sweep_ttl().unwrap();
    }

    /// Moves the last deletion of each pair, and the closing of grants, so far into the past that the vault may revoke.
    pub(crate) async fn backdate_deletions(&self) {
        self.set_to_past("pairs", "last_deleted_at").await;
        self.set_to_past("secrets", "closed").await;
    }

    /// Makes all grants older by this much, at Zoom and in the vault, as if nobody had used them.
    pub(crate) async fn age_grants_by(&self, time: Duration) {
        self.zoom.advance(time);
        let millis = i64::try_from(time.as_millis()).unwrap();
        for mut row in self.items("secrets").await {
            if !row.contains_key("refreshed_at") {
                continue;
            }
            for name in ["refreshed_at", "idle_since"] {
                let at = Timestamp::try_from(attribute(&row, name).to_owned()).unwrap();
                // A grant that is due at once stays so.
                if at != DUE_AT_ONCE {
                    let at = AttributeValue::S(at.minus(time).to_string());
                    row.insert(name.to_owned(), at);
                }
            }
            let expires_at: i64 = attribute(&row, "access_expires_at").parse().unwrap();
            let expires_at = AttributeValue::N((expires_at - millis).to_string());
            row.insert("access_expires_at".to_owned(), expires_at);
            self.put("secrets", row).await;
        }
    }

    /// Moves the authorization of all grants an hour into the past, so that no invocation of that time still runs. A
    /// grant that nobody needs is not destroyed before.
    pub(crate) async fn backdate_grants(&self) {
        let hour = Duration::from_hours(1).as_millis();
        for mut row in self.items("secrets").await {
            if row.contains_key("authorized_at") {
                let at: i64 = attribute(&row, "authorized_at").parse().unwrap();
                let at = AttributeValue::N((at - i64::try_from(hour).unwrap()).to_string());
                row.insert("authorized_at".to_owned(), at);
                self.put("secrets", row).await;
            }
        }
    }

    /// Moves the authorization of a credential 10 s into the past, so that a new authorization replaces its grant.
    pub(crate) async fn backdate_authorization(&self, id: &str) {
        self.shift_authorization(id, -10_000).await;
    }

    /// Moves the authorization of a credential 10 min into the future, so that no new authorization replaces its grant.
    pub(crate) async fn postdate_authorization(&self, id: &str) {
        self.shift_authorization(id, 600_000).await;
    }

    async fn shift_authorization(&self, id: &str, millis: i64) {
        let mut row = self.row(id).await;
        let at: i64 = attribute(&row, "grant_authorized_at").parse().unwrap();
        let shifted = AttributeValue::N((at + millis).to_string());
        row.insert("grant_authorized_at".to_owned(), shifted);
        self.put("credentials", row).await;
    }
}
