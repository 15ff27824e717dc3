//! The steps of keep-alive that close a pair and revoke its grants.

use crate::ids::{GrantId, GrantSet, credentials};
use crate::keep_alive::{KeepAlive, KeepAliveStep};
use crate::mistake::Mistake;
use crate::rows::{Closer, GrantRow};
use crate::rules::Rule;
use crate::turn::Turn;

impl Closer {
    /// The worker with this number.
    pub(crate) const fn of(id: usize) -> Self {
        Self::Worker(if id == 0 { 0 } else { 1 })
    }
}

impl Turn<'_> {
    /// The grant is closed. Its closer revokes it, or has ended.
    pub(crate) fn decide_closed(&mut self, id: usize, row: GrantRow) -> KeepAliveStep {
        let user = self.worker(id).user;
        let Some(closer) = row.closed else {
            return KeepAliveStep::Idle;
        };
        let pair = self.state.pair(user);
        let anyone = self.undone(Mistake::AnyoneReopens);
        let ignores_closer = self.undone(Mistake::CloseIgnoresCloser);
        let running = !row.may_be_old();
        if running && anyone {
            self.worker(id).grants = self.closed_grants(id, None);
            self.worker(id).closer = Some(closer);
            return KeepAliveStep::SecondLook;
        }
        if running && !ignores_closer {
            return KeepAliveStep::Idle;
        }
        if pair.members == 0 {
            return self.decide_drop(id);
        }
        if pair.live == 0 {
            return self.decide_without_live(id);
        }
        if self.undone(Mistake::NobodyReopens) {
            return KeepAliveStep::Idle;
        }
        // The closer has ended, so nobody is about to revoke a grant of the pair.
        let grants = self.closed_grants(id, Some(closer));
        let it = self.worker(id);
        it.grants = grants;
        it.closer = Some(closer);
        KeepAliveStep::Reopen
    }

    /// The pair has members, and all of them are deleted.
    pub(crate) fn decide_without_live(&mut self, id: usize) -> KeepAliveStep {
        let KeepAlive { grant, user, .. } = *self.worker(id);
        if self.scenario.revokes {
            let all = self.state.pair(user).grants;
            let grants = all
                .iter()
                .filter(|it| self.state.sealed(*it).is_some())
                .filter(|it| *it == grant || !self.undone(Mistake::CloseOnlyOne))
                .collect();
            let it = self.worker(id);
            it.grants = grants;
            it.closer = Some(Closer::of(id));
            return KeepAliveStep::Close;
        }
        self.rest(grant)
    }

    /// The grant rests: a restore makes it due again, and so does the purge of the last member.
    pub(crate) fn rest(&mut self, grant: GrantId) -> KeepAliveStep {
        if let Some(row) = self.state.grant_mut(grant) {
            row.due = false;
        }
        KeepAliveStep::Idle
    }

    /// The grants of the pair that are closed, by this closer if there is one.
    fn closed_grants(&self, id: usize, closer: Option<Closer>) -> GrantSet {
        let grants = self.state.pair(self.state.keep_alive[id].user).grants;
        let wanted = |it: &GrantId| {
            let row = self.state.sealed(*it);
            row.is_some_and(|row| {
                row.closed.is_some() && (closer.is_none() || row.closed == closer)
            })
        };
        grants.iter().filter(wanted).collect()
    }

    /// The second look at the pair, or the call that revokes.
    pub(crate) fn revoke(&mut self, id: usize) -> KeepAliveStep {
        let KeepAlive {
            step, user, grants, ..
        } = *self.worker(id);
        let Some(grant) = grants.iter().next() else {
            return KeepAliveStep::Idle;
        };
        if step == KeepAliveStep::SecondLook && self.is_today() {
            let worker = *self.worker(id);
            return self.second_look_today(worker);
        }
        if step == KeepAliveStep::SecondLook {
            let needed = self.state.pair(user).live > 0 && !self.undone(Mistake::NoSecondLook);
            return if needed {
                KeepAliveStep::Reopen
            } else {
                KeepAliveStep::Revoke
            };
        }
        if self.state.zoom.is_live(grant) {
            let needed = credentials()
                .filter_map(|it| self.state.live_credential(it))
                .any(|it| it.pair.is_some() && it.pair == self.state.zoom.user(grant) && !it.told);
            if needed {
                self.state.violate(Rule::L5);
            }
            self.state.zoom.revoke(grant);
            self.state.ghost.revoked[user.index()] = true;
        }
        KeepAliveStep::Destroy
    }

    /// Continues with the next closed grant.
    pub(crate) fn next_closed(&mut self, id: usize) -> KeepAliveStep {
        let one_by_one = self.undone(Mistake::ReopenOneByOne);
        let it = self.worker(id);
        it.grants = it.grants.iter().skip(1).collect();
        match it.step {
            KeepAliveStep::Reopen if !one_by_one => KeepAliveStep::Idle,
            _ if it.grants.is_empty() => KeepAliveStep::Idle,
            KeepAliveStep::Reopen => KeepAliveStep::Reopen,
            _ => KeepAliveStep::SecondLook,
        }
    }
}
