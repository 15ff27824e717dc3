//! `credentials list`, `credentials restore`, `credentials purge`, `credentials sweep`.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, IsTerminal, Write};

use aws_sdk_dynamodb::Client;
use clap::Subcommand;
use serde::Serialize;
use shared::credential::{CredentialId, CredentialType, GrantId, State, TeamId};
use shared::envelope::SecretId;
use shared::stores::{
    self, Belonging, Credentials, Events, RETENTION, Removal, Secrets, Stored, TokenUrls, What,
};
use shared::timestamp::Timestamp;
use shared::{purge, restore};

use crate::error::Error;
use crate::output::{self, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List a team's credentials, newest first
    List {
        /// The team's name
        #[arg(long)]
        team: TeamId,
        /// Those that were deleted, and until when they can be restored
        #[arg(long)]
        deleted: bool,
    },
    /// Restore a deleted credential
    ///
    /// It mints at once. Where its grant was revoked or lost meanwhile it comes back invalid, and its user has to
    /// authorize again.
    Restore {
        /// The team's name
        #[arg(long)]
        team: TeamId,
        /// The credential's id
        credential: CredentialId,
    },
    /// Destroy what a deleted credential left, before its time
    ///
    /// Its client secret, its token URLs, and its grant, where no other credential has it: nothing brings them back.
    /// Nothing is revoked at Zoom: where the team wants that, the schedule does it within an hour of the deletion, and
    /// cannot after this. Doing it twice does no harm.
    Purge {
        /// The team's name
        #[arg(long)]
        team: TeamId,
        /// The credential's id
        credential: CredentialId,
        /// And not when its time to be restored is over
        #[arg(long, required = true)]
        now: bool,
        /// Ask nothing
        #[arg(long)]
        yes: bool,
    },
    /// Look for secrets, grants and token URLs that belong to no credential, deleted or not
    ///
    /// Reads both tables to their ends. It fails where it finds any.
    Sweep {
        /// Destroy what is found
        #[arg(long)]
        destroy: bool,
        /// Ask nothing
        #[arg(long, requires = "destroy")]
        yes: bool,
    },
}

/// The tables' names.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) credentials: String,
    pub(crate) secrets: String,
    pub(crate) token_urls: String,
    pub(crate) events: String,
}

/// What the commands work on.
struct Stores {
    credentials: Credentials,
    secrets: Secrets,
    token_urls: TokenUrls,
    events: Events,
    removal: Removal,
}

impl Stores {
    fn new(client: &Client, tables: Tables) -> Self {
        let removal = Removal::new(
            client.clone(),
            tables.credentials.clone(),
            tables.secrets.clone(),
            tables.token_urls.clone(),
        );
        Self {
            credentials: Credentials::new(client.clone(), tables.credentials),
            secrets: Secrets::new(client.clone(), tables.secrets),
            token_urls: TokenUrls::new(client.clone(), tables.token_urls),
            events: Events::new(client.clone(), tables.events, RETENTION),
            removal,
        }
    }

    /// Whom rows of a team can belong to: in one pass, so that a credential that is deleted or restored meanwhile is in
    /// it either way.
    async fn owners(&self, team: &TeamId) -> Result<Owners, stores::Error> {
        let mut owners = Owners::default();
        for owner in self.credentials.owners(team).await? {
            owners.credentials.insert(owner.credential);
            owners.grants.extend(owner.grant);
        }
        Ok(owners)
    }

    /// All of a team's credentials, newest first; or all that are deleted.
    async fn all(&self, team: &TeamId, deleted: bool) -> Result<Vec<Stored>, stores::Error> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.credentials.page(team, after, None, deleted).await?;
            all.extend(page.stored);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }
}

/// A credential as it is shown.
#[derive(Serialize)]
struct Shown {
    credential_id: CredentialId,
    name: String,
    credential_type: CredentialType,
    state: State,
    last_error_message: Option<String>,
    restorable_until: Option<Timestamp>,
}

