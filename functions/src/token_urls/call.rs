//! `/t/{token}`: what bots' vendors call, and what they expect back.
//!
//! The URL is the key: two vendors send no header. Whoever has none hears one answer, after one read at the most, and
//! after none where the token's checksum is wrong. KMS and Zoom are called for those who have one.

use std::time::Duration;

use futures_util::TryFutureExt;
use shared::event::{Actor, Requester};
use shared::grants::mint::{PreparedMint, TokenRequest, mint};
use shared::grants::record::Recorder;
use shared::grants::{Context, Grants, Terms};
use shared::stores::{Keys, RateKind, Requests, TokenUrls};
use shared::time_limit;
use shared::timestamp::Timestamp;
use shared::token::MeetingId;
use shared::token_url::{TokenUrl, UrlTokenType};
use shared::zoom;

use crate::http::access;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::reply::Reply;
use crate::http::request::{Reader, Request};
use crate::token_urls::dialect::{BotCall, Dialect, Names};
use shared::error::{Error, Missing};

/// What the logs call it. Every method: one vendor wants a 405 to `HEAD`, and where the method is
/// no route of its own, the gateway answers otherwise.
pub const ROUTE: &str = "ANY /t/{token}";

/// How long an access token must still live to be used: a vendor waits, so it is not refreshed early for its sake.
const MARGIN: Duration = Duration::from_mins(2);
/// When the answer should be on its way: the first vendor gives up after 15 s.
const PATIENCE: Duration = Duration::from_secs(13);

/// Gives a bot its token. `HEAD` is refused: it asks whether a POST is wanted, and must spend no token.
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    token_urls: &TokenUrls,
    grants: &Grants,
    request: &Request,
) -> Reply {
    match request.method() {
        "GET" => get(keys, requests, token_urls, grants, request).await,
        "POST" => post(keys, requests, token_urls, grants, request).await,
        _ => Err(ApiError::MethodNotAllowed { allow: "GET, POST" }),
    }
}

async fn answer(
    keys: &Keys,
    requests: &Requests,
    token_urls: &TokenUrls,
    grants: &Grants,
    request: &Request,
    dialect: Dialect,
) -> Reply {
    let answer_by = Timestamp::now().plus(PATIENCE);
    let token = request.url_token()?;
    let read = token_urls.get(&token).map_err(Error::from);
    let row = time_limit::until(answer_by, read).await?;
    let row = row.ok_or(Missing::TokenUrl)?;
    let (team, id) = (&row.team, token.credential());
    request.trail().team.get_or_init(|| team.clone());
    request.trail().credential.get_or_init(|| id);
    let call = dialect.call(request);
    let wanted = wanted(&row.url, call.meeting)?;
    let terms = Terms {
        requester: Requester {
            actor: Actor::TokenUrl(row.url.url_id.to_string()),
            bot: call.bot,
        },
        margin: MARGIN,
        answer_by,
    };

    let context = Context {
        grants,
        invocation: request.invocation(),
        team,
        terms: &terms,
    };
    let take_use = token_urls.take_use(&token).map_err(Error::from);
    let read = grants.credentials().get(team, id).map_err(Error::from);
    let (use_taken, stored) = tokio::join!(
        time_limit::until(answer_by, take_use),
        time_limit::until(answer_by, read),
    );
    if !use_taken? {
        return Err(Error::NotFound(Missing::TokenUrl).into());
    }
    let minted = Box::pin(async {
        // The caller does not learn whether the URL, its use or its credential is missing.
        let stored = stored?.ok_or(Missing::TokenUrl)?;
        let ready = PreparedMint::read(grants, &stored, wanted, &terms);
        let ready = ready.map_err(ApiError::from);
        let counted = access::counted(keys, requests, team, request, RateKind::Mints, ready);
        let ready = time_limit::until(answer_by, counted).await?;
        Ok::<_, ApiError>(mint(context, stored, ready).await?)
    });
    match minted.await {
        Ok(minted) => dialect.answer(row.url.token_type, &minted.token),
        Err(error) => {
            // One that is lost on the way is one less for the URL, and no reason to answer otherwise.
            let given_back = token_urls.return_use(&token);
            Recorder(context)
                .best_effort("a use of a token URL is not given back", given_back)
                .await;
            Err(error)
        }
    }
}

