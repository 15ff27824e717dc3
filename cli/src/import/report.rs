//! What became of each line. Holds no secret.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Serialize, Serializer};
use shared::credential::{ClientId, CredentialId};
use shared::import::{ImportOutcome, ImportResult};

use super::formats::ExportRow;
use super::plan::{MalformedLine, SameToken};
use crate::output::{count, list_ids, or_dash, printable, table};

/// The outcome of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineOutcome {
    /// The line cannot be read.
    Malformed,
    Import(ImportOutcome),
}

impl LineOutcome {
    /// The word in reports.
    fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Import(outcome) => outcome.as_str(),
        }
    }

    fn is_in_the_vault(self) -> bool {
        matches!(self, Self::Import(outcome) if outcome.is_in_the_vault())
    }

    /// Whether another run of the same file, or of the corrected file, can change the outcome.
    fn is_open(self) -> bool {
        match self {
            Self::Malformed => true,
            Self::Import(outcome) => outcome.is_open(),
        }
    }
}

impl Serialize for LineOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What became of a line.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LineReport {
    line: usize,
    /// The id in the other system.
    source_id: Option<String>,
    outcome: LineOutcome,
    credential_id: Option<CredentialId>,
    /// Whether an earlier run found the outcome.
    earlier: bool,
    reason: Option<String>,
    /// The app of a line whose token this run imports.
    #[serde(skip)]
    app: Option<ClientId>,
}

impl LineReport {
    pub(super) fn new(row: ExportRow, result: ImportResult) -> Self {
        Self {
            app: Some(row.given.app.client_id),
            ..Self::of(row.line, row.source, result)
        }
    }

    fn of(line: usize, source: Option<String>, result: ImportResult) -> Self {
        Self {
            line,
            source_id: source,
            outcome: LineOutcome::Import(result.outcome),
            credential_id: result.credential,
            earlier: result.earlier,
            reason: result.reason.map(|reason| printable(&reason)),
            app: None,
        }
    }

    pub(super) fn malformed(it: MalformedLine) -> Self {
        Self {
            line: it.line,
            source_id: None,
            outcome: LineOutcome::Malformed,
            credential_id: None,
            earlier: false,
            reason: Some(it.reason),
            app: None,
        }
    }

    /// The line repeats the token of another line, which `of` reports.
    pub(super) fn same(it: SameToken, of: Option<&Self>) -> Self {
        let result = ImportResult::new(ImportOutcome::AlreadyThere)
            .because(format!("line {} has the same token", it.of));
        let mut report = Self::of(it.line, it.source, result);
        if let Some(of) = of {
            report.credential_id = of.credential_id;
            if !of.is_in_the_vault() {
                report.outcome = of.outcome;
            }
        }
        report
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    fn is_in_the_vault(&self) -> bool {
        self.outcome.is_in_the_vault()
    }

    fn is(&self, outcome: ImportOutcome) -> bool {
        self.outcome == LineOutcome::Import(outcome)
    }
}

/// The reports of all lines, in the order of the file.
#[derive(Serialize)]
pub(super) struct Report {
    rows: Vec<LineReport>,
    counts: BTreeMap<&'static str, usize>,
    seconds: f64,
}

impl Report {
    pub(super) fn new(mut rows: Vec<LineReport>, seconds: f64) -> Self {
        rows.sort_by_key(|row| row.line);
        let mut counts = BTreeMap::new();
        for row in &rows {
            *counts.entry(row.outcome.as_str()).or_insert(0) += 1;
        }
        Self {
            rows,
            counts,
            seconds,
        }
    }

    /// How many lines are not in the vault.
    pub(super) fn not_imported(&self) -> usize {
        self.rows
            .iter()
            .filter(|row| !row.is_in_the_vault())
            .count()
    }

    /// How many lines another run can help.
    pub(super) fn open(&self) -> usize {
        self.rows.iter().filter(|row| row.outcome.is_open()).count()
    }

    /// Why the file is still needed. `None` if nobody needs it.
    pub(super) fn why_file_is_needed(&self) -> Option<String> {
        let mut reasons = Vec::new();
        match self.open() {
            0 => {}
            1 => reasons.push("1 line still needs it".to_owned()),
            open => reasons.push(format!("{open} lines still need it")),
        }
        let lost = self
            .rows
            .iter()
            .filter(|row| row.is(ImportOutcome::OutcomeLost));
        let lost = lost.count();
        if lost > 0 {
            let has = if lost == 1 { "has" } else { "have" };
            reasons.push(format!(
                "{} {has} the outcome outcome_lost. If a capsule brings the tokens back, only this file can complete the \
                 import",
                count(lost, "line")
            ));
        }
        let apps = self.apps_without_grant();
        if !apps.is_empty() {
            let app = if apps.len() == 1 { "app" } else { "apps" };
            reasons.push(format!(
                "no line of the {app} {} is in the vault. If the client id is wrong, Zoom still accepts the tokens, and \
                 this file can be imported with the right one",
                list_ids(&apps)
            ));
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// The apps that have dead lines, and no line in the vault. Zoom refuses a token of another app in the same way.
    fn apps_without_grant(&self) -> Vec<String> {
        let mut apps: BTreeMap<&ClientId, (bool, bool)> = BTreeMap::new();
        for row in &self.rows {
            if let Some(app) = &row.app {
                let (has_dead, has_grant) = apps.entry(app).or_default();
                *has_dead |= row.is(ImportOutcome::Dead);
                *has_grant |= row.is_in_the_vault();
            }
        }
        let apps = apps.into_iter();
        apps.filter(|(_, (has_dead, has_grant))| *has_dead && !has_grant)
            .map(|(app, _)| app.as_str().to_owned())
            .collect()
    }

    /// The counts, and the lines that are not in the vault.
    pub(super) fn text(&self) -> String {
        let earlier = |outcome: &str| {
            let same = self
                .rows
                .iter()
                .filter(|row| row.outcome.as_str() == outcome);
            same.filter(|row| row.earlier).count()
        };
        let counts = self.counts.iter().map(|(outcome, rows)| {
            [
                (*outcome).to_owned(),
                rows.to_string(),
                or_dash(Some(earlier(outcome)).filter(|earlier| *earlier > 0)),
            ]
        });
        let counts = table(["OUTCOME", "LINES", "FOUND BEFORE"], counts.collect());
        let others = self.rows.iter().filter(|row| !row.is_in_the_vault());
        let others = others.map(|row| {
            [
                row.line.to_string(),
                or_dash(row.source_id.as_deref().map(printable)),
                row.outcome.as_str().to_owned(),
                or_dash(row.reason.as_deref()),
            ]
        });
        let others = table(["LINE", "SOURCE ID", "OUTCOME", "REASON"], others.collect());
        [counts, others]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join("\n\n")
    }

    /// Writes one JSON object for each line.
    pub(super) fn write(&self, mut file: File) -> io::Result<()> {
        for row in &self.rows {
            let mut line = serde_json::to_vec(row)?;
            line.push(b'\n');
            file.write_all(&line)?;
        }
        file.sync_all()
    }
}

/// Creates the file of the report, which only its owner can read. Fails if the file has a content: it may be a report
/// that is needed. A run that was stopped leaves an empty file.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    if file.metadata()?.len() > 0 {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists));
    }
    Ok(file)
}
