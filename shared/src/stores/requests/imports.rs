//! What became of refresh tokens that were imported from another system. The rows hold no token.
//!
//! The row of an import is inserted together with the grant's row, and stays longer. So an import that runs again knows
//! that a token was sent, even if its grant is deleted by then.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::table::{Requests, key};
use crate::credential::{CredentialId, TeamId};
use crate::import_id::ImportId;
use crate::stores::error::{Error, failed};
use crate::stores::expression::Update;
use crate::stores::item::{from_item, number, text};
use crate::stores::transaction::{RowKind, Transaction, Write};
use crate::timestamp::Timestamp;

/// How long it is remembered that a token was imported. Zoom ends a refresh token after about 90 days without use.
const RETENTION: Duration = Duration::from_hours(400 * 24);

/// How an import ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportVerdict {
    /// The grant has a new credential.
    Imported,
    /// The grant was given to credentials that its user had.
    Merged,
    /// Zoom refused the token, and nobody but the import had sent it.
    Dead,
}

impl ImportVerdict {
    /// The word in the row.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Merged => "merged",
            Self::Dead => "dead",
        }
    }
}

/// The row of an import.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StoredImport {
    /// The team that imports the token.
    #[serde(rename = "team_id")]
    pub team: TeamId,
    /// How the import ended. `None` if it has not ended.
    pub verdict: Option<ImportVerdict>,
    /// The credential that has the grant, or one of them.
    #[serde(rename = "credential_id")]
    pub credential: Option<CredentialId>,
    /// Zoom's reason for a dead token, as Zoom's answers are shown: printable, and at most 200 characters.
    pub reason: Option<String>,
}

impl Requests {
    /// Reads the row of an import.
    pub async fn import(&self, id: &ImportId) -> Result<Option<StoredImport>, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(&request_id(id))))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        answer.item.map(from_item).transpose()
    }

    /// The write that begins an import. Refused if the token was imported before.
    pub fn begin_import(&self, id: &ImportId, team: &TeamId) -> Result<Write, Error> {
        let mut item = key(&request_id(id));
        item.insert("team_id".to_owned(), text(team));
        item.insert("expires_at".to_owned(), number(&expires_at()));
        let absent = "attribute_not_exists(request_id)";
        let values = HashMap::new();
        Write::put(RowKind::Import, &self.table, item, Some(absent), values)
    }

    /// The write that ends an import. `ended` is the whole row.
    pub fn end_import(&self, id: &ImportId, ended: &StoredImport) -> Result<Write, Error> {
        let verdict = ended.verdict.map(ImportVerdict::as_str);
        let update = Update::new()
            .set("team_id", text(&ended.team))
            .assign("verdict", verdict.map(text))
            .assign("credential_id", ended.credential.as_ref().map(text))
            .assign("reason", ended.reason.as_ref().map(text))
            .set("expires_at", number(&expires_at()));
        let key = key(&request_id(id));
        Write::update(RowKind::Import, &self.table, key, update.build())
    }

    /// Begins a transaction with this write.
    pub fn begin(&self, first: Write) -> Transaction<'_> {
        Transaction::new(&self.client, first)
    }
}

fn request_id(id: &ImportId) -> String {
    format!("import#{id}")
}

fn expires_at() -> i64 {
    Timestamp::now().plus(RETENTION).as_seconds()
}
