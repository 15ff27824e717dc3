//! A row of the table `credentials`, and the types that the store returns for it.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};

use super::changes::CredentialChanges;
use crate::account::AccountId;
use crate::connect::ZoomUserHash;
use crate::credential::{
    ClientId, Credential, CredentialId, CredentialType, GrantId, Name, State, TeamId,
};
use crate::extra::{Extra, ExtraFilter};
use crate::pair::{Pair, PairId};
use crate::profile::Profile;
use crate::stores::error::Error;
use crate::stores::item::text;
use crate::timestamp::Timestamp;

/// The kind of a write, for the readers of the table's stream.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Change {
    Created,
    Updated,
    Active,
    Invalid,
    Deleted,
    Restored,
    /// A change that the readers of the stream ignore.
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

/// A row with the attribute names of DynamoDB.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CredentialRow {
    pub(super) team_id: TeamId,
    pub(super) credential_id: CredentialId,
    pub(super) name: Name,
    pub(super) credential_type: CredentialType,
    pub(super) client_id: ClientId,
    #[serde(flatten)]
    pub(super) grant: Option<GrantRef>,
    #[serde(rename = "pair_id", skip_serializing_if = "Option::is_none")]
    pub(super) pair: Option<PairId>,
    #[serde(flatten)]
    pub(super) profile: Profile,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_user: Option<ZoomUserHash>,
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

/// A credential's reference to its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRef {
    /// The id of the grant's row in the table `secrets`.
    #[serde(rename = "grant_id")]
    pub id: GrantId,
    /// When Zoom answered the authorization, in milliseconds. The grant's row has the same value. It never changes,
    /// because a new authorization creates a new grant.
    #[serde(rename = "grant_authorized_at")]
    pub authorized_at: i64,
}

/// The grant that an authorization created, with its scopes.
#[derive(Clone, Debug)]
pub struct AuthorizedGrant {
    /// The new grant.
    pub grant: GrantRef,
    /// The scopes that the user consented to, separated by commas. `None` if Zoom did not say.
    pub scopes: Option<String>,
}

/// A credential together with the internal attributes of its row.
#[derive(Clone, Debug)]
pub struct StoredCredential {
    /// The part that the API may show.
    pub credential: Credential,
    /// The client id of the Zoom app.
    pub client_id: ClientId,
    /// The grant, if a user has authorized the app.
    pub grant: Option<GrantRef>,
    /// The pair that counts the credential. `None` while its user is not known.
    pub pair: Option<PairId>,
    /// The first Zoom user of the credential, if another authorization has followed.
    pub first_user: Option<ZoomUserHash>,
    /// The version of the row. Every write raises it.
    pub version: u64,
    /// Until when a soft-deleted credential can be restored. `None` if it is not deleted.
    pub purge_at: Option<Timestamp>,
    /// The filter that the credential was seen through. A change by its owner is refused if the credential's `extra` is
    /// another by then, because the owner may no longer see it.
    pub seen_through: ExtraFilter,
}

impl StoredCredential {
    /// The credential as a caller with this filter sees it. `None` if it does not match.
    pub fn through(mut self, filter: &ExtraFilter) -> Option<Self> {
        filter.matches(self.credential.extra.as_ref()).then(|| {
            self.seen_through = filter.clone();
            self
        })
    }

    /// The account of an account-level credential: an app credential that has an account.
    pub fn account(&self) -> Option<AccountId> {
        let is_app = self.credential.credential_type == CredentialType::App;
        let account = self.credential.zoom_account_id.clone().filter(|_| is_app)?;
        AccountId::try_from(account).ok()
    }

    /// Whether the credential is not deleted.
    pub fn is_live(&self) -> bool {
        self.purge_at.is_none()
    }

    /// The pair of the credential's app and user. `None` while the user is not known.
    pub fn pair(&self, team: &TeamId) -> Option<Pair> {
        Some(Pair {
            team: team.clone(),
            client_id: self.client_id.clone(),
            zoom_user_id: self.credential.zoom_user_id.clone()?,
        })
    }

    /// Whether the Zoom user is the first one that the credential had.
    pub fn is_first_user_again(&self) -> bool {
        let id = self.credential.credential_id;
        let user = self.credential.zoom_user_id.as_deref();
        let user = user.map(|user| ZoomUserHash::of_credential(id, user));
        user.is_some() && user == self.first_user
    }

    /// Whether the credential uses this grant.
    pub fn has_grant(&self, id: GrantId) -> bool {
        self.grant.is_some_and(|grant| grant.id == id)
    }

    /// Whether the credential is soft-deleted and can still be restored. DynamoDB may remove the row later than
    /// `purge_at`; until then the credential counts as gone.
    pub fn is_restorable(&self) -> bool {
        self.purge_at.is_some_and(|at| Timestamp::now() < at)
    }

    /// The credential after these changes, if nobody else changes it concurrently.
    pub(super) fn changed(&self, changes: &CredentialChanges, at: Timestamp) -> Self {
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

impl TryFrom<CredentialRow> for StoredCredential {
    type Error = Error;

    fn try_from(row: CredentialRow) -> Result<Self, Error> {
        if row.profile.zoom_user_id.is_some() && row.pair.is_none() {
            return Err(Error::earlier_version());
        }
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
            pair: row.pair,
            first_user: row.first_user,
            version: row.version,
            purge_at: row
                .deleted
                .then(|| Timestamp::from_seconds(row.purge_at.unwrap_or_default())),
            seen_through: ExtraFilter::default(),
        })
    }
}
