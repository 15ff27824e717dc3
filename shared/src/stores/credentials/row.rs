//! A credential's row: how it is stored, and what of it leaves the store.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};

use crate::credential::{
    ClientId, Credential, CredentialId, CredentialType, GrantId, Invalid, Name, State, TeamId,
};
use crate::extra::Extra;
use crate::stores::expression::Update;
use crate::stores::{Error, text};
use crate::timestamp::Timestamp;

/// What a write to a row was, for the stream's readers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Change {
    Created,
    Updated,
    Active,
    Invalid,
    Deleted,
    Restored,
    /// Nothing that anyone outside has to hear of.
    Quiet,
}

impl Change {
    pub(super) fn attribute(self) -> AttributeValue {
        text(match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Active => "active",
            Self::Invalid => "invalid",
            Self::Deleted => "deleted",
            Self::Restored => "restored",
            Self::Quiet => "quiet",
        })
    }
}

/// A row, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) team_id: TeamId,
    pub(super) credential_id: CredentialId,
    pub(super) name: Name,
    pub(super) credential_type: CredentialType,
    pub(super) client_id: ClientId,
    #[serde(flatten)]
    pub(super) grant: Option<GrantRef>,
    #[serde(flatten)]
    pub(super) profile: Profile,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scopes: Option<String>,
    pub(super) state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_error_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_error_at: Option<Timestamp>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra: Option<String>,
    pub(super) version: u64,
    pub(super) change: Change,
    pub(super) deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) purge_at: Option<i64>,
}

/// The grant a credential mints with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRef {
    /// Its row in `secrets`.
    #[serde(rename = "grant_id")]
    pub id: GrantId,
    /// When Zoom answered the authorization, in milliseconds. A grant is one authorization, so this copy
    /// of the grant row's own cannot go stale.
    #[serde(rename = "grant_authorized_at")]
    pub authorized_at: i64,
}

/// What Zoom says of the user who authorized.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Zoom's id of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zoom_user_id: Option<String>,
    /// Zoom's id of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zoom_account_id: Option<String>,
    /// The user's email address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zoom_email: Option<String>,
    /// The user's display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zoom_display_name: Option<String>,
}

/// What an authorization makes of a credential.
#[derive(Clone, Debug)]
pub struct Authorized {
    /// The new grant.
    pub grant: GrantRef,
    /// What the user consented to, comma-separated, where Zoom said.
    pub scopes: Option<String>,
}

/// A credential with what the vault knows of it beyond what may be shown.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What may be shown.
    pub credential: Credential,
    /// The Zoom app.
    pub client_id: ClientId,
    /// The grant, if a user has authorized.
    pub grant: Option<GrantRef>,
    /// Rises with every write.
    pub version: u64,
    /// Until when it can be restored, where it was deleted; not so long as it can be used.
    pub purge_at: Option<Timestamp>,
}

impl Stored {
    /// Whether it can be used: it is not deleted.
    pub fn is_live(&self) -> bool {
        self.purge_at.is_none()
    }

    /// Whether it is deleted and can be restored. Past that it is as good as gone, though the TTL takes its time.
    pub fn is_restorable(&self) -> bool {
        self.purge_at.is_some_and(|at| Timestamp::now() < at)
    }

    /// Whether it is of this Zoom app and user.
    pub fn is_of(&self, client_id: &ClientId, zoom_user_id: &str) -> bool {
        self.client_id == *client_id
            && self.credential.zoom_user_id.as_deref() == Some(zoom_user_id)
    }

    /// As it is after these changes, if nobody else changes it meanwhile.
    pub(super) fn changed(&self, changes: &Changes, at: Timestamp) -> Self {
        let mut after = self.clone();
        if let Some(name) = &changes.name {
            after.credential.name = name.clone();
        }
        if let Some(extra) = &changes.extra {
            after.credential.extra = extra.clone().into_extra();
        }
        after.credential.updated_at = at;
        after.version += 1;
        after
    }
}

impl TryFrom<Row> for Stored {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let extra = row
            .extra
            .map(Extra::try_from)
            .transpose()
            .map_err(serde::de::Error::custom)
            .map_err(Error::Shape)?;
        Ok(Self {
            credential: Credential {
                credential_id: row.credential_id,
                name: row.name,
                credential_type: row.credential_type,
                zoom_user_id: row.profile.zoom_user_id,
                zoom_account_id: row.profile.zoom_account_id,
                zoom_email: row.profile.zoom_email,
                zoom_display_name: row.profile.zoom_display_name,
                scopes: row.scopes,
                state: row.state,
                last_error_message: row.last_error_message,
                last_error_at: row.last_error_at,
                created_at: row.created_at,
                updated_at: row.updated_at,
                extra,
            },
            client_id: row.client_id,
            grant: row.grant,
            version: row.version,
            purge_at: row
                .deleted
                .then(|| Timestamp::from_seconds(row.purge_at.unwrap_or_default())),
        })
    }
}

/// What becomes of a credential's `extra`. Where it is to be remembered, as the JSON that was sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ExtraChange {
    /// It is taken away.
    Clear,
    /// It is replaced as a whole.
    Replace(Extra),
}

impl ExtraChange {
    /// The object that is there afterwards.
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

/// The parts of a credential that its owner changes. What is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// A new name.
    pub name: Option<Name>,
    /// A new object, or none at all.
    pub extra: Option<ExtraChange>,
}

impl Changes {
    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.name.is_none() && self.extra.is_none()
    }

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
