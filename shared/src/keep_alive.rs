//! Refreshes grants that nobody has used for a while, so that Zoom does not end them for idling.
//!
//! A run finds the grants by the index `by-due`, the longest unused of each shard first. Every grant that a run handles
//! gets a new due time: a refreshed grant in weeks, a failed grant in a day, and a dead or unwanted grant none. So each
//! run continues where the last run ended, and no grant blocks the others.
//!
//! A grant idles out after months, so a run can wait. A refresh whose outcome is lost costs the user a reconnect. So
//! the run ends when Zoom fails repeatedly.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::cause::chain;
use crate::error::{Down, Error};
use crate::event::Actor;
use crate::grants::call::{CallOutcome, Caller};
use crate::grants::mint::ACCESS_MARGIN;
use crate::grants::profile::learn_user;
use crate::grants::record::Recorder;
use crate::grants::{Context, Grants, Terms};
use crate::invocation::Invocation;
use crate::revoke::{UnusedGrant, UnusedGrantOutcome};
use crate::stores::{self, DueGrant, GrantState, Keys, StoredCredential, due_shards};
use crate::timestamp::Timestamp;

/// The name of the function in the logs.
pub const NAME: &str = "keep-alive";

/// The most grants of one shard in one run. With 16 shards and a run an hour, that is about 12,000 a day.
const GRANTS_PER_SHARD: u16 = 32;
/// How many grants are refreshed at a time.
const CONCURRENT_GRANTS: usize = 4;
/// With less time left, no grant is begun.
const MIN_TIME_FOR_GRANT: Duration = Duration::from_mins(1);
/// The longest time for one grant. Its lease ends then.
const MAX_TIME_FOR_GRANT: Duration = Duration::from_secs(90);
/// When a failed grant is due again.
const RETRY_AFTER: Duration = Duration::from_hours(24);
/// After this many failures of Zoom, the run ends.
const MAX_ZOOM_FAILURES: u32 = 3;

/// What a run did, in grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Refreshed.
    pub refreshed: u32,
    /// Refused by Zoom for good. Their credentials are invalid now.
    pub dead: u32,
    /// Used by no live credential, so not due any more.
    pub unwanted: u32,
    /// The part of `unwanted` that was revoked at Zoom, or found revoked. Their tokens are destroyed.
    pub revoked: u32,
    /// Failed, and due again in a day.
    pub failed: u32,
    /// Left for the next run, or in use.
    pub left: u32,
}

/// The result for one grant.
#[derive(Clone, Copy, Debug)]
enum GrantOutcome {
    Refreshed,
    Dead,
    Unwanted,
    Revoked,
    Failed,
    Left,
}

impl Report {
    fn count(mut self, outcome: GrantOutcome) -> Self {
        self.revoked += u32::from(matches!(outcome, GrantOutcome::Revoked));
        let count = match outcome {
            GrantOutcome::Refreshed => &mut self.refreshed,
            GrantOutcome::Dead => &mut self.dead,
            GrantOutcome::Unwanted | GrantOutcome::Revoked => &mut self.unwanted,
            GrantOutcome::Failed => &mut self.failed,
            GrantOutcome::Left => &mut self.left,
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
            keep_alive_failed = self.failed,
            keep_alive_left = self.left,
            "kept alive"
        );
    }
}

/// Refreshes grants that have not been used for `unused`, until shortly before `deadline`. `run_id` names the run in
/// the logs.
pub async fn run(
    keys: &Keys,
    grants: &Grants,
    unused: Duration,
    deadline: Timestamp,
    run_id: &str,
) -> Result<Report, stores::Error> {
    let run = Run {
        keys,
        grants,
        unused_since: Timestamp::now().minus(unused),
        deadline,
        id: run_id,
        zoom_failures: AtomicU32::new(0),
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
    // Every grant is handled to its end: a refresh that is dropped could be lost.
    let report = stream::iter(due.into_iter().flatten())
        .map(|due| run.handle(due))
        .buffer_unordered(CONCURRENT_GRANTS)
        .fold(Report::default(), async |report, outcome| {
            report.count(outcome)
        })
        .await;
    report.log(run_id);
    Ok(report)
}

/// One run.
struct Run<'a> {
    keys: &'a Keys,
    grants: &'a Grants,
    /// A grant that was refreshed since then is in use.
    unused_since: Timestamp,
    deadline: Timestamp,
    id: &'a str,
    /// How often Zoom failed or limited our calls.
    zoom_failures: AtomicU32,
}

