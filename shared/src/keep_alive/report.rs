//! What a run of keep-alive did.

use serde::Serialize;

/// What a run did, in grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Refreshed, or found to work.
    pub refreshed: u32,
    /// Refused by Zoom for good. Their credentials are invalid now.
    pub dead: u32,
    /// Used by no live credential, so not due any more.
    pub unwanted: u32,
    /// The part of `unwanted` that was revoked at Zoom, or found revoked. Their tokens are destroyed.
    pub revoked: u32,
    /// The part of `unwanted` that was deleted: Zoom refuses it and no credential uses it, or its pair has no
    /// credential.
    pub destroyed: u32,
    /// Failed, and due again in a day.
    pub failed: u32,
    /// Not tried, because Zoom had failed, or refused the client secret, for other grants of their app. Due again
    /// within an hour.
    pub put_off: u32,
    /// Still due after the run, or in use and due again within an hour.
    pub left: u32,
    /// By how many seconds the grant is overdue that was unrefreshed for the longest time, of those that this run did
    /// not refresh. 0 if none is overdue.
    pub overdue: u64,
}

/// The result for one grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GrantOutcome {
    Refreshed,
    Dead,
    /// No live credential uses it. It is not due any more.
    Rests,
    Revoked,
    Destroyed,
    /// Due again in a day.
    Failed,
    /// Not tried, and due again within an hour.
    PutOff,
    /// Taken, and due again in the next run or within an hour.
    Left,
    /// Not due any more: the index was older than the row, or another run has taken it.
    InUse,
    /// Still due, since this run did not begin with it.
    StillDue,
}

impl Report {
    pub(super) fn count(mut self, outcome: GrantOutcome) -> Self {
        self.revoked += u32::from(outcome == GrantOutcome::Revoked);
        self.destroyed += u32::from(outcome == GrantOutcome::Destroyed);
        let count = match outcome {
            GrantOutcome::Refreshed => &mut self.refreshed,
            GrantOutcome::Dead => &mut self.dead,
            GrantOutcome::Rests | GrantOutcome::Revoked | GrantOutcome::Destroyed => {
                &mut self.unwanted
            }
            GrantOutcome::Failed => &mut self.failed,
            GrantOutcome::PutOff => &mut self.put_off,
            GrantOutcome::Left | GrantOutcome::InUse => &mut self.left,
            // Counted by the index after the run, together with the grants that were not read.
            GrantOutcome::StillDue => return self,
        };
        *count += 1;
        self
    }

    /// `kept_alive` is in every line, because an alarm counts the lines. The other metrics are in the line only if they
    /// are not 0: CloudWatch bills a metric for each hour in which it has a value.
    pub(super) fn log(&self, run_id: &str) {
        tracing::info!(
            request_id = run_id,
            kept_alive = self.refreshed,
            keep_alive_dead = self.dead,
            keep_alive_unwanted = self.unwanted,
            keep_alive_revoked = self.revoked,
            keep_alive_destroyed = self.destroyed,
            keep_alive_failed = (self.failed > 0).then_some(self.failed),
            keep_alive_put_off = (self.put_off > 0).then_some(self.put_off),
            keep_alive_left = (self.left > 0).then_some(self.left),
            keep_alive_overdue = (self.overdue > 0).then_some(self.overdue),
            "kept alive"
        );
    }
}
