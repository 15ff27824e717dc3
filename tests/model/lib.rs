//! The refresh protocol (`protocols.md` 3) as a model that `stateright` explores to the end, within bounds: see
//! README.md. Time is not modelled: a lease ends when its holder is over, and whatever may be late may be late for ever.
#![expect(
    clippy::indexing_slicing,
    reason = "an index out of bounds is a mistake in the model: it should fail the test"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most faults, mistakes and steps have nothing to do with each other"
)]
#![expect(
    clippy::struct_excessive_bools,
    reason = "what is known, and what is not, is what a state is made of"
)]

mod caller;
mod store;
mod zoom;

use caller::{Caller, Outcome, Step, Turn};
use stateright::{Model, Property};
use store::{Credential, GONE, Id, Reason, Row};
use zoom::Family;
pub use zoom::Mood;

/// What to explore.
#[derive(Clone, Copy, Debug)]
pub struct Refresh {
    /// Mints that may run at once, at most 3.
    pub callers: u8,
    /// How Zoom takes a token that was used before.
    pub mood: Mood,
    /// Where it begins.
    pub start: Start,
    /// Processes that may die, anywhere.
    pub crashes: u8,
    /// Messages that may be lost or late, or refused for a while.
    pub faults: u8,
    /// Re-authorizations.
    pub authorizations: u8,
    /// Times the user revokes the grant at Zoom.
    pub revocations: u8,
    /// What is done to the protocol.
    pub mutation: Mutation,
}

/// Where a model begins: two credentials of one pair, access tokens expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Both credentials point at the one grant.
    Shared,
    /// Each points at its own; Zoom let only the newer live.
    NewerLives,
    /// Each points at its own; Zoom took the two authorizations in the other order.
    OlderLives,
}

/// A mistake made on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// None: the protocol as written.
    None,
    /// The commit asks for the lease, too.
    CommitOnTheLease,
    /// The commit asks for nothing.
    CommitUnconditionally,
    /// The commit removes a stash that it never saw.
    CommitWipesAlt,
    /// A pair is stashed on the very next generation only, and dropped on a later one.
    StashOnTheNextOnly,
    /// A pair whose generation moved is dropped.
    NoStash,
    /// The declaring transaction does not ask whether `alt` is the one that was read.
    DeclareWithoutAlt,
    /// `invalid_grant` declares at once.
    DeclareWithoutReading,
    /// Acquiring forgets an older unfinished attempt.
    AttemptOverwritten,
    /// The capsule's replay clears the evidence as any commit does.
    ReplayForgetsAttempt,
    /// The lease may end before its holder.
    LeaseShorterThanItsHolder,
    /// Acquiring does not ask for the generation.
    AcquireWithoutGeneration,
    /// A short time-out: a slow answer is not waited for.
    SlowAnswerAbandoned,
    /// The search keeps the lease on its own row.
    SearchHoldingTheLease,
    /// A candidate's 5xx counts as a candidate that does not work.
    TransientIsNothingFound,
    /// A row in `reconnect` ends the mint: no search.
    ReconnectEndsTheMint,
    /// The read before declaring overlooks a stash that came meanwhile.
    RereadOverlooksAlt,
    /// A mint that found nothing leaves its credential `active` over a row in `reconnect`.
    LeftActive,
    /// A mint that worked leaves its credential `invalid`.
    LeftInvalid,
    /// A row is left for another with its evidence removed, whoever's it is.
    EvidenceRemoved,
    /// A commit over a row in `reconnect` is refused.
    ReconnectRefusesTheCommit,
    /// The first other grant is adopted untried.
    AdoptedUntried,
}

/// A rule that was broken on the way to a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    I3,
    I4,
    I5,
    I7,
    Honesty,
    /// The mint after everything has come to rest.
    HealEnds,
    HealFinds,
    I8,
}

impl Broken {
    const fn bit(self) -> u8 {
        match self {
            Self::I3 => 1,
            Self::I4 => 2,
            Self::I5 => 4,
            Self::I7 => 8,
            Self::Honesty => 16,
            Self::HealEnds => 32,
            Self::HealFinds => 64,
            Self::I8 => 128,
        }
    }
}

