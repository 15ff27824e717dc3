//! `POST /v2/token-urls`

use std::time::Duration;

use futures_util::future::try_join_all;
use serde::Serialize;
use shared::api_key::KeyId;
use shared::choosing_url::{AnyUrl, CallKeys, ChoosingUrl, FromCall};
use shared::credential::{CredentialId, CredentialType, Name};
use shared::extra::ExtraFilter;
use shared::timestamp::Timestamp;
use shared::token::{MeetingId, TokenType};
use shared::token_url::{UrlId, UrlTokenType};
use shared::vendor::Vendor;
use utoipa::ToSchema;

use crate::http::access;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingError, ReadErrors, UnreadableBodyErrors, WriteErrors};
use crate::token_urls::create::{
    Create, LIFETIME, USES, check_release, expect_allowed, expect_secrets, store, url_text,
};

/// A new token URL of the team. Unknown fields are ignored. Send `credentials` or `choose`, and `verify` or
/// `unverified`.
#[derive(Debug, ToSchema)]
pub(crate) struct CreateChoosingUrl {
    /// The types of the tokens that the URL returns. `access_token` comes alone.
    #[schema(min_items = 1, max_items = 3)]
    types: Vec<UrlTokenType>,
    /// The credentials that the URL uses, the preferred one first.
    #[schema(min_items = 1, max_items = 10, nullable = false)]
    credentials: Option<Vec<CredentialId>>,
    /// `from_call`: the call names the credentials or their Zoom users.
    #[schema(nullable = false)]
    choose: Option<FromCall>,
    /// With `choose`: the names that the call uses. By default `{"credential": ["credential_id"], "user":
    /// ["zoom_user_id", "zoom_email"]}`. A list that is left out has no names.
    #[schema(nullable = false)]
    call_keys: Option<CallKeys>,
    /// With `choose`: the values that a credential's `extra` must have, as `key:value` pairs separated by commas. The
    /// URL behaves as if the team had no other credentials.
    #[schema(value_type = Option<String>, example = "customer:acme", nullable = false)]
    extra: Option<ExtraFilter>,
    /// The only vendors whose calls the URL answers. One of them must prove each call with the secret that you stored
    /// with `PUT /v2/vendors/{vendor}`. With the type `access_token`, it must be `["recall"]`.
    #[schema(min_items = 1, max_items = 3, nullable = false)]
    verify: Option<Vec<Vendor>>,
    /// `true`: the URL answers every call. Whoever learns the URL gets tokens of every user that it can choose.
    #[schema(nullable = false)]
    unverified: Option<bool>,
    /// Your name for the URL.
    #[schema(nullable = false)]
    label: Option<Name>,
    /// The only meeting that the URL works for. A call that names another meeting is refused. A call that names none
    /// gets tokens for this meeting.
    #[schema(nullable = false)]
    meeting_id: Option<MeetingId>,
    /// How many calls the URL answers with tokens at most.
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false)]
    max_uses: Option<u32>,
    /// Seconds until the URL expires. Without this field the URL never expires.
    #[schema(minimum = 60, maximum = 315_360_000, nullable = false)]
    expires_in: Option<u32>,
}

impl CreateChoosingUrl {
    /// `may_mint` fails if the caller may not mint tokens of a type that the body names.
    pub(crate) fn of(
        request: &Request,
        may_mint: impl Fn(TokenType) -> Result<(), ApiError>,
    ) -> Result<Self, ApiError> {
        let fields = Fields::of(request)?;
        let types = fields.up_to_ten("body/types")?;
        let types: Vec<UrlTokenType> =
            types.ok_or(ApiError::validation("body/types", "is required"))?;
        for token_type in &types {
            may_mint(token_type.token_type())?;
        }
        let meeting_id = fields.optional("body/meeting_id")?;
        if types.contains(&UrlTokenType::Zak) && meeting_id.is_some() {
            let rule = "must NOT come with the type zak: Zoom binds a ZAK to no meeting, so the bot could start any";
            return Err(ApiError::validation("body/meeting_id", rule));
        }
        let body = Self {
            types,
            credentials: fields.up_to_ten("body/credentials")?,
            choose: fields.optional("body/choose")?,
            call_keys: fields
                .object("body/call_keys")?
                .map(|keys| call_keys(&keys))
                .transpose()?,
            extra: fields.optional("body/extra")?,
            verify: fields.up_to_ten("body/verify")?,
            unverified: fields.boolean("body/unverified")?,
            label: fields.optional("body/label")?,
            meeting_id,
            max_uses: fields.integer("body/max_uses", USES)?,
            expires_in: fields.integer("body/expires_in", LIFETIME)?,
        };
        body.check_release()?;
        body.check_proof()?;
        body.check_choice()?;
        Ok(body)
    }

