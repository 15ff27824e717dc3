//! `token-urls list` and `token-urls revoke`. A token URL outlives the key that made it.

use clap::{Args, Subcommand};
use shared::credential::{CredentialId, TeamId};
use shared::event::EventKind;
use shared::stores::{TRANSACTION_TIMEOUT, TeamTokenUrl, TokenUrls, Trail};
use shared::timestamp::Timestamp;

use crate::credentials::confirm;
use crate::error::Error;
use crate::output::{self, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the token URLs of a team that are not revoked. The URLs themselves are not stored
    List(Which),
    /// Revoke token URLs of a team. They give no token from the next call on
    Revoke {
        #[command(flatten)]
        which: Which,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

/// Which token URLs.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The team's name
    #[arg(long)]
    team: TeamId,
    /// Only URLs that the key with this id made
    #[arg(long, value_name = "KEY_ID")]
    key: Option<String>,
    /// Only URLs of this credential
    #[arg(long, value_name = "CREDENTIAL")]
    credential: Option<CredentialId>,
}

impl Which {
    async fn find(&self, urls: &TokenUrls) -> Result<Vec<TeamTokenUrl>, Error> {
        let mut found = urls.of_team(&self.team).await?;
        found.retain(|url| {
            self.key.as_ref().is_none_or(|key| *key == url.created_by)
                && self.credential.is_none_or(|id| id == url.credential_id)
        });
        Ok(found)
    }
}

pub(crate) async fn run(
    command: Command,
    urls: &TokenUrls,
    trail: &Trail,
    output: Output,
) -> Result<(), Error> {
    match command {
        Command::List(which) => {
            let found = which.find(urls).await?;
            output.print(&found, &rows(&found))?;
            if found.is_empty() {
                output.note("no token URLs");
            }
            Ok(())
        }
        Command::Revoke { which, yes } => revoke(&which, yes, urls, trail, output).await,
    }
}

async fn revoke(
    which: &Which,
    yes: bool,
    urls: &TokenUrls,
    trail: &Trail,
    output: Output,
) -> Result<(), Error> {
    let found = which.find(urls).await?;
    let team = &which.team;
    let question = format!(
        "{} URLs of team {team} will stop. Type the team's name to revoke them: ",
        found.len()
    );
    confirm(yes || found.is_empty(), team.as_str(), &question)?;
    let mut revoked = Vec::new();
    for url in found {
        let id = Some(url.credential_id);
        let event = trail.change(team, id, EventKind::UrlRevoked, Vec::new())?;
        let write = urls.revoke(team, url.credential_id, url.url_id)?;
        let until = Timestamp::now().plus(TRANSACTION_TIMEOUT);
        // Refused if the URL was revoked or purged after the list was read.
        if urls
            .begin(write)
            .and(event)
            .commit(until)
            .await?
            .is_committed()
        {
            revoked.push(url);
        }
    }
    output.print(&revoked, &rows(&revoked))?;
    output.note(&format!("{} token URLs revoked", revoked.len()));
    Ok(())
}

fn rows(urls: &[TeamTokenUrl]) -> String {
    let rows = urls.iter().map(|url| {
        [
            url.url_id.to_string(),
            url.credential_id.to_string(),
            url.token_type.token_type().as_str().to_owned(),
            url.created_by.clone(),
            url.created_at.to_string(),
            url.expires_at
                .map_or_else(|| "-".to_owned(), |at| at.to_string()),
        ]
    });
    let head = [
        "URL ID",
        "CREDENTIAL",
        "TYPE",
        "CREATED BY KEY",
        "CREATED",
        "EXPIRES",
    ];
    output::table(head, rows.collect())
}