/// The re-authorization of credential 0: code, transaction, siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Authorizer {
    Idle,
    Answered { row: u8 },
    Siblings { row: u8 },
}

/// Everything: Zoom, the store, the processes, and what may still go wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    zoom: [Family; GRANTS],
    rows: [Option<Row>; GRANTS],
    credentials: [Credential; 2],
    callers: [Caller; 3],
    authorizer: Authorizer,
    crashes: u8,
    faults: u8,
    authorizations: u8,
    revocations: u8,
    broken: u8,
}

const WRITE: &[Fault] = &[Fault::AckLost, Fault::WriteLate];
const GRANTS: usize = 3;
/// No mint takes more steps than this alone.
const PATIENCE: u8 = 60;

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A mint of this credential is asked for.
    Call(u8, u8),
    /// The caller's next step; everything goes well.
    Step(Id),
    /// Step 0 takes the stored access token to be good.
    UseStored(Id),
    /// The caller's next step; this goes wrong.
    Fault(Id, Fault),
    /// The caller dies.
    Crash(Id),
    /// The CLI replays the caller's capsule.
    Replay(Id),
    /// The last message of a caller whose invocation is over arrives.
    Deliver(Id),
    /// It never arrives.
    Lose(Id),
    /// The user authorizes again: Zoom takes the code, and answers.
    Authorize,
    /// The new row, and credential 0 points at it.
    Authorized,
    /// The other credential of the pair is re-pointed.
    Repoint,
    /// The authorizer ends here.
    LeaveSiblings,
    /// The authorizer dies.
    CrashAuthorizer,
    /// The user revokes at Zoom.
    Revoke,
}

/// What can go wrong with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A write applied, its ack lost: the caller writes again.
    AckLost,
    /// A write that arrives after its invocation, or never.
    WriteLate,
    /// No write ever gets through: the capsule.
    StoreDown,
    /// 429, `invalid_client`, or an acquire that took too long: nothing was spent.
    Refused,
    /// A 5xx or a reset; Zoom did nothing.
    Failed,
    /// A 5xx or a reset; Zoom had rotated.
    AnswerLost,
    /// Silence; Zoom did nothing.
    Silence,
    /// Silence; Zoom had rotated.
    SilenceAfter,
    /// Silence; Zoom rotates later.
    PostLate,
}

impl State {
    fn row(&mut self, row: u8) -> &mut Row {
        self.rows[usize::from(row)].get_or_insert_default()
    }

    fn break_rule(&mut self, rule: Broken) {
        self.broken |= rule.bit();
    }

    const fn kept(&self, rule: Broken) -> bool {
        self.broken & rule.bit() == 0
    }

    /// The other active grants that credentials of the pair point at, as a bit set.
    fn candidates(&self, home: u8) -> u8 {
        let active =
            |row: u8| self.rows[usize::from(row)].is_some_and(|row| row.reconnect.is_none());
        let others = self
            .credentials
            .iter()
            .map(|it| it.grant)
            .filter(|row| *row != home && active(*row));
        others.fold(0, |set, row| set | 1 << row)
    }

    /// The caller is over, and with it the pair in its hands: the irreducible point.
    fn lose(&mut self, me: Id) {
        let caller = &mut self.callers[usize::from(me)];
        if caller.pair().is_some() {
            self.zoom[usize::from(caller.work().row)].excused = true;
        }
        caller.end(Outcome::Nothing);
    }

    /// Nothing is under way any more.
    fn rests(&self) -> bool {
        self.authorizer == Authorizer::Idle
            && self
                .callers
                .iter()
                .all(|it| matches!(it.step, Step::Idle | Step::Ended(_)))
    }

    /// Zoom's only good refresh token of the grant is in its row.
    fn stores_live_token(&self, row: u8) -> bool {
        let family = self.zoom[usize::from(row)];
        family.alive
            && self.rows[usize::from(row)]
                .is_some_and(|it| it.token == family.current || it.alt == Some(family.current))
    }

