//! `import`: takes grants over from another system.

mod fields;
mod file;
mod formats;
mod plan;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use clap::Args;
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use secrecy::zeroize::Zeroizing;
use serde_json::json;
use shared::config;
use shared::credential::{ClientId, TeamId};
use shared::envelope::Envelope;
use shared::grants::Grants;
use shared::import::{ImportOutcome, ImportResult, Importer};
use shared::secret::{AppCredentials, ClientSecret};
use shared::stores::{Credentials, Pairs, Requests, Secrets, Trail};
use shared::zoom::{self, Zoom};
use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior};

use self::file::Source;
use self::formats::{DefaultApp, ExportRow, Format};
use self::plan::Plan;
use self::report::{LineReport, Report};
use crate::credentials::confirm;
use crate::error::Error;
use crate::output::{Output, count};
use crate::resources::{Resource, Resources};
use crate::trail;

/// The variable with the client secret of the rows that have none.
pub(crate) const SECRET_VARIABLE: &str = "ZOOM_CLIENT_SECRET";
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

/// Take grants over from another system, such as Nango or your own database
///
/// Stop the other system first: a refresh token works once. This command refreshes each grant at once, so that the token
/// in the other system is spent. That cannot be undone. Run it with --dry-run first. If it is stopped anywhere, run it
/// again with the same file: it goes on, and says the same of the rows that were done.
///
/// Outcomes: imported (a new credential), merged (the user's credential has the grant now), already_there (another line
/// of this user or token is in the vault), dead (Zoom refuses the token), outcome_lost (Zoom refuses it, but an answer
/// may have been lost), app_refused and retry (nothing is lost: run again), malformed (the line says why).
///
/// Ends with exit code 1 if a line is not in the vault. In AWS, assume the role in the stack's output `ImportRole`.
/// docs/import.md has the formats and the steps.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The export: a file with one JSON object a line, or `-` for standard input
    file: PathBuf,
    /// The team that gets the credentials
    #[arg(long)]
    team: TeamId,
    /// The system that wrote the export
    #[arg(long, value_enum)]
    format: Format,
    /// The client id of the Zoom app, for rows that name none
    #[arg(long, value_name = "ID", value_parser = client_id)]
    client_id: Option<ClientId>,
    /// A file with the client secret, for rows that have none. Or set ZOOM_CLIENT_SECRET
    #[arg(long, value_name = "PATH")]
    client_secret_file: Option<PathBuf>,
    /// Read the file, and say what would be done. Sends nothing to Zoom and stores nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// A new file for what became of each line: JSON lines without secrets
    #[arg(long, value_name = "PATH")]
    report: Option<PathBuf>,
    /// How many grants a second to take over, at most
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Overwrite and remove the file afterwards, if no line needs another run
    #[arg(long, conflicts_with = "dry_run")]
    shred: bool,
}

fn client_id(text: &str) -> Result<ClientId, shared::invalid::Invalid> {
    ClientId::try_from(text.to_owned())
}

impl Import {
    pub(crate) const RESOURCES: &'static [Resource] = &[
        Resource::Keys,
        Resource::Credentials,
        Resource::Pairs,
        Resource::Secrets,
        Resource::Requests,
        Resource::Events,
        Resource::EnvelopeKey,
    ];

    /// The team that must exist.
    pub(crate) fn team(&self) -> &TeamId {
        &self.team
    }

    fn default_app(&self) -> Result<DefaultApp, Error> {
        let text = match &self.client_secret_file {
            Some(path) => {
                let read = fs::read_to_string(path).map(Zeroizing::new);
                let read = read.map_err(|source| Error::ImportFile {
                    name: path.display().to_string(),
                    source,
                })?;
                Some(read.trim().to_owned())
            }
            None => config::optional(SECRET_VARIABLE),
        };
        let client_secret = text.map(ClientSecret::try_from).transpose();
        Ok(DefaultApp {
            client_id: self.client_id.clone(),
            client_secret: client_secret.map_err(|rule| Error::MalformedClientSecret(rule.0))?,
        })
    }
}

/// What the import works with.
struct Vault {
    grants: Grants,
    requests: Requests,
    trail: Trail,
    zoom: Zoom,
}

impl Vault {
    async fn open(
        config: &SdkConfig,
        client: &Client,
        resources: &Resources,
        envelope: Envelope,
    ) -> Result<Self, Error> {
        let name = |resource| resources.name(resource);
        let trail = trail::open(config, client, resources).await?;
        let zoom = config::zoom()?;
        let grants = Grants::new(
            Credentials::new(client.clone(), name(Resource::Credentials)?),
            Pairs::new(client.clone(), name(Resource::Pairs)?),
            Secrets::new(client.clone(), name(Resource::Secrets)?),
            trail.events.clone(),
            envelope,
            zoom.clone(),
            true,
        );
        Ok(Self {
            grants,
            requests: Requests::new(client.clone(), name(Resource::Requests)?),
            trail,
            zoom,
        })
    }
}

