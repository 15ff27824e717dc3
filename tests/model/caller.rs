//! One mint, step by step as `protocols.md` 3 numbers them. Every step is one read or write of the store, or one answer
//! of Zoom's; the others may do anything in between.

use crate::store::{Id, Reason, Row};
use crate::zoom::Mood;
use crate::{Broken, Mutation, State};

/// Where a mint stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    /// Not yet called.
    #[default]
    Idle,
    /// 0. Read the credential.
    Credential,
    /// 0. Read the row.
    Read,
    /// 1, 2. Keys are there; persist the intent.
    Acquire,
    /// 3. The refresh is under way with this token.
    Post(u8),
    /// 4. Zoom answered; this pair is stored nowhere yet.
    Commit(u8),
    /// 4. The generation moved: keep the pair as `alt`.
    Stash(u8),
    /// 4. The row was in `reconnect`: its credentials become active again. Then mint, or read again.
    Reactivate(bool),
    /// 5. The capsule is in the log; the invocation is over.
    Capsule(u8),
    /// 6. `invalid_grant`: a consistent read.
    Refused,
    /// 6. The other active grants of the pair.
    Search,
    /// 6. Nothing found: read my row again.
    Reread,
    /// 6. The one transaction, with the `alt` of the read before.
    Declare(Option<u8>),
    /// 6. The grant's other credentials.
    Follow,
    /// 6. A candidate worked: point at it.
    Adopt,
    /// The credential's state follows its row.
    Repair(bool),
    /// Over.
    Ended(Outcome),
}

/// What a mint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Outcome {
    /// A token.
    Token,
    /// The user must connect again.
    Reconnect,
    /// Try again.
    Transient,
    /// Killed, or an answer nobody waits for.
    Nothing,
}

/// What a mint knows of a row it works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Work {
    /// The row.
    pub(crate) row: u8,
    /// As read last.
    pub(crate) generation: u8,
    /// The refresh token of that generation.
    pub(crate) token: u8,
    /// The stash that Zoom refused to this mint.
    pub(crate) alt_tried: Option<u8>,
    /// A stash was there before the last send, so a pair from that send supersedes it.
    pub(crate) saw_alt: bool,
    /// A send of mine ended unknown.
    pub(crate) unknown: bool,
    /// The evidence of 6: `unknown`, or an older attempt was on the row when I acquired.
    pub(crate) lost: bool,
    /// Ghost: the generation Zoom refused last.
    pub(crate) refused: Option<u8>,
}

/// One invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Caller {
    /// Where it stands.
    pub(crate) step: Step,
    /// The credential asked for.
    pub(crate) credential: u8,
    /// The credential's row.
    pub(crate) home: Work,
    /// The candidate of the search that is being tried.
    pub(crate) candidate: Option<Work>,
    /// Candidates tried: each at most once an invocation.
    pub(crate) tried: u8,
    /// Candidates of this search still to be tried.
    pub(crate) left: Option<u8>,
    /// The row was read in `reconnect`: search, and declare nothing.
    pub(crate) hopeless: bool,
    /// The credential was read as `active`.
    pub(crate) seen_active: bool,
    /// The refresh was sent a second time.
    pub(crate) resent: bool,
    /// The capsule's replay: the CLI at step 4.
    pub(crate) replay: bool,
    /// The invocation is over; its last message may still arrive.
    pub(crate) posthumous: bool,
    /// Ghost: something transient went wrong.
    pub(crate) transient: bool,
}

impl Caller {
    /// A mint asked for.
    pub(crate) fn of(credential: u8) -> Self {
        Self {
            step: Step::Credential,
            credential,
            ..Self::default()
        }
    }

    /// The process lives: its lease cannot have ended.
    pub(crate) const fn lives(&self) -> bool {
        !matches!(self.step, Step::Idle | Step::Capsule(_) | Step::Ended(_))
            && !self.replay
            && !self.posthumous
    }

    /// The pair in its hands.
    pub(crate) const fn pair(&self) -> Option<u8> {
        match self.step {
            Step::Commit(pair) | Step::Stash(pair) => Some(pair),
            _ => None,
        }
    }

    /// The row it works on.
    pub(crate) const fn work(&self) -> &Work {
        match &self.candidate {
            Some(work) => work,
            None => &self.home,
        }
    }

