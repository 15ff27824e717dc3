//! The explorations of the protocol. No rule may be violated in any of them.

use crate::budget::NOTHING;
use crate::ids::User::{A, B};
use crate::scenario::Authorize::{Create, Update};
use crate::scenario::{Scenario, Start};

/// Create, update, delete, restore and mint; crashes, late writes, and an index that lags.
pub(crate) fn authorizations() -> Vec<Scenario> {
    let once = NOTHING.deletes(1).mints(1).takes(1);
    let runs = [
        Scenario::new(Start::Shared, &[Update(1, A)], once.restores(1)),
        Scenario::new(Start::Shared, &[Update(1, A)], once.index_lags(true)),
        Scenario::new(
            Start::NewerLives,
            &[Update(1, B)],
            once.restores(1).crashes(1),
        ),
        Scenario::new(
            Start::NewerLives,
            &[Update(1, B)],
            once.late_writes(1).deletes(0),
        ),
        Scenario::new(Start::One, &[Create(1, A), Update(0, A)], once.mints(0)),
        Scenario::new(Start::One, &[Create(1, A), Create(2, A)], once.mints(0)),
        Scenario::new(
            Start::One,
            &[Create(1, A), Create(2, A)],
            NOTHING.mints(1).late_writes(1),
        ),
        Scenario::new(
            Start::One,
            &[Update(0, B), Create(1, B)],
            once.mints(0).crashes(1),
        ),
        Scenario::new(
            Start::Shared,
            &[Update(1, A), Update(1, B)],
            NOTHING.mints(1),
        ),
        Scenario::new(
            Start::Shared,
            &[Update(1, A), Update(0, B)],
            NOTHING.takes(1),
        ),
    ];
    runs.to_vec()
}

/// The large ones, for `GATE=full`.
pub(crate) fn large_authorizations() -> Vec<Scenario> {
    let once = NOTHING.deletes(1).mints(1).takes(1);
    let all = once.restores(1).crashes(1).index_lags(true);
    let runs = [
        Scenario::new(Start::Shared, &[Update(1, A)], all),
        Scenario::new(Start::NewerLives, &[Update(1, B)], all),
        Scenario::new(Start::OlderLives, &[Update(1, B)], all),
        Scenario::new(
            Start::Shared,
            &[Update(1, A), Create(2, A)],
            once.mints(0).late_writes(1),
        ),
        Scenario::new(
            Start::Shared,
            &[Update(1, A), Update(0, A)],
            once.deletes(0),
        ),
        Scenario::new(
            Start::Shared,
            &[Update(1, A), Update(1, B)],
            once.deletes(0),
        ),
    ];
    runs.to_vec()
}

/// The TTL and `purge --now`. Records come late and more than once.
pub(crate) fn purges() -> Vec<Scenario> {
    let twice = NOTHING.deletes(2).takes(1);
    let one_user = NOTHING.deletes(1).purges(1).mints(1);
    let runs = [
        Scenario::new(Start::Shared, &[Update(1, A)], twice.expiries(2).repeats(1)),
        Scenario::new(Start::Shared, &[Update(1, A)], twice.expiries(1).purges(1)),
        Scenario::new(
            Start::Shared,
            &[Update(1, A)],
            twice.purges(1).crashes(1).late_writes(1),
        ),
        Scenario::new(Start::One, &[Update(0, B), Create(1, B)], one_user),
        Scenario::new(
            Start::Shared,
            &[Create(2, A)],
            twice.expiries(2).takes(0).crashes(1),
        ),
    ];
    runs.to_vec()
}

/// The large ones, for `GATE=full`.
pub(crate) fn large_purges() -> Vec<Scenario> {
    let twice = NOTHING.deletes(2).takes(1);
    let one_user = NOTHING.deletes(1).purges(1).mints(1);
    let runs = [
        Scenario::new(
            Start::Shared,
            &[Update(1, A)],
            twice.restores(1).expiries(1).mints(1),
        ),
        Scenario::new(
            Start::One,
            &[Update(0, B), Create(1, B)],
            one_user.crashes(1),
        ),
        Scenario::new(Start::One, &[Create(1, A), Create(2, A)], twice.expiries(1)),
        Scenario::new(Start::Shared, &[Create(2, A)], twice.expiries(2).crashes(1)),
    ];
    runs.to_vec()
}

