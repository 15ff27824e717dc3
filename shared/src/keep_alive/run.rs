//! A run of keep-alive: takes the due grants, one after another, and puts off those that fail.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use crate::cause::chain;
use crate::credential::{ClientId, TeamId};
use crate::envelope;
use crate::error::{Down, Error};
use crate::grants::Grants;
use crate::keep_alive::due::TakenGrant;
use crate::keep_alive::failures::Failures;
use crate::keep_alive::report::{GrantOutcome, Report};
use crate::keep_alive::terms::{NAME, RunTerms};
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
            unused,
            unused_since: Timestamp::now().minus(unused),
            revoke_after,
            deadline,
            id: run_id,
            failures: Failures::default(),
        },
        unread: Mutex::default(),
    };
    let mut due = stream::select_all(due_shards().map(|shard| Box::pin(run.due(shard))));
    let mut total = Total::default();
    // One at a time, until Zoom has answered for one grant. So an outage meets few refreshes.
    while !run.terms.failures.zoom_works()
        && let Some(next) = due.next().await
    {
        let outcome = run.handle(&next).await;
        total.add(&run, &next, outcome);
    }
    // Every grant is handled to its end: a refresh that is dropped could be lost.
    let mut handled = due
        .map(async |next| (run.handle(&next).await, next))
        .buffer_unordered(CONCURRENT_GRANTS);
    while let Some((outcome, next)) = handled.next().await {
        total.add(&run, &next, outcome);
    }
    total.finish(&run).await
}

/// What a run has done so far.
#[derive(Default)]
struct Total {
    report: Report,
    /// Whether the run has read grants that it did not begin.
    some_are_due: bool,
}

impl Total {
    fn add(&mut self, run: &Run<'_>, due: &DueGrant, outcome: GrantOutcome) {
        self.report = self.report.count(outcome);
        self.some_are_due |= outcome == GrantOutcome::StillDue;
        if matches!(
            outcome,
            GrantOutcome::Failed
                | GrantOutcome::PutOff
                | GrantOutcome::Left
                | GrantOutcome::StillDue
        ) {
            self.report.overdue = self.report.overdue.max(run.overdue(due));
        }
    }

    /// Logs the report, with the grants that are still due.
    async fn finish(mut self, run: &Run<'_>) -> Result<Report, stores::Error> {
        let unread = mem::take(&mut *run.unread());
        if self.some_are_due || unread.overdue.is_some() {
            let left = run.count_due().await;
            self.report.left += left;
            if left > 0 {
                let overdue = unread.overdue.unwrap_or_default();
                self.report.overdue = self.report.overdue.max(overdue);
            }
        }
        self.report.log(run.terms.id);
        unread.error.map_or(Ok(self.report), Err)
    }
}

/// One run.
struct Run<'a> {
    terms: RunTerms<'a>,
    unread: Mutex<Unread>,
}

/// The due grants that a run has not read.
#[derive(Default)]
struct Unread {
    /// By how many seconds they are overdue at most. `None` if the run ended because nothing was left to read.
    overdue: Option<u64>,
    /// Why a shard of the index could not be read.
    error: Option<stores::Error>,
}

