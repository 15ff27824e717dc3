//! What became of a token.

use std::time::Duration;

use serde::Serialize;

use crate::credential::CredentialId;
use crate::error::Error;
use crate::invocation::Activity;

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportOutcome {
    /// A new credential has the grant.
    Imported,
    /// The credentials that the user had have the grant now.
    Merged,
    /// Another token or another team has brought this grant into the vault. This token was not sent.
    AlreadyThere,
    /// Zoom refuses the token, and nobody but this import has sent it for the vault.
    Dead,
    /// Zoom refuses the token, after a refresh whose outcome is not known: the vault may have lost the answer.
    OutcomeLost,
    /// Zoom refuses the app. The reason says whether a token was sent.
    AppRefused,
    /// Something failed for now. Another run goes on from here. The reason says whether the token was sent.
    Retry,
}

impl ImportOutcome {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Merged => "merged",
            Self::AlreadyThere => "already_there",
            Self::Dead => "dead",
            Self::OutcomeLost => "outcome_lost",
            Self::AppRefused => "app_refused",
            Self::Retry => "retry",
        }
    }

    /// Whether the vault has the grant.
    pub fn is_in_the_vault(self) -> bool {
        matches!(self, Self::Imported | Self::Merged | Self::AlreadyThere)
    }

    /// Whether another run can change the outcome.
    pub fn is_open(self) -> bool {
        matches!(self, Self::AppRefused | Self::Retry)
    }
}

/// What became of a token, and what an operator needs to know about it. Holds no secret.
#[derive(Clone, Debug)]
pub struct ImportResult {
    /// The outcome.
    pub outcome: ImportOutcome,
    /// The credential that has the grant, or one of them.
    pub credential: Option<CredentialId>,
    /// Whether an earlier run found this outcome.
    pub earlier: bool,
    /// Why.
    pub reason: Option<String>,
    /// When it is worth trying again, after [`ImportOutcome::Retry`].
    pub retry_after: Option<Duration>,
    /// Whether only a capsule holds the new tokens, after [`ImportOutcome::Retry`]. The token is spent: it must not be
    /// sent again before the capsule is replayed, because Zoom may end the grant then.
    pub only_in_capsule: bool,
}

impl ImportResult {
    /// An outcome alone.
    pub fn new(outcome: ImportOutcome) -> Self {
        Self {
            outcome,
            credential: None,
            earlier: false,
            reason: None,
            retry_after: None,
            only_in_capsule: false,
        }
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    pub(super) fn of(credential: CredentialId, outcome: ImportOutcome) -> Self {
        Self {
            credential: Some(credential),
            ..Self::new(outcome)
        }
    }

    /// The outcome of an import that failed. `activity` is what it has done.
    pub(super) fn of_failure(error: &Error, activity: &Activity) -> Self {
        let failure = match error.cause() {
            Some(cause) => format!("{}: {cause}", error.code()),
            None => error.code().to_owned(),
        };
        let reason = format!("{failure}. {}", what_was_sent(activity));
        match error {
            Error::AppMisconfigured { .. } => Self::new(ImportOutcome::AppRefused).because(reason),
            Error::Unavailable { retry_after, .. } => Self {
                retry_after: Some(*retry_after),
                ..Self::new(ImportOutcome::Retry).because(reason)
            },
            Error::NotFound(_)
            | Error::NotAUserCredential
            | Error::Conflict
            | Error::AuthorizationNotTaken
            | Error::CodeRefused { .. }
            | Error::ReconnectRequired { .. }
            | Error::MissingScope { .. }
            | Error::MissingAdminScope { .. }
            | Error::OnbehalfOfAccount
            | Error::UnknownAccountUser { .. }
            | Error::ZoomRefused { .. }
            | Error::ZoomUnavailable { .. }
            | Error::ZoomTimeout { .. }
            | Error::Internal(_) => Self {
                only_in_capsule: activity.has_pair_in_capsule(),
                ..Self::new(ImportOutcome::Retry).because(reason)
            },
        }
    }
}

/// What a failed import has done with the token.
fn what_was_sent(activity: &Activity) -> &'static str {
    if activity.has_pair_in_capsule() {
        "The new tokens are only in the capsule on stderr: pipe it into `zoom-vault capsule replay`, then run the import \
         again"
    } else if activity.has_unknown_answer() {
        "The token was sent, and Zoom's answer is not known"
    } else if activity.has_refreshed() {
        "The token was sent, and the new tokens are stored"
    } else {
        "This run spent no token"
    }
}
