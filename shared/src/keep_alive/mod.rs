//! Sees to grants that are due: refreshes those that nobody has used for a while, so that Zoom does not end them for
//! idling, and settles those that no credential is known to need.
//!
//! A run finds the grants by the index `by-due`, the longest unused of each shard first. It takes each grant before it
//! looks at it, so a row that is broken, or that crashes the run, comes again only an hour later and blocks no other.
//! Then every grant gets a new due time: a refreshed grant in weeks, a failed one in a day, one that rests none.
//!
//! Only this module destroys or revokes a grant because nobody needs it, and it asks the pair first:
//!
//! - [`due`] is one grant: who uses it, and whether it still works.
//! - [`nameless`] is a grant whose user is not known.
//! - [`revoke`] revokes the grants of a pair at Zoom.
//!
//! A grant idles out after months, so a run can wait. A refresh whose outcome is lost costs the user a reconnect. So the
//! run ends when Zoom, DynamoDB or KMS fails for several grants.

mod due;
mod nameless;
mod revoke;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::cause::chain;
use crate::envelope;
use crate::error::{Down, Error};
use crate::grants::Grants;
use crate::keep_alive::due::TakenGrant;
use crate::stores::{self, DUE_AT_ONCE, DueGrant, Keys, due_shards};
use crate::timestamp::Timestamp;

/// The name of the function in the logs.
pub const NAME: &str = "keep-alive";

/// The most grants of one shard in one run. With 16 shards and a run an hour, that is about 12,000 a day.
const GRANTS_PER_SHARD: u16 = 32;
/// How many grants are handled at a time.
const CONCURRENT_GRANTS: usize = 4;
/// With less time left, no grant is begun.
const MIN_TIME_FOR_GRANT: Duration = Duration::from_mins(1);
/// The longest time for one grant. Its lease ends then.
const MAX_TIME_FOR_GRANT: Duration = Duration::from_secs(90);
/// How long a taken grant is not due. Less than the time between two runs.
const TAKEN_FOR: Duration = Duration::from_mins(50);
/// When a failed grant is due again.
const RETRY_AFTER: Duration = Duration::from_hours(24);
/// After Zoom, or DynamoDB and KMS, have failed for this many grants, the run ends.
const MAX_FAILURES: u32 = 3;

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
    /// The part of `unwanted` that was deleted: Zoom refuses it and no credential uses it, or its pair has no credential.
    pub destroyed: u32,
    /// Failed, and due again in a day.
    pub failed: u32,
    /// Still due after the run, or in use and due again in an hour.
    pub left: u32,
    /// By how many seconds the grant is overdue that was unrefreshed for the longest time, of those that this run did not
    /// refresh. 0 if none is overdue.
    pub overdue: u64,
}

/// The result for one grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GrantOutcome {
    Refreshed,
    Dead,
    /// No live credential uses it. It is not due any more.
    Rests,
    Revoked,
    Destroyed,
    /// Due again in a day.
    Failed,
    /// Taken, and due again in an hour.
    Left,
    /// Not due any more: the index was older than the row, or another run has taken it.
    InUse,
    /// Still due, since this run did not begin with it or gave it back.
    StillDue,
}

impl Report {
    fn count(mut self, outcome: GrantOutcome) -> Self {
        self.revoked += u32::from(outcome == GrantOutcome::Revoked);
        self.destroyed += u32::from(outcome == GrantOutcome::Destroyed);
        let count = match outcome {
            GrantOutcome::Refreshed => &mut self.refreshed,
            GrantOutcome::Dead => &mut self.dead,
            GrantOutcome::Rests | GrantOutcome::Revoked | GrantOutcome::Destroyed => {
                &mut self.unwanted
            }
            GrantOutcome::Failed => &mut self.failed,
            GrantOutcome::Left | GrantOutcome::InUse => &mut self.left,
            // Counted by the index after the run, together with the grants that were not read.
            GrantOutcome::StillDue => return self,
        };
        *count += 1;
        self
    }

    fn log(&self, run_id: &str) {
        tracing::info!(
            request_id = run_id,
            kept_alive = self.refreshed,
            keep_alive_dead = self.dead,
            keep_alive_unwanted = self.unwanted,
            keep_alive_revoked = self.revoked,
            keep_alive_destroyed = self.destroyed,
            keep_alive_failed = self.failed,
            keep_alive_left = self.left,
            keep_alive_overdue = self.overdue,
            "kept alive"
        );
    }
}

/// Handles grants that were unused for `unused`, until shortly before `deadline`. Revokes grants at Zoom, where a team
/// wants that, at the earliest `revoke_after` after the last deletion. `run_id` names the run in the logs.
pub async fn run(
    keys: &Keys,
    grants: &Grants,
    unused: Duration,
    revoke_after: Duration,
    deadline: Timestamp,
    run_id: &str,
) -> Result<Report, stores::Error> {
    let run = Run {
        keys,
        grants,
        unused_since: Timestamp::now().minus(unused),
        revoke_after,
        deadline,
        id: run_id,
        zoom_failures: AtomicU32::new(0),
        own_failures: AtomicU32::new(0),
    };
    let shards = stream::iter(due_shards().collect::<Vec<_>>());
    let due: Vec<Vec<DueGrant>> = shards
        .map(|shard| {
            grants
                .secrets
                .due_grants(shard, run.unused_since, GRANTS_PER_SHARD)
        })
        .buffer_unordered(CONCURRENT_GRANTS)
        .try_collect()
        .await?;
    let is_full = |shard: &Vec<_>| shard.len() >= usize::from(GRANTS_PER_SHARD);
    let mut more_are_due = due.iter().any(is_full);
    // Every grant is handled to its end: a refresh that is dropped could be lost.
    let handled: Vec<(DueGrant, GrantOutcome)> = stream::iter(due.into_iter().flatten())
        .map(|due| async {
            let outcome = run.handle(&due).await;
            (due, outcome)
        })
        .buffer_unordered(CONCURRENT_GRANTS)
        .collect()
        .await;
    let mut report = Report::default();
    for (due, outcome) in handled {
        report = report.count(outcome);
        more_are_due |= outcome == GrantOutcome::StillDue;
        if matches!(
            outcome,
            GrantOutcome::Failed | GrantOutcome::Left | GrantOutcome::StillDue
        ) {
            report.overdue = report.overdue.max(run.overdue(&due));
        }
    }
    if more_are_due {
        report.left += run.count_due().await;
    }
    report.log(run_id);
    Ok(report)
}

