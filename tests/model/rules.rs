//! The rules. I1 to I8 are those of docs/protocol.md (Refresh). I6 has no rule here: the model has no step between
//! Zoom's answer and the commit.

use stateright::Property;

use crate::RefreshModel;
use crate::caller::{Caller, Step};
use crate::state::{Rule, State};

/// All rules. Each must hold in every state.
pub(crate) fn properties() -> Vec<Property<RefreshModel>> {
    vec![
        Property::always(
            "I1 the generation rises by one for each committed pair",
            |_, state: &State| {
                let mut rows = state.rows.iter().flatten();
                rows.all(|row| row.generation == row.stored)
            },
        ),
        Property::always(
            "I2 at most one refresh of a generation is in flight",
            |_, state: &State| one_refresh_for_each_generation(state),
        ),
        Property::always("I3 no pair is dropped", |_, state: &State| {
            state.keeps(Rule::I3)
        }),
        Property::always(
            "I4 reconnect only if Zoom refused the current generation and no stash is untried",
            |_, state: &State| state.keeps(Rule::I4),
        ),
        Property::always(
            "I5 no token is sent that is older than the last generation read",
            |_, state: &State| state.keeps(Rule::I5),
        ),
        Property::always(
            "I7 a transient failure changes no state",
            |_, state: &State| state.keeps(Rule::I7),
        ),
        Property::always(
            "I8 after the next mint, a credential is active exactly when its row is",
            |_, state: &State| state.keeps(Rule::I8),
        ),
        Property::always("the reason is correct", |_, state: &State| {
            state.keeps(Rule::CorrectReason)
        }),
        Property::always(
            "the next mint ends with a token or with reconnect",
            |_, state: &State| state.keeps(Rule::FinalMintEnds),
        ),
        Property::always("the next mint finds the live grant", |_, state: &State| {
            state.keeps(Rule::FinalMintFinds)
        }),
        Property::always("no avoidable loss", |_, state: &State| {
            !state.is_idle() || !state.has_avoidable_loss()
        }),
        Property::always("no deadlock", |model: &RefreshModel, state: &State| {
            let mut running = (0..3)
                .filter(|id| state.callers[usize::from(*id)].is_running())
                .peekable();
            running.peek().is_none() || running.any(|id| !model.waits_for_lease(state, id))
        }),
    ]
}

fn one_refresh_for_each_generation(state: &State) -> bool {
    let in_flight = |it: &Caller| {
        (it.is_running() && matches!(it.step, Step::SendRefresh(_)))
            .then(|| (it.view().row, it.view().generation))
    };
    state.callers.iter().enumerate().all(|(index, it)| {
        let mut others = state.callers.iter().skip(index + 1);
        in_flight(it).is_none() || others.all(|other| in_flight(other) != in_flight(it))
    })
}
