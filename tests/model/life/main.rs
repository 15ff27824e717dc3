//! The life of a grant as a model: authorize, mint, delete, restore, purge, revoke, deauthorize, keep alive.
//! `stateright` explores every schedule within bounds. See ../README.md.
//!
//! - By default: the small explorations, today's protocol, and the deliberate mistakes.
//! - `GATE=full`: also the large explorations. This takes minutes.
//!
//! `cargo test -p model --test life -- --nocapture` prints the number of states, and which rule noticed which mistake.
#![cfg(test)]
#![expect(
    clippy::print_stdout,
    reason = "the number of explored states is part of the result"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each step, write and action concerns few of the others"
)]
#![expect(
    clippy::struct_excessive_bools,
    reason = "a row consists of facts that hold or do not hold"
)]

mod action;
mod authorizer;
mod budget;
mod ids;
mod keep_alive;
mod mint;
mod mistake;
mod noticed;
mod operator;
mod process;
mod rest;
mod restore;
mod revoke;
mod rows;
mod rules;
mod runs;
mod scenario;
mod state;
mod stream;
mod today;
mod turn;
mod webhook;
mod write;
mod write_grant;
mod zoom;

use budget::NOTHING;
use ids::User::{A, B};
use mistake::Mistake;
use scenario::Authorize::{Create, Update};
use scenario::{Scenario, Start};
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeSet;
use std::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "the model depends on no other crate of the workspace"
)]
fn is_full() -> bool {
    let gate = std::env::var("GATE").unwrap_or_default();
    ["full", "exhaustive"].contains(&gate.as_str())
}

/// What the exploration allows, without what it does not allow.
fn describe(scenario: Scenario) -> String {
    let budget = format!("{:?}", scenario.budget);
    let budget = budget
        .trim_start_matches("Budget { ")
        .trim_end_matches(" }");
    let allowed = budget
        .split(", ")
        .filter(|it| !it.ends_with(": 0") && !it.ends_with(": false"));
    let allowed: Vec<_> = allowed.collect();
    let revokes = if scenario.revokes { " revokes" } else { "" };
    let due = if scenario.tracks_due { " due" } else { "" };
    format!(
        "{:?} {:?} {}{revokes}{due}",
        scenario.start,
        scenario.authorizations,
        allowed.join(" ")
    )
}

/// Explores everything within the bounds, the large ones if `GATE` says so. Every rule must hold.
fn assert_rules_hold(runs: Vec<Scenario>, large: Vec<Scenario>) {
    let large = large.into_iter().filter(|_| is_full());
    for scenario in runs.into_iter().chain(large) {
        let began = Instant::now();
        // Depth-first search stores eight bytes for each state. Breadth-first search would store whole paths.
        let checked = scenario
            .checker()
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_dfs()
            .join();
        println!(
            "{}: {} states in {:?}",
            describe(scenario),
            checked.unique_state_count(),
            began.elapsed()
        );
        let violated = checked.discoveries();
        for (rule, path) in &violated {
            println!("{rule}:");
            for (_, action) in path.clone().into_vec() {
                println!("  {action:?}");
            }
        }
        assert!(
            violated.is_empty(),
            "{} violates a rule",
            describe(scenario)
        );
    }
}

/// The rules must notice that something is wrong, each that begins with one of these names. Returns how many states
/// were visited until then.
fn assert_noticed(rules: &[&str], scenario: Scenario) -> usize {
    let names = scenario.properties().into_iter().map(|it| it.name);
    let wanted: BTreeSet<_> = names
        .filter(|name| rules.iter().any(|it| name.split(' ').next() == Some(it)))
        .collect();
    let checked = scenario
        .checker()
        .finish_when(HasDiscoveries::AllOf(wanted.clone()))
        .spawn_dfs()
        .join();
    let violated: BTreeSet<_> = checked.discoveries().into_keys().collect();
    assert!(
        wanted.len() == rules.len() && wanted.is_subset(&violated),
        "{:?} in {} violates only {violated:?}",
        scenario.mistake,
        describe(scenario)
    );
    checked.unique_state_count()
}

