//! Which failures end a run, or the part of a run that concerns one app or one team.
//!
//! Only failures in a row count. A large run always meets a few, and they say nothing about the grants after them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::credential::{ClientId, TeamId};

/// After so many failures in a row with one app, or of one team, the run leaves its other grants alone.
const MAX_IN_A_ROW: u32 = 3;
/// After failures with so many apps, or of so many teams, and no success in between, the run ends.
const MAX_FAILING: usize = 3;

/// The failures of a run.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Zoom failed, or limited our calls.
    zoom: InARow<ClientId>,
    /// Zoom refused the client secret that a team has for an app. Another team may have the right one.
    secret: InARow<(TeamId, ClientId)>,
    /// DynamoDB or KMS failed. DynamoDB limits the calls for one team's rows without limiting others.
    vault: InARow<TeamId>,
    /// Whether Zoom has accepted or refused a grant in this run, or refused a secret three times.
    zoom_works: bool,
}

/// Failures since the last success, for each app or team.
#[derive(Debug)]
struct InARow<K> {
    failures: BTreeMap<K, u32>,
    /// Who has failed since the last success of anyone.
    failing: BTreeSet<K>,
}

impl<K> Default for InARow<K> {
    fn default() -> Self {
        Self {
            failures: BTreeMap::new(),
            failing: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone> InARow<K> {
    /// Returns whether this was the failure that blocks `key`.
    fn failed(&mut self, key: &K) -> bool {
        self.failing.insert(key.clone());
        let failures = self.failures.entry(key.clone()).or_default();
        *failures += 1;
        *failures == MAX_IN_A_ROW
    }

    fn worked(&mut self, key: &K) {
        self.failures.remove(key);
        self.failing.clear();
    }

    fn blocks(&self, key: &K) -> bool {
        let failures = self.failures.get(key);
        failures.is_some_and(|failures| *failures >= MAX_IN_A_ROW)
    }

    fn all_fail(&self) -> bool {
        self.failing.len() >= MAX_FAILING
    }
}

impl Failures {
    /// Zoom has accepted or refused a grant with the team's client secret for this app.
    pub(super) fn zoom_answered(&self, team: &TeamId, app: &ClientId) {
        self.with(|counts| {
            counts.zoom.worked(app);
            counts.secret.worked(&(team.clone(), app.clone()));
            counts.zoom_works = true;
        });
    }

    /// Zoom has failed, or has limited our calls. Returns whether this was the failure that blocks the app.
    pub(super) fn zoom_failed(&self, app: &ClientId) -> bool {
        self.with(|counts| counts.zoom.failed(app))
    }

    /// Zoom has refused the client secret. Returns whether this was the refusal that blocks the app for the team.
    pub(super) fn secret_refused(&self, team: &TeamId, app: &ClientId) -> bool {
        self.with(|counts| {
            let blocks = counts.secret.failed(&(team.clone(), app.clone()));
            // Not before: several grants at a time would send more than three wrong secrets.
            counts.zoom_works |= blocks;
            blocks
        })
    }

    /// DynamoDB and KMS have done all that a grant of the team needs.
    pub(super) fn vault_works(&self, team: &TeamId) {
        self.with(|counts| counts.vault.worked(team));
    }

    /// DynamoDB or KMS has failed. Returns whether this was the failure that blocks the team.
    pub(super) fn vault_failed(&self, team: &TeamId) -> bool {
        self.with(|counts| counts.vault.failed(team))
    }

    /// Whether the run leaves the team's grants of this app alone.
    pub(super) fn block_app(&self, team: &TeamId, app: &ClientId) -> bool {
        self.with(|counts| {
            counts.zoom.blocks(app) || counts.secret.blocks(&(team.clone(), app.clone()))
        })
    }

    /// Whether the run leaves the team's grants alone.
    pub(super) fn block_team(&self, team: &TeamId) -> bool {
        self.with(|counts| counts.vault.blocks(team))
    }

    /// Whether the run ends. Wrong client secrets never end it: they say nothing about the other teams.
    pub(super) fn end_the_run(&self) -> bool {
        self.with(|counts| counts.vault.all_fail() || counts.zoom.all_fail())
    }

    /// Whether Zoom is known to work.
    pub(super) fn zoom_works(&self) -> bool {
        self.with(|counts| counts.zoom_works)
    }

    fn with<T>(&self, access: impl FnOnce(&mut Counts) -> T) -> T {
        access(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str) -> ClientId {
        name.to_owned().try_into().unwrap()
    }

    fn team(name: &str) -> TeamId {
        name.to_owned().try_into().unwrap()
    }

    #[test]
    fn three_failures_in_a_row_block_their_app_and_no_other() {
        let failures = Failures::default();
        assert!(!failures.zoom_failed(&app("a")));
        assert!(!failures.zoom_failed(&app("a")));
        assert!(!failures.block_app(&team("t"), &app("a")));
        assert!(failures.zoom_failed(&app("a")));
        assert!(failures.block_app(&team("t"), &app("a")));
        assert!(failures.block_app(&team("u"), &app("a")));
        assert!(!failures.zoom_failed(&app("a")), "it was blocked before");
        assert!(!failures.block_app(&team("t"), &app("b")));
        assert!(!failures.end_the_run());
    }

    #[test]
    fn three_refused_secrets_in_a_row_block_the_app_for_their_team_only() {
        let failures = Failures::default();
        assert!(!failures.secret_refused(&team("t"), &app("a")));
        assert!(!failures.secret_refused(&team("t"), &app("a")));
        failures.zoom_answered(&team("u"), &app("a"));
        assert!(failures.secret_refused(&team("t"), &app("a")));
        assert!(failures.block_app(&team("t"), &app("a")));
        assert!(!failures.block_app(&team("t"), &app("b")));
        assert!(!failures.block_app(&team("u"), &app("a")));
    }

    #[test]
    fn zoom_is_known_to_work_after_the_refused_secret_that_blocks() {
        let failures = Failures::default();
        failures.secret_refused(&team("t"), &app("a"));
        failures.secret_refused(&team("t"), &app("a"));
        assert!(!failures.zoom_works());
        failures.secret_refused(&team("t"), &app("a"));
        assert!(failures.zoom_works());
    }

    #[test]
    fn no_number_of_refused_secrets_ends_the_run() {
        let failures = Failures::default();
        for name in ["a", "b", "c", "d"] {
            failures.secret_refused(&team(name), &app(name));
        }
        assert!(!failures.end_the_run());
    }

    #[test]
    fn failures_between_successes_block_nothing() {
        let failures = Failures::default();
        let (t, a, b) = (&team("t"), &app("a"), &app("b"));
        for _ in 0..100 {
            for _ in 0..2 {
                failures.zoom_failed(a);
                failures.secret_refused(t, a);
                failures.vault_failed(t);
            }
            failures.zoom_failed(b);
            assert!(!failures.block_app(t, a) && !failures.block_team(t));
            assert!(!failures.end_the_run());
            failures.zoom_answered(t, a);
            failures.zoom_answered(t, b);
            failures.vault_works(t);
        }
    }

    #[test]
    fn failures_with_three_apps_and_no_success_end_the_run() {
        let failures = Failures::default();
        failures.zoom_failed(&app("a"));
        failures.zoom_failed(&app("b"));
        failures.zoom_answered(&team("t"), &app("c"));
        failures.zoom_failed(&app("a"));
        failures.zoom_failed(&app("b"));
        assert!(!failures.end_the_run());
        failures.zoom_failed(&app("c"));
        assert!(failures.end_the_run());
    }

    #[test]
    fn three_failures_of_the_vault_in_a_row_block_their_team_and_three_teams_end_the_run() {
        let failures = Failures::default();
        failures.vault_failed(&team("t"));
        failures.vault_failed(&team("t"));
        failures.zoom_answered(&team("t"), &app("a"));
        assert!(!failures.block_team(&team("t")));
        assert!(failures.vault_failed(&team("t")));
        assert!(failures.block_team(&team("t")));
        assert!(!failures.block_team(&team("u")));
        failures.vault_failed(&team("u"));
        assert!(!failures.end_the_run());
        failures.vault_failed(&team("v"));
        assert!(failures.end_the_run());
    }
}
