//! The state of the model.

use crate::caller::{Caller, Outcome, Step};
use crate::store::{Credential, ENDED_CALLER, Id, Reason, Row};
use crate::zoom::ZoomGrant;

/// How many grants of the pair there can be.
pub(crate) const GRANTS: usize = 3;

/// A rule whose violation is recorded in the state. See `rules.rs` for the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    I3,
    I4,
    I5,
    I7,
    CorrectReason,
    FinalMintEnds,
    FinalMintFinds,
    I8,
}

impl Rule {
    const fn bit(self) -> u8 {
        match self {
            Self::I3 => 1,
            Self::I4 => 2,
            Self::I5 => 4,
            Self::I7 => 8,
            Self::CorrectReason => 16,
            Self::FinalMintEnds => 32,
            Self::FinalMintFinds => 64,
            Self::I8 => 128,
        }
    }
}

/// The re-authorization of credential 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Authorizer {
    /// No re-authorization runs.
    Idle,
    /// Zoom has accepted the code. The transaction has not run.
    CodeExchanged { row: u8 },
    /// The transaction has run. The sibling still points to the old grant.
    Stored { row: u8 },
}

/// The whole state: Zoom, the store, the processes, and what may still go wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) zoom: [ZoomGrant; GRANTS],
    pub(crate) rows: [Option<Row>; GRANTS],
    pub(crate) credentials: [Credential; 2],
    pub(crate) callers: [Caller; 3],
    pub(crate) authorizer: Authorizer,
    pub(crate) crashes_left: u8,
    pub(crate) faults_left: u8,
    pub(crate) authorizations_left: u8,
    pub(crate) revocations_left: u8,
    /// The rules that were violated on the way to this state, as a bit set.
    pub(crate) violated: u8,
}

impl State {
    pub(crate) fn row(&mut self, row: u8) -> &mut Row {
        self.rows[usize::from(row)].get_or_insert_default()
    }

    pub(crate) fn violate(&mut self, rule: Rule) {
        self.violated |= rule.bit();
    }

    pub(crate) const fn keeps(&self, rule: Rule) -> bool {
        self.violated & rule.bit() == 0
    }

    /// The other active grants of the pair's credentials, as a bit set.
    pub(crate) fn search_candidates(&self, home: u8) -> u8 {
        let active =
            |row: u8| self.rows[usize::from(row)].is_some_and(|row| row.reconnect.is_none());
        let others = self
            .credentials
            .iter()
            .map(|it| it.grant)
            .filter(|row| *row != home && active(*row));
        others.fold(0, |set, row| set | 1 << row)
    }

    /// Ends a caller. A pair that the caller holds is lost unavoidably.
    pub(crate) fn end_caller(&mut self, me: Id) {
        let caller = &mut self.callers[usize::from(me)];
        if caller.pair().is_some() {
            self.zoom[usize::from(caller.view().row)].unavoidable_loss = true;
        }
        caller.end(Outcome::Nothing);
    }

    /// The user authorizes again, and Zoom accepts the code. The new grant's row does not exist yet.
    pub(crate) fn authorize(&mut self, row: u8) {
        self.zoom.iter_mut().for_each(ZoomGrant::end);
        self.zoom[usize::from(row)] = ZoomGrant::new();
        self.authorizations_left -= 1;
        self.authorizer = Authorizer::CodeExchanged { row };
    }

    /// The authorizer's transaction.
    pub(crate) fn store_authorization(&mut self) {
        if let Authorizer::CodeExchanged { row } = self.authorizer {
            self.rows[usize::from(row)] = Some(Row::new(true));
            self.credentials[0] = Credential {
                grant: row,
                active: true,
            };
            self.authorizer = Authorizer::Stored { row };
        }
    }

    /// The authorizer moves the sibling to the new row, and ends.
    pub(crate) fn move_sibling(&mut self) {
        if let Authorizer::Stored { row } = self.authorizer {
            self.credentials[1] = Credential {
                grant: row,
                active: true,
            };
        }
        self.authorizer = Authorizer::Idle;
    }

