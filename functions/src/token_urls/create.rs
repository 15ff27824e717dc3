//! `POST /v2/zoom-credentials/{id}/token-urls` and `POST /v2/token-urls`: two routes of one function.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::try_join_all;
use secrecy::ExposeSecret;
use serde::Serialize;
use shared::api_key::KeyId;
use shared::choosing_url::AnyUrl;
use shared::config::Url;
use shared::credential::{CredentialId, CredentialType, Name, TeamId};
use shared::error::Error;
use shared::event::{Change, EventKind, Target};
use shared::stores::{
    Credentials, Events, Keys, Requests, Secrets, TRANSACTION_TIMEOUT, Team, TokenUrls,
};
use shared::timestamp::Timestamp;
use shared::token::{MeetingId, TokenType};
use shared::token_url::{TokenUrl, UrlId, UrlPartition, UrlToken, UrlTokenType};
use shared::vendor::Vendor;
use utoipa::ToSchema;

use crate::http::access;
use crate::http::body::Fields;
use crate::http::error::{ApiError, Forbidden};
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingError, ReadErrors, UnreadableBodyErrors, WriteErrors};
use crate::token_urls::choosing;

/// The method and path for the URLs of a credential. They also name the function in the log.
pub const ROUTE: &str = "POST /v2/zoom-credentials/{id}/token-urls";
/// The method and path for the URLs of a team.
pub const TEAM_ROUTE: &str = "POST /v2/token-urls";

/// The lifetime of a URL in seconds: a minute to ten years.
pub(super) const LIFETIME: RangeInclusive<u32> = 60..=315_360_000;
/// How many tokens a URL may give in all.
pub(super) const USES: RangeInclusive<u32> = 1..=1_000_000;

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
    /// The only vendor whose calls the URL answers. The vendor must prove each call with the secret that you stored
    /// with `PUT /v2/vendors/{vendor}`. With the type `access_token`, it must be `recall`.
    #[schema(nullable = false)]
    verify: Option<Vendor>,
    /// How many tokens the URL returns at most.
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false)]
    max_uses: Option<u32>,
    /// Seconds until the URL expires. Without this field the URL never expires.
    #[schema(minimum = 60, maximum = 315_360_000, nullable = false)]
    expires_in: Option<u32>,
}

impl CreateTokenUrl {
    /// `may_mint` fails if the caller may not mint tokens of the type that the body names.
    pub(crate) fn of(
        request: &Request,
        may_mint: impl FnOnce(TokenType) -> Result<(), ApiError>,
    ) -> Result<Self, ApiError> {
        let fields = Fields::of(request)?;
        let token_type: UrlTokenType = fields.required("body/type")?;
        may_mint(token_type.token_type())?;
        let meeting_id = fields.optional("body/meeting_id")?;
        if token_type == UrlTokenType::Zak && meeting_id.is_some() {
            let rule = "must NOT come with the type zak: Zoom binds a ZAK to no meeting, so the bot could start any";
            return Err(ApiError::validation("body/meeting_id", rule));
        }
        let verify: Option<Vendor> = fields.optional("body/verify")?;
        if token_type == UrlTokenType::AccessToken {
            check_release(meeting_id.as_ref(), verify.as_slice())?;
        }
        Ok(Self {
            r#type: token_type,
            label: fields.optional("body/label")?,
            meeting_id,
            verify,
            max_uses: fields.integer("body/max_uses", USES)?,
            expires_in: fields.integer("body/expires_in", LIFETIME)?,
        })
    }

    /// The URL that the request asks for.
    fn into_url(self, url_id: UrlId, created_by: &KeyId) -> TokenUrl {
        let created_at = url_id.created_at();
        let lifetime = self.expires_in.map(u64::from).map(Duration::from_secs);
        TokenUrl {
            url_id,
            token_type: self.r#type,
            label: self.label,
            meeting_id: self.meeting_id,
            verify: self.verify,
            max_uses: self.max_uses,
            uses: 0,
            created_at,
            created_by: created_by.to_string(),
            expires_at: lifetime.map(|lifetime| created_at.plus(lifetime)),
        }
    }
}

