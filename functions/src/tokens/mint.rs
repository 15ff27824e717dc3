//! `POST /v2/zoom-tokens`

use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde::Serialize;
use shared::account::{AccountOwner, AccountUserEmail, AccountUserId};
use shared::characters::check_pasted;
use shared::credential::CredentialId;
use shared::grants::mint::{PreparedMint, mint};
use shared::grants::token_request::TokenRequest;
use shared::grants::{Context, Grants};
use shared::invalid::Invalid;
use shared::meeting_link::MeetingUrl;
use shared::rtms::{MeetingUuid, RtmsStream, RtmsStreamId};
use shared::sdk_jwt::{self, MeetingRole};
use shared::stores::{Keys, RateKind, Requests};
use shared::timestamp::Timestamp;
use shared::token::{MeetingId, NamedMeeting};
use shared::zoom;
use utoipa::ToSchema;

use crate::http::access::{self, Needs};
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{
    BodyErrors, MintErrors, MissingError, ReadErrors, WriteErrors, ZoomErrors,
};
use crate::http::terms;
use crate::tokens::mint_type::MintType;
use crate::tokens::owner;

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "POST /v2/zoom-tokens";

/// The lifetimes that a caller may ask for, in seconds. Zoom documents a year: `docs/limits.md` says why this is less.
const TTL: RangeInclusive<u32> = 1..=7_776_000;

/// Whose token is wanted.
#[derive(Debug)]
enum MintFor {
    Credential(CredentialId),
    ZoomUser(ZoomUserId),
}

/// Zoom's id of a user, as far as it is checked.
#[derive(Debug, ToSchema)]
#[schema(min_length = 1, max_length = 256)]
struct ZoomUserId(String);

impl TryFrom<String> for ZoomUserId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        if !(1..=256).contains(&text.len()) {
            return Err(Invalid("must be 1 to 256 bytes long"));
        }
        check_pasted(&text)?;
        Ok(Self(text))
    }
}

/// The token to mint. Unknown fields are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct MintToken {
    /// The credential. Required without `credential_user_id`.
    #[schema(nullable = false)]
    credential_id: Option<CredentialId>,
    /// A Zoom user's id: the team's most recently authorized active credential of that user. Required without
    /// `credential_id`.
    #[schema(nullable = false)]
    credential_user_id: Option<ZoomUserId>,
    /// The type of the token.
    r#type: MintType,
    /// The meeting or webinar. Required with `local_recording`. With `sdk_jwt` it comes with `role`.
    #[schema(nullable = false)]
    meeting_id: Option<MeetingId>,
    /// The meeting, as a Zoom link that contains its number. Instead of `meeting_id`, or beside the same number. A link
    /// with `/w/` names a webinar.
    #[schema(value_type = Option<String>, format = "uri", nullable = false)]
    meeting_url: Option<MeetingUrl>,
    /// Seconds until the token expires: 7200 by default, and at most what the operator allows the team (7200, unless
    /// they changed it). For `sdk_jwt` at least 1800 and at most 172800. Ignored for `local_recording` and
    /// `rtms_signature`.
    #[schema(minimum = 1, maximum = 7_776_000, nullable = false)]
    ttl: Option<u32>,
    /// For `sdk_jwt`, with `meeting_id`: 0 to join the meeting, 1 to start it. Ignored for the other types.
    #[schema(minimum = 0, maximum = 1, nullable = false)]
    role: Option<u32>,
    /// With an account-level credential and the type `zak` (or `onbehalf`): Zoom's id of the user whose token is
    /// wanted. Without it and without `zoom_email`, the token is that of the meeting's host. Ignored for the other
    /// types.
    #[schema(nullable = false)]
    zoom_user_id: Option<AccountUserId>,
    /// As `zoom_user_id`, by e-mail address.
    #[schema(nullable = false)]
    zoom_email: Option<AccountUserEmail>,
    /// For `rtms_signature`: the uuid of the meeting, webinar or session in the event that named the stream. Ignored
    /// for the other types.
    #[schema(nullable = false)]
    meeting_uuid: Option<MeetingUuid>,
    /// For `rtms_signature`: the stream. Ignored for the other types.
    #[schema(nullable = false)]
    rtms_stream_id: Option<RtmsStreamId>,
}