    /// A living grant whose token is stored nowhere, or one that our own reuse killed, without the excuse of a crash, a
    /// lost answer or a delay between Zoom's rotation and the commit.
    fn lost_elsewhere(&self) -> bool {
        (0..3).any(|row| {
            let family = self.zoom[usize::from(row)];
            !family.excused && (family.reused || (family.alive && !self.stores_live_token(row)))
        })
    }

    /// States that differ only in what can no longer matter are one: which token of a dead grant is meant, what is
    /// known by those who are over, and which of the callers is which.
    fn canonical(mut self) -> Self {
        for family in &mut self.zoom {
            if family.ended {
                // What went before shows where the user does not end it.
                *family = Family {
                    ended: true,
                    ..Family::default()
                };
            }
        }
        let ended = self.zoom.map(|family| family.ended);
        for (row, ended) in self.rows.iter_mut().zip(ended) {
            if let (Some(row), true) = (row, ended) {
                row.token = 0;
                row.fresh = false;
                row.attempt = None;
                row.reconnect = row.reconnect.map(|_| Reason::Revoked);
            }
        }
        for caller in &mut self.callers {
            caller.forget(&ended);
        }
        for caller in &mut self.callers {
            if let Step::Ended(_) = caller.step {
                *caller = Caller {
                    step: Step::Ended(Outcome::Nothing),
                    ..Caller::default()
                };
            }
        }
        let over = self.callers.map(|it| matches!(it.step, Step::Ended(_)));
        let gone = |id: Id| id == GONE || over[usize::from(id)];
        for row in self.rows.iter_mut().flatten() {
            row.writer = row.writer.filter(|id| !gone(*id));
            row.attempt = row.attempt.map(|id| if gone(id) { GONE } else { id });
            row.lease = row.lease.filter(|id| !gone(*id));
        }
        let mut order = [0_u8, 1, 2];
        let roles = |id: Id| {
            let id = Some(id);
            self.rows
                .map(|row| row.map(|it| (it.lease == id, it.attempt == id, it.writer == id)))
        };
        order.sort_unstable_by_key(|id| (self.callers[usize::from(*id)], roles(*id)));
        let renamed = |id: Id| {
            (0..3)
                .find(|new| order[usize::from(*new)] == id)
                .unwrap_or(GONE)
        };
        self.callers = order.map(|id| self.callers[usize::from(id)]);
        for row in self.rows.iter_mut().flatten() {
            row.writer = row.writer.map(renamed);
            row.attempt = row.attempt.map(renamed);
            row.lease = row.lease.map(renamed);
        }
        self
    }
}

