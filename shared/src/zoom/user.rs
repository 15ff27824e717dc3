//! Zoom's user object.

use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::answer;
use crate::profile::Profile;

/// Longest field of a profile. A longer value is no name, address or id, and would only enlarge the row.
const MAX_FIELD_BYTES: usize = 1024;

/// The fields of Zoom's user object that the vault stores. Without an id, an object is no user. The other fields are
/// optional.
#[derive(Deserialize)]
pub(super) struct User {
    #[serde(deserialize_with = "usable_id")]
    id: String,
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
        let names: Vec<String> = [self.first_name, self.last_name]
            .into_iter()
            .flatten()
            .filter(|text| is_usable(text))
            .collect();
        let full_name = Some(names.join(" ")).filter(|text| is_usable(text));
        Profile {
            zoom_user_id: Some(self.id),
            zoom_account_id: self.account_id.filter(|text| is_usable(text)),
            zoom_email: self.email.filter(|text| is_usable(text)),
            zoom_display_name: self
                .display_name
                .filter(|text| is_usable(text))
                .or(full_name),
        }
    }
}

fn is_usable(text: &str) -> bool {
    (1..=MAX_FIELD_BYTES).contains(&text.len())
}

fn usable_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let id = String::deserialize(deserializer)?;
    if is_usable(&id) {
        Ok(id)
    } else {
        Err(de::Error::custom("the id is empty or too long"))
    }
}
