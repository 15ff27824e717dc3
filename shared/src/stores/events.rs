//! The table `events`: the usage and the history of credentials. The partition key is `credential_id`, the sort key
//! is `event_id` (UUIDv7), the TTL is `purge_at`.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use serde::{Deserialize, Serialize};

use crate::credential::{CredentialId, TeamId};
use crate::event::{Event, EventId, EventRecord};
use crate::stores::error::{Error, failed};
use crate::stores::item::{Item, query_newest, text, to_item};

/// How long events are kept by default.
pub const RETENTION: Duration = Duration::from_hours(90 * 24);

/// An event as DynamoDB stores it.
#[derive(Serialize, Deserialize)]
struct EventRow {
    credential_id: CredentialId,
    team_id: TeamId,
    purge_at: i64,
    #[serde(flatten)]
    record: EventRecord,
}

/// A page of a credential's events, newest first.
#[derive(Debug)]
pub struct EventPage {
    /// The events of this page.
    pub events: Vec<EventRecord>,
    /// The next page begins after this event. `None` on the last page.
    pub next: Option<EventId>,
}

/// The table `events`.
#[derive(Clone, Debug)]
pub struct Events {
    client: Client,
    table: String,
    retention: Duration,
}

impl Events {
    /// Creates a store for the table that is named `table` in AWS. Events are kept for `retention`.
    pub fn new(client: Client, table: String, retention: Duration) -> Self {
        Self {
            client,
            table,
            retention,
        }
    }

    fn key(credential: CredentialId, id: EventId) -> Item {
        HashMap::from([
            ("credential_id".to_owned(), text(&credential)),
            ("event_id".to_owned(), text(&id)),
        ])
    }

    /// Writes an event of a credential. Replaces an event of the same id: a mint that was recorded as released and
    /// then failed is corrected this way.
    pub async fn record(
        &self,
        team: &TeamId,
        credential: CredentialId,
        event: &Event,
    ) -> Result<(), Error> {
        let row = EventRow {
            credential_id: credential,
            team_id: team.clone(),
            purge_at: event.id.at().plus(self.retention).as_seconds(),
            record: event.clone().into(),
        };
        let put = self.client.put_item().table_name(&self.table);
        let put = put.set_item(Some(to_item(row)?)).send().await;
        put.map(drop).map_err(|error| failed("PutItem", error))
    }

    /// Reads up to `limit` events of a credential, newest first, starting after `after`. Returns no events of another
    /// team. Leaves out rows of unknown shape.
    pub async fn page(
        &self,
        team: &TeamId,
        credential: CredentialId,
        after: Option<EventId>,
        limit: u16,
    ) -> Result<EventPage, Error> {
        let query = self
            .client
            .query()
            .key_condition_expression("credential_id = :credential")
            .filter_expression("team_id = :team")
            .expression_attribute_values(":credential", text(&credential))
            .expression_attribute_values(":team", text(team))
            .set_exclusive_start_key(after.map(|id| Self::key(credential, id)));
        let rows = query_newest::<EventRow, _>(query, limit, (&self.table, "event_id"));
        let (rows, next) = rows.await?;
        let events = rows.into_iter().map(|row| row.record).collect();
        Ok(EventPage { events, next })
    }
}
