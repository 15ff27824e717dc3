//! The operator's command-line program. It manages teams and API keys, and it checks and repairs the vault's tables.
//! It works on a stack in AWS and on the local stack.
//!
//! stdout carries the answer and nothing else, so that scripts can read it. Notes and errors go to stderr. The exit
//! code is 0 for success, 1 for a failure, and 2 for a wrong command line.

mod aws;
mod capsule;
mod connect_sessions;
mod credentials;
mod doctor;
mod error;
mod events;
mod import;
mod keys;
mod named;
mod notifications;
mod output;
mod purge;
mod recount;
mod resources;
mod revocation;
mod rewrap;
mod stack;
mod sweep;
mod teams;
mod token_urls;
mod trail;
mod watch;

use std::process::ExitCode;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use shared::envelope::Envelope;
use shared::queue::LostNotifications;
use shared::stores::{
    Events, Pairs, RETENTION, Requests, Secrets, TableInspector, TeamAdmin, TokenUrls,
    WrappedDataKeys,
};

use error::Error;
use named::Named;
use output::Output;
use resources::{Resource, ResourceOptions, Resources};

/// The name of this program, for usage lines and hints that the operator can copy.
const PROGRAM: &str = "zoom-vault";

const AFTER_HELP: &str = "\
AWS: the program finds credentials and region as the AWS CLI does (AWS_PROFILE, SSO, AWS_REGION, ...).
Local stack: start it with `cargo run`. Then `set -a; . .local/env` sets every variable that this program needs.
From source, `cargo run -p cli --` stands for `zoom-vault`.

Examples:
  zoom-vault --stack zoom-credentials teams create acme
  KEY=$(zoom-vault --stack zoom-credentials keys create --team acme --permission full)
  zoom-vault credentials list --all-teams --needs-attention     # with STACK set, or the tables";

