//! `teams create`, `teams list`, `teams set`.

use clap::builder::{BoolishValueParser, RangedI64ValueParser};
use clap::{ArgGroup, Subcommand};
use serde::Serialize;
use shared::connect::ReturnOrigin;
use shared::credential::TeamId;
use shared::stores::{self, DEFAULT_MINT_RATE, DEFAULT_RATE, Operator, Settings, Team};
use shared::timestamp::Timestamp;

use crate::PROGRAM;
use crate::error::Error;
use crate::output::{self, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a team; it owns credentials and API keys
    Create {
        /// The team's name: 1 to 32 of a-z, 0-9 and -
        team: TeamId,
        /// Mutating calls that the team may make in a second: 1 to 100000
        #[arg(long, value_name = "N", default_value_t = DEFAULT_RATE, value_parser = rate())]
        rate: u32,
        /// Tokens that the team may mint in a second: 1 to 100000
        #[arg(long, value_name = "N", default_value_t = DEFAULT_MINT_RATE, value_parser = rate())]
        mint_rate: u32,
    },
    /// List all teams
    List,
    /// Set a team's rates, what becomes of its grants, and where its users may be sent back to
    #[command(group = ArgGroup::new("rates").required(true).multiple(true))]
    Set {
        /// The team's name
        team: TeamId,
        /// Mutating calls that the team may make in a second: 1 to 100000
        #[arg(long, value_name = "N", value_parser = rate(), group = "rates")]
        rate: Option<u32>,
        /// Tokens that the team may mint in a second: 1 to 100000
        #[arg(long, value_name = "N", value_parser = rate(), group = "rates")]
        mint_rate: Option<u32>,
        /// Whether a grant is revoked at Zoom when the last credential that had it is deleted
        #[arg(long, value_name = "on|off", value_parser = BoolishValueParser::new(), group = "rates")]
        revoke_on_delete: Option<bool>,
        /// Where users may be sent back to after they connected: scheme, host and port of a site, and no more. Give it
        /// once for each; they replace those of before
        #[arg(long, value_name = "ORIGIN", group = "rates")]
        return_origin: Vec<ReturnOrigin>,
        /// Users may not be sent back anywhere
        #[arg(long, group = "rates", conflicts_with = "return_origin")]
        no_return_origins: bool,
    },
}

fn rate() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=100_000)
}

/// A team as it is shown.
#[derive(Serialize)]
struct Shown {
    team: TeamId,
    rate: u32,
    mint_rate: u32,
    revoke_on_delete: bool,
    return_origins: Vec<ReturnOrigin>,
    created_at: Timestamp,
}

impl From<Team> for Shown {
    fn from(team: Team) -> Self {
        Self {
            team: team.team_id,
            rate: team.rate,
            mint_rate: team.mint_rate,
            revoke_on_delete: team.revoke_on_delete,
            return_origins: team.return_origins,
            created_at: team.created_at,
        }
    }
}

pub(crate) async fn run(
    command: Command,
    operator: &Operator,
    output: Output,
) -> Result<(), Error> {
    match command {
        Command::Create {
            team,
            rate,
            mint_rate,
        } => create(team, rate, mint_rate, operator, output).await,
        Command::List => list(operator, output).await,
        Command::Set {
            team,
            rate,
            mint_rate,
            revoke_on_delete,
            return_origin,
            no_return_origins,
        } => {
            let origins = no_return_origins || !return_origin.is_empty();
            let settings = Settings {
                rate,
                mint_rate,
                revoke_on_delete,
                return_origins: origins.then_some(return_origin),
            };
            set(team, settings, operator, output).await
        }
    }
}

async fn create(
    team: TeamId,
    rate: u32,
    mint_rate: u32,
    operator: &Operator,
    output: Output,
) -> Result<(), Error> {
    let created = operator.create_team(&team, rate, mint_rate).await;
    let created = Shown::from(created.map_err(|error| {
        if matches!(error, stores::Error::Conflict) {
            Error::TeamExists(team.clone())
        } else {
            error.into()
        }
    })?);

    output.print(&created, &rows([&created]))?;
    output.note(&format!(
        "created; `{PROGRAM} keys create --team {team} --permission full` makes its first key"
    ));
    Ok(())
}

async fn list(operator: &Operator, output: Output) -> Result<(), Error> {
    let teams = operator.teams().await?;
    let teams: Vec<Shown> = teams.into_iter().map(Shown::from).collect();

    output.print(&teams, &rows(&teams))?;
    if teams.is_empty() {
        output.note(&format!(
            "no teams yet; `{PROGRAM} teams create TEAM` creates one"
        ));
    }
    Ok(())
}

async fn set(
    team: TeamId,
    settings: Settings,
    operator: &Operator,
    output: Output,
) -> Result<(), Error> {
    let set = operator.set(&team, settings).await;
    let set = Shown::from(set.map_err(|error| Error::absent(error, Error::NoTeam(team)))?);

    output.print(&set, &rows([&set]))?;
    Ok(())
}

fn rows<'a>(teams: impl IntoIterator<Item = &'a Shown>) -> String {
    let rows = teams.into_iter().map(|shown| {
        [
            shown.team.to_string(),
            shown.rate.to_string(),
            shown.mint_rate.to_string(),
            if shown.revoke_on_delete { "on" } else { "off" }.to_owned(),
            shown.created_at.to_string(),
            shown
                .return_origins
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        ]
    });
    let head = [
        "TEAM",
        "RATE",
        "MINT RATE",
        "REVOKE",
        "CREATED",
        "RETURN ORIGINS",
    ];
    output::table(head, rows.collect())
}
