//! The effects of faults and of late messages.

use crate::RefreshModel;
use crate::action::Fault;
use crate::caller::{Caller, Outcome, Step};
use crate::mutation::Mutation;
use crate::state::State;
use crate::store::Id;
use crate::zoom::ZoomBehaviour;

/// The caller takes its next step, and this fault occurs.
pub(crate) fn apply(model: RefreshModel, state: &mut State, me: Id, fault: Fault) {
    let caller = state.callers[usize::from(me)];
    let grant = usize::from(caller.view().row);
    let sent = match (caller.step, fault) {
        (Step::SendRefresh(token), Fault::ErrorAfterRotation | Fault::NoAnswerAfterRotation) => {
            // The loss is unavoidable only if Zoom issued a pair.
            let rotated = state.zoom[grant].refresh(model.behaviour, token).is_some();
            state.zoom[grant].unavoidable_loss |= rotated;
            token
        }
        (Step::SendRefresh(token) | Step::Commit(token), _) => token,
        _ => 0,
    };
    match fault {
        Fault::AckLost => {
            model.turn(state, me).step();
            state.callers[usize::from(me)] = caller;
        }
        Fault::WriteLate | Fault::StoreDown => {
            let it = &mut state.callers[usize::from(me)];
            // A mint before the late commit or the replay sends the spent token. If reuse ends the grant, no protocol
            // can keep it.
            state.zoom[grant].unavoidable_loss |=
                it.pair().is_some() && model.behaviour == ZoomBehaviour::ReuseRevokesFamily;
            if fault == Fault::WriteLate {
                it.ended_in_flight = true;
            } else {
                it.step = Step::Capsule(sent);
            }
        }
        Fault::ReleaseTwice => {
            model.turn(state, me).step();
            let released = state.row(caller.view().row).lease != Some(me);
            state.callers[usize::from(me)].late_release = released.then_some(caller.view().row);
        }
        Fault::Refused => model.turn(state, me).release(),
        Fault::ErrorBeforeRotation | Fault::ErrorAfterRotation if !caller.sent_twice => {
            model.turn(state, me).resend();
        }
        Fault::ErrorBeforeRotation
        | Fault::ErrorAfterRotation
        | Fault::NoAnswer
        | Fault::NoAnswerAfterRotation => model.turn(state, me).give_up(),
        Fault::RefreshLate => {
            model.turn(state, me).give_up();
            state.callers[usize::from(me)] = Caller {
                ended_in_flight: true,
                ..caller
            };
        }
    }
}

/// A second copy of the caller's release arrives. Each lease has its own id, and the lease that the copy names has
/// ended.
pub(crate) fn deliver_release(model: RefreshModel, state: &mut State, me: Id) {
    let released = state.callers[usize::from(me)].late_release.take();
    if let (Some(row), Mutation::ReleaseNamesInvocation) = (released, model.mutation) {
        state.row(row).release(me, true);
    }
}

/// The last message of an ended caller arrives. Nobody receives the answer.
pub(crate) fn deliver_late(model: RefreshModel, state: &mut State, me: Id) {
    let caller = state.callers[usize::from(me)];
    let row = caller.view().row;
    let grant = usize::from(row);
    match caller.step {
        Step::SendRefresh(token) => {
            let rotated = state.zoom[grant].refresh(model.behaviour, token).is_some();
            let harmed = rotated || state.zoom[grant].reused;
            state.zoom[grant].unavoidable_loss |= harmed;
            state.zoom[grant].late_refresh |= harmed;
        }
        Step::Commit(_) => {
            state.zoom[grant].late_refresh |= state.row(row).lease != Some(me);
            model.turn(state, me).step();
            let stashes = matches!(state.callers[usize::from(me)].step, Step::Stash(_));
            state.zoom[grant].unavoidable_loss |= stashes;
        }
        Step::Acquire if model.waits_for_lease(state, me) => {}
        _ => model.turn(state, me).step(),
    }
    state.callers[usize::from(me)].end(Outcome::Nothing);
}
