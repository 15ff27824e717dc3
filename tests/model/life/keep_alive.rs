//! One worker of keep-alive, which takes one grant. `revoke.rs` has the steps that close and revoke a pair.

use crate::ids::{CredentialId, GrantId, GrantSet, User, credentials};
use crate::mistake::Mistake;
use crate::rows::{Closer, GrantRow};
use crate::turn::{Cause, Turn};
use crate::write::{Outcome, Write};

/// The next step of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum KeepAliveStep {
    #[default]
    Idle,
    /// The grant was taken. Read its row, its credential and the pair.
    Decide,
    /// Ask Zoom whose nameless grant this is. Then read its credential and the pair.
    AskUser,
    /// T1 for the credential that points at the grant.
    Learn,
    /// T2″.
    Register,
    /// T1 or T2″ was refused: the user has deauthorized the app.
    Shred,
    /// T8′.
    DropStray,
    /// Zoom refused a nameless grant that no credential points at: T7 without pair.
    DropNameless,
    /// Zoom refused the grant. Mark it `reconnect`.
    Declare,
    /// Refresh the grant for the credential that points at it.
    Refresh,
    /// Zoom refused the credential's grant. Read the pair.
    Search,
    /// Try the newest grant of the pair that was not tried.
    Try,
    /// T3 for the credential of the refused grant.
    Adopt,
    /// Refresh a grant that no credential points at.
    Test,
    /// T3 for the members of the pair, one after another.
    MoveMembers,
    /// T7.
    DropDead,
    /// T8.
    DropPair,
    /// T9.
    Close,
    /// Read the pair again before the next grant is revoked.
    SecondLook,
    /// Revoke the grant at Zoom.
    Revoke,
    /// Destroy the revoked grant.
    Destroy,
    /// T9′.
    Reopen,
}

impl KeepAliveStep {
    /// Whether the worker may revoke or reopen what it closed.
    pub(crate) const fn revokes(self) -> bool {
        matches!(
            self,
            Self::SecondLook | Self::Revoke | Self::Destroy | Self::Reopen
        )
    }
}

/// A worker of keep-alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct KeepAlive {
    pub(crate) step: KeepAliveStep,
    /// The grant that the worker took.
    pub(crate) grant: GrantId,
    /// The user of the grant, once it is known.
    pub(crate) user: User,
    /// The credential that points at the grant.
    credential: Option<CredentialId>,
    /// The generation of the row.
    generation: u8,
    /// Zoom refused this generation.
    refused: bool,
    /// The grants of the pair before the worker used the grant that works. All others of them are dead.
    superseded: GrantSet,
    /// The grants of the pair that the search has not tried.
    candidates: GrantSet,
    /// The grant that works.
    target: GrantId,
    /// The members below this number have been seen to.
    next: CredentialId,
    /// The grants to drop, to close, or still to revoke.
    pub(crate) grants: GrantSet,
    /// The pair has no other grants than those to drop.
    pub(crate) drops_all: bool,
    /// Who closed the grants to reopen.
    pub(crate) closer: Option<Closer>,
    /// The pair changed since the worker read it.
    pub(crate) pair_changed: bool,
    pub(crate) young: GrantSet,
}

