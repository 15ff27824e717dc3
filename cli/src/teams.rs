//! `teams create`, `teams list`, `teams set`, `teams suspend`, `teams resume`.

use clap::builder::{BoolishValueParser, RangedI64ValueParser};
use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;
use shared::brand::{Logo, SupportContact};
use shared::connect::ReturnOrigin;
use shared::credential::{Name, TeamId};
use shared::invalid::Invalid;
use shared::stores::{
    self, DEFAULT_MINT_RATE, DEFAULT_RATE, Requests, Team, TeamAdmin, TeamSettingsChange, Trail,
};
use shared::timestamp::Timestamp;

use crate::PROGRAM;
use crate::connect_sessions;
use crate::error::Error;
use crate::output::{self, Output, count};
use crate::resources::Resource;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a team. A team owns credentials and API keys
    Create {
        /// The team's name: 1 to 32 of a-z, 0-9 and -
        team: TeamId,
        /// How many mutating calls a second the team may make: 1 to 100000
        #[arg(long, value_name = "N", default_value_t = DEFAULT_RATE, value_parser = rate())]
        rate: u32,
        /// How many tokens a second the team may mint: 1 to 100000
        #[arg(long, value_name = "N", default_value_t = DEFAULT_MINT_RATE, value_parser = rate())]
        mint_rate: u32,
    },
    /// List all teams
    List,
    /// Change a team's settings: its rates, its limit for tokens, the revocation of grants, its return origins,
    /// and how it presents itself on the connect page
    #[command(group = ArgGroup::new("settings").required(true).multiple(true))]
    Set {
        /// The team's name
        team: TeamId,
        /// How many mutating calls a second the team may make: 1 to 100000
        #[arg(long, value_name = "N", value_parser = rate(), group = "settings")]
        rate: Option<u32>,
        /// How many tokens a second the team may mint: 1 to 100000
        #[arg(long, value_name = "N", value_parser = rate(), group = "settings")]
        mint_rate: Option<u32>,
        /// How many reading calls a second the team may make: 1 to 100000
        #[arg(long, value_name = "N", value_parser = rate(), group = "settings")]
        read_rate: Option<u32>,
        /// Let the team make any number of reading calls
        #[arg(long, group = "settings", conflicts_with = "read_rate")]
        no_read_rate: bool,
        /// The longest lifetime of a token that a caller may ask for, in seconds: 1800 to 7776000
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1_800..=7_776_000), group = "settings")]
        max_token_ttl: Option<u32>,
        /// Whether to revoke a grant at Zoom when its last credential is deleted
        #[arg(long, value_name = "on|off", value_parser = BoolishValueParser::new(), hide_possible_values = true, group = "settings")]
        revoke_on_delete: Option<bool>,
        /// Whether the team may try onbehalf tokens of account-level credentials. Nothing shows that Zoom gives them
        #[arg(long, value_name = "on|off", value_parser = BoolishValueParser::new(), hide_possible_values = true, group = "settings")]
        account_onbehalf: Option<bool>,
        /// Whether token URLs may give access tokens of the team's users to vendors. Such a token can do whatever the
        /// app may do for the user. `off` stops all these URLs at once
        #[arg(long, value_name = "on|off", value_parser = BoolishValueParser::new(), hide_possible_values = true, group = "settings")]
        access_token_urls: Option<bool>,
        /// A site that the vault may send users back to after they connected: scheme, host and port only. Repeat the
        /// option for several sites. The sites replace all earlier ones
        #[arg(long, value_name = "ORIGIN", group = "settings", value_parser = return_origin)]
        return_origin: Vec<ReturnOrigin>,
        /// Remove all return origins: the vault sends users to no other site
        #[arg(long, group = "settings", conflicts_with = "return_origin")]
        no_return_origins: bool,
        #[command(flatten)]
        brand: BrandOptions,
    },
    /// Stop all keys, token URLs and connect links of a team at once, for example because a key has leaked
    Suspend {
        /// The team's name
        team: TeamId,
    },
    /// Let the keys and token URLs of a suspended team work again. Connect links that were open stay ended
    Resume {
        /// The team's name
        team: TeamId,
    },
}

