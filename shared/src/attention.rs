//! Why a credential needs a person, and who that person is.
//!
//! The vault itself repairs every other failure, or tries again at the next use. The console decides the same in
//! `functions/assets/console/attention.js`: a test compares the two.

use serde::Serialize;

use crate::credential::{Credential, ReconnectReason, State};

/// The start of `last_error_message` when Zoom refuses the app. A new client secret clears such an error.
pub const APP_REFUSED: &str = "app refused: ";
/// The start of `last_error_message` when the app or the user's consent lacks a scope.
pub(crate) const MISSING_SCOPE: &str = "missing scope ";
/// The start of `last_error_message` when only the profile cannot be read. A successful mint does not clear this
/// message.
pub(crate) const UNREADABLE_PROFILE: &str = "missing scope user:read:user";

/// Why a credential needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Attention {
    /// The grant does not work. The user must authorize the app again.
    Reconnect,
    /// Zoom does not know the user any more.
    UserGone,
    /// Zoom refuses the Zoom app: its client id, its client secret or its settings.
    AppRefused,
    /// The app, or the user's consent, lacks a scope.
    MissingScope,
    /// The grant works, but a missing scope hides who the user is.
    ProfileUnreadable,
}

impl Attention {
    /// Every class.
    pub const ALL: [Self; 5] = [
        Self::Reconnect,
        Self::UserGone,
        Self::AppRefused,
        Self::MissingScope,
        Self::ProfileUnreadable,
    ];

    /// Decides whether a credential in this state, with this last error, needs a person.
    pub fn of(state: State, last_error_message: Option<&str>) -> Option<Self> {
        let message = last_error_message.unwrap_or_default();
        let starts = [
            (ReconnectReason::UserGone.as_str(), Self::UserGone),
            (ReconnectReason::Revoked.as_str(), Self::Reconnect),
            (
                ReconnectReason::RefreshOutcomeLost.as_str(),
                Self::Reconnect,
            ),
            (ReconnectReason::Deauthorized.as_str(), Self::Reconnect),
            (APP_REFUSED, Self::AppRefused),
            (UNREADABLE_PROFILE, Self::ProfileUnreadable),
            (MISSING_SCOPE, Self::MissingScope),
        ];
        let known = starts
            .into_iter()
            .find(|(start, _)| message.starts_with(start));
        match (known, state) {
            (Some((_, class)), _) => Some(class),
            (None, State::Invalid) => Some(Self::Reconnect),
            (None, State::Active) => None,
        }
    }

    /// The class in words, as the console shows it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Reconnect => "Reconnect",
            Self::UserGone => "User gone",
            Self::AppRefused => "App refused",
            Self::MissingScope => "Missing scope",
            Self::ProfileUnreadable => "Profile unreadable",
        }
    }

    /// Who must act.
    pub fn who(self) -> &'static str {
        match self {
            Self::Reconnect => "The Zoom user",
            Self::UserGone => "The Zoom user or their Zoom admin",
            Self::AppRefused => "The owner of the Zoom app",
            Self::MissingScope | Self::ProfileUnreadable => {
                "The owner of the Zoom app, and then the Zoom user"
            }
        }
    }

    /// What that person must do.
    pub fn to_do(self) -> &'static str {
        match self {
            Self::Reconnect => {
                "The user must authorize the app again: make a connect session with this `credential_id`."
            }
            Self::UserGone => {
                "Ask the admin of the Zoom account, or let another user authorize the app."
            }
            Self::AppRefused => {
                "Compare the client id and the client secret with the app's page in the Zoom Marketplace, and store the right client secret."
            }
            Self::MissingScope | Self::ProfileUnreadable => {
                "Add the scope to the Zoom app, and then let the user authorize the app again."
            }
        }
    }
}

impl Credential {
    /// Why the credential needs a person. `None` if nobody must act.
    pub fn attention(&self) -> Option<Attention> {
        Attention::of(self.state, self.last_error_message.as_deref())
    }
}
