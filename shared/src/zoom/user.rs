//! Zoom's user object.

use serde::Deserialize;

use super::answer;
use crate::profile::Profile;

/// Longest field of a profile. A longer value is no name, address or id, and would only enlarge the row.
const MAX_FIELD_BYTES: usize = 1024;

/// The fields of Zoom's user object that the vault stores. Each field is optional.
#[derive(Deserialize)]
pub(super) struct User {
    #[serde(default, deserialize_with = "answer::none_if_malformed")]
    id: Option<String>,
    #[serde(default, deserialize_with = "answer::none_if_malformed")]
    account_id: Option<String>,
    #[serde(default, deserialize_with = "answer::none_if_malformed")]
    email: Option<String>,
    #[serde(default, deserialize_with = "answer::none_if_malformed")]
    display_name: Option<String>,
    #[serde(default, deserialize_with = "answer::none_if_malformed")]
    first_name: Option<String>,
    #[serde(default, deserialize_with = "answer::none_if_malformed")]
    last_name: Option<String>,
}

impl User {
    /// The profile that is stored. An empty or oversized field is left out.
    pub(super) fn into_profile(self) -> Profile {
        let is_usable = |text: &String| (1..=MAX_FIELD_BYTES).contains(&text.len());
        let names: Vec<String> = [self.first_name, self.last_name]
            .into_iter()
            .flatten()
            .filter(is_usable)
            .collect();
        let full_name = Some(names.join(" ")).filter(is_usable);
        Profile {
            zoom_user_id: self.id.filter(is_usable),
            zoom_account_id: self.account_id.filter(is_usable),
            zoom_email: self.email.filter(is_usable),
            zoom_display_name: self.display_name.filter(is_usable).or(full_name),
        }
    }
}
