//! One step of one process: one read, one call of Zoom, or one write.

use crate::ids::GrantId;
use crate::mistake::Mistake;
use crate::rows::{GrantRow, Record, RecordKind};
use crate::rules::Rule;
use crate::scenario::{Protocol, Scenario};
use crate::state::State;

/// The state that a step changes, and the protocol that it follows.
pub(crate) struct Turn<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) scenario: Scenario,
}

/// Why the tokens of a grant are destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// Nobody needs the grant.
    Unneeded,
    /// Zoom refused the grant.
    Refused,
    /// The user removed the app.
    Deauthorized,
    /// The vault revoked the grant at Zoom.
    Revoked,
}

impl Turn<'_> {
    /// Whether the condition is undone that this mistake names.
    pub(crate) fn undone(&self, mistake: Mistake) -> bool {
        let made = self.scenario.mistake;
        let of_close = matches!(
            mistake,
            Mistake::CloseIgnoresLive | Mistake::CloseIgnoresVersion
        );
        made == mistake
            || (made == Mistake::CloseIgnoresBoth && of_close)
            || (made == Mistake::RevokeIgnoresLive
                && (of_close || mistake == Mistake::NoSecondLook))
    }

    pub(crate) fn is_today(&self) -> bool {
        self.scenario.protocol == Protocol::TeamScan
    }

    /// Whether an invocation still runs that ran when the user authorized the grant: `authorized_at` may be less than Q
    /// ago.
    pub(crate) fn is_young(&self, grant: GrantId) -> bool {
        let authorizers_only = self.undone(Mistake::YoungForAuthorizersOnly);
        !self.undone(Mistake::NothingIsYoung) && self.state.young(authorizers_only).contains(grant)
    }

    /// The user's authorization reaches Zoom. It is a young grant for each process that runs now.
    pub(crate) fn authorize_at_zoom(&mut self, grant: GrantId) {
        let state = &mut *self.state;
        if let Some(user) = state.zoom.user(grant) {
            state.ghost.revoked[user.index()] = false;
        }
        for it in &mut state.authorizers {
            if it.is_running() {
                it.young.insert(grant);
            }
        }
        if state.mint.is_running() {
            state.mint.young.insert(grant);
        }
        for it in &mut state.keep_alive {
            if it.is_running() {
                it.young.insert(grant);
            }
        }
    }

    /// Adds a record to the stream, if its handler has something to do.
    pub(crate) fn tell(&mut self, record: Record) {
        let matters = match record.kind {
            RecordKind::Purged => true,
            RecordKind::Left => {
                self.scenario.tracks_due || self.is_today() || self.undone(Mistake::LeftDestroys)
            }
            RecordKind::Deleted => self.scenario.tracks_due && !self.is_today(),
        };
        if matters {
            self.state.tell(record);
        }
    }

    /// Destroys the tokens of a grant, and checks L2.
    pub(crate) fn destroy(&mut self, grant: GrantId, cause: Cause) {
        let Some(row) = self.state.sealed(grant) else {
            return;
        };
        let user = self.state.zoom.user(grant);
        let live = self.state.zoom.is_live(grant);
        let held = self.state.holders(grant).next().is_some();
        let mut rows = self.state.credentials.iter().flatten();
        let needed = rows.any(|it| it.pair.is_some() && it.pair == user);
        let removes_due = self.undone(Mistake::DestroyRemovesDue);
        let state = &mut *self.state;
        match cause {
            Cause::Unneeded => {
                if held {
                    state.violate(Rule::L2Held);
                }
                if live && needed {
                    state.violate(Rule::L2Needed);
                }
                state.ghost.unneeded.insert(grant);
                if live {
                    state.ghost.lost.insert(grant);
                }
            }
            Cause::Refused | Cause::Revoked => {
                if live {
                    state.violate(Rule::L2Needed);
                }
            }
            Cause::Deauthorized => {
                if !state.ghost.deauthorized.contains(grant) {
                    state.violate(Rule::L2Needed);
                }
            }
        }
        state.grants[usize::from(grant)] = match cause {
            Cause::Unneeded | Cause::Refused => None,
            Cause::Deauthorized | Cause::Revoked => Some(GrantRow {
                due: row.due && !removes_due,
                ..row.destroyed()
            }),
        };
    }
}
