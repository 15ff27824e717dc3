//! The actions: everything that can happen next in a state.

use crate::caller::{Caller, Step};
use crate::mutation::Mutation;
use crate::state::{Authorizer, State};
use crate::store::{Id, Row};
use crate::{RefreshModel, Start};

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A mint with this credential is requested.
    RequestMint(Id, u8),
    /// The caller takes its next step without a fault.
    Step(Id),
    /// The caller reads the row, and tries the stored access token.
    TryStoredToken(Id),
    /// The caller takes its next step, and this fault occurs.
    Fault(Id, Fault),
    /// The caller crashes.
    Crash(Id),
    /// The CLI replays the caller's capsule.
    Replay(Id),
    /// The last message of an ended caller arrives.
    DeliverLate(Id),
    /// The last message of an ended caller never arrives.
    LoseMessage(Id),
    /// A second copy of the caller's release arrives.
    DeliverRelease(Id),
    /// The user authorizes again. Zoom accepts the code and answers.
    Authorize,
    /// The authorizer's transaction: it writes the new row and moves credential 0 to it.
    StoreAuthorization,
    /// The authorizer moves the sibling to the new row.
    MoveSibling,
    /// The authorizer ends without moving the sibling.
    LeaveSibling,
    /// The authorizer crashes.
    CrashAuthorizer,
    /// The user revokes the grant at Zoom.
    Revoke,
}

/// What can go wrong with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The write is applied and its acknowledgement is lost. The caller writes again.
    AckLost,
    /// The write arrives after the invocation has ended, or never.
    WriteLate,
    /// No write succeeds until the invocation ends. The caller logs the capsule.
    StoreDown,
    /// The release of the lease is applied, and a second copy of it is still on its way.
    ReleaseTwice,
    /// Nothing is spent: a 429, `invalid_client`, or an acquire that took too long.
    Refused,
    /// A 5xx or a reset. Zoom did nothing.
    ErrorBeforeRotation,
    /// A 5xx or a reset. Zoom has rotated the token.
    ErrorAfterRotation,
    /// No answer. Zoom did nothing.
    NoAnswer,
    /// No answer. Zoom has rotated the token.
    NoAnswerAfterRotation,
    /// No answer. Zoom rotates the token later.
    RefreshLate,
}

const WRITE_FAULTS: &[Fault] = &[Fault::AckLost, Fault::WriteLate];

/// Adds all actions that are possible in this state.
pub(crate) fn add_possible(model: RefreshModel, state: &State, actions: &mut Vec<Action>) {
    let mut requested = false;
    for me in 0..3 {
        // Idle callers are alike, so only one of them is requested.
        if state.callers[usize::from(me)].step == Step::Idle {
            if !requested {
                actions.extend([Action::RequestMint(me, 0), Action::RequestMint(me, 1)]);
            }
            requested = true;
        } else {
            add_for_caller(model, state, me, actions);
        }
    }
    match state.authorizer {
        Authorizer::Idle if state.authorizations_left > 0 => actions.push(Action::Authorize),
        Authorizer::Idle => {}
        Authorizer::CodeExchanged { .. } => {
            actions.push(Action::StoreAuthorization);
            if state.crashes_left > 0 {
                actions.push(Action::CrashAuthorizer);
            }
        }
        Authorizer::Stored { .. } => actions.extend([Action::MoveSibling, Action::LeaveSibling]),
    }
    if state.revocations_left > 0 {
        actions.push(Action::Revoke);
    }
}