/// A team that revokes on delete.
pub(crate) fn revocations() -> Vec<Scenario> {
    let once = NOTHING.deletes(1).restores(1).takes(1);
    let runs = [
        Scenario::new(Start::NewerDeleted, &[], once.takes(2).mints(1).crashes(1)),
        Scenario::new(Start::NewerDeleted, &[], once.mints(1).late_writes(1)),
        Scenario::new(Start::NewerDeleted, &[Update(0, B)], once.crashes(1)),
        Scenario::new(Start::Shared, &[Update(1, A)], once.deletes(2).crashes(1)),
        Scenario::new(
            Start::SharedDeleted,
            &[Update(0, A)],
            once.restores(2).crashes(1),
        ),
        Scenario::new(
            Start::SharedDeleted,
            &[Create(2, A)],
            once.deletes(2).restores(0).takes(2),
        ),
        Scenario::new(Start::One, &[Update(0, A), Create(1, A)], once.restores(0)),
    ];
    runs.map(Scenario::revoking).to_vec()
}

/// The large ones, for `GATE=full`.
pub(crate) fn large_revocations() -> Vec<Scenario> {
    let once = NOTHING.deletes(1).restores(1).takes(1);
    let runs = [
        Scenario::new(
            Start::SharedDeleted,
            &[Create(2, A)],
            once.deletes(2).takes(2),
        ),
        Scenario::new(
            Start::NewerDeleted,
            &[Update(0, B)],
            once.deletes(2).takes(2).crashes(1),
        ),
        Scenario::new(Start::Shared, &[Update(1, A)], once.deletes(2).mints(1)),
        Scenario::new(
            Start::SharedDeleted,
            &[Update(0, A)],
            once.restores(2).mints(1),
        ),
    ];
    runs.map(Scenario::revoking).to_vec()
}

/// The user removes the app, and DynamoDB is down when tokens are stored.
pub(crate) fn outages() -> Vec<Scenario> {
    let once = NOTHING.mints(1).takes(1);
    let removal = once.removals(1);
    let outage = once.outages(1);
    let refresh = once.refresh_outages(1);
    let runs = [
        Scenario::new(
            Start::Shared,
            &[Update(1, A)],
            removal.deletes(1).mints(0).crashes(1),
        ),
        Scenario::new(
            Start::NewerLives,
            &[Create(2, A)],
            removal.takes(0).crashes(1),
        ),
        Scenario::new(
            Start::NewerLives,
            &[Update(0, A)],
            outage.deletes(1).restores(1).mints(0),
        ),
        Scenario::new(Start::Shared, &[Create(2, A)], outage.deletes(1)),
        Scenario::new(Start::NewerLives, &[Update(1, B)], refresh),
        Scenario::new(Start::OlderLives, &[Update(0, B)], refresh.deletes(1)),
    ];
    runs.to_vec()
}

/// The large ones, for `GATE=full`.
pub(crate) fn large_outages() -> Vec<Scenario> {
    let once = NOTHING.mints(1).takes(1);
    let removal = once.removals(1);
    let outage = once.outages(1);
    let refresh = once.refresh_outages(1);
    let runs = [
        Scenario::new(Start::NewerLives, &[Create(2, A)], removal),
        Scenario::new(
            Start::Shared,
            &[Update(1, A), Update(0, A)],
            outage.deletes(1).takes(0),
        ),
        Scenario::new(
            Start::OlderLives,
            &[Update(0, B)],
            refresh.mints(2).takes(2),
        ),
    ];
    runs.to_vec()
}

/// Keep-alive looks only at grants that are due.
pub(crate) fn due_grants() -> Vec<Scenario> {
    let once = NOTHING.deletes(1).restores(1).takes(1);
    let crash = NOTHING.crashes(1);
    let removal = NOTHING.deletes(1).expiries(1).removals(1);
    let runs = [
        Scenario::new(Start::Shared, &[Update(1, A)], once),
        Scenario::new(Start::NewerLives, &[], once.deletes(2).expiries(1)),
        Scenario::new(Start::NewerLives, &[Update(0, B)], once.expiries(1)),
        Scenario::new(Start::NewerLives, &[Update(1, B)], once.outages(1)),
        Scenario::new(Start::NewerLives, &[Update(0, A)], removal),
        Scenario::new(Start::NewerLives, &[Update(0, B), Update(1, A)], crash),
    ];
    runs.map(Scenario::tracking_due).to_vec()
}

/// The large ones, for `GATE=full`.
pub(crate) fn large_due_grants() -> Vec<Scenario> {
    let once = NOTHING.deletes(1).restores(1).takes(1);
    let crash = NOTHING.crashes(1);
    let revokes = once.crashes(1);
    let runs = [
        Scenario::new(
            Start::NewerLives,
            &[Update(0, B)],
            once.deletes(2).expiries(1),
        ),
        Scenario::new(
            Start::NewerLives,
            &[Update(0, B), Update(1, A)],
            crash.mints(1),
        ),
        Scenario::new(Start::NewerDeleted, &[Update(0, B)], revokes).revoking(),
    ];
    runs.map(Scenario::tracking_due).to_vec()
}