impl From<Stored> for Shown {
    fn from(stored: Stored) -> Self {
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
    output: Output,
) -> Result<(), Error> {
    let stores = Stores::new(client, tables);
    match command {
        Command::List { team, deleted } => list(&team, deleted, &stores, output).await,
        Command::Restore { team, credential } => restore(&team, credential, &stores, output).await,
        Command::Purge {
            team,
            credential,
            now: _,
            yes,
        } => purge(&team, credential, yes, &stores, output).await,
        Command::Sweep { destroy, yes } => sweep(destroy, yes, &stores, output).await,
    }
}

async fn list(team: &TeamId, deleted: bool, stores: &Stores, output: Output) -> Result<(), Error> {
    let found = stores.all(team, deleted).await?;
    let shown: Vec<Shown> = found.into_iter().map(Shown::from).collect();

    output.print(&shown, &rows(&shown))?;
    if shown.is_empty() {
        output.note("none");
    }
    Ok(())
}

async fn restore(
    team: &TeamId,
    id: CredentialId,
    stores: &Stores,
    output: Output,
) -> Result<(), Error> {
    let Stores {
        credentials,
        secrets,
        events,
        ..
    } = stores;
    let restored = restore::restore(credentials, secrets, events, team, id).await;
    let restored = restored?.ok_or_else(|| absent(team, id))?;
    let restored = Shown::from(restored);

    output.print(&restored, &rows([&restored]))?;
    if let (State::Invalid, Some(why)) = (restored.state, &restored.last_error_message) {
        output.note(&printable(why));
    }
    Ok(())
}

async fn purge(
    team: &TeamId,
    id: CredentialId,
    yes: bool,
    stores: &Stores,
    output: Output,
) -> Result<(), Error> {
    confirm(
        yes,
        &id.to_string(),
        "Nothing brings it back. Type its id to destroy what it left: ",
    )?;
    let Stores {
        credentials,
        secrets,
        token_urls,
        removal,
        ..
    } = stores;
    let expired = removal.expire(team, id).await;
    let remains = expired.map_err(|error| Error::absent(error, absent(team, id)))?;
    // The row last: until it is gone, whoever begins again finds what is left.
    purge::destroy(credentials, secrets, token_urls, &remains).await?;
    removal.forget(&remains).await?;

    output.print(&remains, "")?;
    output.note("purged");
    Ok(())
}

fn absent(team: &TeamId, id: CredentialId) -> Error {
    Error::NotDeleted {
        team: team.clone(),
        id,
    }
}

/// Something that belongs to nobody, as it is shown.
#[derive(Serialize)]
struct Orphan {
    team: TeamId,
    what: String,
}

async fn sweep(destroy: bool, yes: bool, stores: &Stores, output: Output) -> Result<(), Error> {
    // First what belongs, then what it could belong to: a credential that is new since has nothing in the list.
    let all = stores.removal.belongings().await?;
    let mut owners: HashMap<&TeamId, Owners> = HashMap::new();
    for belonging in &all {
        if !owners.contains_key(&belonging.team) {
            owners.insert(&belonging.team, stores.owners(&belonging.team).await?);
        }
    }
    let is_orphan = |it: &&Belonging| {
        owners
            .get(&it.team)
            .is_none_or(|known| !known.own(&it.what))
    };
    let orphans: Vec<&Belonging> = all.iter().filter(is_orphan).collect();

    let shown: Vec<Orphan> = orphans.iter().map(|orphan| shown(orphan)).collect();
    let lines = shown
        .iter()
        .map(|orphan| [orphan.team.to_string(), orphan.what.clone()]);
    output.print(
        &shown,
        &output::table(["TEAM", "BELONGS TO NOBODY"], lines.collect()),
    )?;
    output.note(&format!(
        "{} rows belong to credentials, {} to nobody",
        all.len() - orphans.len(),
        orphans.len()
    ));
    if orphans.is_empty() {
        return Ok(());
    }
    if !destroy {
        return Err(Error::Orphans(orphans.len()));
    }
    let question = "Nothing brings them back. Type `destroy` to destroy them: ";
    confirm(yes, "destroy", question)?;
    for (orphan, shown) in orphans.into_iter().zip(shown) {
        // A person has thought about it since it was found.
        if stores.owners(&orphan.team).await?.own(&orphan.what) {
            output.note(&format!("{} belongs to somebody now", shown.what));
            continue;
        }
        match orphan.what.clone() {
            What::Secret(id) => stores.secrets.purge(&orphan.team, id).await?,
            What::TokenUrls(credential) => stores.token_urls.purge(credential).await?,
        }
    }
    output.note("destroyed");
    Ok(())
}

/// Whom rows of a team can belong to.
#[derive(Default)]
struct Owners {
    credentials: HashSet<CredentialId>,
    grants: HashSet<GrantId>,
}

impl Owners {
    fn own(&self, what: &What) -> bool {
        match what {
            What::Secret(SecretId::App(id)) | What::TokenUrls(id) => self.credentials.contains(id),
            What::Secret(SecretId::Grant(id)) => self.grants.contains(id),
            // Of a team, and of no credential.
            What::Secret(SecretId::Webhook(..) | SecretId::Session(_)) => true,
        }
    }
}

fn shown(orphan: &Belonging) -> Orphan {
    let what = match &orphan.what {
        What::Secret(id) => id.to_string(),
        What::TokenUrls(id) => format!("token URLs of {id}"),
    };
    Orphan {
        team: orphan.team.clone(),
        what,
    }
}

/// Has a person type `word`, unless they have said `yes` before.
fn confirm(yes: bool, word: &str, question: &str) -> Result<(), Error> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Error::NobodyToAsk);
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

fn rows<'a>(credentials: impl IntoIterator<Item = &'a Shown>) -> String {
    let rows = credentials.into_iter().map(|shown| {
        [
            shown.credential_id.to_string(),
            word(shown.credential_type),
            word(shown.state),
            shown
                .restorable_until
                .map_or_else(|| "-".to_owned(), |at| at.to_string()),
            printable(&shown.name),
        ]
    });
    output::table(
        ["CREDENTIAL", "TYPE", "STATE", "RESTORABLE UNTIL", "NAME"],
        rows.collect(),
    )
}

/// As the API spells it.
fn word(value: impl Serialize) -> String {
    let spelled = serde_json::to_value(value).ok();
    let word = spelled.as_ref().and_then(serde_json::Value::as_str);
    word.unwrap_or_default().to_owned()
}

/// What others wrote, without what would tell the terminal to do something.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
