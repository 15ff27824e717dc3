//! The operator's program: teams, API keys and what keeps the vault well, in one's own AWS account or on the local
//! stack.
//!
//! stdout carries what was asked for and nothing else; notes and errors go to stderr. It ends with 0,
//! with 1 where something failed, or with 2 where the command line was wrong.

mod aws;
mod capsule;
mod credentials;
mod doctor;
mod error;
mod keys;
mod output;
mod place;
mod rewrap;
mod stack;
mod teams;

use std::process::ExitCode;

use aws_sdk_dynamodb::Client;
use clap::{CommandFactory, Parser, Subcommand};
use shared::envelope::Envelope;
use shared::stores::{Inspection, Operator, Secrets, WrappedKeys};

use error::Error;
use output::Output;
use place::{Named, Part};

/// What one types to get here, for usage lines and hints that can be copied.
const PROGRAM: &str = "cargo run -p cli --";

const AFTER_HELP: &str = "\
AWS: credentials and region are found as the AWS CLI finds them (AWS_PROFILE, SSO, AWS_REGION, ...).
Local stack: start it with `cargo run`, then `set -a; . .local/env` sets all that is needed here.

Examples:
  cargo run -p cli -- --stack zoom-credentials teams create acme
  KEY=$(cargo run -q -p cli -- --stack zoom-credentials keys create --team acme --permission full)
  cargo run -q -p cli -- keys list --team acme --json     # with STACK or KEYS_TABLE set";

/// Manages the vault: its teams, their API keys, its keys and rows
#[derive(Debug, Parser)]
#[command(bin_name = PROGRAM, after_help = AFTER_HELP)]
struct Cli {
    /// Print one JSON document, for scripts; an error is {"error": ...} on stderr
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    named: Named,

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
    /// Have the current KMS key wrap what another one wrapped, while traffic runs
    Rewrap(rewrap::Rewrap),
    /// Look for what is wrong, and say what to do about it
    Doctor(doctor::Doctor),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let output = Output::new(cli.json);
    match run(cli.command, cli.named, output).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, named: Named, output: Output) -> Result<(), Error> {
    let (config, region) = aws::config().await?;
    let place = named.find(&config, &region).await?;
    let name = |part| place.name(part);
    let tables: Vec<String> = command
        .parts()
        .iter()
        .filter(|part| !matches!(part, Part::EnvelopeKey | Part::Api))
        .map(|part| name(*part))
        .collect::<Result<_, Error>>()?;

    let client = Client::new(&config);
    match command {
        Command::Teams(command) => {
            let operator = Operator::new(client, name(Part::Keys)?);
            teams::run(command, &operator, output).await
        }
        Command::Keys(command) => {
            let operator = Operator::new(client, name(Part::Keys)?);
            keys::run(command, &operator, output).await
        }
        Command::Capsule(command) => {
            let secrets = Secrets::new(client, name(Part::Secrets)?);
            capsule::run(command, &secrets, output).await
        }
        Command::Credentials(command) => {
            let tables = credentials::Tables {
                credentials: name(Part::Credentials)?,
                secrets: name(Part::Secrets)?,
                token_urls: name(Part::TokenUrls)?,
                events: name(Part::Events)?,
            };
            credentials::run(command, &client, tables, output).await
        }
        Command::Rewrap(command) => {
            let keys = WrappedKeys::new(client, name(Part::Secrets)?);
            let kms = aws_sdk_kms::Client::new(&config);
            let envelope = Envelope::new(kms, name(Part::EnvelopeKey)?, Secrets::NAME);
            rewrap::run(command, &keys, &envelope, output).await
        }
        Command::Doctor(doctor::Doctor {}) => {
            let kms = aws_sdk_kms::Client::new(&config);
            let vault = doctor::Vault {
                tables: TABLES
                    .into_iter()
                    .map(|part| Ok((part, name(part)?)))
                    .collect::<Result<_, Error>>()?,
                api: name(Part::Api)?,
                is_deployed: place.is_deployed(),
                inspection: Inspection::new(client.clone()),
                secrets: Secrets::new(client, name(Part::Secrets)?),
                envelope: Envelope::new(kms, name(Part::EnvelopeKey)?, Secrets::NAME),
            };
            doctor::run(&vault, output).await
        }
    }
    .map_err(|error| error.locate(&tables, region))
}

/// Every table.
const TABLES: [Part; 6] = [
    Part::Credentials,
    Part::Secrets,
    Part::Keys,
    Part::Requests,
    Part::TokenUrls,
    Part::Events,
];
/// Every part there is.
const EVERYTHING: [Part; 8] = {
    let [a, b, c, d, e, f] = TABLES;
    [a, b, c, d, e, f, Part::EnvelopeKey, Part::Api]
};

impl Command {
    /// What this works on.
    fn parts(&self) -> &'static [Part] {
        match self {
            Self::Teams(_) | Self::Keys(_) => &[Part::Keys],
            Self::Capsule(_) => &[Part::Secrets],
            Self::Credentials(_) => &[
                Part::Credentials,
                Part::Secrets,
                Part::TokenUrls,
                Part::Events,
            ],
            Self::Rewrap(_) => &[Part::Secrets, Part::EnvelopeKey],
            Self::Doctor(_) => &EVERYTHING,
        }
    }
}

fn parse() -> Result<Cli, clap::Error> {
    let cli = Cli::try_parse()?;
    let checked = cli.named.check(cli.command.parts());
    checked.map_err(|(kind, why)| Cli::command().error(kind, why))?;
    Ok(cli)
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
