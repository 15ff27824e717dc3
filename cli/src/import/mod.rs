//! `import`: takes grants over from another system.

mod dry_run;
mod fields;
mod file;
mod formats;
mod plan;
mod report;
mod run;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use clap::Args;
use secrecy::zeroize::Zeroizing;
use shared::config;
use shared::credential::{ClientId, TeamId};
use shared::envelope::Envelope;
use shared::grants::Grants;
use shared::secret::ClientSecret;
use shared::stores::{Credentials, Pairs, Requests, Secrets, Trail};
use shared::zoom::Zoom;

use self::file::{ReadFile, Shredded, Source};
use self::formats::{DefaultApp, Format};
use self::plan::Plan;
use self::report::Report;
use self::run::{Run, StopSignals};
use crate::credentials::confirm;
use crate::error::Error;
use crate::output::{Output, count};
use crate::resources::{Resource, Resources};
use crate::trail;

/// The variable with the client secret of the rows that have none.
pub(crate) const SECRET_VARIABLE: &str = "ZOOM_CLIENT_SECRET";

/// Take grants over from another system, such as Nango or your own database
///
/// Stop the other system first: a refresh token works once. This command refreshes each grant at once, so that the
/// token in the other system is spent. That cannot be undone. Run it with --dry-run first. If it is stopped anywhere,
/// run it again with the same file: it goes on, and says the same of the rows that were done.
///
/// Outcomes: imported (a new credential), merged (the user's credential has the grant now), `already_there` (another
/// line of this user or token is in the vault), dead (Zoom refuses the token), `outcome_lost` (Zoom refuses it, but an
/// answer may have been lost), `app_refused` (Zoom refuses the app), retry (do what the reason says, and run again),
/// malformed (the line says why).
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
    /// A file with the client secret, for rows that have none. Or set `ZOOM_CLIENT_SECRET`
    #[arg(long, value_name = "PATH")]
    client_secret_file: Option<PathBuf>,
    /// Say what would be done, and which lines an earlier run has ended. Sends nothing to Zoom and stores nothing
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
    /// Overwrite and remove the file afterwards, unless a line may still need it
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

    /// Checks what clap cannot check.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.shred && matches!(Source::from(self.file.clone()), Source::StandardInput) {
            Err(
                "--shred needs a file: standard input cannot be destroyed. Leave out --shred, or name the file",
            )
        } else {
            Ok(())
        }
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
    // A core dump would hold tokens. To lower this limit is always allowed.
    rlimit::Resource::CORE.set(0, 0).ok();
    let app = command.default_app()?;
    let named = |source_error| Error::ImportFile {
        name: source.name(),
        source: source_error,
    };
    let (plan, read_file) = {
        let (bytes, read_file) = source.read().map_err(named)?;
        (Plan::of(&bytes, command.format, &app), read_file)
    };
    if command.dry_run {
        let requests = Requests::new(client.clone(), resources.name(Resource::Requests)?);
        return dry_run::run(&plan, &requests, output).await;
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
    let signals = StopSignals::listen().map_err(Error::Signals)?;

    let began = Instant::now();
    let rows = Run::new(&command, &vault, plan.rows(), output)
        .all(plan, signals)
        .await;
    let report = Report::new(rows, began.elapsed().as_secs_f64());
    if let Some(file) = file {
        report.write(file)?;
    }
    output.print(&report, &report.text())?;
    if command.shred
        && let Some(file) = &read_file
    {
        shred(file, &source.name(), &report, output)?;
    }
    match (report.not_imported(), report.open()) {
        (0, _) => Ok(()),
        (left, open) => Err(Error::NotImported { left, open }),
    }
}

/// Destroys the file, unless somebody may need it.
fn shred(file: &ReadFile, name: &str, report: &Report, output: Output) -> Result<(), Error> {
    if let Some(reason) = report.why_file_is_needed() {
        output.note(&format!("{name} is not destroyed: {reason}"));
        return Ok(());
    }
    let shredded = file.shred().map_err(|error| Error::ImportFile {
        name: name.to_owned(),
        source: error,
    })?;
    let reason = match shredded {
        Shredded::Destroyed => {
            output.note(&format!("{name} is destroyed"));
            return Ok(());
        }
        Shredded::Changed => "it was replaced or changed after it was read",
        Shredded::NotRegular => "it is not a regular file",
    };
    Err(Error::FileKept {
        name: name.to_owned(),
        reason,
    })
}

fn confirm_import(command: &Import, plan: &Plan) -> Result<(), Error> {
    let question = format!(
        "This takes {} over from the other system. Their tokens there are spent then, and there is no way back. Stop \
         the other system first. Type the name of the team to go on: ",
        count(plan.rows(), "grant")
    );
    confirm(command.yes, command.team.as_str(), &question)
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
