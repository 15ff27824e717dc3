//! One run over the rows of an export: the order, the rate, and the repetitions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::credential::ClientId;
use shared::import::{ImportOutcome, ImportResult, Importer};
use shared::secret::AppCredentials;
use shared::zoom;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior};

use super::formats::ExportRow;
use super::plan::Plan;
use super::report::LineReport;
use super::{Import, Vault};
use crate::output::{Output, count};

/// How many users are imported at the same time.
const CONCURRENT_USERS: usize = 16;
/// How often rows that failed for now are tried again in one run.
const MAX_REPETITIONS: usize = 2;
/// The longest wait before a repetition. A lease of a run that crashed ends within this time.
const MAX_WAIT: Duration = Duration::from_secs(100);
/// The shortest wait before a repetition.
const MIN_WAIT: Duration = Duration::from_secs(1);
/// After so many failures in a row, a service is down, and the run ends.
const MAX_FAILURES: usize = 25;

/// One run over the rows of an export.
pub(super) struct Run<'a> {
    command: &'a Import,
    vault: &'a Vault,
    bar: ProgressBar,
    output: Output,
    interval: Mutex<Interval>,
    /// How many rows have failed for now since one did not.
    failures: AtomicUsize,
    /// Whether the operator wants the run to end.
    stopped: AtomicBool,
    /// The answer of Zoom to apps that it refuses.
    refused: BTreeMap<AppKey, String>,
}

/// An app with one of its secrets, of which only the hash is kept.
type AppKey = (ClientId, Vec<u8>);

fn key_of(app: &AppCredentials) -> AppKey {
    (app.client_id.clone(), app.client_secret.fingerprint())
}

/// The rows of one user, with what became of those that were tried.
struct User {
    rows: Vec<ExportRow>,
    results: Vec<ImportResult>,
}

impl User {
    fn must_be_repeated(&self) -> bool {
        let has = |outcome| self.results.iter().any(|it| it.outcome == outcome);
        has(ImportOutcome::Retry) && !has(ImportOutcome::OutcomeLost)
    }

    fn wait(&self) -> Duration {
        let waits = self.results.iter().filter_map(|it| it.retry_after);
        waits.max().unwrap_or(MIN_WAIT)
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(command: &'a Import, vault: &'a Vault, rows: usize, output: Output) -> Self {
        let mut interval = tokio::time::interval(Duration::from_secs(1) / command.rate);
        // After a slow answer, do not exceed the rate to catch up.
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            command,
            vault,
            bar: progress_bar(rows, output),
            output,
            interval: Mutex::new(interval),
            failures: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            refused: BTreeMap::new(),
        }
    }

    pub(super) async fn all(mut self, plan: Plan) -> Vec<LineReport> {
        self.check_apps(&plan).await;
        let mut reports: Vec<LineReport> = plan
            .malformed
            .into_iter()
            .map(LineReport::malformed)
            .collect();
        let users = plan.users.into_iter().map(|rows| User {
            rows,
            results: Vec::new(),
        });
        let mut todo: Vec<User> = users.collect();
        let mut same: HashMap<usize, LineReport> = HashMap::new();
        for repetition in 0..=MAX_REPETITIONS {
            let users = stream::iter(todo)
                .map(|user| self.user(user))
                .buffer_unordered(CONCURRENT_USERS);
            let done: Vec<User> = tokio::select! {
                done = users.collect() => done,
                () = self.stop_on_signal() => Vec::new(),
            };
            let is_last = repetition == MAX_REPETITIONS || self.is_over();
            let (again, ended): (Vec<_>, Vec<_>) = done
                .into_iter()
                .partition(|user| !is_last && user.must_be_repeated());
            for user in ended {
                for (row, result) in user.rows.into_iter().zip(user.results) {
                    let report = LineReport::new(row.line, row.source, result);
                    same.insert(row.line, report.clone());
                    reports.push(report);
                }
            }
            if again.is_empty() {
                break;
            }
            let wait = again.iter().map(User::wait).max().unwrap_or(MIN_WAIT);
            let wait = wait.clamp(MIN_WAIT, MAX_WAIT);
            self.output.note(&format!(
                "{} failed for now and are tried again in {} s",
                count(again.len(), "user"),
                wait.as_secs()
            ));
            tokio::time::sleep(wait).await;
            todo = again;
        }
        self.bar.finish_and_clear();
        let repeated = plan.same.into_iter().map(|it| {
            let of = same.get(&it.of);
            LineReport::same(it, of)
        });
        reports.extend(repeated);
        reports
    }

