//! Recounts the credentials of every pair, and compares the counts with the rows of the table `pairs`.
//!
//! The rows of the pairs are read before the credentials. Every change of a count raises the `version` of the row. So
//! if the version is still the same after the credentials were read, no count has changed in between, and the recount
//! is exact.

use std::collections::{BTreeSet, HashMap};

use shared::credential::{GrantId, TeamId};
use shared::pair::{Pair, PairId};
use shared::stores::{self, CredentialLinks, PairLink, Pairs, StoredPair};

/// The counts of all pairs: a few numbers for each.
#[derive(Default)]
pub(crate) struct Recount {
    pairs: HashMap<PairId, Counts>,
    /// What the rows of lost pairs must say.
    without_row: HashMap<PairId, LostPair>,
    /// Credentials whose user is known, but that no pair counts.
    pub(crate) uncounted: Vec<String>,
    /// Credentials that name another pair than that of their app and user.
    pub(crate) foreign: Vec<String>,
}

#[derive(Default)]
struct Counts {
    /// What the row says. `None` if the pair has no row.
    row: Option<RowCounts>,
    members: i64,
    live: i64,
}

#[derive(Clone, Copy)]
struct RowCounts {
    version: u64,
    members: i64,
    live: i64,
    /// Whether the row lists no grants, and expires.
    has_ended: bool,
}

struct LostPair {
    pair: Pair,
    grants: BTreeSet<GrantId>,
}

/// What is wrong with a pair.
pub(crate) enum PairProblem {
    /// The counts of the row are wrong.
    WrongCounts {
        seen: StoredPair,
        members: i64,
        live: i64,
    },
    /// Credentials name the pair, but it has no row.
    NoRow {
        pair: Pair,
        members: i64,
        live: i64,
        grants: BTreeSet<GrantId>,
    },
    /// The pair has no credential. Its grants can be destroyed, and its row can expire.
    NoCredential(StoredPair),
}

impl PairProblem {
    /// The team of the pair.
    pub(crate) fn team(&self) -> &TeamId {
        match self {
            Self::WrongCounts { seen, .. } | Self::NoCredential(seen) => &seen.pair.team,
            Self::NoRow { pair, .. } => &pair.team,
        }
    }
}

/// The result of the comparison.
pub(crate) struct Comparison {
    pub(crate) problems: Vec<PairProblem>,
    /// How many pairs were compared.
    pub(crate) compared: usize,
    /// How many pairs changed while they were counted, so that nothing is known about them.
    pub(crate) changed: usize,
}

impl Recount {
    /// Notes the counts of a row.
    pub(crate) fn add_row(&mut self, pair: &StoredPair) {
        let row = RowCounts {
            version: pair.version,
            members: pair.members,
            live: pair.live,
            has_ended: pair.grants.is_empty() && pair.expires_at.is_some(),
        };
        self.pairs.entry(pair.id.clone()).or_default().row = Some(row);
    }

    /// Counts a credential. All rows of the pairs must have been noted.
    pub(crate) fn add_credential(&mut self, credential: &CredentialLinks) {
        let name = || format!("{}/{}", credential.ids.team, credential.ids.credential);
        let (id, pair) = match credential.pair() {
            PairLink::Counted(id, pair) => (id, pair),
            PairLink::None => return,
            PairLink::Uncounted => return self.uncounted.push(name()),
            PairLink::Foreign => return self.foreign.push(name()),
        };
        let counts = self.pairs.entry(id.clone()).or_default();
        counts.members += 1;
        counts.live += i64::from(!credential.deleted);
        if counts.row.is_none() {
            let lost = self.without_row.entry(id).or_insert_with(|| LostPair {
                pair,
                grants: BTreeSet::new(),
            });
            lost.grants.extend(credential.ids.grant);
        }
    }

    /// Compares the counts. Reads the row of each pair that differs again: it may have changed since.
    pub(crate) async fn compare(mut self, pairs: &Pairs) -> Result<Comparison, stores::Error> {
        let mut comparison = Comparison {
            problems: Vec::new(),
            compared: self.pairs.len(),
            changed: 0,
        };
        let mut suspects: Vec<_> = self.pairs.into_iter().collect();
        suspects.retain(|(_, counts)| counts.are_suspect());
        suspects.sort_unstable_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        for (id, counts) in suspects {
            let Counts { members, live, .. } = counts;
            let now = pairs.get(&id).await?;
            let problem = match (counts.row, now, self.without_row.remove(&id)) {
                (Some(row), Some(seen), _) if row.version == seen.version => {
                    if (row.members, row.live) == (members, live) {
                        PairProblem::NoCredential(seen)
                    } else {
                        PairProblem::WrongCounts {
                            seen,
                            members,
                            live,
                        }
                    }
                }
                (None, None, Some(LostPair { pair, grants })) => PairProblem::NoRow {
                    pair,
                    members,
                    live,
                    grants,
                },
                _ => {
                    comparison.changed += 1;
                    continue;
                }
            };
            comparison.problems.push(problem);
        }
        Ok(comparison)
    }
}

impl Counts {
    /// Whether the row differs from the count, or the pair has no credential and has not ended.
    fn are_suspect(&self) -> bool {
        self.row.is_none_or(|row| {
            let is_right = (row.members, row.live) == (self.members, self.live);
            !is_right || (self.members == 0 && !row.has_ended)
        })
    }
}

impl PairProblem {
    /// The pair, as `TEAM/ID`.
    pub(crate) fn name(&self) -> String {
        let (team, id) = match self {
            Self::WrongCounts { seen, .. } | Self::NoCredential(seen) => {
                (&seen.pair.team, seen.id.clone())
            }
            Self::NoRow { pair, .. } => (&pair.team, pair.id()),
        };
        format!("{team}/{id}")
    }

    pub(crate) fn description(&self) -> String {
        match self {
            Self::WrongCounts {
                seen,
                members,
                live,
            } => format!(
                "its row counts {} credentials ({} live), but there are {members} ({live} live)",
                seen.members, seen.live
            ),
            Self::NoRow { members, live, .. } => {
                format!("it has no row, but {members} credentials ({live} live)")
            }
            Self::NoCredential(seen) => {
                format!("it has no credential, but {} grants", seen.grants.len())
            }
        }
    }
}