impl Refresh {
    fn turn(self, state: &mut State, me: Id) -> Turn<'_> {
        Turn {
            state,
            me,
            mood: self.mood,
            mutation: self.mutation,
        }
    }

    /// Step 2: another's lease keeps this caller waiting.
    fn waits(self, state: &State, me: Id) -> bool {
        let caller = &state.callers[usize::from(me)];
        let work = caller.work();
        caller.step == Step::Acquire
            && self.mutation != Mutation::LeaseShorterThanItsHolder
            && state.rows[usize::from(work.row)].is_some_and(|row| {
                let lives =
                    |id: Id| id != me && id != GONE && state.callers[usize::from(id)].lives();
                row.generation == work.generation
                    && row.reconnect.is_none()
                    && row.lease.is_some_and(lives)
            })
    }

    /// Lets one more mint of this credential run alone to its end, nothing going wrong.
    fn heal(self, state: &State, credential: u8) -> (State, Option<Outcome>) {
        let mut healed = state.clone();
        healed.callers = [Caller::default(); 3];
        for row in healed.rows.iter_mut().flatten() {
            row.lease = None;
            row.writer = None;
            row.attempt = row.attempt.map(|_| GONE);
        }
        healed.callers[0] = Caller::of(credential);
        for _ in 0..PATIENCE {
            self.turn(&mut healed, 0).step();
            if let Step::Ended(outcome) = healed.callers[0].step {
                return (healed, Some(outcome));
            }
        }
        (healed, None)
    }

    /// At rest: what must be true after one more mint.
    fn judge(self, state: &mut State) {
        for credential in [0, 1] {
            let (healed, outcome) = self.heal(state, credential);
            let reachable = (0..3).any(|row| state.stores_live_token(row));
            match outcome {
                Some(Outcome::Token) => {}
                Some(Outcome::Reconnect) => {
                    if reachable {
                        state.break_rule(Broken::HealFinds);
                    }
                }
                Some(Outcome::Transient | Outcome::Nothing) | None => {
                    state.break_rule(Broken::HealEnds);
                }
            }
            let it = healed.credentials[usize::from(credential)];
            if healed.rows[usize::from(it.grant)].is_some_and(|row| row.reconnect.is_none())
                != it.active
            {
                state.break_rule(Broken::I8);
            }
            state.broken |= healed.broken;
        }
    }

    fn fault(self, state: &mut State, me: Id, fault: Fault) {
        let caller = state.callers[usize::from(me)];
        let work = *caller.work();
        let family = usize::from(work.row);
        let sent = match (caller.step, fault) {
            (Step::Post(token), Fault::AnswerLost | Fault::SilenceAfter) => {
                // Lost for good only if it was a pair that was lost.
                let excused = state.zoom[family].refresh(self.mood, token).is_some();
                state.zoom[family].excused |= excused;
                token
            }
            (Step::Post(token) | Step::Commit(token), _) => token,
            _ => 0,
        };
        match fault {
            Fault::AckLost => {
                self.turn(state, me).step();
                state.callers[usize::from(me)] = caller;
            }
            Fault::WriteLate | Fault::StoreDown => {
                let it = &mut state.callers[usize::from(me)];
                // A mint that comes before the late commit or the replay sends the spent token: against that mood
                // nothing can help.
                state.zoom[family].excused |=
                    it.pair().is_some() && self.mood == Mood::ReuseRevokesFamily;
                if fault == Fault::WriteLate {
                    it.posthumous = true;
                } else {
                    it.step = Step::Capsule(sent);
                }
            }
            Fault::Refused => self.turn(state, me).release(),
            Fault::Failed | Fault::AnswerLost if !caller.resent => self.turn(state, me).resend(),
            Fault::Failed | Fault::AnswerLost | Fault::Silence | Fault::SilenceAfter => {
                self.turn(state, me).give_up();
            }
            Fault::PostLate => {
                self.turn(state, me).give_up();
                state.callers[usize::from(me)] = Caller {
                    posthumous: true,
                    ..caller
                };
            }
        }
    }

    /// The sender is over: nobody hears the answer.
    fn deliver(self, state: &mut State, me: Id) {
        let caller = state.callers[usize::from(me)];
        let row = caller.work().row;
        let family = usize::from(row);
        match caller.step {
            Step::Post(token) => {
                let rotated = state.zoom[family].refresh(self.mood, token).is_some();
                let harmed = rotated || state.zoom[family].reused;
                state.zoom[family].excused |= harmed;
                state.zoom[family].overtaken |= harmed;
            }
            Step::Commit(_) => {
                state.zoom[family].overtaken |= state.row(row).lease != Some(me);
                self.turn(state, me).step();
                state.zoom[family].excused |=
                    matches!(state.callers[usize::from(me)].step, Step::Stash(_));
            }
            Step::Acquire if self.waits(state, me) => {}
            _ => self.turn(state, me).step(),
        }
        state.callers[usize::from(me)].end(Outcome::Nothing);
    }
}

