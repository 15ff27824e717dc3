//! Zoom users.

use serde::{Deserialize, Serialize};

use super::state::State;

/// A Zoom user as `GET /v2/users/me` shows them; what is None is left out of the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Zoom's id of the user; users are replaced by it.
    pub id: String,
    /// The Zoom account they belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Their address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The name shown in meetings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
}

impl User {
    /// What a person recognises the user by.
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

/// What is kept of a user, under their id.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) user: User,
    pub(super) deactivated: bool,
}

impl State {
    pub(super) fn put_user(&mut self, user: User) {
        let member = Member {
            user,
            deactivated: false,
        };
        self.users.insert(member.user.id.clone(), member);
    }

    pub(super) fn deactivate_user(&mut self, user_id: &str, deactivated: bool) {
        if let Some(member) = self.users.get_mut(user_id) {
            member.deactivated = deactivated;
        }
    }

    pub(super) fn active_user(&self, user_id: &str) -> Option<&User> {
        self.users
            .get(user_id)
            .filter(|member| !member.deactivated)
            .map(|member| &member.user)
    }

    pub(super) fn active_users(&self) -> impl Iterator<Item = &User> {
        self.users
            .values()
            .filter(|member| !member.deactivated)
            .map(|member| &member.user)
    }
}