// assures 43. Seen to fail: on every run, by the mistakes of rule L1 in `each_mistake_is_noticed`
#[test]
fn no_authorization_is_lost() {
    assert_rules_hold(runs::authorizations(), runs::large_authorizations());
}

// assures 44. Seen to fail: on every run, by the mistakes of rule L2 in `each_mistake_is_noticed`
#[test]
fn a_purge_destroys_what_nobody_needs() {
    assert_rules_hold(runs::purges(), runs::large_purges());
}

// assures 44. Seen to fail: on every run, by the mistakes of rule L5 in `each_mistake_is_noticed`
#[test]
fn only_what_nobody_needs_is_revoked() {
    assert_rules_hold(runs::revocations(), runs::large_revocations());
}

#[test]
fn outages_and_removals_lose_nothing_that_lives() {
    assert_rules_hold(runs::outages(), runs::large_outages());
}

#[test]
fn every_grant_that_needs_care_is_due() {
    assert_rules_hold(runs::due_grants(), runs::large_due_grants());
}

/// The protocol before the pair's row loses grants. The traces are in README.md.
#[test]
fn the_protocol_before_is_broken() {
    let losses: [(&[&str], Scenario); 6] = [
        (
            &["L1", "L3"],
            Scenario::new(Start::Shared, &[Update(1, A)], NOTHING.deletes(1)),
        ),
        (
            &["L2b"],
            Scenario::new(Start::NewerLives, &[Update(1, B)], NOTHING),
        ),
        (
            &["L2a", "L3", "LP"],
            Scenario::new(
                Start::One,
                &[Create(1, A), Create(2, A)],
                NOTHING.deletes(1).mints(1),
            ),
        ),
        (
            &["L1"],
            Scenario::new(Start::Shared, &[Update(1, A)], NOTHING.outages(1)),
        ),
        (
            &["L5", "LP"],
            Scenario::new(
                Start::NewerDeleted,
                &[Update(0, B)],
                NOTHING.restores(1).takes(1),
            )
            .revoking(),
        ),
        (
            &["LS"],
            Scenario::new(Start::Shared, &[Update(1, A)], NOTHING.removals(1)),
        ),
    ];
    for (rules, scenario) in losses {
        let states = assert_noticed(rules, scenario.today());
        println!(
            "before: {}: {rules:?} after {states} states",
            describe(scenario)
        );
    }
}

#[test]
fn each_mistake_is_noticed() {
    println!("| mistake | rule | states |\n| --- | --- | --- |");
    for (mistake, rule, scenario) in noticed::NOTICED {
        let states = assert_noticed(&[rule], scenario.with(*mistake));
        println!("| `{mistake:?}` | {rule} | {states} |");
    }
}

/// If one of these mistakes is noticed, it belongs into the other table.
#[test]
fn each_other_mistake_is_covered_by_another_condition() {
    println!("| mistake | covered by | states |\n| --- | --- | --- |");
    for (mistake, reason, scenario) in noticed::COVERED {
        let scenario = scenario.with(*mistake);
        let checked = scenario
            .checker()
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_dfs()
            .join();
        let noticed: Vec<_> = checked.discoveries().into_keys().collect();
        assert!(noticed.is_empty(), "{mistake:?} is noticed by {noticed:?}");
        println!(
            "| `{mistake:?}` | {reason} | {} |",
            checked.unique_state_count()
        );
    }
}

/// Each mistake is in one of the two tables.
#[test]
fn no_mistake_is_forgotten() {
    let noticed = noticed::NOTICED.iter().map(|(mistake, ..)| *mistake);
    let covered = noticed::COVERED.iter().map(|(mistake, ..)| *mistake);
    let all: Vec<_> = noticed.chain(covered).collect();
    for mistake in Mistake::ALL {
        assert_eq!(
            all.iter().filter(|it| *it == mistake).count(),
            1,
            "{mistake:?}"
        );
    }
    assert_eq!(all.len(), Mistake::ALL.len());
}
