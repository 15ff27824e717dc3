//! A run of keep-alive: takes the due grants, one after another, and puts off those that fail.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::cause::chain;
use crate::envelope;
use crate::error::{Down, Error};
use crate::grants::Grants;
use crate::keep_alive::due::TakenGrant;
use crate::keep_alive::report::{GrantOutcome, Report};
use crate::keep_alive::terms::{NAME, RETRY_AFTER, RunTerms};
use crate::stores::{self, DUE_AT_ONCE, DueGrant, Keys, due_shards};
use crate::timestamp::Timestamp;

/// The most grants of one shard in one run. With 16 shards and a run an hour, that is about 12,000 a day.
const GRANTS_PER_SHARD: u16 = 32;
/// How many grants are handled at a time.
const CONCURRENT_GRANTS: usize = 4;
/// With less time left, no grant is begun.
const MIN_TIME_FOR_GRANT: Duration = Duration::from_mins(1);
/// How long a taken grant is not due. Less than the time between two runs.
const TAKEN_FOR: Duration = Duration::from_mins(50);
/// After Zoom, or DynamoDB and KMS, have failed for this many grants, the run ends.
const MAX_FAILURES: u32 = 3;

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
        terms: RunTerms {
            keys,
            grants,
            unused_since: Timestamp::now().minus(unused),
            revoke_after,
            deadline,
            id: run_id,
        },
        zoom_failures: AtomicU32::new(0),
        own_failures: AtomicU32::new(0),
    };
    let shards = stream::iter(due_shards().collect::<Vec<_>>());
    let due: Vec<Vec<DueGrant>> = shards
        .map(|shard| {
            grants
                .secrets
                .due_grants(shard, run.terms.unused_since, GRANTS_PER_SHARD)
        })
        .buffer_unordered(CONCURRENT_GRANTS)
        .try_collect()
        .await?;
    // A full shard may have more due grants. They are almost as late as the last one here.
    let full = due
        .iter()
        .filter(|shard| shard.len() >= usize::from(GRANTS_PER_SHARD));
    let overdue_beyond = full
        .filter_map(|shard| shard.last())
        .map(|due| run.overdue(due))
        .max();
    let mut more_are_due = overdue_beyond.is_some();
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
        let left = run.count_due().await;
        report.left += left;
        if left > 0 {
            report.overdue = report.overdue.max(overdue_beyond.unwrap_or_default());
        }
    }
    report.log(run_id);
    Ok(report)
}

/// One run.
struct Run<'a> {
    terms: RunTerms<'a>,
    /// For how many grants Zoom failed or limited our calls.
    zoom_failures: AtomicU32,
    /// For how many grants DynamoDB or KMS failed.
    own_failures: AtomicU32,
}

impl Run<'_> {
    async fn handle(&self, due: &DueGrant) -> GrantOutcome {
        if self.has_ended() || Timestamp::now().until(self.terms.deadline) < MIN_TIME_FOR_GRANT {
            return GrantOutcome::StillDue;
        }
        let taken = self.terms.unused_since.plus(TAKEN_FOR);
        let row = match self.terms.grants.secrets.take(due, taken).await {
            Ok(Some(row)) => row,
            // The index is older than the row, or another run has taken the grant.
            Ok(None) => return GrantOutcome::InUse,
            Err(error) => return self.after_failure(due, taken, &error.into()).await,
        };
        let grant = TakenGrant {
            run: &self.terms,
            team: &due.team,
            id: due.grant,
            row,
            taken,
        };
        // Boxed: the future of a whole refresh is large.
        match Box::pin(grant.settle()).await {
            Ok(outcome) => outcome,
            Err(error) => self.after_failure(due, taken, &error).await,
        }
    }

    fn has_ended(&self) -> bool {
        [&self.zoom_failures, &self.own_failures]
            .iter()
            .any(|failures| failures.load(Ordering::Relaxed) >= MAX_FAILURES)
    }

    /// By how many seconds the grant is overdue.
    fn overdue(&self, due: &DueGrant) -> u64 {
        match due.refreshed_at {
            Some(at) if due.idle_since != DUE_AT_ONCE => {
                at.until(self.terms.unused_since).as_secs()
            }
            _ => 0,
        }
    }

    /// How many grants are due now. 0 if DynamoDB does not say.
    async fn count_due(&self) -> u32 {
        let shards = stream::iter(due_shards().collect::<Vec<_>>());
        let counts: Result<Vec<u32>, _> = shards
            .map(|shard| {
                self.terms
                    .grants
                    .secrets
                    .count_due(shard, self.terms.unused_since)
            })
            .buffer_unordered(CONCURRENT_GRANTS)
            .try_collect()
            .await;
        match counts {
            Ok(counts) => counts.into_iter().sum(),
            Err(error) => {
                let cause = chain(&error);
                tracing::warn!(
                    request_id = self.terms.id,
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
        let is_of_kms = matches!(
            error,
            Error::Unavailable {
                source: Down::Kms(_),
                ..
            }
        );
        let is_of_app = matches!(error, Error::AppMisconfigured { .. });
        tracing::warn!(
            request_id = self.terms.id,
            route = NAME,
            team = %due.team,
            grant_id = %due.grant,
            code = error.code(),
            cause = error.cause(),
            kms_failed = is_of_kms.then_some(1_u32),
            zoom_app_refused = is_of_app.then_some(1_u32),
            "a grant is not refreshed"
        );
        let failures = if let Error::Unavailable { source, .. } = error {
            match source {
                Down::OutOfTime
                | Down::RefreshElsewhere
                | Down::GrantsLeft
                | Down::MembersMissing => return GrantOutcome::Left,
                // The other grants may have another key.
                Down::Kms(envelope::Error::Kms {
                    refuses_key: true, ..
                }) => None,
                Down::DynamoDb(_) | Down::Kms(_) | Down::Silent => {
                    self.own_failures.fetch_add(1, Ordering::Relaxed);
                    let given_back = self.terms.grants.secrets.give_back(due, taken).await;
                    self.warn_unless_done(given_back);
                    return GrantOutcome::StillDue;
                }
                Down::Zoom(_) => Some(&self.zoom_failures),
            }
        } else {
            let is_zooms = matches!(
                error,
                Error::ZoomUnavailable { .. } | Error::ZoomTimeout { .. }
            );
            is_zooms.then_some(&self.zoom_failures)
        };
        if let Some(failures) = failures {
            failures.fetch_add(1, Ordering::Relaxed);
        }
        let due_again = self.terms.unused_since.plus(RETRY_AFTER);
        let postponed = self
            .terms
            .grants
            .secrets
            .postpone(due.grant, taken, due_again);
        self.warn_unless_done(postponed.await);
        GrantOutcome::Failed
    }

    /// Without this write, the grant is due again in an hour.
    fn warn_unless_done(&self, written: Result<(), stores::Error>) {
        if let Err(error) = written {
            let cause = chain(&error);
            tracing::warn!(
                request_id = self.terms.id,
                cause,
                "a grant is not postponed"
            );
        }
    }
}
