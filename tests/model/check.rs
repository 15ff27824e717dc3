//! The protocol keeps its invariants in every schedule within the bounds, and the model would notice if it did not.
//! `cargo test -p model -- --nocapture` prints how many states there were.
#![expect(
    clippy::print_stdout,
    reason = "how far it looked is part of the result"
)]

use model::{Mood, Mutation, Refresh, Start};
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeSet;
use std::time::Instant;

const MOODS: [Mood; 3] = [
    Mood::Strict,
    Mood::ReuseRevokesFamily,
    Mood::OldTokenOnceMore,
];
const STARTS: [Start; 3] = [Start::Shared, Start::NewerLives, Start::OlderLives];

/// One of everything that may happen, and two mints.
const ONE_OF_EACH: Refresh = Refresh {
    callers: 2,
    mood: Mood::Strict,
    start: Start::Shared,
    crashes: 1,
    faults: 1,
    authorizations: 1,
    revocations: 1,
    mutation: Mutation::None,
};

fn holds(model: Refresh) {
    let begun = Instant::now();
    // Depth first keeps eight bytes a state; breadth first keeps the paths to a whole front.
    let checked = model
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_dfs()
        .join();
    println!(
        "{model:?}: {} states in {:?}",
        checked.unique_state_count(),
        begun.elapsed()
    );
    checked.assert_properties();
}

/// There is a counterexample of the property whose name begins with `rule`.
fn breaks(rule: &str, model: Refresh) {
    let names = model
        .properties()
        .into_iter()
        .map(|it| it.name)
        .filter(|name| name.starts_with(rule));
    let rules: BTreeSet<_> = names.collect();
    let checked = model
        .checker()
        .finish_when(HasDiscoveries::AllOf(rules.clone()))
        .spawn_dfs()
        .join();
    let broken: BTreeSet<_> = checked.discoveries().into_keys().collect();
    assert!(
        !rules.is_empty() && rules.is_subset(&broken),
        "{:?} breaks {broken:?} only",
        model.mutation
    );
}

#[test]
fn two_mints_and_one_of_everything_break_no_rule_wherever_it_begins() {
    for start in STARTS {
        for mood in MOODS {
            holds(Refresh {
                start,
                mood,
                ..ONE_OF_EACH
            });
        }
    }
}

#[test]
fn three_mints_and_one_of_everything_break_no_rule_where_zoom_refuses_a_spent_token() {
    holds(Refresh {
        callers: 3,
        mood: Mood::Strict,
        ..ONE_OF_EACH
    });
}

#[test]
fn three_mints_and_one_of_everything_break_no_rule_where_a_spent_token_kills_the_grant() {
    holds(Refresh {
        callers: 3,
        mood: Mood::ReuseRevokesFamily,
        ..ONE_OF_EACH
    });
}

#[test]
fn three_mints_and_one_of_everything_break_no_rule_where_a_spent_token_works_once_more() {
    holds(Refresh {
        callers: 3,
        mood: Mood::OldTokenOnceMore,
        ..ONE_OF_EACH
    });
}

#[test]
#[ignore = "many minutes: 3 mints from the two starts with a row each"]
fn three_mints_and_one_of_everything_break_no_rule_from_two_rows() {
    for start in [Start::NewerLives, Start::OlderLives] {
        for mood in MOODS {
            holds(Refresh {
                callers: 3,
                start,
                mood,
                ..ONE_OF_EACH
            });
        }
    }
}

#[test]
fn every_mistake_is_noticed() {
    let mistakes = [
        ("I1", Mutation::CommitUnconditionally),
        ("I2", Mutation::LeaseShorterThanItsHolder),
        ("I3", Mutation::CommitOnTheLease),
        ("I3", Mutation::ReconnectRefusesTheCommit),
        ("I4", Mutation::DeclareWithoutReading),
        ("I5", Mutation::AcquireWithoutGeneration),
        ("I7", Mutation::TransientIsNothingFound),
        ("I8", Mutation::LeftActive),
        ("I8", Mutation::LeftInvalid),
        ("the reason is honest", Mutation::AttemptOverwritten),
        ("the reason is honest", Mutation::EvidenceRemoved),
        ("the next mint finds", Mutation::DeclareWithoutReading),
        ("the next mint finds", Mutation::ReconnectEndsTheMint),
        ("a grant is lost only", Mutation::SlowAnswerAbandoned),
        ("a grant is lost only", Mutation::CommitOnTheLease),
        ("the next mint finds", Mutation::AdoptedUntried),
        ("somebody can go on", Mutation::SearchHoldingTheLease),
    ];
    for (rule, mutation) in mistakes {
        breaks(
            rule,
            Refresh {
                mutation,
                ..ONE_OF_EACH
            },
        );
    }
}

#[test]
fn every_mistake_with_a_second_pair_is_noticed() {
    let model = Refresh {
        mood: Mood::OldTokenOnceMore,
        ..ONE_OF_EACH
    };
    breaks(
        "I3",
        Refresh {
            mutation: Mutation::NoStash,
            ..model
        },
    );
    breaks(
        "the reason is honest",
        Refresh {
            mutation: Mutation::ReplayForgetsAttempt,
            ..model
        },
    );
    let model = Refresh {
        callers: 3,
        revocations: 0,
        ..model
    };
    breaks(
        "I4",
        Refresh {
            mutation: Mutation::DeclareWithoutAlt,
            ..model
        },
    );
    breaks(
        "I4",
        Refresh {
            mutation: Mutation::RereadOverlooksAlt,
            ..model
        },
    );
    breaks(
        "a grant is lost only",
        Refresh {
            mutation: Mutation::CommitWipesAlt,
            ..model
        },
    );
    breaks(
        "a grant is lost only",
        Refresh {
            mutation: Mutation::StashOnTheNextOnly,
            ..model
        },
    );
}
