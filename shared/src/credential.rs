//! A Zoom credential, and the values that its fields can have.
//!
//! Every type here checks its value when it is made (`TryFrom<String>`). Code that receives such a type does not
//! validate again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;
use utoipa::openapi::schema::{Schema, SchemaFormat, Type};
use uuid::{Uuid, Variant};

use crate::characters::{check_pasted, check_shown};
use crate::extra::Extra;
use crate::invalid::Invalid;
use crate::profile::Profile;
use crate::timestamp::Timestamp;

/// Defines a text type with a minimum and a maximum length, and checks of its characters. Lengths count characters, as
/// JSON Schema does.
///
/// The checks are for what callers send. A row is read without them, so that a row from before a check stays readable.
macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, $min:tt..=$max:tt, $short:literal, $long:literal, $($check:path),+) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(min_length = $min, max_length = $max)]
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
                    0..$min => return Err(Invalid($short)),
                    $min..=$max => {}
                    _ => return Err(Invalid($long)),
                }
                $($check(&text)?;)+
                Ok(Self(text))
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
    /// The owner's name for a credential, a token URL or a Zoom app, without invisible characters. Names need not be
    /// unique.
    Name, 1..=100,
    "must NOT have fewer than 1 characters", "must NOT have more than 100 characters",
    check_shown
);
impl Name {
    /// The name of a credential whose user nobody has named.
    pub fn of_unknown_user() -> Self {
        Self("Zoom user".to_owned())
    }
}

bounded_text!(
    /// The client id of a Zoom app, without blanks around it. It is public: every consent URL contains it.
    ClientId, 1..=256,
    "must NOT have fewer than 1 characters", "must NOT have more than 256 characters",
    check_pasted, check_shown
);

/// Describes an id to the OpenAPI document: the pattern of the published API, which [`uuid()`] implements.
macro_rules! uuid_schema {
    ($name:ident, $description:literal) => {
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::credential::describe_uuid($description).into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}
pub(crate) use uuid_schema;

pub(crate) fn describe_uuid(description: &str) -> Schema {
    const PATTERN: &str = "^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}\
                           |00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff)$";
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::Custom("uuid".to_owned())))
        .pattern(Some(PATTERN));
    schema.description(Some(description)).into()
}

/// The redirect URI to which Zoom sent the user with the code.
///
/// Zoom compares redirect URIs as text. The text is therefore kept exactly as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(format = "uri")]
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
        check_pasted(&text)?;
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

/// The id of a credential. New ids are UUIDv7, so that credentials sort by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialId(Uuid);

uuid_schema!(CredentialId, "The id of a credential.");

impl CredentialId {
    /// Makes a new id. Every id sorts after those that this process made before.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The time at which [`CredentialId::generate`] made the id.
    pub fn created_at(self) -> Timestamp {
        created_at(self.0)
    }

    /// The 16 bytes, for a cursor.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id from the 16 bytes of a cursor.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

/// The time in a UUIDv7, to the millisecond.
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

/// Parses a hyphenated UUID in upper or lower case: versions 1 to 8, the nil UUID and the max UUID.
///
/// This is what the pattern in the published API accepts.
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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

/// The id of a grant: one authorization of one Zoom app by one Zoom user.
///
/// The id is chosen before the code is spent, because the data key that seals the tokens is bound to the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrantId(Uuid);

impl GrantId {
    /// Makes a new, random id.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id of a grant whose first tokens came from another system. It is a UUID of version 8, so that IAM and KMS
    /// tell such grants from all others.
    pub fn of_import(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
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

/// On whose behalf a credential can act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialType {
    /// The Zoom app alone: a client id and secret.
    App,
    /// A Zoom user who authorized the app.
    User,
}

/// Whether the credential works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The credential works, as far as the vault knows.
    Active,
    /// The user has to authorize again.
    Invalid,
}

/// Why the user has to authorize the app again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReconnectReason {
    /// Zoom refuses the refresh token, and nothing that the vault did explains it. The user or an administrator ended
    /// the grant.
    Revoked,
    /// Zoom refuses the refresh token after a refresh whose answer was lost. The lost answer may have contained the
    /// next refresh token.
    RefreshOutcomeLost,
    /// The user removed the app, and Zoom reported it by webhook.
    Deauthorized,
    /// The user was deleted or deactivated at Zoom.
    UserGone,
}

impl ReconnectReason {
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

/// A credential as its team sees it: the 14 fields of the published API and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Credential {
    /// The id of the credential.
    pub credential_id: CredentialId,
    /// The owner's name for the credential.
    pub name: Name,
    /// `app`, or `user` once a Zoom user has authorized.
    pub credential_type: CredentialType,
    /// Zoom's id of the user who authorized.
    #[schema(required = true)]
    pub zoom_user_id: Option<String>,
    /// Zoom's id of the user's account.
    #[schema(required = true)]
    pub zoom_account_id: Option<String>,
    /// The user's email address.
    #[schema(required = true)]
    pub zoom_email: Option<String>,
    /// The user's display name.
    #[schema(required = true)]
    pub zoom_display_name: Option<String>,
    /// The scopes that the user consented to, comma-separated.
    #[schema(required = true, example = "user:read:user,user:read:token")]
    pub scopes: Option<String>,
    /// `invalid` if the user has to authorize again.
    pub state: State,
    /// The last error. A later success clears it.
    #[schema(required = true)]
    pub last_error_message: Option<String>,
    /// When the last error happened.
    #[schema(required = true)]
    pub last_error_at: Option<Timestamp>,
    /// When the credential was created.
    pub created_at: Timestamp,
    /// When the credential was last changed.
    pub updated_at: Timestamp,
    /// The owner's own JSON object, exactly as it was sent.
    #[schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>, required = true)]
    pub extra: Option<Extra>,
}

impl Credential {
    /// What Zoom says about the user.
    pub fn profile(&self) -> Profile {
        Profile {
            zoom_user_id: self.zoom_user_id.clone(),
            zoom_account_id: self.zoom_account_id.clone(),
            zoom_email: self.zoom_email.clone(),
            zoom_display_name: self.zoom_display_name.clone(),
        }
    }

    /// Replaces what Zoom says about the user.
    pub(crate) fn set_profile(&mut self, profile: Profile) {
        self.zoom_user_id = profile.zoom_user_id;
        self.zoom_account_id = profile.zoom_account_id;
        self.zoom_email = profile.zoom_email;
        self.zoom_display_name = profile.zoom_display_name;
    }
}
