//! `keys create`, `keys list`, `keys rotate`, `keys revoke`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum, value_parser};
use secrecy::ExposeSecret;
use serde::Serialize;
use shared::api_key::{ApiKey, KeyId, KeyTerms, Permission};
use shared::credential::{Name, TeamId};
use shared::extra::ExtraFilter;
use shared::invalid::Invalid;
use shared::stores::{self, KeyListing, Requests, Rotation, TeamAdmin};
use shared::timestamp::Timestamp;
use shared::token::TokenType;

use crate::PROGRAM;
use crate::error::Error;
use crate::named::{existing_key, parse_key_id};
use crate::output::{self, Output, or_dash};
use crate::resources::Resource;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a key and print it. It is printed only once: the vault stores only its hash
    Create(NewKeyOptions),
    /// List a team's keys by id, including revoked and expired keys. The keys themselves are not stored
    List {
        /// The team's name
        #[arg(long)]
        team: TeamId,
    },
    /// Create a second key with the same terms and print it. The first key works for a while, so that its user has time
    /// to change over
    Rotate {
        /// The team that owns the key
        #[arg(long)]
        team: TeamId,
        /// The key's id, as `keys list` prints it; not the key itself
        key_id: String,
        /// For how many hours the first key still works: 0 to 8760
        #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = value_parser!(u64).range(0..=8760))]
        old_key_hours: u64,
    },
    /// Revoke a key. It stops working with the next request
    Revoke {
        /// The team that owns the key
        #[arg(long)]
        team: TeamId,
        /// The key's id, as `keys list` prints it; not the key itself
        key_id: String,
    },
}

impl Command {
    /// The resources that this command uses.
    pub(crate) fn resources(&self) -> &'static [Resource] {
        match self {
            Self::Create(_) | Self::Rotate { .. } => &[Resource::Keys, Resource::Events],
            Self::List { .. } => &[Resource::Keys, Resource::Requests],
            Self::Revoke { .. } => &[Resource::Keys, Resource::Requests, Resource::Events],
        }
    }
}

/// A new key: its team, and what the key may do.
#[derive(Debug, Args)]
pub(crate) struct NewKeyOptions {
    /// The team that gets the key; it must exist
    #[arg(long)]
    team: TeamId,
    /// What the key may do
    #[arg(long, value_enum)]
    permission: PermissionArg,
    /// What the key is for
    #[arg(long, value_name = "TEXT", value_parser = name)]
    label: Option<Name>,
    /// Who asked for the key
    #[arg(long, value_name = "TEXT", value_parser = name)]
    created_by: Option<Name>,
    /// In how many days the key stops working: 1 to 3650. Without the option, it works until it is revoked
    #[arg(long, value_name = "DAYS", value_parser = value_parser!(u64).range(1..=3650))]
    expires_in_days: Option<u64>,
    /// How many changes a second, and how many mints a second, the key may make: 1 to the team's higher rate. Without
    /// the option, 80 % of the team's rates
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// The types of tokens that the key may mint, separated by commas: `onbehalf`, `zak`, `local_recording`, `sdk_jwt`,
    /// `rtms_signature`, `access_token` (for token URLs only). Without the option, every type
    #[arg(long, value_name = "TYPES", value_delimiter = ',', value_parser = token_type)]
    token_types: Option<Vec<TokenType>>,
    /// The credentials that the key can see: those whose `extra` has these values. KEY:VALUE pairs, separated by
    /// commas. Without the option, every credential of the team
    #[arg(long, value_name = "PAIRS", value_parser = extra)]
    extra: Option<ExtraFilter>,
}

