//! The commands about credentials. For two of them see [`crate::purge`] and [`crate::sweep`].

mod check;
mod list;
mod show;

use std::io::{self, BufRead, IsTerminal, Write};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use clap::Subcommand;
use shared::credential::{CredentialId, State, TeamId};
use shared::extra::ExtraFilter;
use shared::invocation::Invocation;
use shared::restore;
use shared::stores::{
    Credentials, Events, ManualPurge, Pairs, RETENTION, Secrets, TableInspector, TeamAdmin,
    TokenUrls, Trail,
};
use shared::timestamp::Timestamp;

use crate::error::Error;
use crate::output::{Output, printable};
use crate::resources::{Resource, Resources};
use crate::{purge, sweep, trail};
use list::{CredentialView, ListCredentials, rows};

pub(crate) use check::KEY_VARIABLE;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the credentials of a team or of all teams, newest first
    List(ListCredentials),
    /// Show a credential: profile, state, grant, last events and token URLs
    Show {
        /// The team's name. Without the option, the program looks into every team
        #[arg(long)]
        team: Option<TeamId>,
        /// The credential's id
        credential: CredentialId,
    },
    /// Ask Zoom whether a credential works
    ///
    /// Calls the API (`POST /v2/zoom-credentials/{id}/check`), because no operator may decrypt a grant. Put an API key
    /// of the team with the permission `full` into the environment variable `ZOOM_VAULT_API_KEY`. The check also
    /// repairs: an invalid credential whose grant works becomes active. Ends with exit code 1 if a use fails.
    Check {
        /// The credential's id
        credential: CredentialId,
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
    /// grant either. A second purge does no harm: it says that the credential was purged before.
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
        const DATA_OF_TEAM: [Resource; 6] = {
            let [a, b, c, d, e] = DATA;
            [a, b, c, d, e, Resource::Keys]
        };
        match self {
            Self::List(_) => &[Resource::Credentials, Resource::Keys],
            Self::Show { .. } => &[
                Resource::Credentials,
                Resource::Secrets,
                Resource::Events,
                Resource::TokenUrls,
                Resource::Keys,
            ],
            Self::Check { .. } => &[Resource::Api],
            Self::Restore { .. } | Self::Purge { .. } => &DATA_OF_TEAM,
            Self::Sweep { .. } => &DATA,
        }
    }

    /// The team that must exist, if the command names one.
    pub(crate) fn team(&self) -> Option<&TeamId> {
        match self {
            Self::List(options) => options.team.as_ref(),
            Self::Show { team, .. } => team.as_ref(),
            Self::Restore { team, .. } | Self::Purge { team, .. } => Some(team),
            Self::Check { .. } | Self::Sweep { .. } => None,
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

impl Tables {
    fn of(resources: &Resources) -> Result<Self, Error> {
        Ok(Self {
            credentials: resources.name(Resource::Credentials)?,
            secrets: resources.name(Resource::Secrets)?,
            pairs: resources.name(Resource::Pairs)?,
            token_urls: resources.name(Resource::TokenUrls)?,
        })
    }
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
}

pub(crate) async fn run(
    command: Command,
    config: &SdkConfig,
    client: &Client,
    resources: &Resources,
    output: Output,
) -> Result<(), Error> {
    let table = |resource| resources.name(resource);
    let of_credentials = || {
        Ok::<_, Error>(Credentials::new(
            client.clone(),
            table(Resource::Credentials)?,
        ))
    };
    let operator = || Ok::<_, Error>(TeamAdmin::new(client.clone(), table(Resource::Keys)?));
    let stores = async || {
        let trail = trail::open(config, client, resources).await?;
        Ok::<_, Error>(Stores::new(client, Tables::of(resources)?, trail))
    };
    match command {
        Command::List(options) => {
            list::run(&options, &of_credentials()?, &operator()?, output).await
        }
        Command::Show { team, credential } => {
            let sources = show::Sources {
                operator: operator()?,
                credentials: of_credentials()?,
                secrets: Secrets::new(client.clone(), table(Resource::Secrets)?),
                events: Events::new(client.clone(), table(Resource::Events)?, RETENTION),
                token_urls: TokenUrls::new(client.clone(), table(Resource::TokenUrls)?),
            };
            show::run(team.as_ref(), credential, &sources, output).await
        }
        Command::Check { credential } => {
            check::run(&table(Resource::Api)?, credential, output).await
        }
        Command::Restore { team, credential } => {
            restore(&team, credential, &stores().await?, output).await
        }
        Command::Purge {
            team,
            credential,
            now: _,
            yes,
        } => purge::run(&team, credential, yes, &stores().await?, output).await,
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
            sweep::run(mode, yes, &stores().await?, output).await
        }
    }
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
    let restored = CredentialView::new(team, restored);

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
