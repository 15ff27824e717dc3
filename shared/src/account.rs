//! Zoom accounts, and the users of an account that a caller names.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::invalid::Invalid;

/// The longest id of an account or a user. Zoom's have 22 characters.
const MAX_ID_BYTES: usize = 128;
/// The longest e-mail address (RFC 5321).
const MAX_EMAIL_BYTES: usize = 254;

/// Whether all characters can be part of an id of Zoom.
fn is_id(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte);
    (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// Zoom's id of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(pattern = "^[A-Za-z0-9_=-]{1,128}$")]
pub struct AccountId(String);

impl AccountId {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccountId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        if is_id(&text) {
            Ok(Self(text))
        } else {
            Err(Invalid("must be 1 to 128 of A-Z, a-z, 0-9, -, _ and ="))
        }
    }
}

/// Zoom's id of a user of an account. `me` is no id: Zoom would take it for the account's owner.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(pattern = "^[A-Za-z0-9_=-]{1,128}$")]
pub struct AccountUserId(String);

impl TryFrom<String> for AccountUserId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        if text.eq_ignore_ascii_case("me") {
            return Err(Invalid("must name a user: me is the owner of the account"));
        }
        if is_id(&text) {
            Ok(Self(text))
        } else {
            Err(Invalid("must be 1 to 128 of A-Z, a-z, 0-9, -, _ and ="))
        }
    }
}

/// The e-mail address of a user of an account, as Zoom has it. Upper case and a plus sign are legal.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(format = "email", max_length = 254)]
pub struct AccountUserEmail(String);

impl TryFrom<String> for AccountUserEmail {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let is_visible = |c: char| !c.is_whitespace() && !c.is_control();
        let has_two_parts = text
            .rsplit_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        if has_two_parts && text.len() <= MAX_EMAIL_BYTES && text.chars().all(is_visible) {
            Ok(Self(text))
        } else {
            Err(Invalid("must match format \"email\""))
        }
    }
}

/// A user of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountUser {
    /// By Zoom's id.
    Id(AccountUserId),
    /// By e-mail address.
    Email(AccountUserEmail),
}

impl AccountUser {
    /// The name in a path, not yet percent-encoded.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Id(AccountUserId(id)) => id,
            Self::Email(AccountUserEmail(email)) => email,
        }
    }
}

/// Whose token an account-level app mints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountOwner {
    /// The token of this user.
    User(AccountUser),
    /// The token of the user who hosts this meeting.
    HostOf(crate::token::NamedMeeting),
}