/// Manage the vault: its teams and API keys, its deleted credentials, its encryption keys and its tables
#[derive(Debug, Parser)]
#[command(name = PROGRAM, bin_name = PROGRAM, version, propagate_version = true, after_help = AFTER_HELP)]
struct Cli {
    /// Print one JSON document, for scripts. An error is printed to stderr as {"error": ...}
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    resources: ResourceOptions,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create, list and suspend teams, and change their settings
    #[command(subcommand)]
    Teams(teams::Command),
    /// Create, list, rotate and revoke a team's API keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// List, show, check, restore and purge credentials, and find rows that belong to no credential and wrong counts
    #[command(subcommand)]
    Credentials(credentials::Command),
    /// List, find and revoke the token URLs of a team
    #[command(subcommand)]
    TokenUrls(token_urls::Command),
    /// List and end the connect sessions of a team
    #[command(subcommand, visible_alias = "sessions")]
    ConnectSessions(connect_sessions::Command),
    /// Send lost notifications again
    #[command(subcommand)]
    Notifications(notifications::Command),
    /// Store tokens that a function could not store
    #[command(subcommand)]
    Capsule(capsule::Command),
    // The help of these commands is the documentation of their types.
    Events(events::ListEvents),
    Import(Box<import::Import>),
    Rewrap(rewrap::Rewrap),
    Doctor(doctor::Doctor),
    /// Print a script that completes the commands of this program in a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// A shell with completions.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    /// `source <(zoom-vault completions bash)`
    Bash,
    /// `source <(zoom-vault completions zsh)`, after `compinit`
    Zsh,
    /// `zoom-vault completions fish | source`
    Fish,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return print_usage_error(&error),
    };
    let output = Output::new(cli.json);
    if let Command::Completions { shell } = cli.command {
        return match Output::new(false).print(&(), &completions(shell)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    match run(cli.command, cli.resources, output).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn completions(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut script);
    String::from_utf8_lossy(&script).trim_end().to_owned()
}

async fn run(command: Command, options: ResourceOptions, output: Output) -> Result<(), Error> {
    let (config, region) = aws::config().await?;
    let resources = options.resolve(&config, &region).await?;
    // The doctor reports wrong tables as findings.
    if !matches!(command, Command::Doctor(_)) {
        let inspector = TableInspector::new(Client::new(&config));
        let used = command.resources();
        resources.expect_tables(&inspector, used, &region).await?;
    }
    execute(command, &config, &resources, output).await
}

async fn execute(
    command: Command,
    config: &SdkConfig,
    resources: &Resources,
    output: Output,
) -> Result<(), Error> {
    let client = Client::new(config);
    if let Some(named) = command.named() {
        let operator = TeamAdmin::new(client.clone(), resources.name(Resource::Keys)?);
        named.expect_existing(&operator).await?;
    }
    match command {
        Command::Teams(teams::Command::List) => {
            let operator = TeamAdmin::new(client, resources.name(Resource::Keys)?);
            teams::list(&operator, output).await
        }
        Command::Teams(command) => {
            let trail = trail::open(config, &client, resources).await?;
            let operator = TeamAdmin::new(client.clone(), resources.name(Resource::Keys)?);
            let operator = operator.recording(trail.clone());
            let table = resources.name(Resource::Requests);
            let requests = table.map(|table| Requests::new(client, table));
            teams::run(command, &operator, requests, &trail, output).await
        }
        Command::Keys(command) => {
            let operator = TeamAdmin::new(client.clone(), resources.name(Resource::Keys)?);
            let operator = match command {
                keys::Command::List { .. } => operator,
                keys::Command::Create(_)
                | keys::Command::Rotate { .. }
                | keys::Command::Revoke { .. } => {
                    operator.recording(trail::open(config, &client, resources).await?)
                }
            };
            let table = resources.name(Resource::Requests);
            let requests = table.map(|table| Requests::new(client, table));
            keys::run(command, &operator, requests, output).await
        }
        Command::Capsule(command) => {
            let stores = capsule::Stores::open(config, &client, resources, output).await?;
            capsule::run(command, &stores, output).await
        }
        Command::Credentials(command) => {
            credentials::run(command, config, &client, resources, output).await
        }
        Command::TokenUrls(command) => {
            let urls = TokenUrls::new(client.clone(), resources.name(Resource::TokenUrls)?);
            match command {
                token_urls::Command::List(which) => token_urls::list(&which, &urls, output).await,
                token_urls::Command::Find => token_urls::find(&urls, output).await,
                token_urls::Command::Revoke { which, yes } => {
                    let trail = trail::open(config, &client, resources).await?;
                    token_urls::revoke(&which, yes, &urls, &trail, output).await
                }
            }
        }
        Command::ConnectSessions(command) => {
            let requests = Requests::new(client.clone(), resources.name(Resource::Requests)?);
            match command {
                connect_sessions::Command::List(which) => {
                    connect_sessions::list(&which, &requests, output).await
                }
                connect_sessions::Command::Revoke { which, yes } => {
                    let trail = trail::open(config, &client, resources).await?;
                    connect_sessions::revoke(&which, yes, &requests, &trail, output).await
                }
            }
        }
        Command::Notifications(notifications::Command::Redrive) => {
            let queue = resources.name(Resource::LostNotifications)?;
            let lost = LostNotifications::new(aws_sdk_sqs::Client::new(config), queue);
            notifications::redrive(&lost, output).await
        }
        Command::Events(options) => {
            let events = Events::new(client, resources.name(Resource::Events)?, RETENTION);
            events::run(options, &events, output).await
        }
        Command::Import(command) => {
            let envelope = envelope(config, resources)?;
            import::run(*command, config, &client, resources, envelope, output).await
        }
        Command::Rewrap(command) => {
            let keys = WrappedDataKeys::new(client, resources.name(Resource::Secrets)?);
            let envelope = envelope(config, resources)?;
            rewrap::run(command, &keys, &envelope, output).await
        }
        Command::Doctor(doctor::Doctor {}) => {
            let vault = doctor::Vault {
                tables: resources.tables()?,
                api_url: resources.name(Resource::Api)?,
                is_deployed: resources.is_deployed(),
                inspection: TableInspector::new(client.clone()),
                pairs: Pairs::new(client.clone(), resources.name(Resource::Pairs)?),
                secrets: Secrets::new(client, resources.name(Resource::Secrets)?),
                envelope: envelope(config, resources)?,
            };
            doctor::run(&vault, output).await
        }
        Command::Completions { .. } => Ok(()),
    }
}

fn envelope(config: &SdkConfig, resources: &Resources) -> Result<Envelope, Error> {
    let kms = aws_sdk_kms::Client::new(config);
    let key = resources.name(Resource::EnvelopeKey)?;
    Ok(Envelope::new(kms, key, Secrets::NAME))
}

impl Command {
    /// The team and the key that must exist before this command reads what they have. Commands that read the team or
    /// the key themselves are not here.
    fn named(&self) -> Option<Named<'_>> {
        let of_team = |team| Named { team, key_id: None };
        match self {
            Self::TokenUrls(command) => command.which().map(token_urls::Which::named),
            Self::ConnectSessions(command) => Some(command.which().named()),
            Self::Events(options) => Some(options.named()),
            Self::Import(command) => Some(of_team(command.team())),
            Self::Credentials(command) => command.team().map(of_team),
            Self::Keys(keys::Command::Revoke { team, .. }) => Some(of_team(team)),
            Self::Teams(_)
            | Self::Keys(_)
            | Self::Completions { .. }
            | Self::Notifications(_)
            | Self::Capsule(_)
            | Self::Rewrap(_)
            | Self::Doctor(_) => None,
        }
    }

    /// The resources that this command uses.
    fn resources(&self) -> &'static [Resource] {
        match self {
            Self::Teams(command) => command.resources(),
            Self::TokenUrls(command) => command.resources(),
            Self::ConnectSessions(command) => command.resources(),
            Self::Events(_) => &[Resource::Keys, Resource::Events],
            Self::Import(_) => import::Import::RESOURCES,
            Self::Keys(command) => command.resources(),
            Self::Capsule(_) => &[
                Resource::Credentials,
                Resource::Pairs,
                Resource::Secrets,
                Resource::Events,
            ],
            Self::Credentials(command) => command.resources(),
            Self::Rewrap(_) => &[Resource::Secrets, Resource::EnvelopeKey],
            Self::Doctor(_) => &Resource::ALL,
            Self::Notifications(_) => &[Resource::LostNotifications],
            Self::Completions { .. } => &[],
        }
    }
}

