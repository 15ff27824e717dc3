//! The rows that belong to no credential, so far as the credentials have been read.

use std::collections::HashMap;

use shared::credential::{CredentialId, GrantId, TeamId};
use shared::stores::{CredentialLinks, OwnedRow, StoredPair};

use super::Problem;

/// All rows that should belong to a credential, less those whose owner was seen. Holds ids only.
#[derive(Default)]
pub(super) struct OwnerlessRows {
    teams: HashMap<TeamId, RowsOfTeam>,
    /// How many rows were added. The token URLs of one credential count as one row.
    pub(super) read: usize,
}

#[derive(Default)]
struct RowsOfTeam {
    credentials: HashMap<CredentialId, RowsOfCredential>,
    grants: HashMap<GrantId, GrantSeen>,
}

#[derive(Default)]
struct RowsOfCredential {
    has_app: bool,
    has_token_urls: bool,
}

struct GrantSeen {
    has_pair: bool,
    is_due: bool,
}

impl OwnerlessRows {
    pub(super) fn add(&mut self, row: OwnedRow) {
        let is_new = match row {
            OwnedRow::App { team, credential } => {
                let rows = self.rows_of(team, credential);
                !std::mem::replace(&mut rows.has_app, true)
            }
            OwnedRow::TokenUrl { team, credential } => {
                let rows = self.rows_of(team, credential);
                !std::mem::replace(&mut rows.has_token_urls, true)
            }
            OwnedRow::Grant {
                team,
                grant,
                has_pair,
                is_due,
            } => {
                let grants = &mut self.teams.entry(team).or_default().grants;
                let seen = GrantSeen { has_pair, is_due };
                grants.insert(grant, seen).is_none()
            }
        };
        self.read += usize::from(is_new);
    }

    fn rows_of(&mut self, team: TeamId, credential: CredentialId) -> &mut RowsOfCredential {
        let of_team = self.teams.entry(team).or_default();
        of_team.credentials.entry(credential).or_default()
    }

    /// The grants that a pair lists have an owner.
    pub(super) fn remove_grants_of(&mut self, pair: &StoredPair) {
        if let Some(rows) = self.teams.get_mut(&pair.pair.team) {
            for grant in &pair.grants {
                rows.grants.remove(grant);
            }
        }
    }

    /// The rows of a credential have an owner. So has its grant, unless the grant names a pair that does not list it:
    /// then no search finds the grant, and keep-alive must add it to the pair.
    pub(super) fn remove_rows_of(&mut self, credential: &CredentialLinks) {
        let Some(rows) = self.teams.get_mut(&credential.ids.team) else {
            return;
        };
        rows.credentials.remove(&credential.ids.credential);
        if let Some(grant) = credential.ids.grant
            && rows.grants.get(&grant).is_some_and(|seen| !seen.has_pair)
        {
            rows.grants.remove(&grant);
        }
    }

    /// The rows without an owner. Grants that the next run of keep-alive handles anyway are only counted.
    pub(super) fn into_problems(self) -> (Vec<Problem>, usize) {
        let (mut problems, mut due_grants) = (Vec::new(), 0);
        let mut teams: Vec<_> = self.teams.into_iter().collect();
        teams.sort_unstable_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        for (team, rows) in teams {
            let mut credentials: Vec<_> = rows.credentials.into_iter().collect();
            credentials.sort_unstable_by_key(|(id, _)| *id);
            for (id, rows) in credentials {
                if rows.has_app {
                    problems.push(Problem::App(team.clone(), id));
                }
                if rows.has_token_urls {
                    problems.push(Problem::TokenUrls(team.clone(), id));
                }
            }
            let mut grants: Vec<_> = rows.grants.into_iter().collect();
            grants.sort_unstable_by_key(|(id, _)| *id);
            for (id, seen) in grants {
                if seen.is_due {
                    due_grants += 1;
                } else {
                    problems.push(Problem::StrayGrant(team.clone(), id));
                }
            }
        }
        (problems, due_grants)
    }
}