impl Run<'_> {
    async fn handle(&self, due: DueGrant) -> GrantOutcome {
        let has_ended = self.zoom_failures.load(Ordering::Relaxed) >= MAX_ZOOM_FAILURES;
        if has_ended || Timestamp::now().until(self.deadline) < MIN_TIME_FOR_GRANT {
            return GrantOutcome::Left;
        }
        match self.refresh(&due).await {
            Ok(outcome) => outcome,
            Err(error) => self.postpone_refresh(&due, &error).await,
        }
    }

    /// Refreshes a grant with the app of a credential that uses it. If Zoom refuses the app, tries the next
    /// credential's app.
    async fn refresh(&self, due: &DueGrant) -> Result<GrantOutcome, Error> {
        let credentials = &self.grants.credentials;
        let Some(row) = self.grants.grant_row(due.grant).await? else {
            return Ok(GrantOutcome::Left);
        };
        // The index may be older than the row.
        let is_used = row.refreshed_at.is_none_or(|at| at >= self.unused_since);
        if row.state != GrantState::Active || is_used {
            return Ok(GrantOutcome::Left);
        }

        let owner = row.credential_id;
        let mut refused = None;
        let first = credentials.get(&due.team, owner).await?;
        if let Some(stored) = first.filter(|stored| stored.has_grant(due.grant)) {
            match self.refresh_for(due, stored).await {
                Err(error @ Error::AppMisconfigured { .. }) => refused = Some(error),
                outcome => return outcome,
            }
        }
        let holders = credentials.with_grant(&due.team, due.grant).await?;
        for stored in holders.live {
            if stored.credential.credential_id == owner {
                continue;
            }
            match self.refresh_for(due, stored).await {
                Err(error @ Error::AppMisconfigured { .. }) => refused = Some(error),
                outcome => return outcome,
            }
        }
        if let Some(error) = refused {
            return Err(error);
        }
        let unused = UnusedGrant {
            keys: self.keys,
            grants: self.grants,
            due,
            run_id: self.id,
            max_time: MAX_TIME_FOR_GRANT,
            deadline: self.deadline,
            refreshed_at: self.unused_since.plus(RETRY_AFTER),
        };
        Ok(match unused.settle(&row, holders.deleted).await? {
            UnusedGrantOutcome::Rests => GrantOutcome::Unwanted,
            UnusedGrantOutcome::Revoked => GrantOutcome::Revoked,
            UnusedGrantOutcome::InUse => GrantOutcome::Left,
        })
    }

    fn deadline_of_grant(&self) -> Timestamp {
        self.deadline.min(Timestamp::now().plus(MAX_TIME_FOR_GRANT))
    }

    /// Refreshes a grant with this credential's app.
    async fn refresh_for(
        &self,
        due: &DueGrant,
        stored: StoredCredential,
    ) -> Result<GrantOutcome, Error> {
        let id = stored.credential.credential_id;
        let deadline = self.deadline_of_grant();
        let invocation = &Invocation::new(self.id.to_owned(), deadline);
        let context = Context {
            grants: self.grants,
            invocation,
            team: &due.team,
            terms: &Terms {
                requester: Actor::KeepAlive.into(),
                margin: ACCESS_MARGIN,
                answer_by: deadline,
            },
        };
        // The call itself does nothing, because getting the access token is the refresh.
        let called = Caller::new(context)
            .call(stored.clone(), None, async |_| Ok(()))
            .await;
        let error = called.as_ref().err();
        let code = error.map(Error::code);
        let recorder = Recorder(context);
        recorder.refresh(id, error).await;
        let outcome = match called {
            Ok(CallOutcome { stored, access, .. }) => {
                learn_user(context, &stored, &access).await;
                Ok(if invocation.activity().has_refreshed() {
                    GrantOutcome::Refreshed
                } else {
                    GrantOutcome::Left
                })
            }
            Err(Error::ReconnectRequired { .. }) => Ok(GrantOutcome::Dead),
            Err(error) => {
                recorder.failure(&stored, &error).await;
                Err(error)
            }
        };
        let counts = invocation.activity().counts();
        tracing::info!(
            request_id = self.id,
            route = NAME,
            team = %due.team,
            credential_id = %id,
            code,
            refreshed = counts.refreshed,
            turned_invalid = counts.turned_invalid,
            refresh_outcome_lost = counts.outcome_lost,
            "grant"
        );
        outcome
    }

    /// Postpones a failed grant by a day. Ends the run if more grants would fail.
    async fn postpone_refresh(&self, due: &DueGrant, error: &Error) -> GrantOutcome {
        tracing::warn!(
            request_id = self.id,
            route = NAME,
            team = %due.team,
            grant_id = %due.grant,
            code = error.code(),
            cause = error.cause(),
            "a grant is not refreshed"
        );
        if let Error::Unavailable { source, .. } = error {
            match source {
                Down::OutOfTime | Down::RefreshElsewhere => return GrantOutcome::Left,
                // DynamoDB or KMS is down. The grant stays due, so the next run handles it.
                Down::DynamoDb(_) | Down::Kms(_) | Down::Silent => {
                    self.end_run();
                    return GrantOutcome::Left;
                }
                Down::Zoom(_) => self.count_zoom_failure(),
            }
        } else if matches!(
            error,
            Error::ZoomUnavailable { .. } | Error::ZoomTimeout { .. }
        ) {
            self.count_zoom_failure();
        }
        let due_again = self.unused_since.plus(RETRY_AFTER);
        let postponed = self
            .grants
            .secrets
            .postpone_refresh(due.grant, due_again)
            .await;
        if let Err(error) = postponed {
            tracing::warn!(
                request_id = self.id,
                cause = chain(&error),
                "a grant is not postponed"
            );
            self.end_run();
        }
        GrantOutcome::Failed
    }

    fn count_zoom_failure(&self) {
        self.zoom_failures.fetch_add(1, Ordering::Relaxed);
    }

    fn end_run(&self) {
        self.zoom_failures
            .store(MAX_ZOOM_FAILURES, Ordering::Relaxed);
    }
}
