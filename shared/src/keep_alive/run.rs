//! A run of keep-alive: takes the due grants, one after another, and puts off those that fail.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use crate::cause::chain;
use crate::credential::ClientId;
use crate::envelope;
use crate::error::{Down, Error};
use crate::grants::Grants;
use crate::keep_alive::due::TakenGrant;
use crate::keep_alive::failures::Failures;
use crate::keep_alive::report::{GrantOutcome, Report};
use crate::keep_alive::terms::{NAME, RETRY_AFTER, RunTerms};
use crate::stores::{self, DUE_AT_ONCE, DueGrant, DuePosition, Keys, due_shards};
use crate::timestamp::Timestamp;

/// How many grants are handled at a time, once Zoom is known to work. So no app has more calls at a time.
const CONCURRENT_GRANTS: usize = 16;
/// With less time left, no grant is begun.
const MIN_TIME_FOR_GRANT: Duration = Duration::from_mins(1);
/// How long a taken grant is not due.
const TAKEN_FOR: Duration = Duration::from_mins(50);

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
        failures: Failures::default(),
        unread: Mutex::default(),
    };
    let mut due = stream::select_all(due_shards().map(|shard| Box::pin(run.due(shard))));
    let mut total = Total::default();
    // One at a time, until Zoom has answered for one grant. So an outage meets few refreshes.
    while !run.failures.zoom_works()
        && let Some(next) = due.next().await
    {
        total.add(&run, run.handle_read(next).await);
    }
    // Every grant is handled to its end: a refresh that is dropped could be lost.
    let mut handled = due
        .map(|next| run.handle_read(next))
        .buffer_unordered(CONCURRENT_GRANTS);
    while let Some(done) = handled.next().await {
        total.add(&run, done);
    }
    total.finish(&run).await
}

/// What a run has done so far.
#[derive(Default)]
struct Total {
    report: Report,
    /// Whether the run has read grants that it did not begin.
    some_are_due: bool,
    /// Why a shard of the index could not be read.
    error: Option<stores::Error>,
}

impl Total {
    fn add(&mut self, run: &Run<'_>, done: Result<(DueGrant, GrantOutcome), stores::Error>) {
        let (due, outcome) = match done {
            Ok(done) => done,
            Err(error) => {
                self.error = Some(error);
                return;
            }
        };
        self.report = self.report.count(outcome);
        self.some_are_due |= outcome == GrantOutcome::StillDue;
        if matches!(
            outcome,
            GrantOutcome::Failed
                | GrantOutcome::PutOff
                | GrantOutcome::Left
                | GrantOutcome::StillDue
        ) {
            self.report.overdue = self.report.overdue.max(run.overdue(&due));
        }
    }

    /// Logs the report, with the grants that are still due.
    async fn finish(mut self, run: &Run<'_>) -> Result<Report, stores::Error> {
        let unread = *run.unread.lock().unwrap_or_else(PoisonError::into_inner);
        if self.some_are_due || unread.is_some() {
            let left = run.count_due().await;
            self.report.left += left;
            if left > 0 {
                self.report.overdue = self.report.overdue.max(unread.unwrap_or_default());
            }
        }
        self.report.log(run.terms.id);
        self.error.map_or(Ok(self.report), Err)
    }
}

/// One run.
struct Run<'a> {
    terms: RunTerms<'a>,
    failures: Failures,
    /// By how many seconds the grants are overdue at most that the run has not read. `None` if it has read all.
    unread: Mutex<Option<u64>>,
}

