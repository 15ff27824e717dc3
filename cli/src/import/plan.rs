//! What is done with the rows of an export: which are imported, and which must not be sent.
//!
//! Zoom keeps one grant for each app and user. So of several rows of a user, one token works at most, and a token that
//! is sent after it was replaced may end the grant. The rows of a user are tried one after another, the latest first,
//! until one is in the vault.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use shared::credential::ClientId;
use shared::import_id::ImportId;

use super::file::lines;
use super::formats::{DefaultApp, ExportRow, Format};

/// A line that cannot be imported.
#[derive(Debug)]
pub(super) struct MalformedLine {
    pub(super) line: usize,
    pub(super) reason: String,
}

/// A line with the token of another line.
#[derive(Debug)]
pub(super) struct SameToken {
    pub(super) line: usize,
    pub(super) source: Option<String>,
    /// The line that is imported instead.
    pub(super) of: usize,
}

/// What is done with each line.
#[derive(Default)]
pub(super) struct Plan {
    /// The rows of one user each, in the order in which they are tried.
    pub(super) users: Vec<Vec<ExportRow>>,
    pub(super) same: Vec<SameToken>,
    pub(super) malformed: Vec<MalformedLine>,
}

impl Plan {
    /// Reads all lines of an export.
    pub(super) fn of(bytes: &[u8], format: Format, app: &DefaultApp) -> Self {
        let mut plan = Self::default();
        let mut lines_of_tokens: HashMap<ImportId, usize> = HashMap::new();
        let mut known: BTreeMap<(ClientId, String), usize> = BTreeMap::new();
        for (line, bytes) in lines(bytes) {
            let row = match format.read(line, bytes, app) {
                Ok(row) => row,
                Err(reason) => {
                    plan.malformed.push(MalformedLine { line, reason });
                    continue;
                }
            };
            if let Some(of) = lines_of_tokens.insert(row.given.id(), line) {
                lines_of_tokens.insert(row.given.id(), of);
                let source = row.source;
                plan.same.push(SameToken { line, source, of });
                continue;
            }
            let user = row
                .user
                .clone()
                .map(|user| (row.given.app.client_id.clone(), user));
            let position = user.and_then(|user| {
                let next = plan.users.len();
                let position = *known.entry(user).or_insert(next);
                (position < next).then_some(position)
            });
            match position.and_then(|position| plan.users.get_mut(position)) {
                Some(rows) => rows.push(row),
                None => plan.users.push(vec![row]),
            }
        }
        for rows in &mut plan.users {
            rows.sort_by_key(|row| Reverse((row.expires_at, row.line)));
        }
        plan
    }

    /// How many rows may be sent.
    pub(super) fn rows(&self) -> usize {
        self.users.iter().map(Vec::len).sum()
    }

    /// How many rows each app has.
    pub(super) fn apps(&self) -> Vec<(ClientId, usize)> {
        let mut apps: Vec<(ClientId, usize)> = Vec::new();
        for row in self.users.iter().flatten() {
            let id = &row.given.app.client_id;
            match apps.iter_mut().find(|(known, _)| known == id) {
                Some((_, rows)) => *rows += 1,
                None => apps.push((id.clone(), 1)),
            }
        }
        apps
    }
}
