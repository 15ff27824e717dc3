//! `/t/{token}`: bot vendors call this URL to get a token.
//!
//! The token in the URL is the only key, because two vendors cannot send a header. Every unknown token gets the same
//! answer, after at most one read. A token with a wrong checksum gets it without a read. KMS and Zoom are called for
//! known tokens only.

use std::time::Duration;

use futures_util::TryFutureExt;
use shared::error::{Error, Missing};
use shared::event::Actor;
use shared::grants::mint::{MintedToken, PreparedMint, TokenRequest, mint};
use shared::grants::record::Recorder;
use shared::grants::{Context, Grants, Terms};
use shared::stores::{Keys, Requests, StoredCredential, TokenUrls};
use shared::time_limit;
use shared::timestamp::Timestamp;
use shared::token::NamedMeeting;
use shared::token_url::{TokenUrl, UrlId, UrlToken, UrlTokenType};
use shared::vendor::Vendor;
use shared::zoom;

use crate::http::access;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::reply::Reply;
use crate::http::request::{ErrorFormat, Request};
use crate::token_urls::dialect::{BotCall, Dialect, VendorToken};
use crate::token_urls::verify::{VendorMemory, Verifier};

/// The method and path, which also name the endpoint in the log. `ANY`, because one vendor wants a 405 to `HEAD`, and
/// the gateway would answer 404. `{token+}` also takes a slash and what follows it: otherwise the gateway would log the
/// path as one that does not exist, with the token in it.
pub const ROUTE: &str = "ANY /t/{token+}";

/// How long an access token must still live to be used. This is short, because a refresh would make the vendor wait.
const ACCESS_MARGIN: Duration = Duration::from_mins(2);
/// How long an answer may take. One vendor gives up after 15 seconds.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(13);

/// Gives a bot its token. `HEAD` is refused: a vendor sends it to find out whether to send a POST, and it must not mint a
/// token.
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    token_urls: &TokenUrls,
    grants: &Grants,
    vendor_memory: &VendorMemory,
    request: &Request,
) -> Reply {
    match request.method() {
        "GET" => get(keys, requests, token_urls, grants, vendor_memory, request).await,
        "POST" => post(keys, requests, token_urls, grants, vendor_memory, request).await,
        _ => Err(ApiError::MethodNotAllowed { allow: "GET, POST" }),
    }
}

async fn answer(
    keys: &Keys,
    requests: &Requests,
    token_urls: &TokenUrls,
    grants: &Grants,
    vendor_memory: &VendorMemory,
    request: &Request,
    dialect: Dialect,
) -> Reply {
    let answer_by = Timestamp::now().plus(MAX_ANSWER_TIME);
    let token = request.url_token()?;
    let read = token_urls.get(&token).map_err(Error::from);
    let row = time_limit::until(answer_by, read).await?;
    let row = row.ok_or(Missing::TokenUrl)?;
    let (team, id) = (&row.team, token.credential());
    request.note_team(team);
    request.note_credential(id);
    if let Some(vendor) = row.url.verify {
        let verifier = Verifier {
            secrets: grants.secrets(),
            envelope: &grants.envelope,
            memory: vendor_memory,
            team,
            request,
        };
        // Before everything that the caller could learn about the URL, and before a use is taken.
        time_limit::until(answer_by, verifier.verify(vendor)).await?;
    }
    let actor = Actor::TokenUrl(row.url.url_id);
    request.invocation().act_as(actor);
    let body_is_signed = row.url.verify == Some(Vendor::Attendee);
    let details = dialect.bot_details(request, body_is_signed);
    let token_request = token_request(&row.url, details.meeting)?;
    let terms = Terms {
        bot: details.bot,
        margin: ACCESS_MARGIN,
        answer_by,
    };

    let call = TokenUrlCall {
        keys,
        requests,
        token_urls,
        request,
        token: &token,
        url: row.url.url_id,
        context: Context {
            grants,
            invocation: request.invocation(),
            team,
            terms: &terms,
        },
    };
    let minted = call.mint(token_request).await?;
    dialect.answer(row.url.token_type, &minted.token)
}

/// One call of a token URL that is known.
struct TokenUrlCall<'a> {
    keys: &'a Keys,
    requests: &'a Requests,
    token_urls: &'a TokenUrls,
    request: &'a Request,
    token: &'a UrlToken,
    url: UrlId,
    context: Context<'a>,
}