impl KeepAlive {
    pub(crate) fn is_running(&self) -> bool {
        self.step != KeepAliveStep::Idle
    }

    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }

    /// Forgets what no later step uses.
    pub(crate) fn clear_unused(&mut self) {
        if !matches!(self.step, KeepAliveStep::Close) {
            self.pair_changed = false;
        }
    }

    /// The write of the next step. `id` is the worker itself.
    pub(crate) fn write(&self, id: Closer) -> Option<Write> {
        let (grant, user, generation) = (self.grant, self.user, self.generation);
        Some(match self.step {
            KeepAliveStep::Learn => Write::Learn {
                credential: self.credential?,
                grant,
                user,
            },
            KeepAliveStep::Register => Write::Register { grant, user },
            KeepAliveStep::Shred => Write::Destroy {
                grant,
                cause: Cause::Deauthorized,
            },
            KeepAliveStep::DropStray => Write::DropStray { grant, user },
            KeepAliveStep::DropNameless => Write::DropNameless { grant, generation },
            KeepAliveStep::Declare => Write::Declare {
                grant,
                refused: self.refused.then_some(generation),
                credential: self.credential,
                stays_due: self.credential.is_none(),
            },
            KeepAliveStep::Adopt => Write::Move {
                credential: self.credential?,
                from: grant,
                to: self.target,
            },
            KeepAliveStep::DropDead => Write::DropDead {
                grant,
                user,
                generation,
                superseded: self.superseded.contains(grant) && self.target != grant,
            },
            KeepAliveStep::DropPair => Write::DropPair {
                user,
                grants: self.grants,
                all: self.drops_all,
            },
            KeepAliveStep::Close => Write::Close {
                user,
                grants: self.grants,
                closer: id,
                pair_changed: self.pair_changed,
            },
            KeepAliveStep::Destroy => Write::Destroy {
                grant: self.grants.iter().next()?,
                cause: Cause::Revoked,
            },
            KeepAliveStep::Reopen => Write::Reopen {
                grants: self.grants,
                closer: self.closer?,
            },
            _ => return None,
        })
    }
}

