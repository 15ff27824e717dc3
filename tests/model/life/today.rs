//! Keep-alive of the protocol before the pair's row. It asks whether a row of the team points at the grant.

use crate::ids::{GrantId, User};
use crate::keep_alive::{KeepAlive, KeepAliveStep};
use crate::turn::{Cause, Turn};

impl Turn<'_> {
    /// Reads who points at the grant.
    pub(crate) fn decide_today(&mut self, id: usize) -> KeepAliveStep {
        let grant = self.worker(id).grant;
        let rows = || {
            self.state
                .holders(grant)
                .filter_map(|it| self.state.credential(it))
        };
        if rows().any(|it| !it.deleted) {
            return KeepAliveStep::Idle;
        }
        let user = rows().find_map(|it| it.pair);
        if rows().next().is_none() {
            self.destroy(grant, Cause::Unneeded);
            return KeepAliveStep::Idle;
        }
        if !self.scenario.revokes || self.is_wanted_today(grant, user) {
            return KeepAliveStep::Idle;
        }
        let it = self.worker(id);
        it.user = user.unwrap_or_default();
        it.grants.insert(grant);
        KeepAliveStep::SecondLook
    }

    /// Whether a live credential points at the grant or shares its user.
    fn is_wanted_today(&self, grant: GrantId, user: Option<User>) -> bool {
        let mut rows = self.state.credentials.iter().flatten();
        rows.any(|it| !it.deleted && (it.grant == grant || (user.is_some() && it.pair == user)))
    }

    /// Asks a second time before the grant is revoked.
    pub(crate) fn second_look_today(&self, worker: KeepAlive) -> KeepAliveStep {
        if self.is_wanted_today(worker.grant, Some(worker.user)) {
            KeepAliveStep::Idle
        } else {
            KeepAliveStep::Revoke
        }
    }
}
