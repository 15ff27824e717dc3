//! The refresh protocol of docs/protocol.md as a model. `stateright` explores every schedule within bounds: see
//! README.md. The model has no clock: a lease ends with its holder, and a late message may stay late for ever.
#![expect(
    clippy::indexing_slicing,
    reason = "an index out of bounds is a mistake in the model: it should fail the test"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each fault, mistake and step concerns few of the others"
)]
#![expect(
    clippy::struct_excessive_bools,
    reason = "a state consists of facts that are known or not known"
)]

mod action;
mod caller;
mod fault;
mod mutation;
mod rules;
mod state;
mod store;
mod turn;
mod zoom;

use stateright::{Model, Property};

pub use crate::action::{Action, Fault};
use crate::caller::{Caller, Outcome, Step};
pub use crate::mutation::Mutation;
pub use crate::state::State;
use crate::state::{Authorizer, Rule};
use crate::store::{Credential, ENDED_CALLER, Id, Row};
use crate::turn::Turn;
pub use crate::zoom::ZoomBehaviour;
use crate::zoom::ZoomGrant;

/// A mint that runs alone takes fewer steps than this.
const MAX_STEPS: u8 = 60;

/// The bounds of an exploration.
#[derive(Clone, Copy, Debug)]
pub struct RefreshModel {
    /// How many mints may run at the same time, at most 3.
    pub mints: u8,
    /// What Zoom does with a token that was used before.
    pub behaviour: ZoomBehaviour,
    /// The first state.
    pub start: Start,
    /// How many processes may crash.
    pub crashes: u8,
    /// How many messages may be lost, late or refused.
    pub faults: u8,
    /// How often the user may authorize again.
    pub authorizations: u8,
    /// How often the user may revoke the grant at Zoom.
    pub revocations: u8,
    /// A deliberate mistake in the protocol.
    pub mutation: Mutation,
}

/// The first state: two credentials of one pair, with expired access tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Both credentials share one grant.
    Shared,
    /// Each credential has its own grant. Zoom keeps only the newer one.
    NewerLives,
    /// Each credential has its own grant. Zoom received the two authorizations in the other order.
    OlderLives,
}

impl RefreshModel {
    pub(crate) fn turn(self, state: &mut State, me: Id) -> Turn<'_> {
        Turn {
            state,
            me,
            behaviour: self.behaviour,
            mutation: self.mutation,
        }
    }

    /// Step 2: whether the caller must wait because another caller holds the lease.
    pub(crate) fn waits_for_lease(self, state: &State, me: Id) -> bool {
        let caller = &state.callers[usize::from(me)];
        let view = caller.view();
        caller.step == Step::Acquire
            && self.mutation != Mutation::LeaseEndsBeforeHolder
            && state.rows[usize::from(view.row)].is_some_and(|row| {
                let other_runs = |id: Id| {
                    id != me && id != ENDED_CALLER && state.callers[usize::from(id)].is_running()
                };
                row.generation == view.generation
                    && row.reconnect.is_none()
                    && row.lease.is_some_and(other_runs)
            })
    }

    /// Runs one more mint of this credential, alone and without faults.
    fn run_final_mint(self, state: &State, credential: u8) -> (State, Option<Outcome>) {
        let mut after = state.clone();
        after.callers = [Caller::default(); 3];
        for row in after.rows.iter_mut().flatten() {
            row.lease = None;
            row.writer = None;
            row.attempt = row.attempt.map(|_| ENDED_CALLER);
        }
        after.callers[0] = Caller::new(credential);
        for _ in 0..MAX_STEPS {
            self.turn(&mut after, 0).step();
            if let Step::Ended(outcome) = after.callers[0].step {
                return (after, Some(outcome));
            }
        }
        (after, None)
    }

    /// Checks the rules about the next mint, in a state in which nothing runs.
    fn check_final_mints(self, state: &mut State) {
        for credential in [0, 1] {
            let (after, outcome) = self.run_final_mint(state, credential);
            let live_token_stored = (0..3).any(|row| state.stores_live_token(row));
            match outcome {
                Some(Outcome::Token) => {}
                Some(Outcome::Reconnect) => {
                    if live_token_stored {
                        state.violate(Rule::FinalMintFinds);
                    }
                }
                Some(Outcome::Transient | Outcome::Nothing) | None => {
                    state.violate(Rule::FinalMintEnds);
                }
            }
            let it = after.credentials[usize::from(credential)];
            let row = after.rows[usize::from(it.grant)];
            if row.is_some_and(|row| row.reconnect.is_none()) != it.active {
                state.violate(Rule::I8);
            }
            state.violated |= after.violated;
        }
    }
}

impl Model for RefreshModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let shared = self.start == Start::Shared;
        let grant = |alive| ZoomGrant {
            alive,
            ended: !alive,
            ..ZoomGrant::new()
        };
        let row = Some(Row::new(false));
        let ended = Caller {
            step: Step::Ended(Outcome::Nothing),
            ..Caller::default()
        };
        let mut callers = [ended; 3];
        for caller in callers.iter_mut().take(self.mints.into()) {
            *caller = Caller::default();
        }
        let state = State {
            zoom: [
                grant(self.start != Start::NewerLives),
                grant(self.start == Start::NewerLives),
                ZoomGrant::default(),
            ],
            rows: [row, row.filter(|_| !shared), None],
            credentials: [0, u8::from(!shared)].map(|grant| Credential {
                grant,
                active: true,
            }),
            callers,
            authorizer: Authorizer::Idle,
            crashes_left: self.crashes,
            faults_left: self.faults,
            authorizations_left: self.authorizations,
            revocations_left: self.revocations,
            violated: 0,
        };
        vec![state.canonical()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        action::add_possible(*self, state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        action::apply(*self, &mut state, action);
        let mut state = state.canonical();
        if state.is_idle() {
            self.check_final_mints(&mut state);
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        rules::properties()
    }
}