    /// An access token is no token to join with, so no vendor wants both at one place. The vendor asks for the token of
    /// one user, and would take another user's token for that.
    fn check_release(&self) -> Result<(), ApiError> {
        if !self.types.contains(&UrlTokenType::AccessToken) {
            return Ok(());
        }
        if self.types.len() > 1 {
            let rule =
                "must have access_token alone: an access token is no token with which a bot joins";
            return Err(ApiError::validation("body/types", rule));
        }
        if self.credentials.as_ref().is_some_and(|ids| ids.len() > 1) {
            let rule = "must have one credential with the type access_token";
            return Err(ApiError::validation("body/credentials", rule));
        }
        let verify = self.verify.as_deref().unwrap_or_default();
        check_release(self.meeting_id.as_ref(), verify)
    }

    /// A URL that chooses is worth more than one user's tokens. So nobody gets an unverified one by leaving a field
    /// out.
    fn check_proof(&self) -> Result<(), ApiError> {
        match (&self.verify, self.unverified) {
            (Some(_), None | Some(false)) | (None, Some(true)) => Ok(()),
            (Some(_), Some(true)) => {
                let rule = "must NOT be true with verify";
                Err(ApiError::validation("body/unverified", rule))
            }
            (None, None | Some(false)) => {
                let rule =
                    "is required, or \"unverified\": true for a URL that answers every caller";
                Err(ApiError::validation("body/verify", rule))
            }
        }
    }

    /// The URL has a list, or takes the names from the call.
    fn check_choice(&self) -> Result<(), ApiError> {
        let only_with_choose = |at| Err(ApiError::validation(at, "must come with choose"));
        match (&self.credentials, self.choose) {
            (Some(_), Some(_)) => {
                let rule = "must NOT come with credentials: name one of the two";
                Err(ApiError::validation("body/choose", rule))
            }
            (None, None) => {
                let rule = "is required, or choose";
                Err(ApiError::validation("body/credentials", rule))
            }
            (Some(_), None) if self.call_keys.is_some() => only_with_choose("body/call_keys"),
            (Some(_), None) if self.extra.is_some() => only_with_choose("body/extra"),
            (Some(_), None) | (None, Some(_)) => {
                let typed = self.extra.as_ref().map(ExtraFilter::check_typed);
                typed
                    .unwrap_or(Ok(()))
                    .map_err(|rule| ApiError::Validation {
                        at: "body/extra",
                        rule,
                    })
            }
        }
    }

    /// The URL that the request asks for.
    fn into_url(self, url_id: UrlId, created_by: &KeyId) -> ChoosingUrl {
        let created_at = url_id.created_at();
        let lifetime = self.expires_in.map(u64::from).map(Duration::from_secs);
        ChoosingUrl {
            url_id,
            types: self.types,
            call_keys: self.choose.map(|_| self.call_keys.unwrap_or_default()),
            credentials: self.credentials,
            choose: self.choose,
            extra: self.extra,
            verify: self.verify.unwrap_or_default(),
            label: self.label,
            meeting_id: self.meeting_id,
            max_uses: self.max_uses,
            uses: 0,
            created_at,
            created_by: created_by.to_string(),
            expires_at: lifetime.map(|lifetime| created_at.plus(lifetime)),
        }
    }
}

fn call_keys(fields: &Fields<'_>) -> Result<CallKeys, ApiError> {
    let credential = fields.up_to_ten("body/call_keys/credential")?;
    let user = fields.up_to_ten("body/call_keys/user")?;
    if credential.is_none() && user.is_none() {
        let rule = "must have credential or user";
        return Err(ApiError::validation("body/call_keys", rule));
    }
    Ok(CallKeys {
        credential: credential.unwrap_or_default(),
        user: user.unwrap_or_default(),
    })
}

