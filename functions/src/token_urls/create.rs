//! `POST /v2/zoom-credentials/{id}/token-urls`

use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use shared::config::Url;
use shared::credential::{CredentialId, CredentialType, Name};
use shared::stores::{Credentials, Keys, Requests, TokenUrls};
use shared::timestamp::Timestamp;
use shared::token::MeetingId;
use shared::token_url::{TokenUrl, UrlId, UrlToken, UrlTokenType};
use utoipa::ToSchema;

use crate::http::access;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingError, ReadErrors, UnreadableBodyErrors, WriteErrors};
use shared::error::{Error, Missing};

/// What the logs call it.
pub const ROUTE: &str = "POST /v2/zoom-credentials/{id}/token-urls";

/// How many seconds a URL may live: a minute to ten years.
const LIFETIME: RangeInclusive<u32> = 60..=315_360_000;
/// How many tokens a URL may give.
const USES: RangeInclusive<u32> = 1..=1_000_000;

/// A new token URL. Unknown fields are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct CreateTokenUrl {
    /// The type of the tokens that the URL returns.
    r#type: UrlTokenType,
    /// Your name for the URL.
    #[schema(nullable = false)]
    label: Option<Name>,
    /// The only meeting that the URL works for. A call that names another meeting is refused. A call that names none
    /// gets a token for this meeting.
    #[schema(nullable = false)]
    meeting_id: Option<MeetingId>,
    /// How many tokens the URL returns at most.
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false)]
    max_uses: Option<u32>,
    /// Seconds until the URL expires. Without this field the URL never expires.
    #[schema(minimum = 60, maximum = 315_360_000, nullable = false)]
    expires_in: Option<u32>,
}

impl CreateTokenUrl {
    fn of(request: &Request) -> Result<Self, ApiError> {
        let fields = Fields::of(request)?;
        Ok(Self {
            r#type: fields.required("body/type")?,
            label: fields.optional("body/label")?,
            meeting_id: fields.optional("body/meeting_id")?,
            max_uses: fields.integer("body/max_uses", USES)?,
            expires_in: fields.integer("body/expires_in", LIFETIME)?,
        })
    }

    /// The URL it asks for.
    fn into_url(self, url_id: UrlId) -> TokenUrl {
        let created_at = url_id.created_at();
        let lifetime = self.expires_in.map(u64::from).map(Duration::from_secs);
        TokenUrl {
            url_id,
            token_type: self.r#type,
            label: self.label,
            meeting_id: self.meeting_id,
            max_uses: self.max_uses,
            uses: 0,
            created_at,
            expires_at: lifetime.map(|lifetime| created_at.plus(lifetime)),
        }
    }
}

/// A new token URL, and the only time that it is shown.
#[derive(Serialize, ToSchema)]
pub struct CreatedTokenUrl {
    /// Names the URL: what it is revoked by.
    url_id: UrlId,
    /// The URL itself. Whoever has it gets tokens: it is shown once and stored as a hash.
    #[schema(format = "uri", example = "https://vault.example.com/t/ztu_…")]
    url: String,
    /// What kind of token it gives.
    r#type: UrlTokenType,
    /// What its owner calls it.
    #[schema(required = true)]
    label: Option<Name>,
    /// The one meeting it is for; null where it is for any.
    #[schema(required = true)]
    meeting_id: Option<MeetingId>,
    /// How many tokens it gives at most.
    #[schema(required = true)]
    max_uses: Option<u32>,
    /// How many it gave.
    uses: u32,
    /// When it was made.
    created_at: Timestamp,
    /// When it ends.
    #[schema(required = true)]
    expires_at: Option<Timestamp>,
}

impl CreatedTokenUrl {
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever made the URL is shown it, once"
    )]
    fn new(url: TokenUrl, origin: &str, token: &SecretString) -> Self {
        Self {
            url_id: url.url_id,
            url: format!("{origin}/t/{}", token.expose_secret()),
            r#type: url.token_type,
            label: url.label,
            meeting_id: url.meeting_id,
            max_uses: url.max_uses,
            uses: url.uses,
            created_at: url.created_at,
            expires_at: url.expires_at,
        }
    }
}

/// Makes a token URL
///
/// Any bot vendor can call it, without a key, and gets a token of this credential's user. The answer is the only time
/// that the URL is shown.
#[utoipa::path(
    post,
    path = "/v2/zoom-credentials/{id}/token-urls",
    operation_id = "createTokenUrl",
    tag = "Token URLs",
    request_body(content = CreateTokenUrl, content_type = "application/json"),
    params(
        ("id" = inline(CredentialId), Path, description = "The credential's id"),
    ),
    responses(
        (status = 201, description = "The new URL", body = Success<CreatedTokenUrl>),
        ReadErrors,
        MissingError,
        WriteErrors,
        UnreadableBodyErrors,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    token_urls: &TokenUrls,
    public: Option<&Url>,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let permission = access::verify(keys, &key, request).await?;
    let team = key.team();
    let (id, input) = access::admitted(keys, requests, team, request, permission, async {
        let id = request.credential_id()?;
        let input = CreateTokenUrl::of(request)?;
        let stored = credentials.get(team, id).await?;
        let stored = stored.ok_or(Missing::Credential)?;
        match stored.credential.credential_type {
            CredentialType::User => Ok((id, input)),
            CredentialType::App => Err(ApiError::Vault(Error::NotAUserCredential)),
        }
    })
    .await?;
    let origin = request.base(public, "/v2/zoom-credentials/")?;

    let url = input.into_url(UrlId::generate());
    let token = UrlToken::generate(id, url.url_id);
    let token = token.map_err(ApiError::internal)?;
    token_urls.insert(team, &token, &url).await?;

    reply::created(CreatedTokenUrl::new(url, &origin, &token.into_text()))
}
