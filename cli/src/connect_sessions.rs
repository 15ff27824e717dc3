//! `connect-sessions list` and `connect-sessions revoke`. A connect link works for half an hour, also after its key was
//! revoked.

use clap::{Args, Subcommand};
use shared::credential::TeamId;
use shared::event::{Change, EventKind, Target};
use shared::stores::{self, OpenSession, Requests, TRANSACTION_TIMEOUT, Trail};
use shared::timestamp::Timestamp;

use crate::error::Error;
use crate::named::Named;
use crate::output::{self, Output};
use crate::resources::Resource;
use crate::revocation::Revocation;

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

impl Command {
    /// The resources that this command uses.
    pub(crate) fn resources(&self) -> &'static [Resource] {
        match self {
            Self::List(_) => &[Resource::Requests, Resource::Keys],
            Self::Revoke { .. } => &[Resource::Requests, Resource::Keys, Resource::Events],
        }
    }

    /// Which sessions this command is about.
    pub(crate) fn which(&self) -> &Which {
        match self {
            Self::List(which) | Self::Revoke { which, .. } => which,
        }
    }
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
    /// What must exist.
    pub(crate) fn named(&self) -> Named<'_> {
        Named {
            team: &self.team,
            key_id: self.key.as_deref(),
        }
    }

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

pub(crate) async fn list(which: &Which, requests: &Requests, output: Output) -> Result<(), Error> {
    let found = which.find(requests).await?;
    output.print(&found, &rows(&found))?;
    if found.is_empty() {
        output.note("no connect sessions wait for their user");
    }
    Ok(())
}

pub(crate) async fn revoke(
    which: &Which,
    yes: bool,
    requests: &Requests,
    trail: &Trail,
    output: Output,
) -> Result<(), Error> {
    let team = &which.team;
    let revocation = Revocation {
        team,
        yes,
        thing: "connect session",
        output,
    };
    let found = which.find(requests).await?;
    let end = async |session: &OpenSession| Ok(end(session, team, requests, trail).await?);
    revocation.run(found, rows, end).await
}

/// Ends all sessions of a team that wait for their user. Returns how many.
pub(crate) async fn end_all(
    team: &TeamId,
    requests: &Requests,
    trail: &Trail,
) -> Result<usize, stores::Error> {
    let mut ended = 0;
    for session in requests.open_sessions(team).await? {
        ended += usize::from(end(&session, team, requests, trail).await?);
    }
    Ok(ended)
}

/// Ends a session. Returns `false` if it has ended already.
async fn end(
    session: &OpenSession,
    team: &TeamId,
    requests: &Requests,
    trail: &Trail,
) -> Result<bool, stores::Error> {
    let target = Target::ConnectSession(session.session_id);
    let change = Change::of(target, EventKind::SessionRevoked, vec!["ends_at"]);
    let event = trail.change(team, None, change)?;
    let write = requests.end_session(session.session_id, team)?;
    let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
    let end = trail.events.begin(event).and(write).commit(until);
    Ok(end.await?.is_committed())
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
