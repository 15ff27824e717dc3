//! The Zoom user behind a credential.

use serde::{Deserialize, Serialize};

/// The start of `last_error_message` when Zoom did not say who the user is. A later use of the grant asks Zoom again.
pub const UNKNOWN_PROFILE: &str = "profile unknown: ";

/// What Zoom says about the user who authorized. Zoom may leave any field out.
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
