//! Counts over the lives of grants.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::life::history::History;
use crate::life::world::World;

/// Counts over one or more schedules.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    schedules: usize,
    operations: usize,
    killed: usize,
    capsules: usize,
    grants: usize,
    /// Grants that the vault revoked at Zoom.
    pub(crate) revoked: usize,
    /// Live grants whose last tokens no living process got, and grants that ended because of such a loss.
    pub(crate) lost: usize,
    /// Each violation, with the name of its schedule.
    pub(crate) violations: Vec<String>,
    longest: Duration,
    /// The operations of this schedule, for a person. Empty for a sum of schedules.
    pub(crate) trace: Vec<String>,
    /// The most calls of an operation by its kind, without outages.
    pub(crate) max_calls: BTreeMap<&'static str, usize>,
}

impl Summary {
    /// The column names of the table whose row `Display` prints.
    pub(crate) const COLUMNS: &str = "schedules | operations | killed | capsules | grants | revoked at Zoom | \
        lost unavoidably | rules violated | longest operation |";

    pub(crate) fn of(world: &World, history: &History) -> Self {
        let mut max_calls = BTreeMap::new();
        for operation in history.operations.iter().filter(|it| !it.has_outage) {
            let most = max_calls.entry(operation.kind).or_default();
            *most = operation.calls().len().max(*most);
        }
        let outcomes = || history.operations.iter().filter_map(|it| it.outcome);
        let grants = world.backend.zoom.grants().into_iter();
        Self {
            schedules: 1,
            operations: history.operations.len(),
            killed: outcomes().filter(|it| it.is_killed).count(),
            capsules: world.capsules.len(),
            grants: grants
                .filter(|it| world.users.contains(&it.user_id))
                .count(),
            longest: outcomes().map(|it| it.duration).max().unwrap_or_default(),
            max_calls,
            ..Self::default()
        }
    }

    /// Adds the counts of another summary.
    pub(crate) fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.operations += other.operations;
        self.killed += other.killed;
        self.capsules += other.capsules;
        self.grants += other.grants;
        self.revoked += other.revoked;
        self.lost += other.lost;
        self.violations.extend(other.violations);
        self.longest = self.longest.max(other.longest);
        for (kind, calls) in other.max_calls {
            let most = self.max_calls.entry(kind).or_default();
            *most = calls.max(*most);
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {:.1} s |",
            self.schedules,
            self.operations,
            self.killed,
            self.capsules,
            self.grants,
            self.revoked,
            self.lost,
            self.violations.len(),
            self.longest.as_secs_f64(),
        )
    }
}
