//! `credentials list` and `credentials restore`. For the other commands see [`crate::purge`] and [`crate::sweep`].

use std::io::{self, BufRead, IsTerminal, Write};

use aws_sdk_dynamodb::Client;
use clap::Subcommand;
use serde::Serialize;
use shared::credential::{CredentialId, CredentialType, State, TeamId};
use shared::extra::ExtraFilter;
use shared::invocation::Invocation;
use shared::restore;
use shared::stores::{
    self, CredentialFilter, Credentials, Events, Listed, ManualPurge, Pairs, Secrets,
    StoredCredential, TableInspector, TokenUrls, Trail,
};
use shared::timestamp::Timestamp;

use crate::error::Error;
use crate::output::{self, Output, printable};
use crate::resources::Resource;
use crate::{purge, sweep};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List a team's credentials, newest first
    List {
        /// The team's name
        #[arg(long)]
        team: TeamId,
        /// List deleted credentials, and until when each can be restored
        #[arg(long)]
        deleted: bool,
    },
    /// Restore a deleted credential
    ///
    /// The credential can mint tokens at once. If its grant was revoked or lost since the deletion, the credential is
    /// `invalid`, and its user must authorize again.
    Restore {
        /// The team's name
        #[arg(long)]
        team: TeamId,
        /// The credential's id
        credential: CredentialId,
    },
    /// Destroy the data of a deleted credential now. This cannot be undone
    ///
    /// Destroys its client secret and its token URLs. Also destroys the grants of its Zoom app and user, if no other
    /// credential of the team belongs to them. A grant that was authorized less than 20 minutes ago stays until
    /// keep-alive destroys it. This command does not revoke the grant at Zoom, and after it the vault cannot revoke the
    /// grant either.
    Purge {
        /// The team's name
        #[arg(long)]
        team: TeamId,
        /// The credential's id
        credential: CredentialId,
        /// Purge now, although the credential could still be restored
        #[arg(long, required = true)]
        now: bool,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Find rows that belong to no credential, and wrong counts of credentials
    ///
    /// Reads the tables of secrets, token URLs, pairs and credentials completely, once. A pair is a Zoom app and a Zoom
    /// user of a team; its row counts their credentials. Lists secrets and token URLs that belong to no credential,
    /// live or deleted; grants that neither a credential nor a pair has; and pairs whose row counts wrong. Run it after
    /// you restored a table from a backup. Ends with exit code 1 if a problem is left.
    Sweep {
        /// Correct the counts, and let keep-alive see to the grants. Destroys nothing
        #[arg(long)]
        repair: bool,
        /// Do the same, and destroy what belongs to no credential
        #[arg(long)]
        destroy: bool,
        /// Do not ask for confirmation
        #[arg(long, requires = "destroy")]
        yes: bool,
    },
}

impl Command {
    /// The resources that this command uses.
    pub(crate) fn resources(&self) -> &'static [Resource] {
        const DATA: [Resource; 5] = [
            Resource::Credentials,
            Resource::Secrets,
            Resource::Pairs,
            Resource::TokenUrls,
            Resource::Events,
        ];
        const LIST: [Resource; 6] = {
            let [a, b, c, d, e] = DATA;
            [a, b, c, d, e, Resource::Keys]
        };
        match self {
            Self::List { .. } => &LIST,
            Self::Restore { .. } | Self::Purge { .. } | Self::Sweep { .. } => &DATA,
        }
    }
}

/// Names of tables.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) credentials: String,
    pub(crate) secrets: String,
    pub(crate) pairs: String,
    pub(crate) token_urls: String,
}

pub(crate) struct Stores {
    pub(crate) credentials: Credentials,
    pub(crate) pairs: Pairs,
    pub(crate) secrets: Secrets,
    pub(crate) token_urls: TokenUrls,
    pub(crate) removal: ManualPurge,
    pub(crate) inspector: TableInspector,
    events: Events,
    pub(crate) trail: Trail,
    pub(crate) tables: Tables,
}

impl Stores {
    fn new(client: &Client, tables: Tables, trail: Trail) -> Self {
        let removal = ManualPurge::new(
            client.clone(),
            tables.credentials.clone(),
            tables.secrets.clone(),
            tables.token_urls.clone(),
        );
        Self {
            credentials: Credentials::new(client.clone(), tables.credentials.clone()),
            pairs: Pairs::new(client.clone(), tables.pairs.clone()),
            secrets: Secrets::new(client.clone(), tables.secrets.clone()),
            token_urls: TokenUrls::new(client.clone(), tables.token_urls.clone()),
            events: trail.events.clone(),
            inspector: TableInspector::new(client.clone()),
            removal,
            trail,
            tables,
        }
    }

