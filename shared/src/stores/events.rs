//! The table `events`: usage and history. Partition key `credential_id`, sort key `event_id` (UUIDv7), TTL
//! `purge_at`.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use serde::{Deserialize, Serialize};

use super::{Error, Item, failed, newest, text, to_item};
use crate::credential::{CredentialId, TeamId};
use crate::event::{Event, EventId, Record};

/// How long events are kept, unless it was set.
pub const RETENTION: Duration = Duration::from_hours(90 * 24);

/// An event, as it is stored.
#[derive(Serialize, Deserialize)]
struct Row {
    credential_id: CredentialId,
    team_id: TeamId,
    purge_at: i64,
    #[serde(flatten)]
    record: Record,
}

/// Some of a credential's events, newest first.
#[derive(Debug)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Record>,
    /// Where the next page begins, if there is one: after this event.
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
    /// `table` is the table's name; an event is kept for `retention`.
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

    /// Writes what happened to a credential of `team`, in place of an event of the same id: so a mint that was on
    /// record as released, and then failed, is put right.
    pub async fn record(
        &self,
        team: &TeamId,
        credential: CredentialId,
        event: &Event,
    ) -> Result<(), Error> {
        let row = Row {
            credential_id: credential,
            team_id: team.clone(),
            purge_at: event.id.at().plus(self.retention).as_seconds(),
            record: event.clone().into(),
        };
        let put = self.client.put_item().table_name(&self.table);
        let put = put.set_item(Some(to_item(row)?)).send().await;
        put.map(drop).map_err(|error| failed("PutItem", error))
    }

    /// Up to `limit` events of a credential, newest first, after `after`; none where they are another team's.
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
            .table_name(&self.table)
            .key_condition_expression("credential_id = :credential")
            .filter_expression("team_id = :team")
            .expression_attribute_values(":credential", text(&credential))
            .expression_attribute_values(":team", text(team))
            .set_exclusive_start_key(after.map(|id| Self::key(credential, id)));
        let rows = newest(query, limit, "event_id", |row: &Row| row.record.event_id);
        let (rows, next) = rows.await?;
        let events = rows.into_iter().map(|row| row.record).collect();
        Ok(EventPage { events, next })
    }
}