/// Fails if a URL for access tokens would answer anybody but Recall.ai, or is for one meeting. No other vendor is known
/// to ask for access tokens, and the proof of another vendor stays valid until its secret is replaced.
pub(super) fn check_release(
    meeting_id: Option<&MeetingId>,
    verify: &[Vendor],
) -> Result<(), ApiError> {
    if meeting_id.is_some() {
        let rule =
            "must NOT come with the type access_token: an access token is bound to no meeting";
        return Err(ApiError::validation("body/meeting_id", rule));
    }
    if verify != [Vendor::Recall] {
        let rule = "must be recall, and nothing else, with the type access_token";
        return Err(ApiError::validation("body/verify", rule));
    }
    Ok(())
}

/// Fails if the URL would give access tokens, and the operator does not allow that to the team.
pub(super) fn expect_allowed(types: &[UrlTokenType], settings: &Team) -> Result<(), ApiError> {
    if types.contains(&UrlTokenType::AccessToken) && !settings.access_token_urls {
        Err(Forbidden::AccessTokens.into())
    } else {
        Ok(())
    }
}

/// A new token URL. No other answer shows the URL.
#[derive(Serialize, ToSchema)]
pub struct CreatedTokenUrl {
    /// The URL's id. Use it to revoke the URL.
    url_id: UrlId,
    /// The URL itself. Anyone who has it gets tokens. The vault shows it once and stores a hash.
    #[schema(format = "uri", example = "https://vault.example.com/t/ztu_…")]
    url: String,
    /// The type of the tokens.
    r#type: UrlTokenType,
    /// The URL's name, which its owner chose.
    #[schema(required = true)]
    label: Option<Name>,
    /// The only meeting that the URL gives tokens for. Null if it gives tokens for all meetings.
    #[schema(required = true)]
    meeting_id: Option<MeetingId>,
    /// The only vendor whose calls the URL answers. Null if the URL answers every call.
    #[schema(required = true)]
    verify: Option<Vendor>,
    /// How many tokens the URL may give in all. Null if there is no limit.
    #[schema(required = true)]
    max_uses: Option<u32>,
    /// How many tokens the URL has given.
    uses: u32,
    /// When the URL was created.
    created_at: Timestamp,
    /// The id of the API key that created the URL, as the operator lists it.
    created_by: String,
    /// When the URL expires. Null if it does not expire.
    #[schema(required = true)]
    expires_at: Option<Timestamp>,
}

impl CreatedTokenUrl {
    fn new(stored: TokenUrl, url: String) -> Self {
        Self {
            url_id: stored.url_id,
            url,
            r#type: stored.token_type,
            label: stored.label,
            meeting_id: stored.meeting_id,
            verify: stored.verify,
            max_uses: stored.max_uses,
            uses: stored.uses,
            created_at: stored.created_at,
            created_by: stored.created_by,
            expires_at: stored.expires_at,
        }
    }
}

/// The text of a new URL.
#[expect(
    clippy::disallowed_methods,
    reason = "the caller who creates the URL sees it once"
)]
pub(super) fn url_text(base: &str, token: UrlToken) -> String {
    format!("{base}/t/{}", token.into_text().expose_secret())
}

/// Fails if the URL would verify the calls of a vendor whose secret is not stored: it would answer no call.
pub(super) async fn expect_secrets(
    secrets: &Secrets,
    team: &TeamId,
    vendors: &[Vendor],
) -> Result<(), ApiError> {
    let stored = vendors
        .iter()
        .map(|vendor| secrets.vendor_secrets(team, *vendor));
    if try_join_all(stored).await?.iter().all(Option::is_some) {
        return Ok(());
    }
    let rule =
        "names a vendor whose secret is not stored: store it with PUT /v2/vendors/{vendor} first";
    Err(ApiError::validation("body/verify", rule))
}