impl TokenUrlCall<'_> {
    /// Takes one use of the URL and mints. If the mint fails, gives the use back.
    async fn mint(&self, token_request: TokenRequest) -> Result<MintedToken, ApiError> {
        let Context {
            grants,
            team,
            terms,
            ..
        } = self.context;
        let take_use = self.token_urls.take_use(self.token).map_err(Error::from);
        let read = grants.credentials().get(team, self.token.credential());
        let read = read.map_err(Error::from);
        let (use_taken, stored) = tokio::join!(
            time_limit::until(terms.answer_by, take_use),
            time_limit::until(terms.answer_by, read),
        );
        if !use_taken? {
            return Err(Error::NotFound(Missing::TokenUrl).into());
        }
        // Boxed: the future is large, and each layer would copy it on the stack.
        let minted = Box::pin(async {
            // The caller does not learn whether the URL, its use or its credential is missing.
            let stored = stored?.ok_or(Missing::TokenUrl)?;
            self.count_and_mint(stored, token_request).await
        });
        let minted = minted.await;
        if minted.is_err() {
            // Best effort: if the use is not given back, the URL gives one token less.
            let given_back = self.token_urls.return_use(self.token);
            Recorder(self.context)
                .best_effort("a use of a token URL is not given back", given_back)
                .await;
        }
        minted
    }

    async fn count_and_mint(
        &self,
        stored: StoredCredential,
        token_request: TokenRequest,
    ) -> Result<MintedToken, ApiError> {
        let Context {
            grants,
            team,
            terms,
            ..
        } = self.context;
        let prepare = PreparedMint::read(grants, team, &stored, token_request, terms);
        let admitted = access::admit_token_url(
            self.keys,
            self.requests,
            team,
            self.url,
            self.request,
            prepare.map_err(ApiError::from),
        );
        let (settings, prepared) = time_limit::until(terms.answer_by, admitted).await?;
        let prepared = prepared.with_max_lifetime(settings.max_token_ttl);
        let prepared = prepared.map_err(ApiError::TokenLifetime)?;
        let minted = mint(self.context, stored, prepared).await;
        if let Err(Error::NotFound(Missing::Credential)) = minted {
            // The credential was deleted during the mint.
            return Err(Error::NotFound(Missing::TokenUrl).into());
        }
        Ok(minted?)
    }
}

/// The token to mint. The URL's own meeting counts before the meeting that the caller named.
fn token_request(url: &TokenUrl, named: Option<NamedMeeting>) -> Result<TokenRequest, ApiError> {
    let named = match (&url.meeting_id, named) {
        (Some(own), Some(named)) if *own != named.id => return Err(ApiError::AnotherMeeting),
        // A call with the URL's own number may say that it is a webinar.
        (own, named) => named.or_else(|| own.clone().map(Into::into)),
    };
    let meeting = named.clone().map(|named| named.id);
    Ok(TokenRequest::Zoom(match url.token_type {
        UrlTokenType::Onbehalf => zoom::MintRequest::Onbehalf { meeting, ttl: None },
        UrlTokenType::Zak => zoom::MintRequest::Zak { ttl: None },
        UrlTokenType::LocalRecording => {
            let missing = ApiError::validation(
                "meeting_id",
                "is required for a local recording token: send meeting_number, meeting_id or meeting_url",
            );
            let meeting = named.ok_or(missing)?;
            zoom::MintRequest::LocalRecording { meeting }
        }
    }))
}

/// Gives a bot its token, as text
///
/// For vendors that send a GET: MeetingBaas, Recall.ai, MeetStream. The answer to `HEAD` is a 405. An error is a short
/// plain text.
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
        (status = 401, description = "The vendor that the URL verifies did not make the call", body = String, content_type = "text/plain"),
        (status = 404, description = "The URL is unknown, revoked, expired or used up, or its credential is deleted", body = String, content_type = "text/plain"),
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
    vendor_memory: &VendorMemory,
    request: &Request,
) -> Reply {
    request.answer_errors_as(ErrorFormat::PlainText);
    answer(
        keys,
        requests,
        token_urls,
        grants,
        vendor_memory,
        request,
        Dialect::Text,
    )
    .await
}

/// Gives a bot its token, as JSON
///
/// For vendors that send a POST: Attendee, MeetStream. The vault ignores a body that it cannot parse.
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
        (status = 200, description = "The token, under each of its names", body = VendorToken<'static>),
        (status = 403, description = "The URL is for another meeting", body = ErrorBody),
        (status = 401, description = "The vendor that the URL verifies did not make the call", body = ErrorBody),
        (status = 404, description = "The URL is unknown, revoked, expired or used up, or its credential is deleted", body = ErrorBody),
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
    vendor_memory: &VendorMemory,
    request: &Request,
) -> Reply {
    answer(
        keys,
        requests,
        token_urls,
        grants,
        vendor_memory,
        request,
        Dialect::Json,
    )
    .await
}