    /// Forgets what can no longer matter.
    pub(crate) fn forget(&mut self, ended: &[bool]) {
        let posts = matches!(self.step, Step::Post(_));
        let sends = posts || matches!(self.step, Step::Commit(_) | Step::Capsule(_));
        let refused = matches!(
            self.step,
            Step::Refused | Step::Declare(_) | Step::Search | Step::Reread
        );
        let other = self.candidate.is_some();
        self.resent &= posts;
        self.home.saw_alt &= sends && !other;
        if !refused && !other {
            self.home.refused = None;
        }
        let work = self.work_mut();
        work.saw_alt &= sends;
        work.refused = work.refused.filter(|_| refused);
        if posts && ended[usize::from(work.row)] {
            self.step = Step::Post(0);
        }
        for work in [Some(&mut self.home), self.candidate.as_mut()]
            .into_iter()
            .flatten()
        {
            if ended[usize::from(work.row)] {
                work.token = 0;
                work.unknown = false;
                work.lost = false;
            }
        }
    }

    fn work_mut(&mut self) -> &mut Work {
        self.candidate.as_mut().unwrap_or(&mut self.home)
    }

    /// The invocation is over.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.step = Step::Ended(outcome);
    }

    fn search(&mut self) {
        self.candidate = None;
        self.step = Step::Search;
    }

    fn learn(&mut self, row: &Row) {
        let work = self.work_mut();
        if work.generation != row.generation {
            *work = Work {
                row: work.row,
                ..Work::default()
            };
        }
        work.generation = row.generation;
        work.token = row.token;
    }
}

/// The world as one step of one caller sees it.
pub(crate) struct Turn<'a> {
    /// Everything.
    pub(crate) state: &'a mut State,
    /// Whose turn it is.
    pub(crate) me: Id,
    /// Zoom's mood.
    pub(crate) mood: Mood,
    /// The protocol, or what was made of it.
    pub(crate) mutation: Mutation,
}

