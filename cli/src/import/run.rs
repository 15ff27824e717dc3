//! One run over the rows of an export: the order, the rate, and the repetitions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::io::{self, IsTerminal};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::credential::ClientId;
use shared::import::{ImportOutcome, ImportResult, Importer};
use shared::secret::AppCredentials;
use shared::zoom;
use tokio::signal::unix::{Signal, SignalKind, signal};
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
        let in_capsule = self.results.iter().any(|it| it.only_in_capsule);
        has(ImportOutcome::Retry) && !has(ImportOutcome::OutcomeLost) && !in_capsule
    }

    fn wait(&self) -> Duration {
        let waits = self.results.iter().filter_map(|it| it.retry_after);
        waits.max().unwrap_or(MIN_WAIT)
    }

    /// What is reported. This drops the tokens and the client secrets of the rows.
    fn reports(self) -> Vec<LineReport> {
        let rows = self.rows.into_iter().zip(self.results);
        rows.map(|(row, result)| LineReport::new(row, result))
            .collect()
    }
}

/// The rows of one user after a try.
enum Tried {
    Ended(Vec<LineReport>),
    /// They may be tried again.
    Again(User),
}

/// The signals that end a run: Ctrl-C, SIGTERM, and the end of the terminal.
///
/// Once a process listens for a signal, the signal does not end the process any more. So the same listeners stay for
/// the whole run.
pub(super) struct StopSignals([Signal; 3]);