    /// All live or all deleted credentials of a team, newest first.
    async fn all(
        &self,
        team: &TeamId,
        deleted: bool,
    ) -> Result<Listed<StoredCredential>, stores::Error> {
        let filter = CredentialFilter::by_deletion(deleted);
        let (mut rows, mut unreadable, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let page = self.credentials.page(team, after, None, &filter).await?;
            rows.extend(page.credentials);
            unreadable.extend(page.unreadable);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(Listed { rows, unreadable }),
            }
        }
    }
}

/// A credential in the output.
#[derive(Serialize)]
struct CredentialView {
    credential_id: CredentialId,
    name: String,
    credential_type: CredentialType,
    state: State,
    last_error_message: Option<String>,
    restorable_until: Option<Timestamp>,
}

impl From<StoredCredential> for CredentialView {
    fn from(stored: StoredCredential) -> Self {
        Self {
            credential_id: stored.credential.credential_id,
            name: stored.credential.name.into(),
            credential_type: stored.credential.credential_type,
            state: stored.credential.state,
            last_error_message: stored.credential.last_error_message,
            restorable_until: stored.purge_at,
        }
    }
}

pub(crate) async fn run(
    command: Command,
    client: &Client,
    tables: Tables,
    trail: Trail,
    output: Output,
) -> Result<(), Error> {
    let stores = Stores::new(client, tables, trail);
    match command {
        Command::List { team, deleted } => list(&team, deleted, &stores, output).await,
        Command::Restore { team, credential } => restore(&team, credential, &stores, output).await,
        Command::Purge {
            team,
            credential,
            now: _,
            yes,
        } => purge::run(&team, credential, yes, &stores, output).await,
        Command::Sweep {
            repair,
            destroy,
            yes,
        } => {
            let mode = match (repair, destroy) {
                (_, true) => sweep::Mode::Destroy,
                (true, false) => sweep::Mode::Repair,
                (false, false) => sweep::Mode::Report,
            };
            sweep::run(mode, yes, &stores, output).await
        }
    }
}

async fn list(team: &TeamId, deleted: bool, stores: &Stores, output: Output) -> Result<(), Error> {
    let found = stores.all(team, deleted).await?;
    let views: Vec<CredentialView> = found.rows.into_iter().map(CredentialView::from).collect();

    output.print(&views, &rows(&views))?;
    if views.is_empty() && found.unreadable.is_empty() {
        output.note("no credentials");
    }
    Error::fail_if_unreadable(found.unreadable)
}

async fn restore(
    team: &TeamId,
    id: CredentialId,
    stores: &Stores,
    output: Output,
) -> Result<(), Error> {
    let Stores {
        credentials,
        pairs,
        secrets,
        events,
        trail,
        ..
    } = stores;
    let run = Invocation::new(trail.request_id.clone(), Timestamp::now());
    run.act_as(trail.actor.clone());
    let restored = restore::restore(
        credentials,
        pairs,
        secrets,
        events,
        &run,
        team,
        id,
        &ExtraFilter::default(),
    )
    .await;
    let restored = restored?.ok_or_else(|| not_deleted(team, id))?;
    let restored = CredentialView::from(restored);

    output.print(&restored, &rows([&restored]))?;
    if let (State::Invalid, Some(reason)) = (restored.state, &restored.last_error_message) {
        output.note(&printable(reason));
    }
    Ok(())
}

pub(crate) fn not_deleted(team: &TeamId, id: CredentialId) -> Error {
    Error::NotDeleted {
        team: team.clone(),
        id,
    }
}

/// Asks a person to type `word`, unless `--yes` was given.
pub(crate) fn confirm(yes: bool, word: &str, question: &str) -> Result<(), Error> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Error::NoTerminal);
    }
    write!(io::stderr(), "{question}")?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() == word {
        Ok(())
    } else {
        Err(Error::NotConfirmed)
    }
}

fn rows<'a>(credentials: impl IntoIterator<Item = &'a CredentialView>) -> String {
    let rows = credentials.into_iter().map(|credential| {
        [
            credential.credential_id.to_string(),
            api_name(credential.credential_type),
            api_name(credential.state),
            credential
                .restorable_until
                .map_or_else(|| "-".to_owned(), |at| at.to_string()),
            printable(&credential.name),
        ]
    });
    output::table(
        ["CREDENTIAL", "TYPE", "STATE", "RESTORABLE UNTIL", "NAME"],
        rows.collect(),
    )
}

/// The name of a value in the API.
fn api_name(value: impl Serialize) -> String {
    let json = serde_json::to_value(value).ok();
    let name = json.as_ref().and_then(serde_json::Value::as_str);
    name.unwrap_or_default().to_owned()
}