/// Creates a token URL of the credential in the path, or of the team.
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    token_urls: &TokenUrls,
    secrets: &Secrets,
    events: &Events,
    public: Option<&Url>,
    request: &Request,
) -> Reply {
    let create = Create {
        keys,
        requests,
        credentials,
        token_urls,
        secrets,
        events,
        public,
        request,
    };
    if request.names_credential() {
        of_credential(create).await
    } else {
        choosing::create::of_team(create).await
    }
}

/// What both routes work with.
pub(crate) struct Create<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) requests: &'a Requests,
    pub(crate) credentials: &'a Credentials,
    pub(crate) token_urls: &'a TokenUrls,
    pub(crate) secrets: &'a Secrets,
    pub(crate) events: &'a Events,
    pub(crate) public: Option<&'a Url>,
    pub(crate) request: &'a Request,
}

/// Creates a token URL
///
/// Any bot vendor can call the URL, without an API key, and gets a token of the credential's user. Only this answer
/// shows the URL.
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
async fn of_credential(create: Create<'_>) -> Reply {
    let Create {
        keys,
        requests,
        credentials,
        token_urls,
        secrets,
        events,
        public,
        request,
    } = create;
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let team = caller.team;
    let input = request
        .credential_id()
        .and_then(|id| Ok((id, CreateTokenUrl::of(request, |it| caller.may_mint(it))?)));
    let check = async |input| {
        let (id, input): (CredentialId, CreateTokenUrl) = input;
        let checked = async {
            let stored = caller.visible(credentials.get(team, id).await?)?;
            expect_secrets(secrets, team, input.verify.as_slice()).await?;
            match stored.credential.credential_type {
                CredentialType::User => Ok(()),
                CredentialType::App => Err(ApiError::Vault(Error::NotAUserCredential)),
            }
        };
        Ok((checked.await, id, input))
    };
    let admitted =
        access::admit_change_with_settings(keys, requests, &caller, request, input, check);
    let (settings, (checked, id, input)) = admitted.await?;
    expect_allowed(&[input.r#type], &settings)?;
    checked?;
    let base = request.base(public, "/v2/zoom-credentials/")?;

    let url = input.into_url(UrlId::generate(), caller.key_id());
    let stored = AnyUrl::OfCredential(url.clone());
    let token = store(
        token_urls,
        events,
        request,
        team,
        Some(id),
        stored,
        fields(&url),
    )
    .await?;

    reply::created(CreatedTokenUrl::new(url, url_text(&base, token)))
}

/// Stores a new URL of the credential, or of the team, and records that in the same transaction. Returns the secret in
/// the URL. `fields` are the names of the fields that are set.
pub(super) async fn store(
    token_urls: &TokenUrls,
    events: &Events,
    request: &Request,
    team: &TeamId,
    credential: Option<CredentialId>,
    url: AnyUrl,
    fields: Vec<&'static str>,
) -> Result<UrlToken, ApiError> {
    let url_id = url.terms().url_id;
    let of_team = || UrlPartition::of_team(team);
    let partition = credential.map_or_else(of_team, UrlPartition::from);
    let token = UrlToken::generate(partition, url_id).map_err(ApiError::internal)?;
    let change = Change::of(Target::TokenUrl(url_id), EventKind::UrlCreated, fields);
    let event = request.change(events, team, credential, change)?;
    token_urls
        .begin(token_urls.insert(team, &token, url)?)
        .and(event)
        .commit(Timestamp::now().plus(TRANSACTION_TIMEOUT))
        .await?
        .or_conflict()?;
    Ok(token)
}

/// The names of the fields that are set, for the audit trail.
fn fields(url: &TokenUrl) -> Vec<&'static str> {
    let mut fields = vec!["type"];
    fields.extend(url.label.is_some().then_some("label"));
    fields.extend(url.meeting_id.is_some().then_some("meeting_id"));
    fields.extend(url.verify.is_some().then_some("verify"));
    fields.extend(url.max_uses.is_some().then_some("max_uses"));
    fields.extend(url.expires_at.is_some().then_some("expires_in"));
    fields
}