/// A new token URL. No other answer shows the URL.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedChoosingUrl {
    /// The URL's id. Use it to revoke the URL.
    url_id: UrlId,
    /// The URL itself. Anyone who has it, and can prove to be the vendor, gets tokens. The vault shows it once and
    /// stores a hash.
    #[schema(format = "uri", example = "https://vault.example.com/t/ztu_…")]
    url: String,
    /// The types of the tokens.
    types: Vec<UrlTokenType>,
    /// The credentials that the URL uses, the preferred one first. Null if the call names them.
    #[schema(required = true)]
    credentials: Option<Vec<CredentialId>>,
    /// `from_call` if the call names the credentials, or else null.
    #[schema(required = true)]
    choose: Option<FromCall>,
    /// Under which names a call can name them. Null with `credentials`.
    #[schema(required = true)]
    call_keys: Option<CallKeys>,
    /// The values that a credential's `extra` must have. Null if the URL can use every credential of the team.
    #[schema(required = true, value_type = Option<String>)]
    extra: Option<ExtraFilter>,
    /// The only vendors whose calls the URL answers. Without vendors, the URL answers every call.
    verify: Vec<Vendor>,
    /// The URL's name, which its owner chose.
    #[schema(required = true)]
    label: Option<Name>,
    /// The only meeting that the URL gives tokens for. Null if it gives tokens for all meetings.
    #[schema(required = true)]
    meeting_id: Option<MeetingId>,
    /// How many calls the URL answers with tokens in all. Null if there is no limit.
    #[schema(required = true)]
    max_uses: Option<u32>,
    /// How many calls the URL has answered with tokens.
    uses: u32,
    /// When the URL was created.
    created_at: Timestamp,
    /// The id of the API key that created the URL, as the operator lists it.
    created_by: String,
    /// When the URL expires. Null if it does not expire.
    #[schema(required = true)]
    expires_at: Option<Timestamp>,
}

impl CreatedChoosingUrl {
    fn new(stored: ChoosingUrl, url: String) -> Self {
        Self {
            url_id: stored.url_id,
            url,
            types: stored.types,
            credentials: stored.credentials,
            choose: stored.choose,
            call_keys: stored.call_keys,
            extra: stored.extra,
            verify: stored.verify,
            label: stored.label,
            meeting_id: stored.meeting_id,
            max_uses: stored.max_uses,
            uses: stored.uses,
            created_at: stored.created_at,
            created_by: stored.created_by,
            expires_at: stored.expires_at,
        }
    }
}

/// Creates a token URL that chooses
///
/// One URL for all bots: each call names the credential or the Zoom user, or the URL has a list. Only this answer shows
/// the URL.
#[utoipa::path(
    post,
    path = "/v2/token-urls",
    operation_id = "createChoosingUrl",
    tag = "Token URLs",
    request_body(content = CreateChoosingUrl, content_type = "application/json"),
    responses(
        (status = 201, description = "The new URL", body = Success<CreatedChoosingUrl>),
        ReadErrors,
        MissingError,
        WriteErrors,
        UnreadableBodyErrors,
    )
)]
pub(crate) async fn of_team(create: Create<'_>) -> Reply {
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
    let input = caller
        .may_act_for_team()
        .and_then(|()| CreateChoosingUrl::of(request, |it| caller.may_mint(it)));
    let check = async |input: CreateChoosingUrl| {
        let checked = async {
            let listed = input.credentials.iter().flatten();
            let listed = listed.map(|id| credentials.get(team, *id));
            for stored in try_join_all(listed).await? {
                let stored = caller.visible(stored)?.credential;
                if stored.credential_type != CredentialType::User {
                    let rule = "must be credentials of users: one of them belongs to an app";
                    return Err(ApiError::validation("body/credentials", rule));
                }
            }
            let vendors = input.verify.as_deref().unwrap_or_default();
            expect_secrets(secrets, team, vendors).await
        };
        Ok((checked.await, input))
    };
    let admitted =
        access::admit_change_with_settings(keys, requests, &caller, request, input, check);
    let (settings, (checked, input)) = admitted.await?;
    expect_allowed(&input.types, &settings)?;
    checked?;
    let base = request.base(public, "/v2/token-urls")?;

    let url = input.into_url(UrlId::generate(), caller.key_id());
    let stored = AnyUrl::Choosing(url.clone());
    let token = store(
        token_urls,
        events,
        request,
        team,
        None,
        stored,
        fields(&url),
    )
    .await?;

    reply::created(CreatedChoosingUrl::new(url, url_text(&base, token)))
}

/// The names of the fields that are set, for the audit trail.
fn fields(url: &ChoosingUrl) -> Vec<&'static str> {
    let mut fields = vec!["types"];
    fields.extend(url.credentials.is_some().then_some("credentials"));
    fields.extend(url.choose.is_some().then_some("choose"));
    fields.extend(url.call_keys.is_some().then_some("call_keys"));
    fields.extend(url.extra.is_some().then_some("extra"));
    fields.push(if url.verify.is_empty() {
        "unverified"
    } else {
        "verify"
    });
    fields.extend(url.label.is_some().then_some("label"));
    fields.extend(url.meeting_id.is_some().then_some("meeting_id"));
    fields.extend(url.max_uses.is_some().then_some("max_uses"));
    fields.extend(url.expires_at.is_some().then_some("expires_in"));
    fields
}
