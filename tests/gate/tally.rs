//! What schedules came to.

use std::fmt;
use std::time::Duration;

/// Sums over schedules, and what they did wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) schedules: usize,
    pub(crate) tokens: usize,
    pub(crate) posts: usize,
    pub(crate) spent_posts: usize,
    pub(crate) lost_irreducibly: usize,
    /// Of these, how many were called revoked.
    pub(crate) mislabelled: usize,
    pub(crate) lost_elsewhere: usize,
    pub(crate) wrongly_invalidated: usize,
    pub(crate) dropped: usize,
    /// One token on its way to Zoom twice at once.
    pub(crate) overlaps: usize,
    /// Other invariants that did not hold.
    pub(crate) broken: usize,
    pub(crate) revoked: usize,
    pub(crate) capsules: usize,
    pub(crate) longest: Duration,
    /// How many calls the first mint of the last schedule made.
    pub(crate) calls: usize,
    /// What went wrong, and in which schedule.
    pub(crate) faults: Vec<String>,
    name: String,
}

impl Tally {
    /// Of one schedule.
    pub(crate) fn new(name: String) -> Self {
        Self {
            schedules: 1,
            name,
            ..Self::default()
        }
    }

    /// Something that must not be.
    pub(crate) fn fault(&mut self, what: &str, count: &mut dyn FnMut(&mut Self)) {
        self.faults.push(format!("{}: {what}", self.name));
        count(self);
    }

    /// Adds another's.
    pub(crate) fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.tokens += other.tokens;
        self.posts += other.posts;
        self.spent_posts += other.spent_posts;
        self.lost_irreducibly += other.lost_irreducibly;
        self.mislabelled += other.mislabelled;
        self.lost_elsewhere += other.lost_elsewhere;
        self.wrongly_invalidated += other.wrongly_invalidated;
        self.dropped += other.dropped;
        self.overlaps += other.overlaps;
        self.broken += other.broken;
        self.revoked += other.revoked;
        self.capsules += other.capsules;
        self.longest = self.longest.max(other.longest);
        self.faults.extend(other.faults);
    }

    /// Whether nothing was lost, declared, dropped or broken that need not have been.
    pub(crate) fn is_green(&self) -> bool {
        self.faults.is_empty() && self.mislabelled == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} s |",
            self.schedules,
            self.tokens,
            self.posts,
            self.spent_posts,
            self.lost_irreducibly,
            self.lost_elsewhere,
            self.wrongly_invalidated,
            self.dropped,
            self.overlaps + self.broken,
            self.longest.as_secs_f64(),
        )
    }
}
