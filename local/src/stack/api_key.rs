//! The file `api-key`: a key that works, for whoever may read the data directory.

use std::io::ErrorKind;
use std::path::Path;

use secrecy::ExposeSecret;
use shared::api_key::{ApiKey, Permission};
use shared::credential::TeamId;
use shared::stores::{self, Keys, Operator};

use super::{Error, write_private};

/// The team that `cargo run` makes a key for.
const TEAM: &str = "local";
/// Its rate: nobody who tries things out should meet a limit.
const RATE: u32 = 10_000;

/// Keeps the key in `file` working: makes the team, the key and the file where they are missing.
pub(super) async fn ensure(keys: &Keys, operator: &Operator, file: &Path) -> Result<(), Error> {
    let team: TeamId = TEAM
        .parse()
        .map_err(|_| Error::MalformedKey(file.to_owned()))?;
    match operator.create_team(&team, RATE, RATE).await {
        Ok(_) | Err(stores::Error::Conflict) => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(key) = read(file)? {
        match keys.permission(&key).await {
            Ok(_) => return Ok(()),
            Err(stores::Error::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        // A fresh database under an old file; or a key that was revoked, which then gives way.
        match operator.insert_key(&key, Permission::Full).await {
            Ok(_) => return Ok(()),
            Err(stores::Error::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let (key, _) = operator.create_key(&team, Permission::Full).await?;
    write(file, key)
}

fn read(file: &Path) -> Result<Option<ApiKey>, Error> {
    match std::fs::read_to_string(file) {
        Ok(text) => match ApiKey::parse(text.trim()) {
            Ok(key) => Ok(Some(key)),
            Err(_) => Err(Error::MalformedKey(file.to_owned())),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File {
            what: "read",
            path: file.to_owned(),
            source,
        }),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the key's one place is this file, which only its owner can read"
)]
fn write(file: &Path, key: ApiKey) -> Result<(), Error> {
    write_private(file, key.into_text().expose_secret())
}
