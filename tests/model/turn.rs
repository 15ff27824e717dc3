//! One step of one mint. A step is one read or write of the store, or one answer of Zoom. Other callers may do anything
//! between two steps. The step numbers are those of docs/protocol.md (Refresh).

use crate::caller::{Caller, Outcome, RowView, Step};
use crate::mutation::Mutation;
use crate::state::{Rule, State};
use crate::store::{Id, Reason, Row};
use crate::zoom::ZoomBehaviour;

/// The turn of one caller: it may change the whole state.
pub(crate) struct Turn<'a> {
    pub(crate) state: &'a mut State,
    /// The caller that takes the turn.
    pub(crate) me: Id,
    pub(crate) behaviour: ZoomBehaviour,
    /// A mistake in the protocol, or none.
    pub(crate) mutation: Mutation,
}

impl Turn<'_> {
    fn me(&mut self) -> &mut Caller {
        &mut self.state.callers[usize::from(self.me)]
    }

    fn view(&self) -> RowView {
        *self.state.callers[usize::from(self.me)].view()
    }

    fn row(&mut self) -> &mut Row {
        let row = self.view().row;
        self.state.row(row)
    }

    /// Takes the next step without a fault.
    pub(crate) fn step(mut self) {
        match self.me().step {
            Step::Idle | Step::Capsule(_) | Step::Ended(_) => {}
            Step::Credential => self.credential(),
            Step::Read => self.read(false),
            Step::Acquire => self.acquire(),
            Step::SendRefresh(token) => self.send_refresh(token),
            Step::Commit(pair) => self.commit(pair),
            Step::Stash(pair) => self.stash(pair),
            Step::Reactivate(mint) => self.reactivate(mint),
            Step::Refused => self.refused(),
            Step::Search => self.search(),
            Step::Reread => self.reread(),
            Step::Declare(stash) => self.declare(stash),
            Step::InvalidateOthers => self.invalidate_others(),
            Step::Adopt => self.adopt(),
            Step::Repair(active) => self.repair(active),
        }
    }

    /// Step 0. The mint goes on whatever the credential's state is.
    fn credential(&mut self) {
        let credential = self.state.credentials[usize::from(self.me().credential)];
        let me = self.me();
        if me.home.row != credential.grant {
            me.home = RowView {
                row: credential.grant,
                ..RowView::default()
            };
        }
        me.left = None;
        me.read_active = credential.active;
        me.step = Step::Read;
    }

    /// Step 0. `try_stored`: the stored access token looks valid, so the mint tries it.
    pub(crate) fn read(&mut self, try_stored: bool) {
        let row = *self.row();
        let accepted = try_stored
            && self.state.zoom[usize::from(self.view().row)].accepts_access_token_of(row.token);
        let read_reconnect = row.reconnect.is_some();
        let ends_mint = self.mutation == Mutation::ReconnectEndsMint;
        let me = self.me();
        me.learn(&row);
        if me.candidate.is_none() {
            me.read_reconnect = read_reconnect;
        }
        if read_reconnect && ends_mint {
            me.end(Outcome::Reconnect);
        } else if read_reconnect {
            me.search();
        } else if accepted {
            self.mint();
        } else {
            me.step = Step::Acquire;
        }
    }

    /// Steps 1 and 2: acquires the lease and records the attempt.
    fn acquire(&mut self) {
        let (id, view, old) = (self.me, self.view(), *self.row());
        let checks_generation = self.mutation != Mutation::AcquireWithoutGeneration;
        if old.reconnect.is_some() || (checks_generation && old.generation != view.generation) {
            self.read_again();
            return;
        }
        if old.generation > view.generation {
            self.state.violate(Rule::I5);
        }
        let older_attempt = if self.mutation == Mutation::AttemptOverwritten {
            None
        } else {
            old.attempt
        };
        let row = self.row();
        row.lease = Some(id);
        row.attempt = Some(older_attempt.unwrap_or(id));
        let me = self.me();
        me.view_mut().saw_stash = old.stash.is_some();
        me.view_mut().may_be_lost |= older_attempt.is_some_and(|attempt| attempt != id);
        me.sent_twice = false;
        me.step = Step::SendRefresh(view.token);
    }

    /// Step 3: Zoom answers the refresh.
    fn send_refresh(&mut self, token: u8) {
        let view = self.view();
        let answer = self.state.zoom[usize::from(view.row)].refresh(self.behaviour, token);
        if self.row().generation != view.generation {
            let zoom_grant = &mut self.state.zoom[usize::from(view.row)];
            zoom_grant.late_refresh |= answer.is_some() || zoom_grant.reused;
        }
        let declares_early = self.mutation == Mutation::DeclareWithoutReading;
        let me = self.me();
        if let Some(pair) = answer {
            me.step = Step::Commit(pair);
        } else {
            me.view_mut().refused = Some(view.generation);
            me.step = if declares_early {
                Step::Declare(None)
            } else {
                Step::Refused
            };
        }
    }

    /// Step 4: commits the pair if the generation has not changed.
    fn commit(&mut self, pair: u8) {
        let (id, view, old) = (self.me, self.view(), *self.row());
        let allowed = self.mutation != Mutation::CommitRequiresLease || old.lease == Some(id);
        let allowed = allowed
            && !(self.mutation == Mutation::ReconnectBlocksCommit && old.reconnect.is_some());
        let unconditional = self.mutation == Mutation::CommitUnconditionally;
        if unconditional || (allowed && old.generation == view.generation) {
            let replay = self.me().replay;
            let removes_any_stash = self.mutation == Mutation::CommitRemovesAnyStash;
            let removes_attempt = self.mutation == Mutation::ReplayRemovesAttempt;
            let row = self.row();
            row.commit(view.generation, pair, id);
            row.attempt = old.attempt.filter(|_| replay && !removes_attempt);
            row.stash = old
                .stash
                .filter(|_| (replay || !view.saw_stash) && !removes_any_stash);
            let me = self.me();
            me.learn(&Row {
                generation: view.generation + 1,
                token: pair,
                ..old
            });
            if old.reconnect.is_some() {
                me.step = Step::Reactivate(true);
            } else {
                self.mint();
            }
        } else if old.writer == Some(id) {
            self.me().learn(&old);
            self.mint();
        } else if self.mutation == Mutation::NoStash {
            self.drop_pair(&old, pair);
        } else {
            self.me().step = Step::Stash(pair);
        }
    }

    /// Step 4: stashes the pair on a later generation than the one that was refreshed.
    fn stash(&mut self, pair: u8) {
        let (view, old) = (self.view(), *self.row());
        let next_only = self.mutation == Mutation::StashOnNextGenerationOnly
            && old.generation != view.generation + 1;
        if old.generation > view.generation && old.stash.is_none() && !next_only {
            let row = self.row();
            row.stash = Some(pair);
            row.reconnect = None;
            self.me().step = Step::Reactivate(false);
            if old.reconnect.is_none() {
                self.read_again();
            }
        } else {
            self.drop_pair(&old, pair);
        }
    }

    /// Drops a pair. That is correct only if the same pair is in the stash already (I3).
    fn drop_pair(&mut self, row: &Row, pair: u8) {
        if row.stash != Some(pair) {
            self.state.violate(Rule::I3);
        }
        self.read_again();
    }

    /// Continues with step 0, or with another read of the candidate's row. A replay ends: it needs no token.
    fn read_again(&mut self) {
        let me = self.me();
        if me.replay {
            me.end(Outcome::Nothing);
        } else if me.candidate.is_some() {
            me.step = Step::Read;
        } else {
            me.step = Step::Credential;
        }
    }

    /// Step 4: sets one credential of the row to `active` in each step.
    fn reactivate(&mut self, mint: bool) {
        let row = self.view().row;
        if let Some(credential) = self
            .state
            .credentials
            .iter_mut()
            .find(|it| it.grant == row && !it.active)
        {
            credential.active = true;
        } else if mint {
            self.mint();
        } else {
            self.read_again();
        }
    }

    /// Mints with the access token. A candidate is adopted only after a successful mint.
    fn mint(&mut self) {
        let view = self.view();
        let accepted = self.state.zoom[usize::from(view.row)].accepts_access_token_of(view.token);
        let repairs = self.mutation != Mutation::CredentialStaysInvalid;
        let me = self.me();
        if me.replay {
            me.end(Outcome::Nothing);
        } else if !accepted {
            me.end(Outcome::Transient);
        } else if me.candidate.is_some() {
            me.step = Step::Adopt;
        } else if me.read_active || !repairs {
            me.end(Outcome::Token);
        } else {
            me.step = Step::Repair(true);
        }
    }

    /// Step 6: reads the row after the refusal.
    fn refused(&mut self) {
        let (id, view, row) = (self.me, self.view(), *self.row());
        if row.generation != view.generation {
            self.read_again();
        } else if let Some(stash) = row.stash.filter(|_| row.stash != view.tried_stash) {
            let me = self.me();
            me.view_mut().tried_stash = Some(stash);
            me.view_mut().saw_stash = true;
            me.step = Step::SendRefresh(stash);
        } else if self.me().candidate.is_some() {
            self.me().step = Step::Declare(row.stash);
        } else {
            if self.mutation != Mutation::SearchKeepsLease {
                self.row().release(id, view.outcome_unknown);
            }
            if self.mutation == Mutation::SearchRemovesAttempt {
                self.row().attempt = None;
            }
            self.me().search();
        }
    }

    /// Step 6: picks the next candidate of the search.
    fn search(&mut self) {
        let (home, tried) = (self.me().home.row, self.me().tried);
        let untried = self
            .me()
            .left
            .unwrap_or_else(|| self.state.search_candidates(home) & !tried);
        let read_reconnect = self.me().read_reconnect;
        let repairs = self.mutation != Mutation::CredentialStaysActive;
        let skips_trial = self.mutation == Mutation::AdoptWithoutTrial;
        let me = self.me();
        if let Some(newest) = (0..8_u8).rev().find(|row| untried & (1 << row) != 0) {
            me.left = Some(untried & !(1 << newest));
            me.tried |= 1 << newest;
            me.candidate = Some(RowView {
                row: newest,
                ..RowView::default()
            });
            me.step = if skips_trial { Step::Adopt } else { Step::Read };
        } else if !read_reconnect {
            me.step = Step::Reread;
        } else if me.read_active && repairs {
            me.step = Step::Repair(false);
        } else {
            me.end(Outcome::Reconnect);
        }
    }

    /// Step 6: reads the home row again before the declaration.
    fn reread(&mut self) {
        let (view, row) = (self.view(), *self.row());
        let changed = row.generation != view.generation || row.reconnect.is_some();
        let ignores_stash = self.mutation == Mutation::RereadIgnoresStash;
        let untried = row.stash.is_some() && row.stash != view.tried_stash && !ignores_stash;
        if changed || untried {
            self.read_again();
        } else {
            self.me().step = Step::Declare(row.stash);
        }
    }

    /// Step 6: the transaction that declares the grant dead.
    fn declare(&mut self, stash: Option<u8>) {
        let (id, view, row) = (self.me, self.view(), *self.row());
        let me = *self.me();
        let condition_holds = row.generation == view.generation && row.stash == stash;
        let weaker_condition_holds = match self.mutation {
            Mutation::DeclareIgnoresStash => row.generation == view.generation,
            Mutation::DeclareWithoutReading => true,
            _ => false,
        };
        if row.reconnect.is_some() || !(condition_holds || weaker_condition_holds) {
            self.read_again();
            return;
        }
        if me.candidate.is_none() {
            let credential = &mut self.state.credentials[usize::from(me.credential)];
            if credential.grant != view.row {
                self.read_again();
                return;
            }
            credential.active = false;
        }
        let reason = if view.may_be_lost {
            Reason::RefreshOutcomeLost
        } else {
            Reason::Revoked
        };
        let refused = row.stash.is_some() && row.stash == view.tried_stash;
        self.row().reconnect = Some(reason);
        self.row().release(id, view.outcome_unknown);
        // Zoom refused the stash, too. Its removal makes room for a late pair.
        if refused {
            self.row().stash = None;
        }

        if view.refused != Some(row.generation)
            || (row.stash.is_some() && row.stash != view.tried_stash)
        {
            self.state.violate(Rule::I4);
        }
        if me.failed_transiently {
            self.state.violate(Rule::I7);
        }
        let zoom_grant = self.state.zoom[usize::from(view.row)];
        if reason == Reason::Revoked && !zoom_grant.ended && !zoom_grant.late_refresh {
            self.state.violate(Rule::CorrectReason);
        }
        self.me().step = Step::InvalidateOthers;
    }

    /// Step 6: sets one credential of the row to `invalid` in each step.
    fn invalidate_others(&mut self) {
        let row = self.view().row;
        if let Some(credential) = self
            .state
            .credentials
            .iter_mut()
            .find(|it| it.grant == row && it.active)
        {
            credential.active = false;
        } else if self.me().candidate.is_some() {
            self.me().search();
        } else {
            self.me().end(Outcome::Reconnect);
        }
    }

    /// Step 6: moves the credential to the candidate.
    fn adopt(&mut self) {
        let (me, row) = (*self.me(), self.view().row);
        let credential = &mut self.state.credentials[usize::from(me.credential)];
        if credential.grant == me.home.row {
            credential.grant = row;
            credential.active = true;
        }
        self.me().end(Outcome::Token);
    }

    fn repair(&mut self, active: bool) {
        let me = *self.me();
        let credential = &mut self.state.credentials[usize::from(me.credential)];
        if credential.grant == me.home.row {
            credential.active = active;
        }
        self.me().end(if active {
            Outcome::Token
        } else {
            Outcome::Reconnect
        });
    }

    /// Step 7: the outcome is unknown. Keeps the lease and sends the same token once more.
    pub(crate) fn resend(&mut self) {
        let me = self.me();
        me.sent_twice = true;
        let view = me.view_mut();
        view.outcome_unknown = true;
        view.may_be_lost = true;
    }

    /// Step 7: no answer came. Stops waiting.
    pub(crate) fn give_up(&mut self) {
        self.resend();
        self.release();
    }

    /// Step 7: a definite refusal that spends nothing, or an acquire that took too long to send anything.
    pub(crate) fn release(&mut self) {
        let (id, view) = (self.me, self.view());
        self.row().release(id, view.outcome_unknown);
        let skips_candidate = self.mutation == Mutation::TransientFailureSkipsCandidate;
        let me = self.me();
        me.failed_transiently = true;
        if skips_candidate && me.candidate.is_some() {
            me.search();
        } else {
            me.end(Outcome::Transient);
        }
    }
}
