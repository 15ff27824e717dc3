//! The operator's program: teams and API keys, in one's own AWS account or on the local stack.
//!
//! stdout carries what was asked for and nothing else; notes and errors go to stderr. It ends with 0,
//! with 1 where something failed, or with 2 where the command line was wrong.

mod aws;
mod capsule;
mod credentials;
mod error;
mod keys;
mod output;
mod stack;
mod teams;

use std::collections::HashMap;
use std::process::ExitCode;

use aws_sdk_dynamodb::Client;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use shared::stores::{Operator, Secrets};

use error::Error;
use output::Output;

/// What one types to get here, for usage lines and hints that can be copied.
const PROGRAM: &str = "cargo run -p cli --";

const NO_PLACE: &str = "neither a stack nor a table is named: pass --stack NAME (or set STACK) for a stack in AWS, or
--keys-table NAME (or KEYS_TABLE), for capsules --secrets-table NAME (or SECRETS_TABLE), for credentials
--credentials-table, --secrets-table, --token-urls-table and --events-table. For the local stack,
`set -a; . .local/env` sets them.";

const TWO_PLACES: &str = "a stack and a table are named, and only one can be meant: of --stack (or STACK) and --keys-table
(or KEYS_TABLE), --secrets-table (or SECRETS_TABLE) or --credentials-table (or CREDENTIALS_TABLE), which .local/env
sets, leave one out.";

const AFTER_HELP: &str = "\
AWS: credentials and region are found as the AWS CLI finds them (AWS_PROFILE, SSO, AWS_REGION, ...).
Local stack: start it with `cargo run`, then `set -a; . .local/env` sets all that is needed here.

Examples:
  cargo run -p cli -- --stack zoom-credentials teams create acme
  KEY=$(cargo run -q -p cli -- --stack zoom-credentials keys create --team acme --permission full)
  cargo run -q -p cli -- keys list --team acme --json     # with STACK or KEYS_TABLE set";

/// Manages the vault's teams and their API keys
#[derive(Debug, Parser)]
#[command(bin_name = PROGRAM, after_help = AFTER_HELP)]
struct Cli {
    /// Print one JSON document, for scripts; an error is {"error": ...} on stderr
    #[arg(long, global = true)]
    json: bool,

    /// The CloudFormation stack of the vault; its outputs name its tables
    #[arg(long, global = true, env = "STACK", value_name = "NAME")]
    stack: Option<String>,

    /// Instead of a stack: the DynamoDB table of teams and API keys
    #[arg(long, global = true, env = "KEYS_TABLE", value_name = "NAME")]
    keys_table: Option<String>,

    /// Instead of a stack, for capsules and credentials: the DynamoDB table of sealed secrets
    #[arg(long, global = true, env = "SECRETS_TABLE", value_name = "NAME")]
    secrets_table: Option<String>,

    /// Instead of a stack, for credentials: the DynamoDB table of credentials
    #[arg(long, global = true, env = "CREDENTIALS_TABLE", value_name = "NAME")]
    credentials_table: Option<String>,

    /// Instead of a stack, for credentials: the DynamoDB table of token URLs
    #[arg(long, global = true, env = "TOKEN_URLS_TABLE", value_name = "NAME")]
    token_urls_table: Option<String>,

    /// Instead of a stack, for credentials: the DynamoDB table of events
    #[arg(long, global = true, env = "EVENTS_TABLE", value_name = "NAME")]
    events_table: Option<String>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create, list and set teams
    #[command(subcommand)]
    Teams(teams::Command),
    /// Create, list and revoke a team's API keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// List, restore and purge credentials, and look for what was left behind
    #[command(subcommand)]
    Credentials(credentials::Command),
    /// Store tokens that a function refreshed and could not store
    #[command(subcommand)]
    Capsule(capsule::Command),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (cli, place) = match parse() {
        Ok(parsed) => parsed,
        Err(error) => return refuse(&error),
    };
    let output = Output::new(cli.json);
    match run(cli.command, place, output).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, place: Place, output: Output) -> Result<(), Error> {
    let (config, region) = aws::config().await?;
    let client = Client::new(&config);
    let tables = match place {
        Place::Tables(tables) => tables,
        Place::Stack(name) => stack::tables(&config, &name, command.tables(), &region).await?,
    };
    let named = |output| tables.get(output).cloned().unwrap_or_default();
    match command {
        Command::Teams(command) => {
            teams::run(command, &Operator::new(client, named(KEYS)), output).await
        }
        Command::Keys(command) => {
            keys::run(command, &Operator::new(client, named(KEYS)), output).await
        }
        Command::Capsule(command) => {
            capsule::run(command, &Secrets::new(client, named(SECRETS)), output).await
        }
        Command::Credentials(command) => {
            let tables = credentials::Tables {
                credentials: named(CREDENTIALS),
                secrets: named(SECRETS),
                token_urls: named(TOKEN_URLS),
                events: named(EVENTS),
            };
            credentials::run(command, &client, tables, output).await
        }
    }
    .map_err(|error| error.locate(&tables, region))
}