fn parse() -> Result<Cli, clap::Error> {
    let cli = Cli::try_parse()?;
    let checked = cli.resources.check(cli.command.resources());
    checked.map_err(|(kind, message)| Cli::command().error(kind, message))?;
    if let Command::Import(import) = &cli.command {
        let checked = import.check();
        let kind = ErrorKind::ArgumentConflict;
        checked.map_err(|message| Cli::command().error(kind, message))?;
    }
    Ok(cli)
}

/// Prints an error in the command line. clap reports the text of `--help` as an error too.
fn print_usage_error(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        error.print().ok();
        return ExitCode::SUCCESS;
    }
    // The command line could not be parsed, so look for the flag in the raw arguments.
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let text = text.trim();
        Output::new(true).error(text.strip_prefix("error: ").unwrap_or(text));
    } else {
        error.print().ok();
    }
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(subcommand: &[&str]) -> String {
        let line = ["cli"].iter().chain(subcommand).chain(&["--help"]);
        Cli::try_parse_from(line).unwrap_err().to_string()
    }

    fn usage_error(line: &[&str]) -> String {
        let error = Cli::try_parse_from(["cli"].iter().chain(line)).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn clap_accepts_the_definition_of_all_commands() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_of_every_command_names_the_environment_variables() {
        for subcommand in [&[][..], &["teams", "set"], &["keys", "create"]] {
            let help = help(subcommand);
            assert!(help.contains("KEYS_TABLE"), "{subcommand:?}");
            assert!(help.contains("[env: STACK="), "{subcommand:?}");
        }
        assert!(help(&[]).contains("AWS_PROFILE"));
        assert!(help(&[]).contains("set -a; . .local/env"));
    }

    #[test]
    fn help_explains_each_permission() {
        let help = help(&["keys", "create"]);
        for permission in ["full", "read", "mint"] {
            assert!(help.contains(&format!("- {permission}:")), "{help}");
        }
    }

    #[test]
    fn usage_line_can_be_copied_into_a_shell() {
        let error = usage_error(&["keys", "list"]);
        assert!(error.contains("Usage: zoom-vault keys list --team"));
    }

    #[test]
    fn rates_out_of_range_are_refused() {
        for rate in ["0", "100001", "-1", "1.5", "many"] {
            let line = ["teams", "set", "acme", &format!("--rate={rate}")];
            assert!(usage_error(&line).contains("--rate"), "{rate}");
        }
        for rate in ["1", "100000"] {
            assert!(Cli::try_parse_from(["cli", "teams", "set", "acme", "--rate", rate]).is_ok());
        }
    }

    #[test]
    fn malformed_team_name_is_refused_while_parsing() {
        assert!(usage_error(&["teams", "create", "Acme"]).contains("1 to 32 of a-z, 0-9 and -"));
    }
}