impl StopSignals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    /// Ends at the next signal.
    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
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

    /// Imports the rows. At a signal, completes what is in progress. Reports every line in any case.
    pub(super) async fn all(mut self, plan: Plan, mut signals: StopSignals) -> Vec<LineReport> {
        let refused = tokio::select! {
            biased;
            () = self.stop_at_next(&mut signals) => BTreeMap::new(),
            refused = self.refused_apps(&plan) => refused,
        };
        self.refused = refused;
        let malformed = plan.malformed.into_iter().map(LineReport::malformed);
        let mut reports: Vec<LineReport> = malformed.collect();
        let users = plan.users.into_iter().map(|rows| User {
            rows,
            results: Vec::new(),
        });
        let mut todo: Vec<User> = users.collect();
        for repetition in 0..=MAX_REPETITIONS {
            let is_last = repetition == MAX_REPETITIONS;
            let users = stream::iter(todo)
                .map(|user| self.user(user, is_last))
                .buffer_unordered(CONCURRENT_USERS);
            let tried: Vec<Tried> = tokio::select! {
                biased;
                never = self.stop_at_each(&mut signals) => match never {},
                tried = users.collect() => tried,
            };
            let mut again = Vec::new();
            for tried in tried {
                match tried {
                    Tried::Ended(ended) => reports.extend(ended),
                    Tried::Again(user) => again.push(user),
                }
            }
            if again.is_empty() {
                break;
            }
            if self.is_over() || !self.wait(&again, &mut signals).await {
                reports.extend(again.into_iter().flat_map(User::reports));
                break;
            }
            todo = again;
        }
        self.bar.finish_and_clear();
        let by_line: HashMap<usize, &LineReport> = reports
            .iter()
            .map(|report| (report.line(), report))
            .collect();
        let same = plan.same.into_iter().map(|it| {
            let of = by_line.get(&it.of).copied();
            LineReport::same(it, of)
        });
        let same: Vec<LineReport> = same.collect();
        reports.extend(same);
        reports
    }

    /// Waits before users are tried again. Returns false if a signal ends the run.
    async fn wait(&self, again: &[User], signals: &mut StopSignals) -> bool {
        let wait = again.iter().map(User::wait).max().unwrap_or(MIN_WAIT);
        let wait = wait.clamp(MIN_WAIT, MAX_WAIT);
        self.output.note(&format!(
            "{} failed for now and are tried again in {} s",
            count(again.len(), "user"),
            wait.as_secs()
        ));
        tokio::select! {
            biased;
            () = self.stop_at_next(signals) => false,
            () = tokio::time::sleep(wait) => true,
        }
    }

    /// Asks Zoom whether it accepts the apps. A refused app refuses all of its rows, and none of them need be stored.
    async fn refused_apps(&self, plan: &Plan) -> BTreeMap<AppKey, String> {
        let mut checked = BTreeSet::new();
        let mut refused = BTreeMap::new();
        for app in plan.users.iter().flatten().map(|row| &row.given.app) {
            if !checked.insert(key_of(app)) {
                continue;
            }
            let answer = self.vault.zoom.check_app(app, zoom::ANSWER_TIMEOUT).await;
            // Any other failure says nothing about the app.
            if let Err(zoom::Error::AppRefused { reason }) = answer {
                refused.insert(key_of(app), reason);
            }
        }
        refused
    }

    async fn user(&self, user: User, is_last: bool) -> Tried {
        let user = self.rows(user).await;
        if user.must_be_repeated() && !is_last && !self.is_over() {
            Tried::Again(user)
        } else {
            Tried::Ended(user.reports())
        }
    }

    /// Imports the rows of one user, until one is in the vault or may be.
    async fn rows(&self, mut user: User) -> User {
        let before = mem::take(&mut user.results);
        let mut taken: Option<usize> = None;
        let mut lost: Option<usize> = None;
        let mut waits = false;
        for (position, row) in user.rows.iter().enumerate() {
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
                self.row(row, before.get(position)).await
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

    /// Imports a row. `before` is what this run has found earlier.
    async fn row(&self, row: &ExportRow, before: Option<&ImportResult>) -> ImportResult {
        if let Some(before) = before.filter(|before| !before.outcome.is_open()) {
            return before.clone();
        }
        if let Some(not_tried) = self.not_tried(before) {
            return not_tried;
        }
        let importer = Importer {
            grants: &self.vault.grants,
            requests: &self.vault.requests,
            trail: &self.vault.trail,
            team: &self.command.team,
        };
        let result = if let Some(reason) = self.refused.get(&key_of(&row.given.app)) {
            importer.import_of_refused_app(&row.given, reason).await
        } else {
            self.interval.lock().await.tick().await;
            // It may have been stopped during the wait.
            if let Some(not_tried) = self.not_tried(before) {
                return not_tried;
            }
            importer.import(&row.given).await
        };
        if result.outcome == ImportOutcome::Retry {
            self.failures.fetch_add(1, Ordering::Relaxed);
        } else {
            self.failures.store(0, Ordering::Relaxed);
            self.bar.inc(1);
        }
        result
    }

    /// The outcome of a row that is not begun, because the run is over. What this run has found earlier stays.
    fn not_tried(&self, before: Option<&ImportResult>) -> Option<ImportResult> {
        let reason = if self.stopped.load(Ordering::Relaxed) {
            "not tried: the program was told to stop".to_owned()
        } else if self.is_over() {
            format!("not tried: {MAX_FAILURES} lines before it failed in a row")
        } else {
            return None;
        };
        let not_tried = || ImportResult::new(ImportOutcome::Retry).because(reason);
        Some(before.cloned().unwrap_or_else(not_tried))
    }

    fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
            || self.failures.load(Ordering::Relaxed) >= MAX_FAILURES
    }

    /// Begins no further row after the next signal.
    async fn stop_at_next(&self, signals: &mut StopSignals) {
        signals.next().await;
        self.stopped.store(true, Ordering::Relaxed);
        self.output.note(
            "stopping: the grants that are in progress are completed first, which takes at most 90 s",
        );
    }

    /// The same for each signal. A refresh whose answer is awaited must not be abandoned, so this never ends.
    async fn stop_at_each(&self, signals: &mut StopSignals) -> Infallible {
        loop {
            self.stop_at_next(signals).await;
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