impl NewKeyOptions {
    /// Refuses a rate that the team itself may not reach: it would limit nothing.
    async fn check_rate(&self, operator: &TeamAdmin) -> Result<(), Error> {
        let team = operator.team(&self.team).await;
        let missing = || Error::NoTeam(self.team.clone());
        let team = team.map_err(|error| Error::not_found_as(error, missing()))?;
        let most = match self.permission {
            PermissionArg::Mint => team.mint_rate,
            PermissionArg::Full | PermissionArg::Read => team.rate.max(team.mint_rate),
        };
        match self.rate {
            Some(rate) if rate > most => Err(Error::KeyRateAboveTeam {
                team: team.team_id,
                rate,
                changes: team.rate,
                mints: team.mint_rate,
                most,
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn terms(self) -> KeyTerms {
        let days = self.expires_in_days;
        let expires_at = days.map(|days| Timestamp::now().plus(Duration::from_hours(days * 24)));
        KeyTerms {
            permission: self.permission.into(),
            label: self.label,
            created_by: self.created_by,
            expires_at,
            rate: self.rate,
            token_types: self.token_types,
            extra: self.extra.unwrap_or_default(),
        }
    }
}

fn extra(text: &str) -> Result<ExtraFilter, Invalid> {
    let filter: ExtraFilter = text.parse()?;
    filter.check_typed().map(|()| filter)
}

fn name(text: &str) -> Result<Name, Invalid> {
    Name::try_from(text.to_owned())
}

fn token_type(text: &str) -> Result<TokenType, Invalid> {
    TokenType::try_from(text.to_owned())
}

/// A value of `--permission`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PermissionArg {
    /// Everything: manage credentials and mint tokens
    Full,
    /// Read credentials; no changes, no tokens
    Read,
    /// Mint tokens and nothing else
    Mint,
}

impl From<PermissionArg> for Permission {
    fn from(argument: PermissionArg) -> Self {
        match argument {
            PermissionArg::Full => Self::Full,
            PermissionArg::Read => Self::Read,
            PermissionArg::Mint => Self::Mint,
        }
    }
}

/// A new key in JSON output. Deliberately not `Debug`: it contains the API key.
#[derive(Serialize)]
struct NewKey<'a> {
    key: &'a str,
    #[serde(flatten)]
    listing: &'a KeyListing,
}

/// A key in a list, with the time of its last use.
#[derive(Serialize)]
struct ListedKey {
    #[serde(flatten)]
    listing: KeyListing,
    /// When the key last changed something or minted a token. Calls that read do not count.
    last_change_or_mint_at: Option<Timestamp>,
}

pub(crate) async fn run(
    command: Command,
    operator: &TeamAdmin,
    requests: Result<Requests, Error>,
    output: Output,
) -> Result<(), Error> {
    match command {
        Command::Create(options) => {
            let team = options.team.clone();
            options.check_rate(operator).await?;
            let created = operator.create_key(&team, options.terms()).await;
            let created =
                created.map_err(|error| not_created(error, &team, Error::NoTeam(team.clone())));
            print_new(&team, created?, output)
        }
        Command::List { team } => list(team, operator, &requests?, output).await,
        Command::Rotate {
            team,
            key_id,
            old_key_hours,
        } => rotate(team, key_id, old_key_hours, operator, output).await,
        Command::Revoke { team, key_id } => {
            revoke(team, key_id, operator, &requests?, output).await
        }
    }
}

async fn rotate(
    team: TeamId,
    key_id: String,
    old_key_hours: u64,
    operator: &TeamAdmin,
    output: Output,
) -> Result<(), Error> {
    let old = existing_key(operator, &team, &key_id).await?;
    expect_rotatable(&team, &old)?;
    let old_ends_at = Timestamp::now().plus(Duration::from_hours(old_key_hours));
    let rotated = operator.rotate_key(&team, &old.key_id, old_ends_at).await;
    let Rotation { key, new, old } = rotated.map_err(|error| {
        let (team, key_id) = (team.clone(), old.key_id.clone());
        if matches!(error, stores::Error::Conflict) {
            Error::KeyChanged { team, key_id }
        } else {
            let gone = missing(team.clone(), &key_id);
            not_created(error, &team, gone)
        }
    })?;
    let end = new.terms.expires_at;
    print_new(&team, (key, new), output)?;
    output.note(&match end {
        Some(end) => format!("the new key stops working at {end}, as the first one would have"),
        None => "the new key works until it is revoked".to_owned(),
    });
    if let Some(end) = old.terms.expires_at {
        output.note(&format!("key {} stops working at {end}", old.key_id));
    }
    Ok(())
}

/// Refuses to rotate a key that does not work any more, or that was rotated before. Its end is then the end that the
/// rotation has set, and a new key must not inherit that.
fn expect_rotatable(team: &TeamId, old: &KeyListing) -> Result<(), Error> {
    let (team, key_id) = (team.clone(), old.key_id.clone());
    let has_ended = |end| end <= Timestamp::now();
    if let Some(by) = old.replaced_by.clone() {
        Err(Error::KeyIsReplaced { team, key_id, by })
    } else if old.revoked_at.is_some() || old.terms.expires_at.is_some_and(has_ended) {
        Err(Error::KeyHasEnded { team, key_id })
    } else {
        Ok(())
    }
}

fn missing(team: TeamId, key_id: &KeyId) -> Error {
    Error::NoKey {
        team,
        key_id: key_id.to_string(),
    }
}

/// The error of a command that did not create a key. `missing` is the error if its team or its first key is missing.
fn not_created(error: stores::Error, team: &TeamId, missing: Error) -> Error {
    if may_be_stored(&error) {
        Error::KeyMayBeStored {
            team: team.clone(),
            source: error,
        }
    } else {
        Error::not_found_as(error, missing)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "prints the new key, the only time that the operator can see it"
)]
fn print_new(
    team: &TeamId,
    (key, listing): (ApiKey, KeyListing),
    output: Output,
) -> Result<(), Error> {
    let key = key.into_text();
    let document = NewKey {
        key: key.expose_secret(),
        listing: &listing,
    };
    if let Err(source) = output.print(&document, document.key) {
        return Err(Error::KeyNotPrinted {
            team: team.clone(),
            key_id: listing.key_id.to_string(),
            source,
        });
    }
    output.note(&format!(
        "this is key {} of team {team}; it is shown only once, so store it now",
        listing.key_id
    ));
    Ok(())
}

/// Whether DynamoDB may have stored the key although the write failed. Without an answer nobody knows. A conflict can
/// come from the SDK's own retry, which finds the row that its first attempt wrote.
fn may_be_stored(error: &stores::Error) -> bool {
    match error {
        stores::Error::Conflict => true,
        stores::Error::Unavailable { operation, .. } => *operation == "TransactWriteItems",
        stores::Error::NotFound
        | stores::Error::Denied { .. }
        | stores::Error::NoTable { .. }
        | stores::Error::Refused { .. }
        | stores::Error::RowTooLarge { .. }
        | stores::Error::Shape(_) => false,
    }
}

async fn list(
    team: TeamId,
    operator: &TeamAdmin,
    requests: &Requests,
    output: Output,
) -> Result<(), Error> {
    let listed = operator.keys(&team).await;
    let listed = listed.map_err(|error| Error::not_found_as(error, Error::NoTeam(team.clone())))?;
    let mut keys = Vec::new();
    for listing in listed.rows {
        keys.push(with_last_use(listing, requests).await?);
    }

    output.print(&keys, &rows(&keys))?;
    if keys.is_empty() && listed.unreadable.is_empty() {
        output.note(&format!(
            "no keys yet; to make one, use `{PROGRAM} keys create --team {team} --permission full`"
        ));
    }
    Error::fail_if_unreadable(listed.unreadable)
}

async fn with_last_use(listing: KeyListing, requests: &Requests) -> Result<ListedKey, Error> {
    let last_change_or_mint_at = requests.last_use(&listing.team, &listing.key_id).await?;
    Ok(ListedKey {
        listing,
        last_change_or_mint_at,
    })
}

async fn revoke(
    team: TeamId,
    key_id: String,
    operator: &TeamAdmin,
    requests: &Requests,
    output: Output,
) -> Result<(), Error> {
    let key_id = parse_key_id(&team, &key_id)?;
    let revoked = operator.revoke_key(&team, &key_id).await;
    let revoked = revoked.map_err(|error| Error::not_found_as(error, missing(team, &key_id)))?;

    let revoked = with_last_use(revoked, requests).await?;
    output.print(&revoked, &rows([&revoked]))?;
    Ok(())
}

fn rows<'a>(keys: impl IntoIterator<Item = &'a ListedKey>) -> String {
    let text = |name: Option<&Name>| or_dash(name.map(Name::as_str));
    let rows = keys.into_iter().map(
        |ListedKey {
             listing,
             last_change_or_mint_at,
         }| {
            [
                listing.key_id.to_string(),
                permission_name(listing.terms.permission).to_owned(),
                text(listing.terms.label.as_ref()),
                text(listing.terms.created_by.as_ref()),
                limits(&listing.terms),
                listing.created_at.to_string(),
                or_dash(listing.terms.expires_at),
                or_dash(listing.revoked_at),
                or_dash(listing.replaced_by.as_ref()),
                or_dash(*last_change_or_mint_at),
            ]
        },
    );
    let head = [
        "KEY ID",
        "PERMISSION",
        "LABEL",
        "CREATED BY",
        "LIMITS",
        "CREATED",
        "EXPIRES",
        "REVOKED",
        "REPLACED BY",
        "LAST CHANGE OR MINT",
    ];
    output::table(head, rows.collect())
}

/// What limits a key beside its permission.
fn limits(terms: &KeyTerms) -> String {
    let rate = terms.rate.map(|rate| format!("rate {rate}"));
    let types = terms.token_types.as_ref().map(|types| {
        let types: Vec<_> = types.iter().map(|it| it.as_str()).collect();
        types.join(" ")
    });
    let extra = (!terms.extra.is_empty()).then(|| terms.extra.to_string());
    let limits: Vec<String> = [rate, types, extra].into_iter().flatten().collect();
    if limits.is_empty() {
        "-".to_owned()
    } else {
        limits.join("; ")
    }
}

fn permission_name(permission: Permission) -> &'static str {
    match permission {
        Permission::Full => "full",
        Permission::Read => "read",
        Permission::Mint => "mint",
    }
}
