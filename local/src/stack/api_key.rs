//! The file `api-key`: a working API key, for everybody who may read the data directory.

use std::io::ErrorKind;
use std::path::Path;

use secrecy::ExposeSecret;
use shared::api_key::{ApiKey, KeyTerms, Permission};
use shared::credential::TeamId;
use shared::stores::{self, Keys, TeamAdmin};

use super::Error;
use super::files::{failed, write_private};

/// The team of the API key.
const TEAM: &str = "local";
/// The team's rate limits, in requests per minute: too high to meet by hand.
const REQUESTS_PER_MINUTE: u32 = 10_000;

/// Makes sure that the key in `file` works. Creates the team, the key and the file if they are missing.
pub(super) async fn ensure(keys: &Keys, operator: &TeamAdmin, file: &Path) -> Result<(), Error> {
    let team: TeamId = TEAM
        .parse()
        .map_err(|_| Error::MalformedKey(file.to_owned()))?;
    match operator
        .create_team(&team, REQUESTS_PER_MINUTE, REQUESTS_PER_MINUTE)
        .await
    {
        Ok(_) | Err(stores::Error::Conflict) => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(key) = read(file)? {
        if keys.known(&key).await?.is_some() {
            return Ok(());
        }
        // The database is new, so it takes the old key. A conflict means that the key was revoked: create another.
        match operator
            .insert_key(&key, KeyTerms::of(Permission::Full))
            .await
        {
            Ok(_) => return Ok(()),
            Err(stores::Error::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let (key, _) = operator
        .create_key(&team, KeyTerms::of(Permission::Full))
        .await?;
    write(file, key)
}

fn read(file: &Path) -> Result<Option<ApiKey>, Error> {
    match std::fs::read_to_string(file) {
        Ok(text) => match ApiKey::parse(text.trim()) {
            Ok(key) => Ok(Some(key)),
            Err(_) => Err(Error::MalformedKey(file.to_owned())),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("read", file)(source)),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the file is the only copy of the key, and only its owner can read it"
)]
fn write(file: &Path, key: ApiKey) -> Result<(), Error> {
    write_private(file, key.into_text().expose_secret())
}