/// What the URL gives for a meeting, if it may: its own where it has one.
fn wanted(url: &TokenUrl, named: Option<MeetingId>) -> Result<TokenRequest, ApiError> {
    let meeting = match (&url.meeting_id, named) {
        (Some(own), Some(named)) if *own != named => return Err(ApiError::AnotherMeeting),
        (Some(own), _) => Some(own.clone()),
        (None, named) => named,
    };
    Ok(TokenRequest::Zoom(match url.token_type {
        UrlTokenType::Onbehalf => zoom::MintRequest::Onbehalf { meeting, ttl: None },
        UrlTokenType::Zak => zoom::MintRequest::Zak { ttl: None },
        UrlTokenType::LocalRecording => {
            let missing = ApiError::validation(
                "meeting_id",
                "is required for a local recording token: send meeting_number, meeting_id or meeting_url",
            );
            let meeting = meeting.ok_or(missing)?;
            zoom::MintRequest::LocalRecording { meeting }
        }
    }))
}

/// Gives a bot its token, as text
///
/// For vendors that send a GET: MeetingBaas, Recall.ai, MeetStream. `HEAD` is a 405. A failure is an HTTP error with a
/// short text.
#[utoipa::path(
    get,
    path = "/t/{token}",
    operation_id = "callTokenUrlByGet",
    tag = "Token URLs",
    params(
        ("token" = String, Path, description = "The secret in the URL"),
        BotCall,
        ("x-bot-id" = Option<String>, Header, nullable = false, description = "The vendor's id of the bot, if the query and the body have none"),
    ),
    responses(
        (status = 200, description = "The token, and nothing around it", body = String, content_type = "text/plain"),
        (status = 403, description = "The URL is for another meeting", body = String, content_type = "text/plain"),
        (status = 404, description = "The URL is unknown, revoked, expired or used up", body = String, content_type = "text/plain"),
        (status = 405, description = "The answer to every method but `GET` and `POST`", body = ErrorBody),
        (status = "default", description = "As for `POST /v2/zoom-tokens`, in one line", body = String, content_type = "text/plain"),
    ),
    security(()),
)]
pub(crate) async fn get(
    keys: &Keys,
    requests: &Requests,
    token_urls: &TokenUrls,
    grants: &Grants,
    request: &Request,
) -> Reply {
    request.trail().reader.get_or_init(|| Reader::PlainText);
    answer(keys, requests, token_urls, grants, request, Dialect::Text).await
}

/// Gives a bot its token, as JSON
///
/// For vendors that send a POST: Attendee, MeetStream. A body that cannot be read counts as empty, and is no error.
#[utoipa::path(
    post,
    path = "/t/{token}",
    operation_id = "callTokenUrlByPost",
    tag = "Token URLs",
    request_body(content = Option<BotCall>, content_type = "application/json"),
    params(
        ("token" = String, Path, description = "The secret in the URL"),
        BotCall,
        ("x-bot-id" = Option<String>, Header, nullable = false, description = "The vendor's id of the bot, if the query and the body have none"),
    ),
    responses(
        (status = 200, description = "The token, under each of its names", body = Names<'static>),
        (status = 403, description = "The URL is for another meeting", body = ErrorBody),
        (status = 404, description = "The URL is unknown, revoked, expired or used up", body = ErrorBody),
        (status = 405, description = "The answer to every method but `GET` and `POST`", body = ErrorBody),
        (status = "default", description = "As for `POST /v2/zoom-tokens`", body = ErrorBody),
    ),
    security(()),
)]
pub(crate) async fn post(
    keys: &Keys,
    requests: &Requests,
    token_urls: &TokenUrls,
    grants: &Grants,
    request: &Request,
) -> Reply {
    answer(keys, requests, token_urls, grants, request, Dialect::Json).await
}
