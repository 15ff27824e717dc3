//! `purge --now`: an operator purges a deleted credential.

use crate::ids::{CredentialId, GrantSet, User};
use crate::mistake::Mistake;
use crate::turn::Turn;
use crate::write::{Outcome, Write};

/// The next step of `purge --now`. T6′ has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum OperatorStep {
    #[default]
    Idle,
    /// Delete the client secret and the token URLs.
    DeleteApp,
    /// Read the pair.
    ReadPair,
    /// T8.
    DropPair,
    /// The pair had no grant: its row gets a TTL.
    ExpirePair,
}

/// `purge --now`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Operator {
    pub(crate) step: OperatorStep,
    credential: CredentialId,
    /// The pair of the credential.
    pair: Option<User>,
    grants: GrantSet,
    drops_all: bool,
}

impl Operator {
    /// The write of the next step.
    pub(crate) fn write(self) -> Option<Write> {
        match self.step {
            OperatorStep::Idle | OperatorStep::ReadPair => None,
            OperatorStep::DeleteApp => Some(Write::DeleteApp {
                credential: self.credential,
            }),
            OperatorStep::DropPair => Some(Write::DropPair {
                user: self.pair?,
                grants: self.grants,
                all: self.drops_all,
            }),
            OperatorStep::ExpirePair => Some(Write::ExpirePair { user: self.pair? }),
        }
    }
}

impl Turn<'_> {
    /// T6′, and what follows it.
    pub(crate) fn purge(&mut self, credential: CredentialId) {
        let pair = self.state.credential(credential).and_then(|it| it.pair);
        if self.write(Write::PurgeNow { credential }) == Outcome::Applied {
            self.state.operator = Operator {
                step: OperatorStep::DeleteApp,
                credential,
                pair,
                ..Operator::default()
            };
        }
    }

    /// The next step of `purge --now`.
    pub(crate) fn step_operator(&mut self) {
        let Operator { step, pair, .. } = self.state.operator;
        if let Some(write) = self.state.operator.write() {
            self.write(write);
        }
        let next = match (step, pair) {
            (OperatorStep::DeleteApp, Some(_)) => OperatorStep::ReadPair,
            (OperatorStep::ReadPair, Some(user)) => self.drop_next(user),
            _ => OperatorStep::Idle,
        };
        if next == OperatorStep::Idle {
            self.state.operator = Operator::default();
        } else {
            self.state.operator.step = next;
        }
    }

    /// Reads the pair. T8 follows if the pair has no members.
    fn drop_next(&mut self, user: User) -> OperatorStep {
        if self.state.pair(user).members != 0 && !self.undone(Mistake::DropPairIgnoresMembers) {
            return OperatorStep::Idle;
        }
        let grants = self.droppable(user);
        self.state.operator.grants = grants;
        self.state.operator.drops_all = self.drops_all(user, grants);
        if self.expires_empty(user) {
            OperatorStep::ExpirePair
        } else {
            OperatorStep::DropPair
        }
    }

    /// The grants of the pair that are not young.
    pub(crate) fn droppable(&self, user: User) -> GrantSet {
        let ignores_young = self.undone(Mistake::DropPairIgnoresYoung);
        let grants = self.state.pair(user).grants.iter();
        grants
            .filter(|it| ignores_young || !self.is_young(*it))
            .collect()
    }

    /// Whether T8 drops all grants of the pair, so that its row gets a TTL.
    pub(crate) fn drops_all(&self, user: User, grants: GrantSet) -> bool {
        self.state.pair(user).grants == grants && !self.undone(Mistake::DropPairKeepsRow)
    }

    /// Whether the pair's row gets a TTL although there is nothing to drop.
    pub(crate) fn expires_empty(&self, user: User) -> bool {
        let pair = self.state.pair(user);
        pair.members == 0 && pair.grants.is_empty() && !self.undone(Mistake::CountOutKeepsRow)
    }
}
