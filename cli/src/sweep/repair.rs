//! Solves the problems that the sweep found.

use shared::credential::{CredentialId, GrantId, TeamId};
use shared::pair_end::{PairEnd, drop_pair};
use shared::stores::{self, StoredPair};

use super::{Mode, Problem};
use crate::credentials::Stores;
use crate::recount::PairProblem;

pub(super) struct Repair<'a> {
    pub(super) stores: &'a Stores,
    pub(super) mode: Mode,
}

/// What was done about a problem.
pub(super) enum Outcome {
    /// The rows have changed.
    Repaired(&'static str),
    /// Nothing was destroyed, because it is needed. No problem remains.
    Kept(&'static str),
    /// The problem remains, for this reason.
    Left(&'static str),
}

const NEEDS_DESTROY: Outcome = Outcome::Left("left: destroy it with --destroy");
const CHANGED: Outcome = Outcome::Left("left: it changed during the sweep, so run the sweep again");

impl Outcome {
    pub(super) fn text(&self) -> &'static str {
        match self {
            Self::Repaired(text) | Self::Kept(text) | Self::Left(text) => text,
        }
    }
}

impl Repair<'_> {
    /// Each write has a condition that still holds only if the problem still exists.
    pub(super) async fn solve(&self, problem: Problem) -> Result<Outcome, stores::Error> {
        match problem {
            Problem::App(team, id) => self.destroy_app(&team, id).await,
            Problem::TokenUrls(team, id) => self.destroy_token_urls(&team, id).await,
            Problem::StrayGrant(team, id) => self.hasten(&team, id).await,
            Problem::Pair(PairProblem::WrongCounts {
                seen,
                members,
                live,
            }) => self.correct(seen, members, live).await,
            Problem::Pair(PairProblem::NoRow {
                pair,
                members,
                live,
                grants,
            }) => {
                let pairs = &self.stores.pairs;
                let created = pairs.recreate(&pair, members, live, &grants).await?;
                Ok(if created {
                    Outcome::Repaired("its row was created")
                } else {
                    CHANGED
                })
            }
            Problem::Pair(PairProblem::NoCredential(seen)) => self.drop_pair(&seen).await,
            Problem::Uncounted(_) | Problem::ForeignPair(_) => {
                Ok(Outcome::Left("left: the sweep cannot repair this"))
            }
        }
    }

    async fn destroy_app(
        &self,
        team: &TeamId,
        credential: CredentialId,
    ) -> Result<Outcome, stores::Error> {
        if self.mode != Mode::Destroy {
            return Ok(NEEDS_DESTROY);
        }
        let removal = &self.stores.removal;
        Ok(if removal.destroy_ownerless_app(team, credential).await? {
            Outcome::Repaired("destroyed")
        } else {
            Outcome::Kept("kept: it belongs to a credential now")
        })
    }

    async fn destroy_token_urls(
        &self,
        team: &TeamId,
        credential: CredentialId,
    ) -> Result<Outcome, stores::Error> {
        let outcome = self.destroy_app(team, credential).await?;
        if matches!(outcome, Outcome::Repaired(_)) {
            self.stores.token_urls.purge(credential).await?;
        }
        Ok(outcome)
    }

    /// Keep-alive gives the grant to the credentials of its user, or destroys it.
    async fn hasten(&self, team: &TeamId, grant: GrantId) -> Result<Outcome, stores::Error> {
        match self.stores.secrets.hasten(team, grant).await {
            Ok(()) => Ok(Outcome::Repaired(
                "due in the next run of keep-alive, which gives it to its user's credentials or destroys it",
            )),
            Err(stores::Error::Shape(_)) => Ok(Outcome::Left(
                "left: its row has an unknown shape, so keep-alive cannot use it",
            )),
            Err(error) => Err(error),
        }
    }

    async fn correct(
        &self,
        seen: StoredPair,
        members: i64,
        live: i64,
    ) -> Result<Outcome, stores::Error> {
        if !self.stores.pairs.correct(&seen, members, live).await? {
            return Ok(CHANGED);
        }
        if members == 0 {
            let corrected = self.stores.pairs.get(&seen.id).await?;
            if let Some(corrected) = corrected {
                return Ok(match self.drop_pair(&corrected).await? {
                    // Its counts are corrected at least.
                    Outcome::Kept(text) => Outcome::Repaired(text),
                    outcome @ (Outcome::Repaired(_) | Outcome::Left(_)) => outcome,
                });
            }
        }
        Ok(Outcome::Repaired("corrected"))
    }

    /// Destroys the grants of a pair without credentials.
    async fn drop_pair(&self, pair: &StoredPair) -> Result<Outcome, stores::Error> {
        if self.mode != Mode::Destroy {
            return Ok(NEEDS_DESTROY);
        }
        let Stores {
            pairs,
            secrets,
            credentials,
            ..
        } = self.stores;
        Ok(match drop_pair(pairs, secrets, credentials, pair).await? {
            PairEnd::Dropped(_) => Outcome::Repaired("its grants are destroyed"),
            PairEnd::GrantLeft => {
                for grant in &pair.grants {
                    match secrets.hasten(&pair.pair.team, *grant).await {
                        Ok(()) | Err(stores::Error::Shape(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                Outcome::Kept(
                    "kept: a grant was authorized less than 20 minutes ago, or its row has an unknown shape, so \
                     keep-alive tries again later",
                )
            }
            PairEnd::StillNeeded => Outcome::Kept("kept: a credential needs it now"),
            PairEnd::CountsWrong => Outcome::Left(
                "left: a credential belongs to it that its row does not count, so run the sweep again",
            ),
        })
    }
}