/// The outputs of a stack that name its tables.
const KEYS: &str = "KeysTable";
const SECRETS: &str = "SecretsTable";
const CREDENTIALS: &str = "CredentialsTable";
const TOKEN_URLS: &str = "TokenUrlsTable";
const EVENTS: &str = "EventsTable";

impl Command {
    /// The tables that this is about, by the outputs of a stack that name them.
    fn tables(&self) -> &'static [&'static str] {
        match self {
            Self::Teams(_) | Self::Keys(_) => &[KEYS],
            Self::Capsule(_) => &[SECRETS],
            Self::Credentials(_) => &[CREDENTIALS, SECRETS, TOKEN_URLS, EVENTS],
        }
    }
}

/// Tables' names, by the outputs of a stack that name them.
type Tables = HashMap<&'static str, String>;

/// Where the rows are.
#[derive(Debug)]
enum Place {
    /// In the tables that this stack made for them.
    Stack(String),
    /// In these tables.
    Tables(Tables),
}

/// The command line, and the place out of it. Of global arguments clap cannot require one, nor see that they exclude
/// each other where they stand on either side of a subcommand.
fn parse() -> Result<(Cli, Place), clap::Error> {
    let mut cli = Cli::try_parse()?;
    let is_named = |name: &String| !name.is_empty();
    let stack = cli.stack.take().filter(is_named);
    let given = [
        (KEYS, cli.keys_table.take()),
        (SECRETS, cli.secrets_table.take()),
        (CREDENTIALS, cli.credentials_table.take()),
        (TOKEN_URLS, cli.token_urls_table.take()),
        (EVENTS, cli.events_table.take()),
    ];
    let wanted = cli.command.tables();
    let given = given
        .into_iter()
        .filter(|(output, _)| wanted.contains(output))
        .filter_map(|(output, name)| Some((output, name.filter(is_named)?)));
    let tables: Tables = given.collect();
    let wrong = |kind, why| Err(Cli::command().error(kind, why));
    match stack {
        Some(_) if !tables.is_empty() => wrong(ErrorKind::ArgumentConflict, TWO_PLACES),
        Some(stack) => Ok((cli, Place::Stack(stack))),
        None if tables.len() == wanted.len() => Ok((cli, Place::Tables(tables))),
        None => wrong(ErrorKind::MissingRequiredArgument, NO_PLACE),
    }
}

/// Says what is wrong with the command line, or what `--help` asked for.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        error.print().ok();
        return ExitCode::SUCCESS;
    }
    // There is no parsed command line to ask.
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

    fn help(of: &[&str]) -> String {
        let line = ["cli"].iter().chain(of).chain(&["--help"]);
        Cli::try_parse_from(line).unwrap_err().to_string()
    }

    fn refusal(line: &[&str]) -> String {
        let error = Cli::try_parse_from(["cli"].iter().chain(line)).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_names_the_environment_at_every_level() {
        for of in [&[][..], &["teams", "set"], &["keys", "create"]] {
            assert!(help(of).contains("KEYS_TABLE"), "{of:?}");
            assert!(help(of).contains("[env: STACK="), "{of:?}");
        }
        assert!(help(&[]).contains("AWS_PROFILE"));
        assert!(help(&[]).contains("set -a; . .local/env"));
    }

    #[test]
    fn help_says_what_a_permission_permits() {
        let help = help(&["keys", "create"]);
        for permission in ["full", "read", "mint"] {
            assert!(help.contains(&format!("- {permission}:")), "{help}");
        }
    }

    #[test]
    fn usage_can_be_copied() {
        assert!(refusal(&["keys", "list"]).contains("Usage: cargo run -p cli -- keys list --team"));
    }

    #[test]
    fn rates_out_of_range_are_refused() {
        for rate in ["0", "100001", "-1", "1.5", "many"] {
            let line = ["teams", "set", "acme", &format!("--rate={rate}")];
            assert!(refusal(&line).contains("--rate"), "{rate}");
        }
        for rate in ["1", "100000"] {
            assert!(Cli::try_parse_from(["cli", "teams", "set", "acme", "--rate", rate]).is_ok());
        }
    }

    #[test]
    fn a_team_name_is_checked_before_anything_is_called() {
        assert!(refusal(&["teams", "create", "Acme"]).contains("1 to 32 of a-z, 0-9 and -"));
    }
}
