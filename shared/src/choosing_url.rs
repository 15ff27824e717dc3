//! Token URLs of a team, which choose the credential when a bot calls them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::credential::{CredentialId, Name};
use crate::extra::ExtraFilter;
use crate::invalid::Invalid;
use crate::timestamp::Timestamp;
use crate::token::MeetingId;
use crate::token_url::{TokenUrl, UrlId, UrlTerms, UrlTokenType};
use crate::vendor::Vendor;

/// How many credentials one call can choose from.
pub const MAX_CANDIDATES: usize = 10;

/// A team's token URL, as the team sees it. It gives tokens of the credentials that its choice allows. It contains no
/// secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChoosingUrl {
    /// The id of the URL. It is needed to revoke the URL.
    pub url_id: UrlId,
    /// The types of tokens that the URL returns.
    pub types: Vec<UrlTokenType>,
    /// The credentials that the URL uses, the preferred one first. Null if the call names them.
    #[schema(required = true, min_items = 1, max_items = 10)]
    pub credentials: Option<Vec<CredentialId>>,
    /// `from_call` if the call names the credentials, or else null.
    #[schema(required = true)]
    pub choose: Option<FromCall>,
    /// The keys under which a call names credentials or users. Null with `credentials`.
    #[schema(required = true)]
    pub call_keys: Option<CallKeys>,
    /// The values that a credential's `extra` must have. Null if the URL can use every credential of the team.
    #[schema(required = true, value_type = Option<String>, example = "customer:acme")]
    pub extra: Option<ExtraFilter>,
    /// The only vendors whose calls the URL answers. One of them must prove each call. Without vendors, the URL answers
    /// every call.
    pub verify: Vec<Vendor>,
    /// The owner's name for the URL.
    #[schema(required = true)]
    pub label: Option<Name>,
    /// The only meeting that the URL works for; null if it works for any meeting.
    #[schema(required = true)]
    pub meeting_id: Option<MeetingId>,
    /// The most calls that the URL answers with tokens; null if there is no limit.
    #[schema(required = true)]
    pub max_uses: Option<u32>,
    /// How many calls the URL answered with tokens. After a crash, a call that got none may count too.
    pub uses: u32,
    /// When the URL was created.
    pub created_at: Timestamp,
    /// The id of the API key that created the URL, as the operator lists it.
    pub created_by: String,
    /// When the URL expires; null if it never does.
    #[schema(required = true)]
    pub expires_at: Option<Timestamp>,
}

impl ChoosingUrl {
    /// What every token URL has.
    pub fn terms(&self) -> UrlTerms<'_> {
        UrlTerms {
            url_id: self.url_id,
            label: self.label.as_ref(),
            meeting_id: self.meeting_id.as_ref(),
            max_uses: self.max_uses,
            uses: self.uses,
            created_at: self.created_at,
            created_by: &self.created_by,
            expires_at: self.expires_at,
        }
    }
}

/// The word for a choice that the call makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FromCall {
    /// The call names the credentials.
    FromCall,
}

impl TryFrom<String> for FromCall {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        if text == "from_call" {
            Ok(Self::FromCall)
        } else {
            Err(Invalid("must be from_call"))
        }
    }
}

/// The names under which a call can say whose token it wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallKeys {
    /// Names of values that are ids of credentials.
    #[schema(max_items = 10, required = false)]
    pub credential: Vec<CallKey>,
    /// Names of values that are ids or email addresses of Zoom users.
    #[schema(max_items = 10, required = false)]
    pub user: Vec<CallKey>,
}

impl Default for CallKeys {
    fn default() -> Self {
        let key = |name: &str| CallKey(name.to_owned());
        Self {
            credential: vec![key("credential_id")],
            user: vec![key("zoom_user_id"), key("zoom_email")],
        }
    }
}

/// The name of a value in a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(pattern = "^[!-~]{1,64}$")]
pub struct CallKey(String);

impl CallKey {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CallKey {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        if (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text))
        } else {
            Err(Invalid("must be names of 1 to 64 visible ASCII characters"))
        }
    }
}

/// Any token URL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AnyUrl {
    /// A team's URL.
    Choosing(ChoosingUrl),
    /// A credential's URL.
    OfCredential(TokenUrl),
}

impl AnyUrl {
    /// What every token URL has.
    pub fn terms(&self) -> UrlTerms<'_> {
        match self {
            Self::Choosing(url) => url.terms(),
            Self::OfCredential(url) => url.terms(),
        }
    }

    /// The types of tokens that the URL returns.
    pub fn types(&self) -> &[UrlTokenType] {
        match self {
            Self::Choosing(url) => &url.types,
            Self::OfCredential(url) => std::slice::from_ref(&url.token_type),
        }
    }

    /// The only vendors whose calls the URL answers. Empty if it answers every call.
    pub fn verify(&self) -> &[Vendor] {
        match self {
            Self::Choosing(url) => &url.verify,
            Self::OfCredential(url) => url.verify.as_slice(),
        }
    }
}
