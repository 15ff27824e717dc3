//! The table `events`: the audit trail. The partition key is `credential_id`: the credential, or `team#` and the team
//! for an event of no credential. The sort key is `event_id` (UUIDv7), the TTL is `purge_at`. An index finds the events
//! of a team.
//!
//! Events are never changed: every write has the condition that there is no such event.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use serde::{Deserialize, Serialize};

use crate::credential::{CredentialId, TeamId};
use crate::event::{Actor, ActorKind, Change, Event, EventId, EventKind, EventRecord};
use crate::stores::error::{Error, failed};
use crate::stores::item::{Item, query_newest, text, to_item};
use crate::stores::transaction::{RowKind, TRANSACTION_TIMEOUT, Transaction, Write};
use crate::timestamp::Timestamp;

/// The condition of every write.
const IS_NEW: &str = "attribute_not_exists(event_id)";

/// How long events are kept by default.
pub const RETENTION: Duration = Duration::from_hours(90 * 24);

/// The index that finds the events of a team. Its keys are `team_id` and `event_id`. It may be stale.
const BY_TEAM: &str = "by-team";

/// An event as DynamoDB stores it.
#[derive(Serialize, Deserialize)]
pub(super) struct EventRow {
    pub(super) team_id: TeamId,
    purge_at: i64,
    #[serde(flatten)]
    pub(super) record: EventRecord,
}

/// Which events of a team are wanted. An event must meet every condition.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// The kind of the event.
    pub kind: Option<EventKind>,
    /// The kind of actor.
    pub actor: Option<ActorKind>,
    /// The id of the actor.
    pub actor_id: Option<String>,
}

/// A page of events, newest first.
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

    fn key(about: &str, id: EventId) -> Item {
        HashMap::from([
            ("credential_id".to_owned(), text(about)),
            ("event_id".to_owned(), text(&id)),
        ])
    }

    /// Writes an event of a credential, or of the team alone. Does nothing if there is an event of the same id: a
    /// webhook that comes twice is one event.
    pub async fn record(
        &self,
        team: &TeamId,
        credential: impl Into<Option<CredentialId>>,
        event: &Event,
    ) -> Result<(), Error> {
        let put = self.client.put_item().table_name(&self.table);
        let sent = put
            .set_item(Some(self.row(team, credential.into(), event)?))
            .condition_expression(IS_NEW)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(failed("PutItem", error)),
            },
        }
    }

    /// Begins a transaction with this write.
    pub fn begin(&self, write: Write) -> Transaction<'_> {
        Transaction::new(&self.client, write)
    }

    /// The write of an event, for the transaction that makes the change. `credential` is the credential that the event
    /// is about, if there is one.
    pub fn write(
        &self,
        team: &TeamId,
        credential: Option<CredentialId>,
        event: &Event,
    ) -> Result<Write, Error> {
        let row = self.row(team, credential, event)?;
        Write::put(
            RowKind::Event,
            &self.table,
            row,
            Some(IS_NEW),
            HashMap::new(),
        )
    }

    fn row(
        &self,
        team: &TeamId,
        credential: Option<CredentialId>,
        event: &Event,
    ) -> Result<Item, Error> {
        let mut row = to_item(EventRow {
            team_id: team.clone(),
            purge_at: event.id.at().plus(self.retention).as_seconds(),
            record: EventRecord::new(event.clone(), credential),
        })?;
        let about = text(&about(team, credential));
        row.insert("credential_id".to_owned(), about);
        Ok(row)
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
            .consistent_read(true)
            .set_exclusive_start_key(after.map(|id| Self::key(&credential.to_string(), id)));
        let rows = query_newest::<EventRow, _>(query, limit, (&self.table, "event_id"));
        let (rows, next) = rows.await?;
        let events = rows.into_iter().map(|row| row.record).collect();
        Ok(EventPage { events, next })
    }

    /// Reads up to `limit` events of a team, newest first, older than `before`. Leaves out rows of unknown shape. An
    /// event of the last second may be missing, because the index follows the table.
    pub async fn page_of_team(
        &self,
        team: &TeamId,
        filter: &EventFilter,
        before: Option<EventId>,
        limit: u16,
    ) -> Result<EventPage, Error> {
        let mut query = self
            .client
            .query()
            .index_name(BY_TEAM)
            .expression_attribute_values(":team", text(team));
        query = match before {
            Some(before) => query
                .key_condition_expression("team_id = :team AND event_id < :before")
                .expression_attribute_values(":before", text(&before)),
            None => query.key_condition_expression("team_id = :team"),
        };
        let conditions = [
            (
                "kind",
                "#kind = :kind",
                filter.kind.map(|kind| kind.as_str().to_owned()),
            ),
            (
                "actor",
                "#actor.#type = :actor",
                filter.actor.map(|it| it.as_str().to_owned()),
            ),
            ("actor_id", "#actor.id = :actor_id", filter.actor_id.clone()),
        ];
        let mut wanted = Vec::new();
        for (name, condition, value) in conditions {
            if let Some(value) = value {
                query = query.expression_attribute_values(format!(":{name}"), text(&value));
                wanted.push(condition);
            }
        }
        if filter.kind.is_some() {
            query = query.expression_attribute_names("#kind", "kind");
        }
        if filter.actor.is_some() || filter.actor_id.is_some() {
            query = query.expression_attribute_names("#actor", "actor");
        }
        if filter.actor.is_some() {
            query = query.expression_attribute_names("#type", "type");
        }
        if !wanted.is_empty() {
            query = query.filter_expression(wanted.join(" AND "));
        }
        let rows = query_newest::<EventRow, _>(query, limit, (&self.table, "event_id"));
        let (rows, next) = rows.await?;
        let events = rows.into_iter().map(|row| row.record).collect();
        Ok(EventPage { events, next })
    }
}

/// The partition of an event.
fn about(team: &TeamId, credential: Option<CredentialId>) -> String {
    credential.map_or_else(|| format!("team#{team}"), |id| id.to_string())
}

/// Records the changes of one invocation, or of one run of a program, in the audit trail.
#[derive(Clone, Debug)]
pub struct Trail {
    /// Where the events are stored.
    pub events: Events,
    /// Who changes something.
    pub actor: Actor,
    /// The id of the invocation or run.
    pub request_id: String,
}

impl Trail {
    /// The write of an event, for the transaction that makes the change.
    pub fn change(
        &self,
        team: &TeamId,
        credential: Option<CredentialId>,
        change: Change,
    ) -> Result<Write, Error> {
        let (actor, request_id) = (self.actor.clone(), self.request_id.clone());
        let event = Event::new(Some(actor), request_id, change.into());
        self.events.write(team, credential, &event)
    }

    /// Writes the event of a change that was made before. A transaction of one write: some roles may write events only
    /// in transactions.
    pub async fn record(
        &self,
        team: &TeamId,
        credential: Option<CredentialId>,
        change: Change,
    ) -> Result<(), Error> {
        let event = self.change(team, credential, change)?;
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        self.events.begin(event).commit(until).await?.or_conflict()
    }
}
