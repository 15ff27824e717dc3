//! Counts over schedules, and the rules that they violated.

use std::fmt;
use std::time::Duration;

/// Counts over one or more schedules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) schedules: usize,
    pub(crate) tokens: usize,
    pub(crate) refresh_posts: usize,
    pub(crate) spent_token_posts: usize,
    /// Grants that no protocol could have kept.
    pub(crate) lost_unavoidably: usize,
    /// Schedules in which the reported reason of a loss is not checked, because a request came late.
    pub(crate) unchecked_reasons: usize,
    /// Grants that were lost although they could have been kept.
    pub(crate) lost_avoidably: usize,
    pub(crate) wrongly_invalidated: usize,
    pub(crate) dropped_pairs: usize,
    /// Refresh tokens that were in flight twice at the same time.
    pub(crate) overlapping_posts: usize,
    /// Violations of other rules.
    pub(crate) other_violations: usize,
    /// Grants that ended because the user removed the app.
    pub(crate) revoked: usize,
    pub(crate) capsules: usize,
    pub(crate) longest_mint: Duration,
    /// The operations that the first mint of this schedule called. Empty for a sum of schedules.
    pub(crate) first_mint_operations: Vec<String>,
    /// Each violation, with the name of its schedule.
    pub(crate) violations: Vec<String>,
    schedule_name: String,
}

impl Summary {
    /// The column names of the table whose rows `Display` prints.
    pub(crate) const COLUMNS: &str = "schedules | tokens | refresh POSTs | spent tokens sent | lost unavoidably | \
        lost avoidably | wrongly invalidated | pairs dropped | other rules violated | longest mint |";

    /// The summary of one schedule, with nothing counted yet.
    pub(crate) fn new(schedule_name: String) -> Self {
        Self {
            schedules: 1,
            schedule_name,
            ..Self::default()
        }
    }

    /// Records a violation and counts it with `count`.
    pub(crate) fn violation(&mut self, text: &str, count: impl FnOnce(&mut Self)) {
        self.violations
            .push(format!("{}: {text}", self.schedule_name));
        count(self);
    }

    /// Adds the counts of another summary.
    pub(crate) fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.tokens += other.tokens;
        self.refresh_posts += other.refresh_posts;
        self.spent_token_posts += other.spent_token_posts;
        self.lost_unavoidably += other.lost_unavoidably;
        self.unchecked_reasons += other.unchecked_reasons;
        self.lost_avoidably += other.lost_avoidably;
        self.wrongly_invalidated += other.wrongly_invalidated;
        self.dropped_pairs += other.dropped_pairs;
        self.overlapping_posts += other.overlapping_posts;
        self.other_violations += other.other_violations;
        self.revoked += other.revoked;
        self.capsules += other.capsules;
        self.longest_mint = self.longest_mint.max(other.longest_mint);
        self.violations.extend(other.violations);
    }

    /// Whether no rule was violated.
    pub(crate) fn passes(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} s |",
            self.schedules,
            self.tokens,
            self.refresh_posts,
            self.spent_token_posts,
            self.lost_unavoidably,
            self.lost_avoidably,
            self.wrongly_invalidated,
            self.dropped_pairs,
            self.overlapping_posts + self.other_violations,
            self.longest_mint.as_secs_f64(),
        )
    }
}
