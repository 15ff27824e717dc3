//! `keys create`, `keys list`, `keys revoke`.

use clap::{Subcommand, ValueEnum};
use secrecy::ExposeSecret;
use serde::Serialize;
use shared::api_key::Permission;
use shared::credential::TeamId;
use shared::stores::{self, KeyListing, Operator};
use shared::timestamp::Timestamp;

use crate::PROGRAM;
use crate::error::Error;
use crate::output::{self, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a key and print it, this once: only its hash is stored
    Create {
        /// The team it is for; it must exist
        #[arg(long)]
        team: TeamId,
        /// What the key may do
        #[arg(long, value_enum)]
        permission: Permit,
    },
    /// List a team's keys, revoked ones too; the keys themselves are not stored
    List {
        /// The team
        #[arg(long)]
        team: TeamId,
    },
    /// Revoke a key; it stops working with the next request
    Revoke {
        /// The team whose key it is
        #[arg(long)]
        team: TeamId,
        /// The key's id, as `keys list` shows it; not the key
        key_id: String,
    },
}

/// A permission, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Permit {
    /// Everything: manage credentials, mint tokens
    Full,
    /// Look at credentials; change nothing, mint nothing
    Read,
    /// Mint tokens and nothing else
    Mint,
}

impl From<Permit> for Permission {
    fn from(permit: Permit) -> Self {
        match permit {
            Permit::Full => Self::Full,
            Permit::Read => Self::Read,
            Permit::Mint => Self::Mint,
        }
    }
}

/// A key that was just made, for scripts. Holds the key: deliberately not `Debug`.
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
    operator: &Operator,
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
    reason = "the one time that the operator sees the key"
)]
async fn create(
    team: TeamId,
    permission: Permission,
    operator: &Operator,
    output: Output,
) -> Result<(), Error> {
    let created = operator.create_key(&team, permission).await;
    let (key, listing) = created.map_err(|error| {
        if may_be_stored(&error) {
            let team = team.clone();
            Error::Unsure {
                team,
                source: error,
            }
        } else {
            Error::absent(error, Error::NoTeam(team.clone()))
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
        return Err(Error::Unseen {
            team,
            key_id,
            source,
        });
    }
    output.note(&format!(
        "this is key {} of team {team}; it is shown once, so store it now",
        listing.key_id
    ));
    Ok(())
}

/// Whether a key that is not known may be in the table: the write had no answer, or its second try met the first.
fn may_be_stored(error: &stores::Error) -> bool {
    match error {
        stores::Error::Conflict => true,
        stores::Error::Unavailable { operation, .. } => *operation == "PutItem",
        stores::Error::NotFound
        | stores::Error::Denied { .. }
        | stores::Error::NoTable { .. }
        | stores::Error::Refused { .. }
        | stores::Error::Shape(_) => false,
    }
}

async fn list(team: TeamId, operator: &Operator, output: Output) -> Result<(), Error> {
    let keys = operator.keys(&team).await;
    let keys = keys.map_err(|error| Error::absent(error, Error::NoTeam(team.clone())))?;

    output.print(&keys, &rows(&keys))?;
    if keys.is_empty() {
        output.note(&format!(
            "no keys yet; `{PROGRAM} keys create --team {team} --permission full` makes one"
        ));
    }
    Ok(())
}

async fn revoke(
    team: TeamId,
    key_id: String,
    operator: &Operator,
    output: Output,
) -> Result<(), Error> {
    if !is_key_id(&key_id) {
        return Err(Error::NoKeyId(team));
    }
    let revoked = operator.revoke_key(&team, &key_id).await;
    let revoked = revoked.map_err(|error| Error::absent(error, Error::NoKey { team, key_id }))?;

    output.print(&revoked, &rows([&revoked]))?;
    Ok(())
}

/// Checked here and not by clap, which repeats what it refuses: someone will paste the key itself.
fn is_key_id(text: &str) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 12 && text.bytes().all(is_digit)
}

fn rows<'a>(keys: impl IntoIterator<Item = &'a KeyListing>) -> String {
    let rows = keys.into_iter().map(|key| {
        [
            key.key_id.clone(),
            word(key.permission).to_owned(),
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

fn word(permission: Permission) -> &'static str {
    match permission {
        Permission::Full => "full",
        Permission::Read => "read",
        Permission::Mint => "mint",
    }
}