impl Turn<'_> {
    fn me(&mut self) -> &mut Caller {
        &mut self.state.callers[usize::from(self.me)]
    }

    fn work(&self) -> Work {
        *self.state.callers[usize::from(self.me)].work()
    }

    fn row(&mut self) -> &mut Row {
        let row = self.work().row;
        self.state.row(row)
    }

    /// The next step, nothing going wrong.
    pub(crate) fn step(mut self) {
        match self.me().step {
            Step::Idle | Step::Capsule(_) | Step::Ended(_) => {}
            Step::Credential => self.credential(),
            Step::Read => self.read(false),
            Step::Acquire => self.acquire(),
            Step::Post(token) => self.post(token),
            Step::Commit(pair) => self.commit(pair),
            Step::Stash(pair) => self.stash(pair),
            Step::Reactivate(mint) => self.reactivate(mint),
            Step::Refused => self.refused(),
            Step::Search => self.search(),
            Step::Reread => self.reread(),
            Step::Declare(alt) => self.declare(alt),
            Step::Follow => self.follow(),
            Step::Adopt => self.adopt(),
            Step::Repair(active) => self.repair(active),
        }
    }

    /// Step 0. A credential's state stops no mint.
    fn credential(&mut self) {
        let credential = self.state.credentials[usize::from(self.me().credential)];
        let me = self.me();
        if me.home.row != credential.grant {
            me.home = Work {
                row: credential.grant,
                ..Work::default()
            };
        }
        me.left = None;
        me.seen_active = credential.active;
        me.step = Step::Read;
    }

    /// Step 0. `good`: the stored access token is taken to be good.
    pub(crate) fn read(&mut self, good: bool) {
        let row = *self.row();
        let accepted = good && self.state.zoom[usize::from(self.work().row)].mints_with(row.token);
        let hopeless = row.reconnect.is_some();
        let stops = self.mutation == Mutation::ReconnectEndsTheMint;
        let me = self.me();
        me.learn(&row);
        if me.candidate.is_none() {
            me.hopeless = hopeless;
        }
        if hopeless && stops {
            me.end(Outcome::Reconnect);
        } else if hopeless {
            me.search();
        } else if accepted {
            self.minted();
        } else {
            me.step = Step::Acquire;
        }
    }

    /// Steps 1 and 2.
    fn acquire(&mut self) {
        let (id, work, old) = (self.me, self.work(), *self.row());
        let fenced = self.mutation != Mutation::AcquireWithoutGeneration;
        if old.reconnect.is_some() || (fenced && old.generation != work.generation) {
            self.read_again();
            return;
        }
        if old.generation > work.generation {
            self.state.break_rule(Broken::I5);
        }
        let first = if self.mutation == Mutation::AttemptOverwritten {
            None
        } else {
            old.attempt
        };
        let row = self.row();
        row.lease = Some(id);
        row.attempt = Some(first.unwrap_or(id));
        let me = self.me();
        me.work_mut().saw_alt = old.alt.is_some();
        me.work_mut().lost |= first.is_some_and(|attempt| attempt != id);
        me.resent = false;
        me.step = Step::Post(work.token);
    }

    /// Step 3.
    fn post(&mut self, token: u8) {
        let work = self.work();
        let answer = self.state.zoom[usize::from(work.row)].refresh(self.mood, token);
        if self.row().generation != work.generation {
            let family = &mut self.state.zoom[usize::from(work.row)];
            family.overtaken |= answer.is_some() || family.reused;
        }
        let hasty = self.mutation == Mutation::DeclareWithoutReading;
        let me = self.me();
        if let Some(pair) = answer {
            me.step = Step::Commit(pair);
        } else {
            me.work_mut().refused = Some(work.generation);
            me.step = if hasty {
                Step::Declare(None)
            } else {
                Step::Refused
            };
        }
    }

    /// Step 4.
    fn commit(&mut self, pair: u8) {
        let (id, work, old) = (self.me, self.work(), *self.row());
        let mine = self.mutation != Mutation::CommitOnTheLease || old.lease == Some(id);
        let mine = mine
            && !(self.mutation == Mutation::ReconnectRefusesTheCommit && old.reconnect.is_some());
        let unconditional = self.mutation == Mutation::CommitUnconditionally;
        if unconditional || (mine && old.generation == work.generation) {
            let replay = self.me().replay;
            let wipes = self.mutation == Mutation::CommitWipesAlt;
            let forgets = self.mutation == Mutation::ReplayForgetsAttempt;
            let row = self.row();
            row.store(work.generation, pair, id);
            row.attempt = old.attempt.filter(|_| replay && !forgets);
            row.alt = old.alt.filter(|_| (replay || !work.saw_alt) && !wipes);
            let me = self.me();
            me.learn(&Row {
                generation: work.generation + 1,
                token: pair,
                ..old
            });
            if old.reconnect.is_some() {
                me.step = Step::Reactivate(true);
            } else {
                self.minted();
            }
        } else if old.writer == Some(id) {
            self.me().learn(&old);
            self.minted();
        } else if self.mutation == Mutation::NoStash {
            self.drop_pair(&old, pair);
        } else {
            self.me().step = Step::Stash(pair);
        }
    }

    fn stash(&mut self, pair: u8) {
        let (work, old) = (self.work(), *self.row());
        let next_only =
            self.mutation == Mutation::StashOnTheNextOnly && old.generation != work.generation + 1;
        if old.generation > work.generation && old.alt.is_none() && !next_only {
            let row = self.row();
            row.alt = Some(pair);
            row.reconnect = None;
            self.me().step = Step::Reactivate(false);
            if old.reconnect.is_none() {
                self.read_again();
            }
        } else {
            self.drop_pair(&old, pair);
        }
    }

    fn drop_pair(&mut self, row: &Row, pair: u8) {
        if row.alt != Some(pair) {
            self.state.break_rule(Broken::I3);
        }
        self.read_again();
    }

    /// Back to 0, or to the candidate's row. A replay has nothing to use.
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

    fn reactivate(&mut self, mint: bool) {
        let row = self.work().row;
        if let Some(credential) = self
            .state
            .credentials
            .iter_mut()
            .find(|it| it.grant == row && !it.active)
        {
            credential.active = true;
        } else if mint {
            self.minted();
        } else {
            self.read_again();
        }
    }

    /// The mint itself; a candidate is adopted only now.
    fn minted(&mut self) {
        let work = self.work();
        let accepted = self.state.zoom[usize::from(work.row)].mints_with(work.token);
        let repairs = self.mutation != Mutation::LeftInvalid;
        let me = self.me();
        if me.replay {
            me.end(Outcome::Nothing);
        } else if !accepted {
            me.end(Outcome::Transient);
        } else if me.candidate.is_some() {
            me.step = Step::Adopt;
        } else if me.seen_active || !repairs {
            me.end(Outcome::Token);
        } else {
            me.step = Step::Repair(true);
        }
    }

    /// Step 6, on a read made after the refusal.
    fn refused(&mut self) {
        let (id, work, row) = (self.me, self.work(), *self.row());
        if row.generation != work.generation {
            self.read_again();
        } else if let Some(alt) = row.alt.filter(|_| row.alt != work.alt_tried) {
            let me = self.me();
            me.work_mut().alt_tried = Some(alt);
            me.work_mut().saw_alt = true;
            me.step = Step::Post(alt);
        } else if self.me().candidate.is_some() {
            self.me().step = Step::Declare(row.alt);
        } else {
            if self.mutation != Mutation::SearchHoldingTheLease {
                self.row().release(id, work.unknown);
            }
            if self.mutation == Mutation::EvidenceRemoved {
                self.row().attempt = None;
            }
            self.me().search();
        }
    }

    fn search(&mut self) {
        let (home, tried) = (self.me().home.row, self.me().tried);
        let listed = self
            .me()
            .left
            .unwrap_or_else(|| self.state.candidates(home) & !tried);
        let hopeless = self.me().hopeless;
        let repairs = self.mutation != Mutation::LeftActive;
        let untried = self.mutation == Mutation::AdoptedUntried;
        let me = self.me();
        if let Some(newest) = (0..8_u8).rev().find(|row| listed & (1 << row) != 0) {
            me.left = Some(listed & !(1 << newest));
            me.tried |= 1 << newest;
            me.candidate = Some(Work {
                row: newest,
                ..Work::default()
            });
            me.step = if untried { Step::Adopt } else { Step::Read };
        } else if !hopeless {
            me.step = Step::Reread;
        } else if me.seen_active && repairs {
            me.step = Step::Repair(false);
        } else {
            me.end(Outcome::Reconnect);
        }
    }

    fn reread(&mut self) {
        let (work, row) = (self.work(), *self.row());
        let moved = row.generation != work.generation || row.reconnect.is_some();
        let overlooked = self.mutation == Mutation::RereadOverlooksAlt;
        let untried = row.alt.is_some() && row.alt != work.alt_tried && !overlooked;
        if moved || untried {
            self.read_again();
        } else {
            self.me().step = Step::Declare(row.alt);
        }
    }

    fn declare(&mut self, alt: Option<u8>) {
        let (id, work, row) = (self.me, self.work(), *self.row());
        let me = *self.me();
        let fenced = row.generation == work.generation && row.alt == alt;
        let unfenced = match self.mutation {
            Mutation::DeclareWithoutAlt => row.generation == work.generation,
            Mutation::DeclareWithoutReading => true,
            _ => false,
        };
        if row.reconnect.is_some() || !(fenced || unfenced) {
            self.read_again();
            return;
        }
        if me.candidate.is_none() {
            let credential = &mut self.state.credentials[usize::from(me.credential)];
            if credential.grant != work.row {
                self.read_again();
                return;
            }
            credential.active = false;
        }
        let reason = if work.lost {
            Reason::RefreshOutcomeLost
        } else {
            Reason::Revoked
        };
        let refused = row.alt.is_some() && row.alt == work.alt_tried;
        self.row().reconnect = Some(reason);
        self.row().release(id, work.unknown);
        // Refused too: it makes room for one that comes late.
        if refused {
            self.row().alt = None;
        }

        if work.refused != Some(row.generation) || (row.alt.is_some() && row.alt != work.alt_tried)
        {
            self.state.break_rule(Broken::I4);
        }
        if me.transient {
            self.state.break_rule(Broken::I7);
        }
        let family = self.state.zoom[usize::from(work.row)];
        if reason == Reason::Revoked && !family.ended && !family.overtaken {
            self.state.break_rule(Broken::Honesty);
        }
        self.me().step = Step::Follow;
    }

    fn follow(&mut self) {
        let row = self.work().row;
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

    fn adopt(&mut self) {
        let (me, row) = (*self.me(), self.work().row);
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

    /// Step 7: the outcome is unknown; the lease is kept and the same token sent once more.
    pub(crate) fn resend(&mut self) {
        let me = self.me();
        me.resent = true;
        let work = me.work_mut();
        work.unknown = true;
        work.lost = true;
    }

    /// Step 7: no answer, and none will be waited for.
    pub(crate) fn give_up(&mut self) {
        self.resend();
        self.release();
    }

    /// Step 7: a definite refusal that spends nothing (or too slow an acquire: nothing was sent).
    pub(crate) fn release(&mut self) {
        let (id, work) = (self.me, self.work());
        self.row().release(id, work.unknown);
        let goes_on = self.mutation == Mutation::TransientIsNothingFound;
        let me = self.me();
        me.transient = true;
        if goes_on && me.candidate.is_some() {
            me.search();
        } else {
            me.end(Outcome::Transient);
        }
    }
}