/// How the team presents itself on the connect page.
#[derive(Debug, Args)]
pub(crate) struct BrandOptions {
    /// The team's name on the connect page: 1 to 100 characters. Without it, the page shows the name of the team here
    #[arg(long, value_name = "NAME", value_parser = display_name, group = "settings")]
    display_name: Option<Name>,
    /// Show the name of the team here on the connect page
    #[arg(long, group = "settings", conflicts_with = "display_name")]
    no_display_name: bool,
    /// The logo on the connect page: an https URL, or data:image/png;base64,DATA of at most 8192 characters
    #[arg(long, value_name = "URL", group = "settings")]
    logo: Option<Logo>,
    /// Show no logo on the connect page
    #[arg(long, group = "settings", conflicts_with = "logo")]
    no_logo: bool,
    /// Whom users can ask, on the connect page: an e-mail address or an https URL
    #[arg(long, value_name = "EMAIL|URL", group = "settings")]
    support_contact: Option<SupportContact>,
    /// Show no support contact on the connect page
    #[arg(long, group = "settings", conflicts_with = "support_contact")]
    no_support_contact: bool,
}

fn display_name(text: &str) -> Result<Name, Invalid> {
    Name::try_from(text.to_owned())
}

impl Command {
    /// The resources that this command uses. Every change is recorded among the events.
    pub(crate) fn resources(&self) -> &'static [Resource] {
        match self {
            Self::List => &[Resource::Keys],
            Self::Create { .. } | Self::Set { .. } | Self::Resume { .. } => {
                &[Resource::Keys, Resource::Events]
            }
            Self::Suspend { .. } => &[Resource::Keys, Resource::Events, Resource::Requests],
        }
    }
}

/// A `*` would look like a wildcard, but it would be compared as text, and no site has such an address.
fn return_origin(text: &str) -> Result<ReturnOrigin, Invalid> {
    if text.contains('*') {
        return Err(Invalid(
            "must be one origin without a wildcard, as https://app.example.com: repeat the option for several",
        ));
    }
    text.parse()
}

fn rate() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=100_000)
}

/// A team in the output.
#[derive(Serialize)]
struct TeamView {
    team: TeamId,
    rate: u32,
    mint_rate: u32,
    read_rate: Option<u32>,
    max_token_ttl: u32,
    suspended_at: Option<Timestamp>,
    revoke_on_delete: bool,
    account_onbehalf: bool,
    access_token_urls: bool,
    return_origins: Vec<ReturnOrigin>,
    display_name: Option<Name>,
    logo: Option<Logo>,
    support_contact: Option<SupportContact>,
    created_at: Timestamp,
}

impl From<Team> for TeamView {
    fn from(team: Team) -> Self {
        Self {
            team: team.team_id,
            rate: team.rate,
            mint_rate: team.mint_rate,
            read_rate: team.read_rate,
            max_token_ttl: team.max_token_ttl,
            suspended_at: team.suspended_at,
            revoke_on_delete: team.revoke_on_delete,
            account_onbehalf: team.account_onbehalf,
            access_token_urls: team.access_token_urls,
            return_origins: team.return_origins,
            display_name: team.brand.display_name,
            logo: team.brand.logo,
            support_contact: team.brand.support_contact,
            created_at: team.created_at,
        }
    }
}

