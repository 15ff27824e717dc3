//! `keys create`, `keys list`, `keys revoke`.

use clap::{Subcommand, ValueEnum};
use secrecy::ExposeSecret;
use serde::Serialize;
use shared::api_key::Permission;
use shared::credential::TeamId;
use shared::stores::{self, KeyListing, TeamAdmin};
use shared::timestamp::Timestamp;

use crate::PROGRAM;
use crate::error::Error;
use crate::output::{self, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a key and print it. It is printed only once: the vault stores only its hash
    Create {
        /// The team that gets the key; it must exist
        #[arg(long)]
        team: TeamId,
        /// What the key may do
        #[arg(long, value_enum)]
        permission: PermissionArg,
    },
    /// List a team's keys by id, including revoked keys. The keys themselves are not stored
    List {
        /// The team's name
        #[arg(long)]
        team: TeamId,
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
    key_id: &'a str,
    team: &'a TeamId,
    permission: Permission,
    created_at: Timestamp,
}

pub(crate) async fn run(
    command: Command,
    operator: &TeamAdmin,
    output: Output,
) -> Result<(), Error> {
    match command {
        Command::Create { team, permission } => {
            create(team, permission.into(), operator, output).await
        }
        Command::List { team } => list(team, operator, output).await,
        Command::Revoke { team, key_id } => revoke(team, key_id, operator, output).await,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "prints the new key, the only time that the operator can see it"
)]
async fn create(
    team: TeamId,
    permission: Permission,
    operator: &TeamAdmin,
    output: Output,
) -> Result<(), Error> {
    let created = operator.create_key(&team, permission).await;
    let (key, listing) = created.map_err(|error| {
        if may_be_stored(&error) {
            let team = team.clone();
            Error::KeyMayBeStored {
                team,
                source: error,
            }
        } else {
            Error::not_found_as(error, Error::NoTeam(team.clone()))
        }
    })?;

    let key = key.into_text();
    let document = NewKey {
        key: key.expose_secret(),
        key_id: &listing.key_id,
        team: &team,
        permission: listing.permission,
        created_at: listing.created_at,
    };
    if let Err(source) = output.print(&document, document.key) {
        let key_id = listing.key_id;
        return Err(Error::KeyNotPrinted {
            team,
            key_id,
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
        stores::Error::Unavailable { operation, .. } => *operation == "PutItem",
        stores::Error::NotFound
        | stores::Error::Denied { .. }
        | stores::Error::NoTable { .. }
        | stores::Error::Refused { .. }
        | stores::Error::RowTooLarge { .. }
        | stores::Error::Shape(_) => false,
    }
}

async fn list(team: TeamId, operator: &TeamAdmin, output: Output) -> Result<(), Error> {
    let listed = operator.keys(&team).await;
    let listed = listed.map_err(|error| Error::not_found_as(error, Error::NoTeam(team.clone())))?;
    let keys = listed.rows;

    output.print(&keys, &rows(&keys))?;
    if keys.is_empty() && listed.unreadable.is_empty() {
        output.note(&format!(
            "no keys yet; to make one, use `{PROGRAM} keys create --team {team} --permission full`"
        ));
    }
    Error::fail_if_unreadable(listed.unreadable)
}

async fn revoke(
    team: TeamId,
    key_id: String,
    operator: &TeamAdmin,
    output: Output,
) -> Result<(), Error> {
    if !is_key_id(&key_id) {
        return Err(Error::MalformedKeyId(team));
    }
    let revoked = operator.revoke_key(&team, &key_id).await;
    let revoked =
        revoked.map_err(|error| Error::not_found_as(error, Error::NoKey { team, key_id }))?;

    output.print(&revoked, &rows([&revoked]))?;
    Ok(())
}

/// clap must not check this: its error repeats the argument, and an operator may paste the API key itself.
fn is_key_id(text: &str) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 12 && text.bytes().all(is_digit)
}

fn rows<'a>(keys: impl IntoIterator<Item = &'a KeyListing>) -> String {
    let rows = keys.into_iter().map(|key| {
        [
            key.key_id.clone(),
            permission_name(key.permission).to_owned(),
            key.created_at.to_string(),
            key.revoked_at
                .map_or_else(|| "-".to_owned(), |at| at.to_string()),
        ]
    });
    output::table(
        ["KEY ID", "PERMISSION", "CREATED", "REVOKED"],
        rows.collect(),
    )
}

fn permission_name(permission: Permission) -> &'static str {
    match permission {
        Permission::Full => "full",
        Permission::Read => "read",
        Permission::Mint => "mint",
    }
}
