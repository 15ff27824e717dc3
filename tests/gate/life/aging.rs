//! Lets time pass without waiting: all times in the tables move into the past, and Zoom's clock goes on.

use std::time::Duration;

use serde_json::{Value, json};
use shared::stores::DUE_AT_ONCE;
use shared::timestamp::Timestamp;

use crate::life::world::{Item, World};

/// Attributes with milliseconds since 1970.
const MILLIS: [&str; 12] = [
    "access_expires_at",
    "authorize_sent_at",
    "authorized_at",
    "closed",
    "committed_at",
    "deauthorized_at",
    "grant_authorized_at",
    "in_progress_until",
    "last_deleted_at",
    "lease_at",
    "lease_until",
    "at",
];
/// Attributes with seconds since 1970.
const SECONDS: [&str; 2] = ["expires_at", "purge_at"];
/// Attributes with a time as text.
const TEXTS: [&str; 2] = ["idle_since", "refreshed_at"];

impl World {
    /// Lets this much time pass. No operation may be running, and no request may be on its way to a table.
    pub(crate) fn advance(&mut self, by: Duration) {
        if by.is_zero() {
            return;
        }
        self.elapsed += by;
        self.backend.zoom.advance(by);
        for table in ["credentials", "pairs", "secrets", "requests"] {
            for mut row in self.items(table) {
                // The rows of rate limits matter to nobody here.
                let matters = table != "requests" || row.contains_key("in_progress_until");
                if matters && age(&mut row, by) {
                    self.put(table, &row);
                }
            }
        }
    }

    /// Lets the retention of a deleted credential end, but does not run DynamoDB's TTL.
    pub(crate) fn end_retention(&self, id: &str) {
        for row in self.items("credentials") {
            if row["credential_id"]["S"] == id && row.contains_key("purge_at") {
                let request = json!({
                    "TableName": "credentials",
                    "Key": { "team_id": row["team_id"], "credential_id": row["credential_id"] },
                    "UpdateExpression": "SET purge_at = :past",
                    // An operation may restore the credential at the same time.
                    "ConditionExpression": "attribute_exists(purge_at)",
                    "ExpressionAttributeValues": { ":past": { "N": "1" } },
                });
                let request = serde_json::from_value(request).unwrap();
                if let Err(error) = self.backend.database.update_item(request) {
                    assert!(
                        format!("{error:?}").contains("ConditionalCheckFailed"),
                        "{error:?}"
                    );
                }
            }
        }
    }

    /// Lets DynamoDB's TTL remove what has expired.
    pub(crate) fn sweep_ttl(&mut self) {
        self.backend.database.sweep_ttl().unwrap();
        self.read_streams();
    }
}

/// Moves the times of a row into the past. Returns whether there was any.
fn age(row: &mut Item, by: Duration) -> bool {
    let millis = i64::try_from(by.as_millis()).unwrap();
    let mut has_aged = false;
    for (name, value) in row.iter_mut() {
        let name = name.as_str();
        if let Some(inner) = value.get_mut("M").and_then(Value::as_object_mut) {
            has_aged |= age(inner, by);
        } else if let Some(number) = value["N"].as_str() {
            let by = match (MILLIS.contains(&name), SECONDS.contains(&name)) {
                (true, _) => millis,
                (_, true) => millis / 1000,
                (false, false) => continue,
            };
            let number: i64 = number.parse().unwrap();
            *value = json!({ "N": number.saturating_sub(by).to_string() });
            has_aged = true;
        } else if TEXTS.contains(&name) {
            let at = Timestamp::try_from(value["S"].as_str().unwrap().to_owned()).unwrap();
            // A grant that is due at once stays so.
            if at != DUE_AT_ONCE {
                *value = json!({ "S": at.minus(by).to_string() });
                has_aged = true;
            }
        }
    }
    has_aged
}
