//! What must hold when all work has come to rest: capsules are replayed, records are handled, keep-alive has looked at
//! every grant that is due, and then each credential mints.

use crate::authorizer::{Authorizer, AuthorizerStep};
use crate::ids::{credentials, grants};
use crate::keep_alive::KeepAlive;
use crate::mint::{Mint, MintStep};
use crate::process::{Process, ProcessSet};
use crate::rows::Closer;
use crate::rules::{self, Rule};
use crate::scenario::{Protocol, Scenario};
use crate::state::State;
use crate::stream::StreamHandler;

/// A process that runs alone takes fewer steps than this.
const MAX_STEPS: u8 = 60;
/// After this many runs of keep-alive there is nothing left to do.
const KEEP_ALIVE_RUNS: u8 = 4;

/// Lets all work come to rest in a copy of the state, and records the violations in the state.
pub(crate) fn check(scenario: Scenario, state: &mut State) {
    let mut copy = state.clone();
    let after = &mut copy;
    replay_capsules(scenario, after);
    after.update_index();
    check_mints(scenario, after, true);
    for _ in 0..KEEP_ALIVE_RUNS {
        handle_records(scenario, after);
        run_keep_alive(scenario, after);
    }
    rules::check_remains(scenario, after);
    check_mints(scenario, after, false);
    state.ghost.violated |= after.ghost.violated;
}

fn replay_capsules(scenario: Scenario, state: &mut State) {
    for id in 0..state.authorizers.len() {
        if matches!(state.authorizers[id].step, AuthorizerStep::Capsule(_)) {
            scenario.turn(state).replay_authorization(id);
            state.authorizers[id] = Authorizer::default();
        }
    }
    for grant in grants() {
        if state.sealed(grant).is_some_and(|row| row.attempt) {
            scenario.turn(state).replay_refresh(grant);
        }
    }
}

fn handle_records(scenario: Scenario, state: &mut State) {
    while let Some(record) = state.records.iter().flatten().copied().next() {
        scenario.turn(state).receive(record);
        for _ in 0..MAX_STEPS {
            if state.stream == StreamHandler::default() {
                break;
            }
            scenario.turn(state).step(Process::Stream);
        }
        state.update_index();
    }
}

fn run_keep_alive(scenario: Scenario, state: &mut State) {
    for grant in grants() {
        let due = |due: bool| due || !scenario.tracks_due;
        if !state.grant(grant).is_some_and(|row| due(row.due)) {
            continue;
        }
        scenario.turn(state).take(0, grant);
        for _ in 0..MAX_STEPS {
            if state.keep_alive[0] == KeepAlive::default() {
                break;
            }
            scenario.turn(state).step(Process::KeepAlive(0));
        }
        for row in state.grants.iter_mut().flatten() {
            row.closed = row.closed.map(|_| Closer::Ended);
            row.closed_during = ProcessSet::EMPTY;
        }
        state.update_index();
    }
}

/// L3: each live credential of a pair that has a live grant in the vault gets a token.
fn check_mints(scenario: Scenario, state: &mut State, before_keep_alive: bool) {
    let pair_row = scenario.protocol == Protocol::PairRow;
    for id in credentials() {
        let Some(row) = state.live_credential(id) else {
            continue;
        };
        let Some(grant) = row.pair.and_then(|user| state.zoom.live_grant(user)) else {
            continue;
        };
        if state.ghost.lost.contains(grant) {
            state.violate(Rule::L2Needed);
            continue;
        }
        let Some(stored) = state.sealed(grant) else {
            continue;
        };
        if before_keep_alive && (!pair_row || stored.pair.is_none()) {
            // Keep-alive has not yet asked Zoom whose grant this is.
            continue;
        }
        if before_keep_alive && stored.closed.is_some() {
            if !row.told && !row.invalid {
                state.violate(Rule::L3);
            }
            continue;
        }
        let mut copy = state.clone();
        scenario.turn(&mut copy).begin_mint(id);
        for _ in 0..MAX_STEPS {
            if !copy.mint.is_running() {
                break;
            }
            scenario.turn(&mut copy).step(Process::Mint);
        }
        if copy.mint.step != MintStep::Ended(true) {
            state.violate(Rule::L3);
        }
        state.ghost.violated |= copy.ghost.violated;
        state.mint = Mint::default();
    }
}
