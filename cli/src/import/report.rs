//! What became of each line. Holds no secret.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use shared::credential::CredentialId;
use shared::import::{ImportOutcome, ImportResult};

use super::plan::{MalformedLine, SameToken};
use crate::output::{or_dash, printable, table};

/// The word for a line that cannot be read.
const MALFORMED: &str = "malformed";

/// What became of a line.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LineReport {
    line: usize,
    /// The id in the other system.
    source_id: Option<String>,
    outcome: &'static str,
    credential_id: Option<CredentialId>,
    /// Whether an earlier run found the outcome.
    earlier: bool,
    reason: Option<String>,
}

impl LineReport {
    pub(super) fn new(line: usize, source: Option<String>, result: ImportResult) -> Self {
        Self {
            line,
            source_id: source,
            outcome: result.outcome.as_str(),
            credential_id: result.credential,
            earlier: result.earlier,
            reason: result.reason.map(|reason| printable(&reason)),
        }
    }

    pub(super) fn malformed(it: MalformedLine) -> Self {
        Self {
            line: it.line,
            source_id: None,
            outcome: MALFORMED,
            credential_id: None,
            earlier: false,
            reason: Some(it.reason),
        }
    }

    /// The line repeats the token of another line, which `of` reports.
    pub(super) fn same(it: SameToken, of: Option<&Self>) -> Self {
        let result = ImportResult::new(ImportOutcome::AlreadyThere)
            .because(format!("line {} has the same token", it.of));
        let mut report = Self::new(it.line, it.source, result);
        if let Some(of) = of {
            report.credential_id = of.credential_id;
            if !of.is_in_the_vault() {
                report.outcome = of.outcome;
            }
        }
        report
    }

    fn is_in_the_vault(&self) -> bool {
        let all = ImportOutcome::ALL.into_iter();
        let mut outcomes = all.filter(|it| it.as_str() == self.outcome);
        outcomes.next().is_some_and(ImportOutcome::is_in_the_vault)
    }

    /// Whether another run of the same file can change the outcome.
    fn is_open(&self) -> bool {
        let all = ImportOutcome::ALL.into_iter();
        let mut outcomes = all.filter(|it| it.as_str() == self.outcome);
        outcomes.next().is_none_or(ImportOutcome::is_open)
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
            *counts.entry(row.outcome).or_insert(0) += 1;
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
        self.rows.iter().filter(|row| row.is_open()).count()
    }

    /// The counts, and the lines that are not in the vault.
    pub(super) fn text(&self) -> String {
        let earlier = |outcome: &str| {
            let same = self.rows.iter().filter(|row| row.outcome == outcome);
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
                row.outcome.to_owned(),
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

/// Creates the file of the report, which only its owner can read. Fails if the file has a content: it may be a report that
/// is needed. A run that was stopped leaves an empty file.
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