impl MintToken {
    fn of(request: &Request) -> Result<Self, ApiError> {
        let fields = Fields::of(request)?;
        let credential_id = fields.optional("body/credential_id")?;
        let credential_user_id = fields.optional("body/credential_user_id")?;
        let token_type = fields.required("body/type")?;
        // A field that the type does not use is ignored, whatever its value.
        let (ttl, role) = match token_type {
            MintType::SdkJwt => {
                let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(0);
                let range = seconds(sdk_jwt::MIN_LIFETIME)..=seconds(sdk_jwt::MAX_LIFETIME);
                (
                    fields.integer("body/ttl", range)?,
                    fields.integer("body/role", 0..=1)?,
                )
            }
            MintType::Onbehalf | MintType::Zak => (fields.integer("body/ttl", TTL)?, None),
            MintType::LocalRecording | MintType::RtmsSignature => (None, None),
        };
        let (meeting_uuid, rtms_stream_id) = match token_type {
            MintType::RtmsSignature => (
                fields.optional("body/meeting_uuid")?,
                fields.optional("body/rtms_stream_id")?,
            ),
            MintType::Onbehalf | MintType::Zak | MintType::LocalRecording | MintType::SdkJwt => {
                (None, None)
            }
        };
        let (zoom_user_id, zoom_email) = owner::named_user(&fields, token_type)?;
        Ok(Self {
            credential_id,
            credential_user_id,
            r#type: token_type,
            meeting_id: fields.optional("body/meeting_id")?,
            meeting_url: fields.optional("body/meeting_url")?,
            ttl,
            role,
            zoom_user_id,
            zoom_email,
            meeting_uuid,
            rtms_stream_id,
        })
    }

    fn stream(&self) -> Result<RtmsStream, ApiError> {
        let missing = |at| ApiError::validation(at, "is required with the type rtms_signature");
        let meeting_uuid = self.meeting_uuid.clone();
        let stream_id = self.rtms_stream_id.clone();
        Ok(RtmsStream {
            meeting_uuid: meeting_uuid.ok_or(missing("body/meeting_uuid"))?,
            stream_id: stream_id.ok_or(missing("body/rtms_stream_id"))?,
        })
    }
}

/// The body, with what belongs together put together.
#[derive(Debug)]
pub(crate) struct Input {
    of: MintFor,
    token_type: MintType,
    wanted: TokenRequest,
    /// Whose token an account-level credential mints.
    owner: Option<AccountOwner>,
}

impl Input {
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        let body = MintToken::of(request)?;
        let wanted = wanted(&body)?;
        let meeting = meeting(&body)?;
        let owner = owner::named(body.zoom_user_id, body.zoom_email, meeting);
        let of = match (body.credential_id, body.credential_user_id) {
            (Some(id), None) => MintFor::Credential(id),
            (None, Some(user)) => MintFor::ZoomUser(user),
            (Some(_), Some(_)) => {
                let rule = "must NOT come with credential_id: name one of the two";
                return Err(ApiError::validation("body/credential_user_id", rule));
            }
            (None, None) => {
                let rule = "is required, or credential_user_id";
                return Err(ApiError::validation("body/credential_id", rule));
            }
        };
        Ok(Self {
            of,
            token_type: body.r#type,
            wanted,
            owner,
        })
    }
}

/// The meeting that the body names, by its number or by a link.
fn meeting(body: &MintToken) -> Result<Option<NamedMeeting>, ApiError> {
    let linked = body.meeting_url.clone().map(|MeetingUrl(linked)| linked);
    match (body.meeting_id.clone(), linked) {
        (Some(named), Some(linked)) if named != linked.id => {
            let rule = "must be a link to the meeting in meeting_id";
            Err(ApiError::validation("body/meeting_url", rule))
        }
        // The link says more than the number.
        (named, linked) => Ok(linked.or(named.map(Into::into))),
    }
}

fn wanted(body: &MintToken) -> Result<TokenRequest, ApiError> {
    let (named, ttl) = (meeting(body)?, body.ttl);
    let meeting = named.clone().map(|named| named.id);
    Ok(match body.r#type {
        MintType::Onbehalf => TokenRequest::Zoom(zoom::MintRequest::Onbehalf { meeting, ttl }),
        MintType::Zak => TokenRequest::Zoom(zoom::MintRequest::Zak {
            ttl: ttl.map(zoom::ZakTtl::Asked),
        }),
        MintType::LocalRecording => {
            let missing = ApiError::validation(
                "body/meeting_id",
                "is required with the type local_recording, or meeting_url",
            );
            TokenRequest::Zoom(zoom::MintRequest::LocalRecording {
                meeting: named.ok_or(missing)?,
            })
        }
        MintType::SdkJwt => {
            let role = body.role.map(|role| match role {
                0 => MeetingRole::Attendee,
                _ => MeetingRole::Host,
            });
            let meeting = match (meeting, role) {
                (Some(meeting), Some(role)) => Some((meeting, role)),
                (None, None) => None,
                (Some(_), None) => {
                    let missing = ApiError::validation("body/role", "is required with meeting_id");
                    return Err(missing);
                }
                (None, Some(_)) => {
                    let missing = ApiError::validation("body/meeting_id", "is required with role");
                    return Err(missing);
                }
            };
            TokenRequest::SdkJwt {
                meeting,
                ttl: ttl.map(|ttl| Duration::from_secs(ttl.into())),
            }
        }
        MintType::RtmsSignature => TokenRequest::RtmsSignature(body.stream()?),
    })
}

