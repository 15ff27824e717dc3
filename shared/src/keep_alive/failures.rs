//! Which failures end a run, or the part of a run that uses one app.
//!
//! Only failures in a row count. A large run always meets a few, and they say nothing about the grants after them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::credential::ClientId;

/// After so many failures of Zoom in a row with one app, the run does not use that app any more.
const MAX_OF_APP: u32 = 3;
/// After failures with so many apps, and no success of any app in between, Zoom itself is down.
const MAX_APPS: usize = 3;
/// After so many failures of DynamoDB or KMS in a row, the run ends.
const MAX_OF_VAULT: u32 = 3;

/// The failures of a run.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<InARow>);

/// Failures since the last success.
#[derive(Debug, Default)]
struct InARow {
    /// How often Zoom failed or limited our calls with each app.
    of_app: BTreeMap<ClientId, u32>,
    /// The apps with which Zoom has failed since it last accepted a grant of any app.
    apps: BTreeSet<ClientId>,
    /// How often DynamoDB or KMS failed.
    of_vault: u32,
    /// Whether Zoom has accepted or refused a grant in this run, as it does when it works.
    zoom_works: bool,
}

impl Failures {
    /// Zoom has answered with this app as it should.
    pub(super) fn zoom_answered(&self, app: &ClientId) {
        self.change(|rows| {
            rows.of_app.remove(app);
            rows.apps.clear();
            rows.zoom_works = true;
        });
    }

    /// DynamoDB and KMS have done all that a grant needs.
    pub(super) fn vault_works(&self) {
        self.change(|rows| rows.of_vault = 0);
    }

    /// Zoom has failed, or has limited our calls. Returns whether this was the failure that blocks the app.
    pub(super) fn zoom_failed(&self, app: &ClientId) -> bool {
        self.change(|rows| {
            rows.apps.insert(app.clone());
            let failures = rows.of_app.entry(app.clone()).or_default();
            *failures += 1;
            *failures == MAX_OF_APP
        })
    }

    /// DynamoDB or KMS has failed.
    pub(super) fn vault_failed(&self) {
        self.change(|rows| rows.of_vault += 1);
    }

    /// Whether the run leaves the app's grants alone.
    pub(super) fn is_blocked(&self, app: &ClientId) -> bool {
        self.change(|rows| {
            let failures = rows.of_app.get(app);
            failures.is_some_and(|failures| *failures >= MAX_OF_APP)
        })
    }

    /// Whether the run ends.
    pub(super) fn end_the_run(&self) -> bool {
        self.change(|rows| rows.of_vault >= MAX_OF_VAULT || rows.apps.len() >= MAX_APPS)
    }

    /// Whether Zoom is known to work.
    pub(super) fn zoom_works(&self) -> bool {
        self.change(|rows| rows.zoom_works)
    }

    fn change<T>(&self, change: impl FnOnce(&mut InARow) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str) -> ClientId {
        name.to_owned().try_into().unwrap()
    }

    #[test]
    fn three_failures_in_a_row_block_their_app_and_no_other() {
        let failures = Failures::default();
        assert!(!failures.zoom_failed(&app("a")));
        assert!(!failures.zoom_failed(&app("a")));
        assert!(!failures.is_blocked(&app("a")));
        assert!(failures.zoom_failed(&app("a")));
        assert!(failures.is_blocked(&app("a")));
        assert!(!failures.zoom_failed(&app("a")), "it was blocked before");
        assert!(!failures.is_blocked(&app("b")));
        assert!(!failures.end_the_run());
    }

    #[test]
    fn failures_between_successes_block_nothing() {
        let failures = Failures::default();
        for _ in 0..100 {
            failures.zoom_failed(&app("a"));
            failures.zoom_failed(&app("a"));
            failures.zoom_failed(&app("b"));
            failures.vault_failed();
            failures.vault_failed();
            assert!(!failures.is_blocked(&app("a")) && !failures.end_the_run());
            failures.zoom_answered(&app("a"));
            failures.zoom_answered(&app("b"));
            failures.vault_works();
        }
    }

    #[test]
    fn failures_with_three_apps_and_no_success_end_the_run() {
        let failures = Failures::default();
        failures.zoom_failed(&app("a"));
        failures.zoom_failed(&app("b"));
        failures.zoom_answered(&app("c"));
        failures.zoom_failed(&app("a"));
        failures.zoom_failed(&app("b"));
        assert!(!failures.end_the_run());
        failures.zoom_failed(&app("c"));
        assert!(failures.end_the_run());
    }

    #[test]
    fn three_failures_of_the_vault_in_a_row_end_the_run() {
        let failures = Failures::default();
        failures.vault_failed();
        failures.vault_failed();
        failures.zoom_answered(&app("a"));
        assert!(!failures.end_the_run());
        failures.vault_failed();
        assert!(failures.end_the_run());
    }
}
