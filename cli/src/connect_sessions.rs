//! `connect-sessions list` and `connect-sessions revoke`. A connect link works for half an hour, also after its key was
//! revoked.

use clap::{Args, Subcommand};
use shared::credential::TeamId;
use shared::event::EventKind;
use shared::stores::{OpenSession, Requests, TRANSACTION_TIMEOUT, Trail};
use shared::timestamp::Timestamp;

use crate::credentials::confirm;
use crate::error::Error;
use crate::output::{self, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the connect sessions of a team that wait for their user
    List(Which),
    /// End connect sessions of a team now. Their links stop working
    Revoke {
        #[command(flatten)]
        which: Which,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

/// Which sessions.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The team's name
    #[arg(long)]
    team: TeamId,
    /// Only sessions that the key with this id made
    #[arg(long, value_name = "KEY_ID")]
    key: Option<String>,
}

impl Which {
    async fn find(&self, requests: &Requests) -> Result<Vec<OpenSession>, Error> {
        let mut found = requests.open_sessions(&self.team).await?;
        found.retain(|session| {
            self.key
                .as_ref()
                .is_none_or(|key| *key == session.created_by)
        });
        Ok(found)
    }
}

pub(crate) async fn run(
    command: Command,
    requests: &Requests,
    trail: &Trail,
    output: Output,
) -> Result<(), Error> {
    match command {
        Command::List(which) => {
            let found = which.find(requests).await?;
            output.print(&found, &rows(&found))?;
            if found.is_empty() {
                output.note("no connect sessions wait for their user");
            }
            Ok(())
        }
        Command::Revoke { which, yes } => revoke(&which, yes, requests, trail, output).await,
    }
}

async fn revoke(
    which: &Which,
    yes: bool,
    requests: &Requests,
    trail: &Trail,
    output: Output,
) -> Result<(), Error> {
    let found = which.find(requests).await?;
    let team = &which.team;
    let question = format!(
        "{} links of team {team} will stop. Type the team's name to end them: ",
        found.len()
    );
    confirm(yes || found.is_empty(), team.as_str(), &question)?;
    let mut ended = Vec::new();
    for session in found {
        let event = trail.change(team, None, EventKind::SessionRevoked, vec!["ends_at"])?;
        let write = requests.end_session(session.session_id, team)?;
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        let end = trail.events.begin(event).and(write).commit(until);
        // Refused if the session connected its user after the list was read.
        if end.await?.is_committed() {
            ended.push(session);
        }
    }
    output.print(&ended, &rows(&ended))?;
    output.note(&format!("{} connect sessions ended", ended.len()));
    Ok(())
}

fn rows(sessions: &[OpenSession]) -> String {
    let rows = sessions.iter().map(|session| {
        [
            session.session_id.to_string(),
            session.created_by.clone(),
            session.ends_at.to_string(),
        ]
    });
    let head = ["SESSION", "CREATED BY KEY", "ENDS"];
    output::table(head, rows.collect())
}
