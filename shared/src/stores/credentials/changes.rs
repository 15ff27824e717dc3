//! The fields of a credential that its owner can change.

use serde::{Deserialize, Serialize};

use crate::credential::Name;
use crate::extra::Extra;
use crate::invalid::Invalid;
use crate::stores::expression::Update;
use crate::stores::item::text;

/// A change of a credential's `extra`. It is stored as the JSON that the caller sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ExtraChange {
    /// Removes the object.
    Clear,
    /// Replaces the whole object.
    Replace(Extra),
}

impl ExtraChange {
    /// The object after the change.
    pub fn into_extra(self) -> Option<Extra> {
        match self {
            Self::Clear => None,
            Self::Replace(extra) => Some(extra),
        }
    }
}

impl TryFrom<String> for ExtraChange {
    type Error = Invalid;

    fn try_from(json: String) -> Result<Self, Invalid> {
        match json.as_str() {
            "null" => Ok(Self::Clear),
            _ => Extra::try_from(json).map(Self::Replace),
        }
    }
}

impl From<ExtraChange> for String {
    fn from(change: ExtraChange) -> Self {
        match change.into_extra() {
            Some(extra) => extra.as_json().to_owned(),
            None => "null".to_owned(),
        }
    }
}

/// A change of a credential by its owner. A field that is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct CredentialChanges {
    /// The new name.
    pub name: Option<Name>,
    /// The change of `extra`.
    pub extra: Option<ExtraChange>,
}

impl CredentialChanges {
    /// Whether the change is empty.
    pub fn is_empty(&self) -> bool {
        self.name.is_none() && self.extra.is_none()
    }

    /// The names of the fields that are changed, for the audit trail.
    pub fn fields(&self) -> Vec<&'static str> {
        let name = self.name.is_some().then_some("name");
        let extra = self.extra.is_some().then_some("extra");
        name.into_iter().chain(extra).collect()
    }

    /// Adds the change to an update of the row.
    pub(super) fn apply(self, mut update: Update) -> Update {
        if let Some(name) = self.name {
            update = update.set("name", text(name.as_str()));
        }
        match self.extra {
            Some(ExtraChange::Replace(extra)) => update.set("extra", text(extra.as_json())),
            Some(ExtraChange::Clear) => update.remove("extra"),
            None => update,
        }
    }
}