pub(crate) async fn run(
    command: Command,
    operator: &TeamAdmin,
    requests: Result<Requests, Error>,
    trail: &Trail,
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
            read_rate,
            no_read_rate,
            max_token_ttl,
            revoke_on_delete,
            account_onbehalf,
            access_token_urls,
            return_origin,
            no_return_origins,
            brand,
        } => {
            let sets_origins = no_return_origins || !return_origin.is_empty();
            let settings = TeamSettingsChange {
                rate,
                mint_rate,
                read_rate: read_rate.map(Some).or(no_read_rate.then_some(None)),
                max_token_ttl,
                revoke_on_delete,
                account_onbehalf,
                access_token_urls,
                return_origins: sets_origins.then_some(return_origin),
                display_name: brand
                    .display_name
                    .map(Some)
                    .or(brand.no_display_name.then_some(None)),
                logo: brand.logo.map(Some).or(brand.no_logo.then_some(None)),
                support_contact: brand
                    .support_contact
                    .map(Some)
                    .or(brand.no_support_contact.then_some(None)),
            };
            let set = operator.set(&team, settings).await;
            print_changed(team, set, output)
        }
        Command::Suspend { team } => suspend(team, operator, &requests?, trail, output).await,
        Command::Resume { team } => {
            let resumed = operator.suspend(&team, false).await;
            print_changed(team, resumed, output)
        }
    }
}

async fn create(
    team: TeamId,
    rate: u32,
    mint_rate: u32,
    operator: &TeamAdmin,
    output: Output,
) -> Result<(), Error> {
    let created = operator.create_team(&team, rate, mint_rate).await;
    let created = TeamView::from(created.map_err(|error| {
        if matches!(error, stores::Error::Conflict) {
            Error::TeamExists(team.clone())
        } else {
            error.into()
        }
    })?);

    output.print(&created, &rows([&created]))?;
    output.note(&format!(
        "created; to make its first key, use `{PROGRAM} keys create --team {team} --permission full`"
    ));
    Ok(())
}

pub(crate) async fn list(operator: &TeamAdmin, output: Output) -> Result<(), Error> {
    let listed = operator.teams().await?;
    let teams: Vec<TeamView> = listed.rows.into_iter().map(TeamView::from).collect();

    output.print(&teams, &rows(&teams))?;
    if teams.is_empty() && listed.unreadable.is_empty() {
        output.note(&format!(
            "no teams yet; to create one, use `{PROGRAM} teams create TEAM`"
        ));
    }
    Error::fail_if_unreadable(listed.unreadable)
}

/// Suspends the team, so that nobody can create connect sessions. Then ends the open ones.
async fn suspend(
    team: TeamId,
    operator: &TeamAdmin,
    requests: &Requests,
    trail: &Trail,
    output: Output,
) -> Result<(), Error> {
    let suspended = operator.suspend(&team, true).await;
    print_changed(team.clone(), suspended, output)?;
    let ended = connect_sessions::end_all(&team, requests, trail).await?;
    output.note(&format!("{} ended", count(ended, "connect session")));
    Ok(())
}

fn print_changed(
    team: TeamId,
    changed: Result<Team, stores::Error>,
    output: Output,
) -> Result<(), Error> {
    let changed = changed.map_err(|error| Error::not_found_as(error, Error::NoTeam(team)))?;
    let changed = TeamView::from(changed);

    output.print(&changed, &rows([&changed]))?;
    Ok(())
}

fn rows<'a>(teams: impl IntoIterator<Item = &'a TeamView>) -> String {
    let rows = teams.into_iter().map(|team| {
        [
            team.team.to_string(),
            team.rate.to_string(),
            team.mint_rate.to_string(),
            team.read_rate
                .map_or_else(|| "-".to_owned(), |rate| rate.to_string()),
            team.max_token_ttl.to_string(),
            if team.suspended_at.is_some() {
                "suspended"
            } else {
                "works"
            }
            .to_owned(),
            on_or_off(team.revoke_on_delete),
            on_or_off(team.account_onbehalf),
            on_or_off(team.access_token_urls),
            team.created_at.to_string(),
            team.return_origins
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
        "READ RATE",
        "MAX TTL",
        "STATE",
        "REVOKE",
        "ACCOUNT ONBEHALF",
        "ACCESS TOKEN URLS",
        "CREATED",
        "RETURN ORIGINS",
    ];
    output::table(head, rows.collect())
}

fn on_or_off(setting: bool) -> String {
    if setting { "on" } else { "off" }.to_owned()
}