pub(crate) async fn run(
    command: Import,
    config: &SdkConfig,
    client: &Client,
    resources: &Resources,
    envelope: Envelope,
    output: Output,
) -> Result<(), Error> {
    let source = Source::from(command.file.clone());
    if command
        .report
        .as_deref()
        .is_some_and(|path| source.is(path))
    {
        return Err(Error::ReportIsInput);
    }
    let app = command.default_app()?;
    let named = |source_error| Error::ImportFile {
        name: source.name(),
        source: source_error,
    };
    let plan = {
        let bytes = source.read().map_err(named)?;
        Plan::of(&bytes, command.format, &app)
    };
    if command.dry_run {
        return dry_run(&plan, output);
    }
    if plan.rows() > 0 {
        confirm_import(&command, &plan)?;
    }
    let file = command.report.as_deref().map(|path| {
        report::create(path).map_err(|source| Error::ImportFile {
            name: path.display().to_string(),
            source,
        })
    });
    let file = file.transpose()?;
    let vault = Vault::open(config, client, resources, envelope).await?;
    log_capsules();

    let began = Instant::now();
    let rows = Run::new(&command, &vault, plan.rows(), output)
        .all(plan)
        .await;
    let report = Report::new(rows, began.elapsed().as_secs_f64());
    if let Some(file) = file {
        report.write(file)?;
    }
    output.print(&report, &report.text())?;
    if command.shred {
        shred(&source, &report, output)?;
    }
    match (report.not_imported(), report.open()) {
        (0, _) => Ok(()),
        (left, open) => Err(Error::NotImported { left, open }),
    }
}

fn shred(source: &Source, report: &Report, output: Output) -> Result<(), Error> {
    let open = report.open();
    if open > 0 {
        output.note(&format!(
            "{} is not destroyed: {} still need it",
            source.name(),
            count(open, "line")
        ));
        return Ok(());
    }
    source.shred().map_err(|error| Error::ImportFile {
        name: source.name(),
        source: error,
    })?;
    output.note(&format!("{} is destroyed", source.name()));
    Ok(())
}

fn confirm_import(command: &Import, plan: &Plan) -> Result<(), Error> {
    let question = format!(
        "This takes {} over from the other system. Their tokens there are spent then, and there is no way back. Stop \
         the other system first. Type the name of the team to go on: ",
        count(plan.rows(), "grant")
    );
    confirm(command.yes, command.team.as_str(), &question)
}

/// Says what would be done.
fn dry_run(plan: &Plan, output: Output) -> Result<(), Error> {
    let apps = plan.apps();
    let malformed: Vec<_> = plan
        .malformed
        .iter()
        .map(|it| json!({ "line": it.line, "reason": it.reason }))
        .collect();
    let same: Vec<_> = plan
        .same
        .iter()
        .map(|it| json!({ "line": it.line, "of": it.of }))
        .collect();
    let several: Vec<Vec<usize>> = plan
        .users
        .iter()
        .filter(|rows| rows.len() > 1)
        .map(|rows| rows.iter().map(|row| row.line).collect())
        .collect();
    let document = json!({
        "grants": plan.rows(),
        "apps": apps.iter().map(|(id, rows)| json!({ "client_id": id, "rows": rows })).collect::<Vec<_>>(),
        "same_token": same,
        "same_user": several,
        "malformed": malformed,
    });
    let mut text = vec![format!(
        "{} would be taken over",
        count(plan.rows(), "grant")
    )];
    for (id, rows) in &apps {
        text.push(format!(
            "  {} of the app {}",
            count(*rows, "grant"),
            id.as_str()
        ));
    }
    for it in &plan.same {
        text.push(format!(
            "line {}: has the token of line {}, and is not sent",
            it.line, it.of
        ));
    }
    for lines in &several {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        text.push(format!(
            "lines {}: the same user. They are tried in this order, until one works",
            lines.join(", ")
        ));
    }
    for it in &plan.malformed {
        text.push(format!("line {}: {}", it.line, it.reason));
    }
    output.print(&document, &text.join("\n"))?;
    output.note("dry run: nothing was sent and nothing was stored");
    match plan.malformed.len() {
        0 => Ok(()),
        lines => Err(Error::MalformedLines(lines)),
    }
}

/// Prints what the vault logs as an error: above all, tokens that DynamoDB does not store. They are sealed.
fn log_capsules() {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(tracing::Level::ERROR)
        .with_ansi(false)
        .finish();
    // Fails if a subscriber is set, which nothing else does.
    tracing::subscriber::set_global_default(subscriber).ok();
}

/// One run over the rows of an export.
struct Run<'a> {
    command: &'a Import,
    vault: &'a Vault,
    bar: ProgressBar,
    output: Output,
    interval: Mutex<Interval>,
    /// How many rows have failed for now since one did not.
    failures: AtomicUsize,
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
        let is_open = |it: &ImportResult| it.outcome == ImportOutcome::Retry;
        self.results.iter().any(is_open)
    }

    fn wait(&self) -> Duration {
        let waits = self.results.iter().filter_map(|it| it.retry_after);
        waits.max().unwrap_or(MIN_WAIT)
    }
}

impl<'a> Run<'a> {
    fn new(command: &'a Import, vault: &'a Vault, rows: usize, output: Output) -> Self {
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
            refused: BTreeMap::new(),
        }
    }

    async fn all(mut self, plan: Plan) -> Vec<LineReport> {
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
            let done: Vec<User> = stream::iter(todo)
                .map(|user| self.user(user))
                .buffer_unordered(CONCURRENT_USERS)
                .collect()
                .await;
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
        let mut waits = false;
        for row in &user.rows {
            let result = if let Some(line) = taken {
                ImportResult::new(ImportOutcome::AlreadyThere).because(format!(
                    "line {line} is of the same user, and has the grant"
                ))
            } else if waits {
                ImportResult::new(ImportOutcome::Retry)
                    .because("another line of the same user is not decided yet")
            } else {
                self.row(row).await
            };
            if matches!(
                result.outcome,
                ImportOutcome::Imported | ImportOutcome::Merged
            ) {
                taken = Some(row.line);
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
        if self.is_over() {
            let reason = format!("not tried: {MAX_FAILURES} lines before it failed in a row");
            return ImportResult::new(ImportOutcome::Retry).because(reason);
        }
        self.interval.lock().await.tick().await;
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

    fn is_over(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= MAX_FAILURES
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
