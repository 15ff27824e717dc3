//! `events`: the audit trail of a team.

use clap::Args;
use shared::credential::TeamId;
use shared::event::{ActorKind, BotId, EventId, EventKind, EventRecord, RecordedOutcome};
use shared::stores::{EventFilter, Events};
use shared::token::{MeetingId, TokenType};
use shared::token_url::UrlId;

use crate::error::Error;
use crate::named::Named;
use crate::output::{self, Output, or_dash};
use crate::watch::{Listing, Watch};

/// How many rows are read at a time.
const PAGE: u16 = 1000;

/// List the events of a team, newest first: who changed what, and which token went to whom
#[derive(Debug, Args)]
pub(crate) struct ListEvents {
    /// The team's name
    #[arg(long)]
    team: TeamId,
    /// Only events of this kind, such as mint or deleted. An unknown kind prints the valid kinds
    #[arg(long)]
    kind: Option<EventKind>,
    /// Only events of this kind of actor: `key`, `token_url`, `connect_session`, `webhook`, `schedule` or `operator`.
    /// With `:ID` after it, only of this actor: `key:0123456789ab`
    #[arg(long, value_name = "TYPE[:ID]", value_parser = ActorKind::with_id)]
    actor: Option<(ActorKind, Option<String>)>,
    /// Only events of the actor with this id, such as the id of a key
    #[arg(long, value_name = "ID")]
    actor_id: Option<String>,
    /// The most events to list
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    watch: Watch,
}

impl ListEvents {
    /// What must exist.
    pub(crate) fn named(&self) -> Named<'_> {
        let (kind, id) = match &self.actor {
            Some((kind, id)) => (Some(*kind), id.as_ref()),
            None => (None, None),
        };
        let id = id.or(self.actor_id.as_ref());
        // An operator may paste the key itself as the id of any actor.
        let is_key = |id: &&String| kind == Some(ActorKind::Key) || id.starts_with("zcv_");
        Named {
            team: &self.team,
            key_id: id.filter(is_key).map(String::as_str),
        }
    }

    fn filter(&self) -> Result<EventFilter, Error> {
        let (actor, id) = self.actor.clone().unzip();
        let actor_id = match (id.flatten(), self.actor_id.clone()) {
            (Some(one), Some(other)) if one != other => return Err(Error::TwoActorIds),
            (one, other) => one.or(other),
        };
        let is_uuid = matches!(actor, Some(ActorKind::TokenUrl | ActorKind::ConnectSession));
        if let (Some(kind), Some(id)) = (actor, &actor_id)
            && is_uuid
            && id.parse::<UrlId>().is_err()
        {
            return Err(Error::MalformedActorId {
                team: self.team.clone(),
                kind: kind.as_str(),
            });
        }
        Ok(EventFilter {
            kind: self.kind,
            actor,
            actor_id,
        })
    }
}

pub(crate) async fn run(options: ListEvents, events: &Events, output: Output) -> Result<(), Error> {
    let filter = options.filter()?;
    let read = async || {
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
        Ok(Listing {
            text: rows(&found),
            document: found,
            none: "no events",
            unreadable: Vec::new(),
        })
    };
    options.watch.print(output, read).await
}

pub(crate) fn rows(events: &[EventRecord]) -> String {
    let rows = events.iter().map(|event| {
        let actor = event.actor.as_ref().map(|actor| match &actor.id {
            Some(id) => format!("{}:{id}", actor.kind.as_str()),
            None => actor.kind.as_str().to_owned(),
        });
        let target = event.target.as_ref();
        let outcome = event.outcome.map(|outcome| match outcome {
            RecordedOutcome::Succeeded => "succeeded",
            RecordedOutcome::Failed => "failed",
        });
        [
            event.at.to_string(),
            event.kind.as_str().to_owned(),
            or_dash(outcome),
            or_dash(actor),
            or_dash(event.credential_id),
            or_dash(target.map(|target| format!("{}:{}", target.kind.as_str(), target.id))),
            or_dash(event.token_type.map(TokenType::as_str)),
            or_dash(event.meeting_id.as_ref().map(MeetingId::as_str)),
            or_dash(event.bot_id.as_ref().map(BotId::as_str)),
            or_dash(event.changed.as_ref().map(|fields| fields.join(" "))),
            or_dash(event.code.as_ref()),
            event.request_id.clone(),
        ]
    });
    let head = [
        "AT",
        "KIND",
        "OUTCOME",
        "ACTOR",
        "CREDENTIAL",
        "TARGET",
        "TOKEN",
        "MEETING",
        "BOT",
        "CHANGED",
        "CODE",
        "REQUEST",
    ];
    output::table(head, rows.collect())
}