/// A minted token.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct MintedTokenView {
    /// The token's type.
    r#type: MintType,
    /// The token itself.
    token: String,
    /// When the token expires. Null for `rtms_signature`: the signature names no time, and works as long as its stream.
    #[schema(required = true)]
    expires_at: Option<Timestamp>,
    /// The credential that the token was minted with.
    credential_id: CredentialId,
}

/// Mints a token
///
/// A bot uses the token to join a meeting, and a media worker to connect to a stream. An `onbehalf` token works once,
/// so mint a token for every bot. If the request names a Zoom user in `credential_user_id`, the vault uses the team's
/// active credential of this user that was authorized last.
#[utoipa::path(
    post,
    path = "/v2/zoom-tokens",
    operation_id = "mintZoomToken",
    tag = "Zoom tokens",
    request_body(content = MintToken, content_type = "application/json"),
    responses(
        (status = 200, description = "The token", body = Success<MintedTokenView>),
        ReadErrors,
        MissingError,
        WriteErrors,
        BodyErrors,
        ZoomErrors,
        MintErrors,
    )
)]
#[expect(
    clippy::disallowed_methods,
    reason = "the caller asked for the token, and the key lets them"
)]
pub async fn handle(keys: &Keys, requests: &Requests, grants: &Grants, request: &Request) -> Reply {
    let key = access::api_key(request)?;
    let team = key.team();
    let input = Input::of(request);

    // Before the key is known, at most one row is read. A Zoom user may have many rows, so they are read later.
    let (caller, named) = match input.as_ref().map(|input| &input.of) {
        Ok(MintFor::Credential(id)) => {
            let (credentials, id) = (grants.credentials(), Ok(*id));
            access::verify_and_get(keys, credentials, &key, request, id).await?
        }
        Ok(MintFor::ZoomUser(_)) | Err(_) => (access::verify(keys, &key, request).await?, Ok(None)),
    };
    let terms = terms::of_api_caller();
    let input = caller.may(Needs::Mint).and(input);
    let input = input.and_then(|input| caller.may_mint(input.wanted.token_type()).map(|()| input));
    let kind = RateKind::Mints;
    let admitted = access::admit(
        keys,
        requests,
        &caller,
        request,
        kind,
        input,
        async |input| {
            let Input {
                of,
                token_type,
                wanted,
                owner,
            } = input;
            let stored = match (of, named) {
                (MintFor::ZoomUser(ZoomUserId(user)), _) => {
                    let found = grants.credentials().of_zoom_user(team, &user).await?;
                    found
                        .into_iter()
                        .find(|stored| caller.sees(&stored.credential))
                }
                (MintFor::Credential(_), named) => named?,
            };
            let stored = caller.visible(stored)?;
            let prepared = match owner::request_of(&stored, wanted, owner) {
                Ok(wanted) => Ok(PreparedMint::read(grants, team, &stored, wanted, &terms).await?),
                Err(rule) => Err(rule),
            };
            Ok((stored, token_type, prepared))
        },
    );
    let (settings, (stored, token_type, prepared)) = admitted.await?;
    owner::check_onbehalf(&stored, token_type, settings.account_onbehalf)?;
    let prepared = prepared?.with_max_lifetime(settings.max_token_ttl);
    let prepared = prepared.map_err(ApiError::TokenLifetime)?;
    let credential_id = stored.credential.credential_id;
    request.note_credential(credential_id);

    let context = Context {
        grants,
        invocation: request.invocation(),
        team,
        terms: &terms,
    };
    let minted = mint(context, stored, prepared).await?;

    reply::ok(MintedTokenView {
        r#type: token_type,
        token: minted.token.expose_secret().to_owned(),
        expires_at: minted.expires_at,
        credential_id,
    })
}
