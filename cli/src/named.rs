//! Checks of what the operator names. A typo must not look like an empty list.

use shared::api_key::KeyId;
use shared::credential::TeamId;
use shared::stores::{KeyListing, TeamAdmin};

use crate::error::Error;

/// A team, and the id of one of its keys, as the operator typed them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) team: &'a TeamId,
    pub(crate) key_id: Option<&'a str>,
}

impl Named<'_> {
    /// Fails if there is no such team, or if the team has no such key.
    pub(crate) async fn expect_existing(self, operator: &TeamAdmin) -> Result<(), Error> {
        let Self { team, key_id } = self;
        match key_id {
            Some(key_id) => existing_key(operator, team, key_id).await.map(drop),
            None => expect_team(operator, team).await,
        }
    }
}

async fn expect_team(operator: &TeamAdmin, team: &TeamId) -> Result<(), Error> {
    let found = operator.team(team).await;
    let missing = || Error::NoTeam(team.clone());
    found
        .map(drop)
        .map_err(|error| Error::not_found_as(error, missing()))
}

/// Reads the key with this id.
pub(crate) async fn existing_key(
    operator: &TeamAdmin,
    team: &TeamId,
    key_id: &str,
) -> Result<KeyListing, Error> {
    let id = parse_key_id(team, key_id)?;
    expect_team(operator, team).await?;
    let found = operator.key(team, &id).await;
    let missing = || Error::NoKey {
        team: team.clone(),
        key_id: id.to_string(),
    };
    found.map_err(|error| Error::not_found_as(error, missing()))
}

/// clap must not check the form of an id: its error repeats the argument, and an operator may paste the API key itself.
pub(crate) fn parse_key_id(team: &TeamId, text: &str) -> Result<KeyId, Error> {
    text.parse()
        .map_err(|_| Error::MalformedKeyId(team.clone()))
}