    /// The authorizer crashes. If the transaction has not run, the new grant is lost unavoidably.
    pub(crate) fn crash_authorizer(&mut self) {
        if let Authorizer::CodeExchanged { row } = self.authorizer {
            self.zoom[usize::from(row)].unavoidable_loss = true;
        }
        self.crashes_left -= 1;
        self.authorizer = Authorizer::Idle;
    }

    /// The user revokes all grants of the pair.
    pub(crate) fn revoke(&mut self) {
        self.revocations_left -= 1;
        self.zoom.iter_mut().for_each(ZoomGrant::end);
    }

    /// Whether no process runs and no message is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.authorizer == Authorizer::Idle
            && self
                .callers
                .iter()
                .all(|it| matches!(it.step, Step::Idle | Step::Ended(_)))
    }

    /// Whether the grant's row holds the only refresh token that Zoom accepts.
    pub(crate) fn stores_live_token(&self, row: u8) -> bool {
        let grant = self.zoom[usize::from(row)];
        grant.alive
            && self.rows[usize::from(row)]
                .is_some_and(|it| it.token == grant.current || it.stash == Some(grant.current))
    }

    /// Whether a grant was lost that could have been kept: no row holds its live token, or the vault's own reuse of a
    /// token ended the grant. A crash, a lost answer or a delay between Zoom's rotation and the commit excuses the
    /// loss.
    pub(crate) fn has_avoidable_loss(&self) -> bool {
        (0..3).any(|row| {
            let grant = self.zoom[usize::from(row)];
            !grant.unavoidable_loss
                && (grant.reused || (grant.alive && !self.stores_live_token(row)))
        })
    }

    /// Maps states that differ only in details without effect to one state. Such details are the tokens of an ended
    /// grant, the knowledge of ended callers, and the order of the callers.
    pub(crate) fn canonical(mut self) -> Self {
        self.clear_ended_grants();
        self.clear_ended_callers();
        self.sort_callers();
        self
    }

    fn clear_ended_grants(&mut self) {
        for grant in &mut self.zoom {
            if grant.ended {
                // Other schedules, in which the user does not end the grant, check what happened before.
                *grant = ZoomGrant {
                    ended: true,
                    ..ZoomGrant::default()
                };
            }
        }
        let ended = self.zoom.map(|grant| grant.ended);
        for (row, ended) in self.rows.iter_mut().zip(ended) {
            if let (Some(row), true) = (row, ended) {
                row.token = 0;
                row.fresh = false;
                row.attempt = None;
                row.reconnect = row.reconnect.map(|_| Reason::Revoked);
            }
        }
        for caller in &mut self.callers {
            caller.clear_unused(&ended);
        }
    }

    fn clear_ended_callers(&mut self) {
        for caller in &mut self.callers {
            if let Step::Ended(_) = caller.step {
                *caller = Caller {
                    step: Step::Ended(Outcome::Nothing),
                    ..Caller::default()
                };
            }
        }
        let ended = self.callers.map(|it| matches!(it.step, Step::Ended(_)));
        let has_ended = |id: Id| id == ENDED_CALLER || ended[usize::from(id)];
        for row in self.rows.iter_mut().flatten() {
            row.writer = row.writer.filter(|id| !has_ended(*id));
            row.attempt = row
                .attempt
                .map(|id| if has_ended(id) { ENDED_CALLER } else { id });
            row.lease = row.lease.filter(|id| !has_ended(*id));
        }
    }

    fn sort_callers(&mut self) {
        let mut order = [0_u8, 1, 2];
        let roles = |id: Id| {
            let id = Some(id);
            self.rows
                .map(|row| row.map(|it| (it.lease == id, it.attempt == id, it.writer == id)))
        };
        order.sort_unstable_by_key(|id| (self.callers[usize::from(*id)], roles(*id)));
        let new_id = |id: Id| {
            (0..3)
                .find(|new| order[usize::from(*new)] == id)
                .unwrap_or(ENDED_CALLER)
        };
        self.callers = order.map(|id| self.callers[usize::from(id)]);
        for row in self.rows.iter_mut().flatten() {
            row.writer = row.writer.map(new_id);
            row.attempt = row.attempt.map(new_id);
            row.lease = row.lease.map(new_id);
        }
    }
}