/// One run.
struct Run<'a> {
    keys: &'a Keys,
    grants: &'a Grants,
    /// A grant that was used since then is not due.
    unused_since: Timestamp,
    revoke_after: Duration,
    deadline: Timestamp,
    id: &'a str,
    /// For how many grants Zoom failed or limited our calls.
    zoom_failures: AtomicU32,
    /// For how many grants DynamoDB or KMS failed.
    own_failures: AtomicU32,
}

impl Run<'_> {
    async fn handle(&self, due: &DueGrant) -> GrantOutcome {
        if self.has_ended() || Timestamp::now().until(self.deadline) < MIN_TIME_FOR_GRANT {
            return GrantOutcome::StillDue;
        }
        let taken = self.unused_since.plus(TAKEN_FOR);
        let row = match self.grants.secrets.take(due, taken).await {
            Ok(Some(row)) => row,
            // The index is older than the row, or another run has taken the grant.
            Ok(None) => return GrantOutcome::InUse,
            Err(error) => return self.after_failure(due, taken, &error.into()).await,
        };
        let grant = TakenGrant {
            run: self,
            team: &due.team,
            id: due.grant,
            row,
            taken,
        };
        match grant.settle().await {
            Ok(outcome) => outcome,
            Err(error) => self.after_failure(due, taken, &error).await,
        }
    }

    fn has_ended(&self) -> bool {
        [&self.zoom_failures, &self.own_failures]
            .iter()
            .any(|failures| failures.load(Ordering::Relaxed) >= MAX_FAILURES)
    }

    /// When the work on a grant that begins now must end.
    fn deadline_of_grant(&self) -> Timestamp {
        self.deadline.min(Timestamp::now().plus(MAX_TIME_FOR_GRANT))
    }

    /// By how many seconds the grant is overdue.
    fn overdue(&self, due: &DueGrant) -> u64 {
        match due.refreshed_at {
            Some(at) if due.idle_since != DUE_AT_ONCE => at.until(self.unused_since).as_secs(),
            _ => 0,
        }
    }

    /// How many grants are due now. 0 if DynamoDB does not say.
    async fn count_due(&self) -> u32 {
        let shards = stream::iter(due_shards().collect::<Vec<_>>());
        let counts: Result<Vec<u32>, _> = shards
            .map(|shard| self.grants.secrets.count_due(shard, self.unused_since))
            .buffer_unordered(CONCURRENT_GRANTS)
            .try_collect()
            .await;
        match counts {
            Ok(counts) => counts.into_iter().sum(),
            Err(error) => {
                let cause = chain(&error);
                tracing::warn!(
                    request_id = self.id,
                    cause,
                    "the due grants are not counted"
                );
                0
            }
        }
    }

    /// Postpones a failed grant by a day, or gives it back if it could not be helped now. Ends the run if more grants
    /// would fail.
    async fn after_failure(&self, due: &DueGrant, taken: Timestamp, error: &Error) -> GrantOutcome {
        tracing::warn!(
            request_id = self.id,
            route = NAME,
            team = %due.team,
            grant_id = %due.grant,
            code = error.code(),
            cause = error.cause(),
            "a grant is not refreshed"
        );
        let failures = match error {
            Error::Unavailable { source, .. } => match source {
                Down::OutOfTime
                | Down::RefreshElsewhere
                | Down::GrantsLeft
                | Down::MembersMissing => {
                    return GrantOutcome::Left;
                }
                // The other grants may have another key.
                Down::Kms(envelope::Error::Kms {
                    refuses_key: true, ..
                }) => None,
                Down::DynamoDb(_) | Down::Kms(_) | Down::Silent => {
                    self.own_failures.fetch_add(1, Ordering::Relaxed);
                    let given_back = self.grants.secrets.give_back(due, taken).await;
                    self.warn_unless_done(given_back);
                    return GrantOutcome::StillDue;
                }
                Down::Zoom(_) => Some(&self.zoom_failures),
            },
            Error::ZoomUnavailable { .. } | Error::ZoomTimeout { .. } => Some(&self.zoom_failures),
            _ => None,
        };
        if let Some(failures) = failures {
            failures.fetch_add(1, Ordering::Relaxed);
        }
        let due_again = self.unused_since.plus(RETRY_AFTER);
        let postponed = self.grants.secrets.postpone(due.grant, taken, due_again);
        self.warn_unless_done(postponed.await);
        GrantOutcome::Failed
    }

    /// Without this write, the grant is due again in an hour.
    fn warn_unless_done(&self, written: Result<(), stores::Error>) {
        if let Err(error) = written {
            let cause = chain(&error);
            tracing::warn!(request_id = self.id, cause, "a grant is not postponed");
        }
    }
}
