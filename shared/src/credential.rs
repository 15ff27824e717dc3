//! The domain: what a Zoom credential is, and which values its parts may take.
//!
//! Every type here is checked on the way in (`TryFrom<String>`), so nothing past the edge validates
//! again. An `Invalid` names the rule that was broken and never the value that broke it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::{Uuid, Variant};

use crate::extra::Extra;
use crate::timestamp::Timestamp;

/// The rule a value broke, worded to follow the name of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub &'static str);

/// Text whose length, counted in characters as JSON Schema counts, lies within bounds.
macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, $min:literal..=$max:literal, $short:literal, $long:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                match text.chars().count() {
                    0..$min => Err(Invalid($short)),
                    $min..=$max => Ok(Self(text)),
                    _ => Err(Invalid($long)),
                }
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    };
}

bounded_text!(
    /// What the owner calls a credential or a token URL; need not be unique.
    Name, 1..=100,
    "must NOT have fewer than 1 characters", "must NOT have more than 100 characters"
);
bounded_text!(
    /// A Zoom app's client id. Public: it stands in every authorize URL.
    ClientId, 1..=256,
    "must NOT have fewer than 1 characters", "must NOT have more than 256 characters"
);

/// Where Zoom sent the user with the code. Zoom compares it as text, so it is kept as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri(String);

impl RedirectUri {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RedirectUri {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let spaced = text.chars().any(|c| c.is_whitespace() || c.is_control());
        if !spaced && url::Url::parse(&text).is_ok() {
            Ok(Self(text))
        } else {
            Err(Invalid("must match format \"uri\""))
        }
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.0
    }
}

/// The id in a credential's URL. New ones are UUIDv7, so that they sort by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialId(Uuid);

impl CredentialId {
    /// A new id, greater than every one this process has made before.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// When a generated id was made.
    pub fn created_at(self) -> Timestamp {
        created_at(self.0)
    }

    /// The 16 bytes, for a cursor.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Back from a cursor's 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

/// When a UUIDv7 was made, to the millisecond.
pub(crate) fn created_at(id: Uuid) -> Timestamp {
    let millis = id.get_timestamp().map_or(0, |timestamp| {
        let (seconds, nanos) = timestamp.to_unix();
        seconds
            .saturating_mul(1000)
            .saturating_add(u64::from(nanos / 1_000_000))
    });
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

impl FromStr for CredentialId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        uuid(text).map(Self)
    }
}

/// Takes the hyphenated form in either case: versions 1 to 8, the nil and the max UUID, as the published
/// pattern does.
pub(crate) fn uuid(text: &str) -> Result<Uuid, Invalid> {
    const RULE: Invalid = Invalid("must match format \"uuid\"");
    let uuid = Uuid::try_parse(text).map_err(|_| RULE)?;
    let hyphenated = text.len() == 36;
    let versioned =
        uuid.get_variant() == Variant::RFC4122 && (1..=8).contains(&uuid.get_version_num());
    if hyphenated && (versioned || uuid.is_nil() || uuid.is_max()) {
        Ok(uuid)
    } else {
        Err(RULE)
    }
}

impl TryFrom<String> for CredentialId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<CredentialId> for String {
    fn from(id: CredentialId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The tenant that owns credentials and API keys: 1 to 32 of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TeamId(String);

impl TeamId {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TeamId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let spelled = text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if spelled && (1..=32).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid("must be 1 to 32 of a-z, 0-9 and -"))
        }
    }
}

impl TryFrom<String> for TeamId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<TeamId> for String {
    fn from(team: TeamId) -> Self {
        team.0
    }
}

impl fmt::Display for TeamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One authorization by one Zoom user of one Zoom app. Chosen before the code is spent, so that the
/// data key can be bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrantId(Uuid);

impl GrantId {
    /// A new, random id.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }
}

impl FromStr for GrantId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let id = Uuid::try_parse(text);
        id.map(Self)
            .map_err(|_| Invalid("must match format \"uuid\""))
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Whose name a credential can act in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialType {
    /// The Zoom app alone: a client id and secret.
    App,
    /// A Zoom user who authorized the app.
    User,
}

/// Whether the credential can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It works, as far as anyone knows.
    Active,
    /// The user has to authorize again.
    Invalid,
}

/// Why a user has to authorize again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reconnect {
    /// Zoom refuses the grant, and nothing of ours explains why: the user or an administrator ended it.
    Revoked,
    /// A refresh was sent whose outcome nobody knows, and Zoom refuses the token now: its successor may have been lost.
    RefreshOutcomeLost,
    /// The user took the app's authorization back, and Zoom told us.
    Deauthorized,
    /// Zoom does not know the user any more.
    UserGone,
}

impl Reconnect {
    /// The word in answers, rows and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::RefreshOutcomeLost => "refresh_outcome_lost",
            Self::Deauthorized => "deauthorized",
            Self::UserGone => "user_gone",
        }
    }
}

/// What anyone of the team may see of a credential: the 14 keys of the contract and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Credential {
    /// The id in the credential's URL.
    #[schema(value_type = String, format = "uuid", pattern = "^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff)$")]
    pub credential_id: CredentialId,
    /// What the owner calls it.
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    pub name: Name,
    /// `app`, or `user` once a Zoom user has authorized.
    pub credential_type: CredentialType,
    /// The Zoom user who authorized.
    #[schema(required = true)]
    pub zoom_user_id: Option<String>,
    /// That user's Zoom account.
    #[schema(required = true)]
    pub zoom_account_id: Option<String>,
    /// That user's email address.
    #[schema(required = true)]
    pub zoom_email: Option<String>,
    /// That user's display name.
    #[schema(required = true)]
    pub zoom_display_name: Option<String>,
    /// What the user consented to, comma-separated.
    #[schema(required = true, example = "user:read:user,user:read:token")]
    pub scopes: Option<String>,
    /// `invalid` when the user has to authorize again.
    pub state: State,
    /// What went wrong last, until something goes right.
    #[schema(required = true)]
    pub last_error_message: Option<String>,
    /// When it went wrong.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub last_error_at: Option<Timestamp>,
    /// When the credential was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// The owner's own JSON object, as it was sent.
    #[schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>, required = true)]
    pub extra: Option<Extra>,
}