impl Run<'_> {
    /// The due grants of a shard, page after page. Ends early if the run is over, or if the index cannot be read.
    fn due(&self, shard: String) -> impl Stream<Item = DueGrant> + '_ {
        let pages = stream::unfold(Next::First, move |next| {
            let shard = shard.clone();
            async move {
                let from = match next {
                    Next::First => None,
                    Next::From(_, overdue) if self.is_over() => {
                        let mut unread = self.unread();
                        unread.overdue = unread.overdue.max(Some(overdue));
                        return None;
                    }
                    Next::From(position, _) => Some(position),
                    Next::End => return None,
                };
                let since = self.terms.unused_since;
                let page = self.terms.grants.secrets.due_grants(shard, since, from);
                let page = match page.await {
                    Ok(page) => page,
                    Err(error) => {
                        self.unread().error = Some(error);
                        return None;
                    }
                };
                // The grants behind a page are as late as its last one, or less.
                let overdue = page.grants.last().map_or(0, |last| self.overdue(last));
                let next = page
                    .next
                    .map_or(Next::End, |position| Next::From(position, overdue));
                Some((stream::iter(page.grants), next))
            }
        });
        pages.flatten()
    }

    fn unread(&self) -> MutexGuard<'_, Unread> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no further grant is begun.
    fn is_over(&self) -> bool {
        let has_time = Timestamp::now().until(self.terms.deadline) >= MIN_TIME_FOR_GRANT;
        self.terms.failures.end_the_run() || !has_time
    }

    async fn handle(&self, due: &DueGrant) -> GrantOutcome {
        let failures = &self.terms.failures;
        // A blocked team's grants keep their places.
        if self.is_over() || failures.block_team(&due.team) {
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
        if failures.block_app(&due.team, &app) {
            self.postpone(due, taken, self.terms.after_put_off()).await;
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
                failures.vault_works(&due.team);
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

    /// Counts a failure, and makes the grant due again. `app` is the grant's app, if the row was read.
    async fn after_failure(
        &self,
        due: &DueGrant,
        taken: Timestamp,
        app: Option<&ClientId>,
        error: &Error,
    ) -> GrantOutcome {
        let cause = Cause::of(error);
        tracing::warn!(
            request_id = self.terms.id,
            route = NAME,
            team = %due.team,
            grant_id = %due.grant,
            code = error.code(),
            cause = error.cause(),
            kms_failed = is_of_kms(error).then_some(1_u32),
            zoom_app_refused = (cause == Cause::Secret).then_some(1_u32),
            "a grant is not refreshed"
        );
        if cause == Cause::Busy {
            return GrantOutcome::Left;
        }
        self.count_failure(cause, &due.team, app);
        if cause == Cause::Vault {
            if app.is_none() {
                // The grant was not taken.
                return GrantOutcome::StillDue;
            }
            // Due in the next run, behind the grants that this run does not try.
            self.postpone(due, taken, self.terms.unused_since).await;
            return GrantOutcome::Left;
        }
        self.postpone(due, taken, self.terms.after_failure()).await;
        GrantOutcome::Failed
    }

    /// Counts a failure, and logs if the run therefore leaves other grants alone.
    fn count_failure(&self, cause: Cause, team: &TeamId, app: Option<&ClientId>) {
        let failures = &self.terms.failures;
        let id = self.terms.id;
        match (cause, app) {
            (Cause::Vault, _) if failures.vault_failed(team) => tracing::warn!(
                request_id = id,
                route = NAME,
                %team,
                "DynamoDB or KMS has failed three times in a row for this team: its other due grants wait for the next run"
            ),
            (Cause::Zoom, Some(app)) if failures.zoom_failed(app) => tracing::warn!(
                request_id = id,
                route = NAME,
                client_id = app.as_str(),
                "Zoom has failed three times in a row for this app: its other due grants wait for up to an hour"
            ),
            (Cause::Secret, Some(app)) if failures.secret_refused(team, app) => tracing::warn!(
                request_id = id,
                route = NAME,
                %team,
                client_id = app.as_str(),
                "Zoom has refused the app's client secret three times in a row: the team's other due grants of this app \
                 wait for up to an hour"
            ),
            _ => {}
        }
    }

    async fn postpone(&self, due: &DueGrant, taken: Timestamp, idle_since: Timestamp) {
        let secrets = &self.terms.grants.secrets;
        self.warn_unless_done(secrets.postpone(due.grant, taken, idle_since).await);
    }

    /// Without this write, the grant is due again after [`TAKEN_FOR`].
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

/// What a failure says about the grants after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Nothing: someone else uses the grant, or the time was too short.
    Busy,
    /// DynamoDB or KMS may fail for the team's other grants.
    Vault,
    /// Zoom may fail for the app's other grants.
    Zoom,
    /// Zoom may refuse the client secret of the team's other credentials of the app.
    Secret,
    /// Nothing: only this grant fails.
    Grant,
}

impl Cause {
    fn of(error: &Error) -> Self {
        let Error::Unavailable { source, .. } = error else {
            let is_of_zoom = matches!(
                error,
                Error::ZoomUnavailable { .. } | Error::ZoomTimeout { .. }
            );
            return if is_of_zoom {
                Self::Zoom
            } else if matches!(error, Error::AppMisconfigured { .. }) {
                Self::Secret
            } else {
                Self::Grant
            };
        };
        match source {
            Down::OutOfTime
            | Down::NeedsRefresh
            | Down::RefreshElsewhere
            | Down::AccessTokenEnds
            | Down::GrantsLeft
            | Down::MembersMissing => Self::Busy,
            // The other grants may have another key.
            Down::Kms(envelope::Error::Kms {
                refuses_key: true, ..
            }) => Self::Grant,
            Down::DynamoDb(_) | Down::Kms(_) | Down::Silent => Self::Vault,
            Down::Zoom(_) => Self::Zoom,
        }
    }
}

fn is_of_kms(error: &Error) -> bool {
    matches!(
        error,
        Error::Unavailable {
            source: Down::Kms(_),
            ..
        }
    )
}

/// Where the next page of a shard begins.
enum Next {
    First,
    /// With the number of seconds by which the grant before it is overdue.
    From(DuePosition, u64),
    End,
}
