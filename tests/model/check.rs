//! The protocol keeps its rules in every schedule within the bounds, and the rules detect deliberate mistakes.
//!
//! `GATE` sets how much is explored:
//! - By default: two mints.
//! - `GATE=full`: also three mints, from the first state with one shared grant. This takes minutes.
//! - `GATE=exhaustive`: also three mints, from the first states with two grants. This takes much longer.
//!
//! `cargo test -p model -- --nocapture` prints the number of states.
#![expect(
    clippy::print_stdout,
    reason = "the number of explored states is part of the result"
)]

use model::{Mutation, RefreshModel, Start, ZoomBehaviour};
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeSet;
use std::time::Instant;

const STARTS: [Start; 3] = [Start::Shared, Start::NewerLives, Start::OlderLives];

/// Two mints, and one of everything that may happen.
const TWO_MINTS: RefreshModel = RefreshModel {
    mints: 2,
    behaviour: ZoomBehaviour::Strict,
    start: Start::Shared,
    crashes: 1,
    faults: 1,
    authorizations: 1,
    revocations: 1,
    mutation: Mutation::None,
};

/// The numbers of mints and the first states to explore.
#[expect(
    clippy::disallowed_methods,
    reason = "the model depends on no other crate of the workspace"
)]
fn bounds() -> Vec<(u8, Start)> {
    let gate = std::env::var("GATE").unwrap_or_default();
    let mut bounds = STARTS.map(|start| (2, start)).to_vec();
    if ["full", "exhaustive"].contains(&gate.as_str()) {
        bounds.push((3, Start::Shared));
    }
    if gate == "exhaustive" {
        bounds.extend([(3, Start::NewerLives), (3, Start::OlderLives)]);
    }
    bounds
}

/// Explores the protocol within all bounds, with this behaviour of Zoom. Every rule must hold.
fn assert_rules_hold(behaviour: ZoomBehaviour) {
    for (mints, start) in bounds() {
        let model = RefreshModel {
            mints,
            start,
            behaviour,
            ..TWO_MINTS
        };
        let began = Instant::now();
        // Depth-first search stores eight bytes for each state. Breadth-first search would store whole paths.
        let checked = model
            .checker()
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_dfs()
            .join();
        println!(
            "{model:?}: {} states in {:?}",
            checked.unique_state_count(),
            began.elapsed()
        );
        checked.assert_properties();
    }
}

/// The model must violate the rule whose name begins with `rule`.
fn assert_detected(rule: &str, model: RefreshModel) {
    let violated = violated_rules(rule, model);
    assert!(
        violated.iter().any(|name| name.starts_with(rule)),
        "{:?} violates only {violated:?}",
        model.mutation
    );
}

/// The rules that the model violates, until the rule whose name begins with `rule` is among them.
fn violated_rules(rule: &str, model: RefreshModel) -> BTreeSet<&'static str> {
    let names = model
        .properties()
        .into_iter()
        .map(|it| it.name)
        .filter(|name| name.starts_with(rule));
    let rules: BTreeSet<_> = names.collect();
    let checked = model
        .checker()
        .finish_when(HasDiscoveries::AllOf(rules))
        .spawn_dfs()
        .join();
    println!("{model:?}: {} states", checked.unique_state_count());
    checked.discoveries().into_keys().collect()
}

#[test]
fn rules_hold_if_zoom_refuses_a_spent_token() {
    assert_rules_hold(ZoomBehaviour::Strict);
}

#[test]
fn rules_hold_if_reuse_of_a_token_ends_the_grant() {
    assert_rules_hold(ZoomBehaviour::ReuseRevokesFamily);
}

#[test]
fn rules_hold_if_a_spent_token_works_once_more() {
    assert_rules_hold(ZoomBehaviour::OldTokenOnceMore);
}

#[test]
fn each_mistake_is_detected() {
    let mistakes = [
        ("I1", Mutation::CommitUnconditionally),
        ("I2", Mutation::LeaseEndsBeforeHolder),
        ("I3", Mutation::CommitRequiresLease),
        ("I3", Mutation::ReconnectBlocksCommit),
        ("I4", Mutation::DeclareWithoutReading),
        ("I5", Mutation::AcquireWithoutGeneration),
        ("I7", Mutation::TransientFailureSkipsCandidate),
        ("I8", Mutation::CredentialStaysActive),
        ("I8", Mutation::CredentialStaysInvalid),
        ("the reason is correct", Mutation::AttemptOverwritten),
        ("the reason is correct", Mutation::SearchRemovesAttempt),
        ("the next mint finds", Mutation::DeclareWithoutReading),
        ("the next mint finds", Mutation::ReconnectEndsMint),
        ("no avoidable loss", Mutation::SlowAnswerDropped),
        ("no avoidable loss", Mutation::CommitRequiresLease),
        ("the next mint finds", Mutation::AdoptWithoutTrial),
        ("no deadlock", Mutation::SearchKeepsLease),
    ];
    for (rule, mutation) in mistakes {
        assert_detected(
            rule,
            RefreshModel {
                mutation,
                ..TWO_MINTS
            },
        );
    }
}

/// The three mints: one whose commit is late, one that takes the lease twice, and one that sends the same token. Two
/// faults are more than the other rules allow.
const THREE_MINTS_AND_TWO_FAULTS: RefreshModel = RefreshModel {
    mints: 3,
    crashes: 0,
    faults: 2,
    authorizations: 0,
    revocations: 0,
    ..TWO_MINTS
};

#[test]
fn a_late_copy_of_a_release_does_not_end_a_later_lease() {
    let model = THREE_MINTS_AND_TWO_FAULTS;
    let violated = violated_rules("I2", model);
    let overlaps = violated.iter().any(|name| name.starts_with("I2"));
    assert!(!overlaps, "{violated:?}");
    let mutation = Mutation::ReleaseNamesInvocation;
    assert_detected("I2", RefreshModel { mutation, ..model });
}

#[test]
fn each_mistake_with_a_second_live_pair_is_detected() {
    let two_mints = RefreshModel {
        behaviour: ZoomBehaviour::OldTokenOnceMore,
        ..TWO_MINTS
    };
    let three_mints = RefreshModel {
        mints: 3,
        revocations: 0,
        ..two_mints
    };
    let mistakes = [
        ("I3", Mutation::NoStash, two_mints),
        (
            "the reason is correct",
            Mutation::ReplayRemovesAttempt,
            two_mints,
        ),
        ("I4", Mutation::DeclareIgnoresStash, three_mints),
        ("I4", Mutation::RereadIgnoresStash, three_mints),
        (
            "no avoidable loss",
            Mutation::CommitRemovesAnyStash,
            three_mints,
        ),
        (
            "no avoidable loss",
            Mutation::StashOnNextGenerationOnly,
            three_mints,
        ),
    ];
    for (rule, mutation, model) in mistakes {
        assert_detected(rule, RefreshModel { mutation, ..model });
    }
}