impl Model for Refresh {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let shared = self.start == Start::Shared;
        let alive = |lives| Family {
            alive: lives,
            ended: !lives,
            ..Family::new()
        };
        let row = Some(Row::new(false));
        let mut callers = [Caller {
            step: Step::Ended(Outcome::Nothing),
            ..Caller::default()
        }; 3];
        for caller in callers.iter_mut().take(self.callers.into()) {
            *caller = Caller::default();
        }
        let state = State {
            zoom: [
                alive(self.start != Start::NewerLives),
                alive(self.start == Start::NewerLives),
                Family::default(),
            ],
            rows: [row, row.filter(|_| !shared), None],
            credentials: [0, u8::from(!shared)].map(|grant| Credential {
                grant,
                active: true,
            }),
            callers,
            authorizer: Authorizer::Idle,
            crashes: self.crashes,
            faults: self.faults,
            authorizations: self.authorizations,
            revocations: self.revocations,
            broken: 0,
        };
        vec![state.canonical()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let mut asked = false;
        for me in 0..3 {
            let caller = state.callers[usize::from(me)];
            let row = state.rows[usize::from(caller.work().row)];
            match caller.step {
                Step::Ended(_) => continue,
                Step::Capsule(_) => {
                    actions.push(Action::Replay(me));
                    continue;
                }
                _ if caller.posthumous => {
                    actions.extend([Action::Deliver(me), Action::Lose(me)]);
                    continue;
                }
                Step::Idle => {
                    if !asked {
                        actions.extend([Action::Call(me, 0), Action::Call(me, 1)]);
                    }
                    asked = true;
                    continue;
                }
                Step::Acquire if self.waits(state, me) => {
                    if state.crashes > 0 {
                        actions.push(Action::Crash(me));
                    }
                    continue;
                }
                Step::Read => {
                    actions.push(Action::Step(me));
                    if row.is_some_and(|row| row.fresh && row.reconnect.is_none()) {
                        actions.push(Action::UseStored(me));
                    }
                }
                _ => actions.push(Action::Step(me)),
            }
            if state.crashes > 0 && !caller.replay {
                actions.push(Action::Crash(me));
            }
            if self.mutation == Mutation::SlowAnswerAbandoned
                && matches!(caller.step, Step::Post(_))
            {
                actions.push(Action::Fault(me, Fault::SilenceAfter));
            }
            if state.faults > 0 && !caller.replay {
                let faults: &[Fault] = match caller.step {
                    Step::Acquire if row.is_some_and(|row| row.lease != Some(me)) => WRITE,
                    Step::Post(_) => &[
                        Fault::Refused,
                        Fault::Failed,
                        Fault::AnswerLost,
                        Fault::Silence,
                        Fault::SilenceAfter,
                        Fault::PostLate,
                    ],
                    Step::Commit(_) => &[Fault::AckLost, Fault::WriteLate, Fault::StoreDown],
                    Step::Stash(_) | Step::Declare(_) | Step::Adopt => WRITE,
                    Step::Reactivate(_) | Step::Follow | Step::Repair(_) => &[Fault::WriteLate],
                    _ => &[],
                };
                actions.extend(faults.iter().map(|fault| Action::Fault(me, *fault)));
            }
        }
        match state.authorizer {
            Authorizer::Idle if state.authorizations > 0 => actions.push(Action::Authorize),
            Authorizer::Idle => {}
            Authorizer::Answered { .. } => {
                actions.push(Action::Authorized);
                if state.crashes > 0 {
                    actions.push(Action::CrashAuthorizer);
                }
            }
            Authorizer::Siblings { .. } => actions.extend([Action::Repoint, Action::LeaveSiblings]),
        }
        if state.revocations > 0 {
            actions.push(Action::Revoke);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Call(me, credential) => state.callers[usize::from(me)] = Caller::of(credential),
            Action::Step(me) => self.turn(&mut state, me).step(),
            Action::UseStored(me) => self.turn(&mut state, me).read(true),
            Action::Fault(me, fault) => {
                state.faults = state.faults.saturating_sub(1);
                let excused = state.zoom.map(|family| family.excused);
                self.fault(&mut state, me, fault);
                if self.mutation == Mutation::SlowAnswerAbandoned && fault == Fault::SilenceAfter {
                    for (family, excused) in state.zoom.iter_mut().zip(excused) {
                        family.excused = excused;
                    }
                }
            }
            Action::Crash(me) => {
                state.crashes -= 1;
                state.lose(me);
            }
            Action::Replay(me) => {
                let caller = &mut state.callers[usize::from(me)];
                caller.replay = true;
                if let Step::Capsule(pair) = caller.step {
                    caller.step = Step::Commit(pair);
                }
            }
            Action::Deliver(me) => self.deliver(&mut state, me),
            Action::Lose(me) => state.lose(me),
            Action::Authorize => {
                let row: u8 = if self.start == Start::Shared { 1 } else { 2 };
                state.zoom.iter_mut().for_each(Family::end);
                state.zoom[usize::from(row)] = Family::new();
                state.authorizations -= 1;
                state.authorizer = Authorizer::Answered { row };
            }
            Action::Authorized => {
                if let Authorizer::Answered { row } = state.authorizer {
                    state.rows[usize::from(row)] = Some(Row::new(true));
                    state.credentials[0] = Credential {
                        grant: row,
                        active: true,
                    };
                    state.authorizer = Authorizer::Siblings { row };
                }
            }
            Action::Repoint => {
                if let Authorizer::Siblings { row } = state.authorizer {
                    state.credentials[1] = Credential {
                        grant: row,
                        active: true,
                    };
                }
                state.authorizer = Authorizer::Idle;
            }
            Action::LeaveSiblings => state.authorizer = Authorizer::Idle,
            Action::CrashAuthorizer => {
                if let Authorizer::Answered { row } = state.authorizer {
                    state.zoom[usize::from(row)].excused = true;
                }
                state.crashes -= 1;
                state.authorizer = Authorizer::Idle;
            }
            Action::Revoke => {
                state.revocations -= 1;
                state.zoom.iter_mut().for_each(Family::end);
            }
        }
        let mut state = state.canonical();
        if state.rests() {
            self.judge(&mut state);
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "I1 the generation rises by one for each stored pair",
                |_, state: &State| {
                    state
                        .rows
                        .iter()
                        .flatten()
                        .all(|row| row.generation == row.stored)
                },
            ),
            Property::always(
                "I2 one refresh in flight for a generation",
                |_, state: &State| {
                    let sent = |it: &Caller| {
                        (it.lives() && matches!(it.step, Step::Post(_)))
                            .then(|| (it.work().row, it.work().generation))
                    };
                    state.callers.iter().enumerate().all(|(i, it)| {
                        sent(it).is_none()
                            || state
                                .callers
                                .iter()
                                .skip(i + 1)
                                .all(|other| sent(other) != sent(it))
                    })
                },
            ),
            Property::always("I3 no pair is dropped", |_, state: &State| {
                state.kept(Broken::I3)
            }),
            Property::always(
                "I4 reconnect only as refused last, and no alt untried",
                |_, state: &State| state.kept(Broken::I4),
            ),
            Property::always(
                "I5 no generation older than the last one read is sent",
                |_, state: &State| state.kept(Broken::I5),
            ),
            Property::always(
                "I7 a transient failure changes no state",
                |_, state: &State| state.kept(Broken::I7),
            ),
            Property::always(
                "I8 after the next mint a credential is active as its row is",
                |_, state: &State| state.kept(Broken::I8),
            ),
            Property::always("the reason is honest", |_, state: &State| {
                state.kept(Broken::Honesty)
            }),
            Property::always(
                "the next mint ends with a token or with reconnect",
                |_, state: &State| state.kept(Broken::HealEnds),
            ),
            Property::always("the next mint finds the live grant", |_, state: &State| {
                state.kept(Broken::HealFinds)
            }),
            Property::always(
                "a grant is lost only at the irreducible point",
                |_, state: &State| !state.rests() || !state.lost_elsewhere(),
            ),
            Property::always("somebody can go on", |model: &Self, state: &State| {
                let mut waiting = (0..3)
                    .filter(|id| state.callers[usize::from(*id)].lives())
                    .peekable();
                waiting.peek().is_none() || waiting.any(|id| !model.waits(state, id))
            }),
        ]
    }
}