    /// Asks Zoom whether it accepts the apps. A refused app refuses all of its rows, and none of them need be stored.
    async fn check_apps(&mut self, plan: &Plan) {
        let mut checked = BTreeSet::new();
        for app in plan.users.iter().flatten().map(|row| &row.given.app) {
            if !checked.insert(key_of(app)) {
                continue;
            }
            let answer = self.vault.zoom.check_app(app, zoom::ANSWER_TIMEOUT).await;
            // Any other failure says nothing about the app.
            if let Err(zoom::Error::AppRefused { reason }) = answer {
                self.refused.insert(key_of(app), reason);
            }
        }
    }

    /// Imports the rows of one user, until one is in the vault or may be.
    async fn user(&self, mut user: User) -> User {
        user.results.clear();
        let mut taken: Option<usize> = None;
        let mut lost: Option<usize> = None;
        let mut waits = false;
        for row in &user.rows {
            let result = if let Some(line) = taken {
                ImportResult::new(ImportOutcome::AlreadyThere).because(format!(
                    "line {line} is of the same user, and has the grant"
                ))
            } else if let Some(line) = lost {
                // The token of that line may have given a grant that an older token would end.
                ImportResult::new(ImportOutcome::Retry).because(format!(
                    "not sent: line {line} is of the same user, and its outcome is lost"
                ))
            } else if waits {
                ImportResult::new(ImportOutcome::Retry)
                    .because("another line of the same user is not decided yet")
            } else {
                self.row(row).await
            };
            if result.outcome.is_in_the_vault() {
                taken = taken.or(Some(row.line));
            }
            if result.outcome == ImportOutcome::OutcomeLost {
                lost = lost.or(Some(row.line));
            }
            waits |= result.outcome.is_open();
            user.results.push(result);
        }
        user
    }

    async fn row(&self, row: &ExportRow) -> ImportResult {
        if let Some(reason) = self.refused.get(&key_of(&row.given.app)) {
            return ImportResult::new(ImportOutcome::AppRefused).because(reason.clone());
        }
        if let Some(not_tried) = self.not_tried() {
            return not_tried;
        }
        self.interval.lock().await.tick().await;
        // It may have been stopped during the wait.
        if let Some(not_tried) = self.not_tried() {
            return not_tried;
        }
        let importer = Importer {
            grants: &self.vault.grants,
            requests: &self.vault.requests,
            trail: &self.vault.trail,
            team: &self.command.team,
        };
        let result = importer.import(&row.given).await;
        if result.outcome == ImportOutcome::Retry {
            self.failures.fetch_add(1, Ordering::Relaxed);
        } else {
            self.failures.store(0, Ordering::Relaxed);
            self.bar.inc(1);
        }
        result
    }

    /// The outcome of a row that is not begun, because the run is over.
    fn not_tried(&self) -> Option<ImportResult> {
        let reason = if self.stopped.load(Ordering::Relaxed) {
            "not tried: the program was told to stop".to_owned()
        } else if self.is_over() {
            format!("not tried: {MAX_FAILURES} lines before it failed in a row")
        } else {
            return None;
        };
        Some(ImportResult::new(ImportOutcome::Retry).because(reason))
    }

    fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
            || self.failures.load(Ordering::Relaxed) >= MAX_FAILURES
    }

    /// Begins no further row after Ctrl-C or SIGTERM. A refresh whose answer is awaited must not be abandoned, so this
    /// never ends.
    async fn stop_on_signal(&self) {
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            return std::future::pending().await;
        };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            self.stopped.store(true, Ordering::Relaxed);
            self.output.note(
                "stopping: the grants that are in progress are completed first, which takes at most 90 s",
            );
        }
    }
}

/// A progress bar on stderr; hidden from scripts.
fn progress_bar(rows: usize, output: Output) -> ProgressBar {
    let target = if !output.is_json() && io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style =
        ProgressStyle::with_template("{bar:40} {pos} of {len} grants, {per_sec}, {eta} left");
    let rows = u64::try_from(rows).unwrap_or_default();
    ProgressBar::with_draw_target(Some(rows), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