fn add_for_caller(model: RefreshModel, state: &State, me: Id, actions: &mut Vec<Action>) {
    let caller = state.callers[usize::from(me)];
    let row = state.rows[usize::from(caller.view().row)];
    match caller.step {
        Step::Ended(_) => return,
        _ if caller.late_release.is_some() => actions.push(Action::DeliverRelease(me)),
        _ => {}
    }
    match caller.step {
        Step::Ended(_) => return,
        Step::Capsule(_) => {
            actions.push(Action::Replay(me));
            return;
        }
        _ if caller.ended_in_flight => {
            actions.extend([Action::DeliverLate(me), Action::LoseMessage(me)]);
            return;
        }
        Step::Acquire if model.waits_for_lease(state, me) => {
            if state.crashes_left > 0 {
                actions.push(Action::Crash(me));
            }
            return;
        }
        Step::Read => {
            actions.push(Action::Step(me));
            if row.is_some_and(|row| row.fresh && row.reconnect.is_none()) {
                actions.push(Action::TryStoredToken(me));
            }
        }
        _ => actions.push(Action::Step(me)),
    }
    if state.crashes_left > 0 && !caller.replay {
        actions.push(Action::Crash(me));
    }
    if model.mutation == Mutation::SlowAnswerDropped && matches!(caller.step, Step::SendRefresh(_))
    {
        actions.push(Action::Fault(me, Fault::NoAnswerAfterRotation));
    }
    if state.faults_left > 0 && !caller.replay {
        let faults = possible_faults(me, &caller, row);
        actions.extend(faults.iter().map(|fault| Action::Fault(me, *fault)));
    }
}

fn possible_faults(me: Id, caller: &Caller, row: Option<Row>) -> &'static [Fault] {
    match caller.step {
        Step::Acquire if row.is_some_and(|row| row.lease != Some(me)) => WRITE_FAULTS,
        Step::SendRefresh(_) => &[
            Fault::Refused,
            Fault::ErrorBeforeRotation,
            Fault::ErrorAfterRotation,
            Fault::NoAnswer,
            Fault::NoAnswerAfterRotation,
            Fault::RefreshLate,
        ],
        Step::Commit(_) => &[Fault::AckLost, Fault::WriteLate, Fault::StoreDown],
        Step::Refused if row.is_some_and(|row| row.lease == Some(me)) => &[Fault::ReleaseTwice],
        Step::Stash(_) | Step::Declare(_) | Step::Adopt => WRITE_FAULTS,
        Step::Reactivate(_) | Step::InvalidateOthers | Step::Repair(_) => &[Fault::WriteLate],
        _ => &[],
    }
}

/// Applies an action to the state.
pub(crate) fn apply(model: RefreshModel, state: &mut State, action: Action) {
    match action {
        Action::RequestMint(me, credential) => {
            state.callers[usize::from(me)] = Caller::new(credential);
        }
        Action::Step(me) => model.turn(state, me).step(),
        Action::TryStoredToken(me) => model.turn(state, me).read(true),
        Action::Fault(me, fault) => apply_fault(model, state, me, fault),
        Action::Crash(me) => {
            state.crashes_left -= 1;
            state.end_caller(me);
        }
        Action::Replay(me) => {
            let caller = &mut state.callers[usize::from(me)];
            caller.replay = true;
            if let Step::Capsule(pair) = caller.step {
                caller.step = Step::Commit(pair);
            }
        }
        Action::DeliverLate(me) => crate::fault::deliver_late(model, state, me),
        Action::LoseMessage(me) => state.end_caller(me),
        Action::DeliverRelease(me) => crate::fault::deliver_release(model, state, me),
        Action::Authorize => {
            let row: u8 = if model.start == Start::Shared { 1 } else { 2 };
            state.authorize(row);
        }
        Action::StoreAuthorization => state.store_authorization(),
        Action::MoveSibling => state.move_sibling(),
        Action::LeaveSibling => state.authorizer = Authorizer::Idle,
        Action::CrashAuthorizer => state.crash_authorizer(),
        Action::Revoke => state.revoke(),
    }
}

fn apply_fault(model: RefreshModel, state: &mut State, me: Id, fault: Fault) {
    state.faults_left = state.faults_left.saturating_sub(1);
    let losses = state.zoom.map(|grant| grant.unavoidable_loss);
    crate::fault::apply(model, state, me, fault);
    // A dropped answer is the protocol's own mistake, so it does not excuse a loss.
    if model.mutation == Mutation::SlowAnswerDropped && fault == Fault::NoAnswerAfterRotation {
        for (grant, loss) in state.zoom.iter_mut().zip(losses) {
            grant.unavoidable_loss = loss;
        }
    }
}
