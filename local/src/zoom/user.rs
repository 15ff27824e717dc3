//! Zoom users.

use serde::{Deserialize, Serialize};

use super::state::State;

/// A Zoom user, as in the answer of `GET /v2/users/me`. The answer omits a field that is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Zoom's id of the user. Registering a user with the same id replaces the user.
    pub id: String,
    /// The Zoom account of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The email address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The name that meetings show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The first name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// The last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
}

impl User {
    /// The name of the user on the consent page: the first of display name, full name, email address and id.
    pub(super) fn label(&self) -> String {
        let full_name = [self.first_name.as_deref(), self.last_name.as_deref()];
        let full_name = full_name
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        [
            self.display_name.clone(),
            Some(full_name),
            self.email.clone(),
        ]
        .into_iter()
        .flatten()
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| self.id.clone())
    }
}

/// A user in the state file. The key of the map is the user id.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredUser {
    pub(super) user: User,
    pub(super) deactivated: bool,
}

impl State {
    pub(super) fn put_user(&mut self, user: User) {
        let stored = StoredUser {
            user,
            deactivated: false,
        };
        self.users.insert(stored.user.id.clone(), stored);
    }

    pub(super) fn set_user_deactivated(&mut self, user_id: &str, deactivated: bool) {
        if let Some(stored) = self.users.get_mut(user_id) {
            stored.deactivated = deactivated;
        }
    }

    pub(super) fn active_user(&self, user_id: &str) -> Option<&User> {
        self.users
            .get(user_id)
            .filter(|stored| !stored.deactivated)
            .map(|stored| &stored.user)
    }

    pub(super) fn active_users(&self) -> impl Iterator<Item = &User> {
        self.users
            .values()
            .filter(|stored| !stored.deactivated)
            .map(|stored| &stored.user)
    }
}
