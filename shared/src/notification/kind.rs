//! The kinds of notifications.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::invalid::Invalid;

/// A kind of notification, as the field `type` of a notification names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(into = "&'static str", try_from = "String")]
pub enum NotificationKind {
    /// A credential was created.
    #[schema(rename = "credential.created")]
    CredentialCreated,
    /// A credential no longer works. Its user must authorize again.
    #[schema(rename = "credential.invalid")]
    CredentialInvalid,
    /// A credential that was invalid works again.
    #[schema(rename = "credential.active")]
    CredentialActive,
    /// A credential was deleted. It can be restored for a while.
    #[schema(rename = "credential.deleted")]
    CredentialDeleted,
    /// A deleted credential was restored.
    #[schema(rename = "credential.restored")]
    CredentialRestored,
    /// A deleted credential was removed for good.
    #[schema(rename = "credential.purged")]
    CredentialPurged,
    /// A user has connected Zoom through a connect session.
    #[schema(rename = "connect_session.finished")]
    ConnectSessionFinished,
    /// Zoom refuses the app of a credential: the operator must correct the app or its client secret.
    #[schema(rename = "app.refused")]
    AppRefused,
    /// The team asked for a test. Every endpoint gets this kind.
    #[schema(rename = "endpoint.test")]
    EndpointTest,
}

impl NotificationKind {
    /// The kinds that a team can choose.
    pub const CHOICE: [Self; 8] = [
        Self::CredentialCreated,
        Self::CredentialInvalid,
        Self::CredentialActive,
        Self::CredentialDeleted,
        Self::CredentialRestored,
        Self::CredentialPurged,
        Self::ConnectSessionFinished,
        Self::AppRefused,
    ];

    /// The word in the API and in notifications.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CredentialCreated => "credential.created",
            Self::CredentialInvalid => "credential.invalid",
            Self::CredentialActive => "credential.active",
            Self::CredentialDeleted => "credential.deleted",
            Self::CredentialRestored => "credential.restored",
            Self::CredentialPurged => "credential.purged",
            Self::ConnectSessionFinished => "connect_session.finished",
            Self::AppRefused => "app.refused",
            Self::EndpointTest => "endpoint.test",
        }
    }
}

impl fmt::Display for NotificationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<NotificationKind> for &'static str {
    fn from(kind: NotificationKind) -> Self {
        kind.as_str()
    }
}

impl FromStr for NotificationKind {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        Self::CHOICE
            .into_iter()
            .chain([Self::EndpointTest])
            .find(|kind| kind.as_str() == word)
            .ok_or(Invalid(
                "must be a kind of notification, such as credential.invalid",
            ))
    }
}

impl TryFrom<String> for NotificationKind {
    type Error = Invalid;

    fn try_from(word: String) -> Result<Self, Invalid> {
        word.parse()
    }
}