impl Turn<'_> {
    pub(crate) fn worker(&mut self, id: usize) -> &mut KeepAlive {
        &mut self.state.keep_alive[id]
    }

    /// The worker takes a grant that is due.
    pub(crate) fn take(&mut self, id: usize, grant: GrantId) {
        *self.worker(id) = KeepAlive {
            step: KeepAliveStep::Decide,
            grant,
            target: grant,
            ..KeepAlive::default()
        };
    }

    /// The next step of a worker.
    pub(crate) fn step_keep_alive(&mut self, id: usize) {
        let worker = self.state.keep_alive[id];
        let next = match worker.step {
            KeepAliveStep::Idle => KeepAliveStep::Idle,
            KeepAliveStep::Decide => self.decide(id),
            KeepAliveStep::AskUser => self.ask_user(id),
            KeepAliveStep::Refresh => self.refresh(id),
            KeepAliveStep::Test => self.test(id),
            KeepAliveStep::Search => {
                let grants = self.search_candidates(None, Some(worker.user));
                let it = self.worker(id);
                it.superseded = grants;
                it.candidates = grants;
                it.candidates.remove(worker.grant);
                KeepAliveStep::Try
            }
            KeepAliveStep::Try => match self.try_newest(worker.candidates) {
                Some((candidate, true)) => {
                    self.worker(id).target = candidate;
                    KeepAliveStep::Adopt
                }
                Some((candidate, false)) => {
                    self.worker(id).candidates.remove(candidate);
                    KeepAliveStep::Try
                }
                None => KeepAliveStep::Declare,
            },
            KeepAliveStep::MoveMembers => self.move_next_member(id),
            KeepAliveStep::SecondLook | KeepAliveStep::Revoke => self.revoke(id),
            _ => self.write_of_keep_alive(id),
        };
        if next == KeepAliveStep::Idle {
            self.worker(id).end();
        } else {
            self.worker(id).step = next;
        }
    }

    /// Reads the grant's row, its credential and the pair.
    fn decide(&mut self, id: usize) -> KeepAliveStep {
        let grant = self.worker(id).grant;
        let Some(row) = self.state.grant(grant) else {
            return KeepAliveStep::Idle;
        };
        self.worker(id).generation = row.generation;
        if self.is_today() {
            return self.decide_today(id);
        }
        let Some(user) = row.pair else {
            return KeepAliveStep::AskUser;
        };
        self.worker(id).user = user;
        let pair = self.state.pair(user);
        if !row.sealed && pair.members > 0 {
            return self.rest(grant);
        }
        if row.closed.is_some() {
            return self.decide_closed(id, row);
        }
        if pair.members == 0 || (self.undone(Mistake::DropPairIgnoresMembers) && pair.live <= 0) {
            return self.decide_drop(id);
        }
        if !pair.grants.contains(grant) {
            return KeepAliveStep::Register;
        }
        let stray = self.state.holders(grant).next().is_none();
        if pair.live == 0 && (self.scenario.revokes || !stray || self.undone(Mistake::StraysRest)) {
            return self.decide_without_live(id);
        }
        self.decide_use(id, grant, row)
    }

    /// The pair has live credentials: the grant is used, or tested.
    fn decide_use(&mut self, id: usize, grant: GrantId, row: GrantRow) -> KeepAliveStep {
        let live = |it: CredentialId| self.state.live_credential(it).is_some();
        let own = Some(row.credential).filter(|it| self.state.points_at(*it, grant));
        let other = self
            .state
            .holders(grant)
            .find(|it| live(*it) && self.state.index[usize::from(*it)].is_some());
        match own.filter(|it| live(*it)).or(other).or(own) {
            Some(credential) => {
                self.worker(id).credential = Some(credential);
                KeepAliveStep::Refresh
            }
            None => KeepAliveStep::Test,
        }
    }

    /// The pair has no members: T8 for its grants that are not young.
    pub(crate) fn decide_drop(&mut self, id: usize) -> KeepAliveStep {
        let user = self.worker(id).user;
        let grants = self.droppable(user);
        let all = self.drops_all(user, grants);
        let it = self.worker(id);
        it.grants = grants;
        it.drops_all = all;
        KeepAliveStep::DropPair
    }

    /// A nameless grant: Zoom knows its user. Then the worker reads the credential and the pair.
    fn ask_user(&mut self, id: usize) -> KeepAliveStep {
        let grant = self.worker(id).grant;
        let Some(row) = self.state.sealed(grant) else {
            return KeepAliveStep::Idle;
        };
        let pointed_at = self.state.points_at(row.credential, grant);
        self.worker(id).credential = pointed_at.then_some(row.credential);
        if self.undone(Mistake::StrayDroppedUnasked) && !pointed_at {
            return KeepAliveStep::DropNameless;
        }
        let user = self.state.zoom.user(grant);
        if let (Some(user), true) = (user, self.state.works(grant)) {
            self.worker(id).user = user;
            return if pointed_at {
                KeepAliveStep::Learn
            } else if self.state.pair(user).members > 0 {
                KeepAliveStep::Register
            } else {
                KeepAliveStep::DropStray
            };
        }
        self.worker(id).generation = row.generation;
        self.worker(id).refused = true;
        if row.attempt || (pointed_at && !self.undone(Mistake::DropIgnoresPointer)) {
            KeepAliveStep::Declare
        } else {
            KeepAliveStep::DropNameless
        }
    }

    /// Refreshes the grant for the credential that points at it.
    fn refresh(&mut self, id: usize) -> KeepAliveStep {
        let grant = self.worker(id).grant;
        let Some(row) = self.state.sealed(grant) else {
            return KeepAliveStep::Idle;
        };
        if self.state.is_usable(grant) && self.state.works(grant) {
            return KeepAliveStep::Idle;
        }
        let asked = self.state.is_usable(grant);
        let it = self.worker(id);
        it.generation = row.generation;
        it.refused = asked;
        KeepAliveStep::Search
    }

    /// Refreshes a grant that no credential points at.
    fn test(&mut self, id: usize) -> KeepAliveStep {
        let KeepAlive { grant, user, .. } = *self.worker(id);
        let Some(row) = self.state.sealed(grant) else {
            return KeepAliveStep::Idle;
        };
        if row.closed.is_some() {
            return KeepAliveStep::Idle;
        }
        self.worker(id).superseded = self.state.pair(user).grants;
        if self.state.works(grant) && !row.reconnect {
            return if self.undone(Mistake::StrayGivenToNobody) {
                KeepAliveStep::Idle
            } else {
                KeepAliveStep::MoveMembers
            };
        }
        self.worker(id).generation = row.generation;
        KeepAliveStep::DropDead
    }

    /// T3 for the next member that the index shows on a grant that the proof superseded.
    fn move_next_member(&mut self, id: usize) -> KeepAliveStep {
        let worker = *self.worker(id);
        if let Some((member, write)) = self.next_member(worker) {
            self.write(write);
            self.worker(id).next = member + 1;
            KeepAliveStep::MoveMembers
        } else if worker.target == worker.grant {
            KeepAliveStep::Idle
        } else {
            KeepAliveStep::DropDead
        }
    }

    fn next_member(&self, worker: KeepAlive) -> Option<(CredentialId, Write)> {
        let mut members = credentials().skip(worker.next.into());
        let member = members.find(|member| self.moves_after_proof(worker, *member))?;
        let from = self.state.credential(member)?.grant;
        let write = Write::Move {
            credential: member,
            from,
            to: worker.target,
        };
        Some((member, write))
    }

    /// The write of the worker's next step.
    pub(crate) fn write_of_worker(&self, id: usize) -> Option<Write> {
        let worker = self.state.keep_alive[id];
        if worker.step == KeepAliveStep::MoveMembers {
            return self.next_member(worker).map(|(_, write)| write);
        }
        let write = worker.write(Closer::of(id));
        match write {
            Some(Write::Reopen { grants, closer }) if self.undone(Mistake::ReopenOneByOne) => {
                Some(Write::Reopen {
                    grants: grants.iter().take(1).collect(),
                    closer,
                })
            }
            _ => write,
        }
    }

    /// Whether the worker's next step is a refresh that works.
    pub(crate) fn refreshes_next(&self, id: usize) -> bool {
        let KeepAlive { step, grant, .. } = self.state.keep_alive[id];
        let refreshes = matches!(step, KeepAliveStep::Refresh | KeepAliveStep::Test);
        refreshes && self.state.is_usable(grant) && self.state.works(grant)
    }

    fn moves_after_proof(&self, worker: KeepAlive, member: CredentialId) -> bool {
        let shown = self.state.index[usize::from(member)]
            .is_some_and(|it| it.user == Some(worker.user) && !it.deleted);
        let Some(row) = self.state.live_credential(member).filter(|_| shown) else {
            return false;
        };
        let listed = self.state.pair(worker.user).grants.contains(row.grant);
        let superseded = worker.superseded.contains(row.grant) || !listed;
        // A grant that was authorized after this one cannot be dead because of it.
        let later = worker.target == worker.grant
            && self.state.older[usize::from(row.grant)].contains(worker.target);
        let moves = (superseded && !later) || self.undone(Mistake::ProofMovesLater);
        row.grant != worker.target && moves
    }

    /// The next step is a write.
    fn write_of_keep_alive(&mut self, id: usize) -> KeepAliveStep {
        let worker = *self.worker(id);
        let Some(write) = self.write_of_worker(id) else {
            return KeepAliveStep::Idle;
        };
        let outcome = self.write(write);
        match (worker.step, outcome) {
            (KeepAliveStep::Learn | KeepAliveStep::Register, Outcome::Deauthorized) => {
                KeepAliveStep::Shred
            }
            // The grant is in the pair now: it is tested like any other.
            (KeepAliveStep::Register, Outcome::Applied) => KeepAliveStep::Decide,
            (KeepAliveStep::Shred, _) => {
                if let Some(credential) = worker.credential {
                    self.mark_invalid(credential, worker.grant);
                }
                KeepAliveStep::Idle
            }
            (KeepAliveStep::Adopt, _) => KeepAliveStep::MoveMembers,
            (KeepAliveStep::DropDead, Outcome::Refused) => self.declare_lost(id),
            (KeepAliveStep::Close, Outcome::Applied) => KeepAliveStep::SecondLook,
            (KeepAliveStep::Destroy | KeepAliveStep::Reopen, _) => self.next_closed(id),
            _ => KeepAliveStep::Idle,
        }
    }

    /// T7 was refused because a refresh with unknown outcome is on the row. Its tokens may be in a capsule, so the
    /// grant stays, and stays due.
    fn declare_lost(&mut self, id: usize) -> KeepAliveStep {
        let KeepAlive {
            grant, generation, ..
        } = *self.worker(id);
        if self.state.sealed(grant).is_some_and(|row| row.attempt) {
            self.write(Write::Declare {
                grant,
                refused: Some(generation),
                credential: None,
                stays_due: true,
            });
        }
        KeepAliveStep::Idle
    }
}