impl Run<'_> {
    /// The due grants of a shard, page after page. Ends early if the run is over.
    fn due(&self, shard: String) -> impl Stream<Item = Result<DueGrant, stores::Error>> + '_ {
        let pages = stream::try_unfold(Next::First, move |next| {
            let shard = shard.clone();
            async move {
                let from = match next {
                    Next::First => None,
                    Next::From(_, overdue) if self.is_over() => {
                        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
                        *unread = unread.max(Some(overdue));
                        return Ok(None);
                    }
                    Next::From(position, _) => Some(position),
                    Next::End => return Ok(None),
                };
                let since = self.terms.unused_since;
                let page = self.terms.grants.secrets.due_grants(shard, since, from);
                let page = page.await?;
                // The grants behind a page are as late as its last one, or less.
                let overdue = page.grants.last().map_or(0, |last| self.overdue(last));
                let next = page
                    .next
                    .map_or(Next::End, |position| Next::From(position, overdue));
                let grants = stream::iter(page.grants.into_iter().map(Ok));
                Ok(Some((grants, next)))
            }
        });
        pages.try_flatten()
    }

    async fn handle_read(
        &self,
        read: Result<DueGrant, stores::Error>,
    ) -> Result<(DueGrant, GrantOutcome), stores::Error> {
        let due = read?;
        let outcome = self.handle(&due).await;
        Ok((due, outcome))
    }

    /// Whether no further grant is begun.
    fn is_over(&self) -> bool {
        let has_time = Timestamp::now().until(self.terms.deadline) >= MIN_TIME_FOR_GRANT;
        self.failures.end_the_run() || !has_time
    }

    async fn handle(&self, due: &DueGrant) -> GrantOutcome {
        if self.is_over() {
            return GrantOutcome::StillDue;
        }
        let taken = self.terms.unused_since.plus(TAKEN_FOR);
        let row = match self.terms.grants.secrets.take(due, taken).await {
            Ok(Some(row)) => row,
            // The index is older than the row, or another run has taken the grant.
            Ok(None) => return GrantOutcome::InUse,
            Err(error) => return self.after_failure(due, taken, None, &error.into()).await,
        };
        let app = row.client_id.clone();
        if self.failures.is_blocked(&app) {
            self.postpone(due, taken).await;
            return GrantOutcome::PutOff;
        }
        let grant = TakenGrant {
            run: &self.terms,
            team: &due.team,
            id: due.grant,
            row,
            taken,
        };
        // Boxed: the future of a whole refresh is large.
        match Box::pin(grant.settle()).await {
            Ok(outcome) => {
                self.failures.vault_works();
                if matches!(
                    outcome,
                    GrantOutcome::Refreshed | GrantOutcome::Dead | GrantOutcome::Revoked
                ) {
                    self.failures.zoom_answered(&app);
                }
                outcome
            }
            Err(error) => self.after_failure(due, taken, Some(&app), &error).await,
        }
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

    /// Postpones a failed grant by a day, or gives it back if it could not be helped now. `app` is the grant's app, if the
    /// row was read.
    async fn after_failure(
        &self,
        due: &DueGrant,
        taken: Timestamp,
        app: Option<&ClientId>,
        error: &Error,
    ) -> GrantOutcome {
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
        let is_of_zoom = if let Error::Unavailable { source, .. } = error {
            match source {
                Down::OutOfTime
                | Down::RefreshElsewhere
                | Down::GrantsLeft
                | Down::MembersMissing => return GrantOutcome::Left,
                // The other grants may have another key.
                Down::Kms(envelope::Error::Kms {
                    refuses_key: true, ..
                }) => false,
                Down::DynamoDb(_) | Down::Kms(_) | Down::Silent => {
                    self.failures.vault_failed();
                    let given_back = self.terms.grants.secrets.give_back(due, taken).await;
                    self.warn_unless_done(given_back);
                    return GrantOutcome::StillDue;
                }
                Down::Zoom(_) => true,
            }
        } else {
            matches!(
                error,
                Error::ZoomUnavailable { .. } | Error::ZoomTimeout { .. }
            )
        };
        if is_of_zoom
            && let Some(app) = app
            && self.failures.zoom_failed(app)
        {
            tracing::warn!(
                request_id = self.terms.id,
                route = NAME,
                client_id = app.as_str(),
                "Zoom has failed three times in a row for this app: its other due grants wait for a day"
            );
        }
        self.postpone(due, taken).await;
        GrantOutcome::Failed
    }

    async fn postpone(&self, due: &DueGrant, taken: Timestamp) {
        let due_again = self.terms.unused_since.plus(RETRY_AFTER);
        let secrets = &self.terms.grants.secrets;
        self.warn_unless_done(secrets.postpone(due.grant, taken, due_again).await);
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

/// Where the next page of a shard begins.
enum Next {
    First,
    /// With the number of seconds by which the grant before it is overdue.
    From(DuePosition, u64),
    End,
}
