//! `events`: the audit trail of a team.

use clap::Args;
use shared::credential::TeamId;
use shared::event::{ActorKind, ActorView, EventId, EventKind, EventRecord};
use shared::stores::{EventFilter, Events};

use crate::error::Error;
use crate::output::{self, Output};

/// How many rows are read at a time.
const PAGE: u16 = 1000;

/// List the events of a team, newest first: who changed what, and which token went to whom
#[derive(Debug, Args)]
pub(crate) struct ListEvents {
    /// The team's name
    #[arg(long)]
    team: TeamId,
    /// Only events of this kind, such as mint or deleted
    #[arg(long)]
    kind: Option<EventKind>,
    /// Only events of this kind of actor: `key`, `token_url`, `connect_session`, `webhook`, `schedule` or `operator`
    #[arg(long)]
    actor: Option<ActorKind>,
    /// Only events of the actor with this id, such as the id of a key
    #[arg(long, value_name = "ID")]
    actor_id: Option<String>,
    /// The most events to list
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(crate) async fn run(options: ListEvents, events: &Events, output: Output) -> Result<(), Error> {
    let filter = EventFilter {
        kind: options.kind,
        actor: options.actor,
        actor_id: options.actor_id,
    };
    let mut found: Vec<EventRecord> = Vec::new();
    let mut before: Option<EventId> = None;
    while found.len() < options.limit {
        let page = events.page_of_team(&options.team, &filter, before, PAGE);
        let page = page.await?;
        found.extend(page.events);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    found.truncate(options.limit);

    output.print(&found, &rows(&found))?;
    if found.is_empty() {
        output.note("no events");
    }
    Ok(())
}

fn rows(events: &[EventRecord]) -> String {
    let dash = || "-".to_owned();
    let rows = events.iter().map(|event| {
        [
            event.at.to_string(),
            event.kind.as_str().to_owned(),
            event.actor.as_ref().map_or_else(dash, who),
            event.credential_id.map_or_else(dash, |id| id.to_string()),
            event.changed.as_ref().map_or_else(dash, |it| it.join(" ")),
            event.code.clone().unwrap_or_else(dash),
            event.request_id.clone(),
        ]
    });
    let head = [
        "AT",
        "KIND",
        "ACTOR",
        "CREDENTIAL",
        "CHANGED",
        "CODE",
        "REQUEST",
    ];
    output::table(head, rows.collect())
}

fn who(actor: &ActorView) -> String {
    match &actor.id {
        Some(id) => format!("{} {id}", actor.kind.as_str()),
        None => actor.kind.as_str().to_owned(),
    }
}
