//! `/t/{token}`: bot vendors call this URL to get a token.
//!
//! The token in the URL is the only key, because two vendors cannot send a header. Every unknown token gets the same
//! answer, after at most one read. A token with a wrong checksum gets it without a read. KMS and Zoom are called for
//! known tokens only.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt, TryFutureExt};
use secrecy::ExposeSecret;
use shared::choosing_url::AnyUrl;
use shared::error::{Error, Missing};
use shared::event::Actor;
use shared::grants::mint::{MintedToken, PreparedMint, mint};
use shared::grants::record::Recorder;
use shared::grants::release::RELEASE_MARGIN;
use shared::grants::token_request::TokenRequest;
use shared::grants::{Context, Grants, Terms};
use shared::stores::{Keys, Requests, Team, TokenUrls};
use shared::time_limit;
use shared::timestamp::Timestamp;
use shared::token::{MeetingId, NamedMeeting};
use shared::token_url::{UrlId, UrlToken, UrlTokenType};
use shared::vendor::Vendor;
use shared::zoom;

use crate::http::access;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::reply::Reply;
use crate::http::request::{ErrorFormat, Request};
use crate::token_urls::choosing::candidates::{self, Candidates};
use crate::token_urls::choosing::mint::{Candidate, Order, Tokens, Wanted, mint_with};
use crate::token_urls::dialect::{BotCall, BotTokens, Dialect};
use crate::token_urls::verify::{VendorMemory, Verifier};

/// The method and path, which also name the endpoint in the log. `ANY`, because one vendor wants a 405 to `HEAD`, and
/// the gateway would answer 404. `{token+}` also takes a slash and what follows it: otherwise the gateway would log the
/// path as one that does not exist, with the token in it.
pub const ROUTE: &str = "ANY /t/{token+}";

/// How long an access token must still live to be used. This is short, because a refresh would make the vendor wait.
const ACCESS_MARGIN: Duration = Duration::from_mins(2);
/// How long an answer may take. One vendor gives up after 15 seconds.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(13);

/// Gives a bot its token. `HEAD` is refused: a vendor sends it to find out whether to send a POST, and it must not mint
/// a token.
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
    let team = &row.team;
    request.note_team(team);
    if let AnyUrl::OfCredential(_) = &row.url {
        request.note_credential(token.partition().credential());
    }
    let verifier = Verifier {
        secrets: grants.secrets(),
        envelope: &grants.envelope,
        memory: vendor_memory,
        team,
        request,
    };
    // Before everything that the caller could learn about the URL, and before a use is taken.
    let vendor = verifier.verify_one_of(row.url.verify());
    let vendor = time_limit::until(answer_by, vendor).await?;
    let url = row.url.terms().url_id;
    request.invocation().act_as(Actor::TokenUrl(url));
    let body_is_signed = vendor == Some(Vendor::Attendee);
    let details = dialect.bot_details(request, body_is_signed);
    let gives_access = row.url.types().contains(&UrlTokenType::AccessToken);
    let terms = Terms {
        bot: details.bot,
        margin: if gives_access {
            RELEASE_MARGIN
        } else {
            ACCESS_MARGIN
        },
        answer_by,
    };
    let call = TokenUrlCall {
        keys,
        requests,
        token_urls,
        request,
        token: &token,
        url,
        gives_access,
        context: Context {
            grants,
            invocation: request.invocation(),
            team,
            terms: &terms,
        },
    };
    let own = row.url.terms().meeting_id;
    let meeting = meeting(own, details.meeting)?;
    match &row.url {
        AnyUrl::OfCredential(url) => {
            let token_request = token_request(url.token_type, meeting, vendor)?;
            let minted = call.mint(token_request).await?;
            dialect.answer(url.token_type, &minted.token)
        }
        AnyUrl::Choosing(url) => {
            let types = dialect.wanted_types(request, &url.types)?;
            let requests = token_requests(&types, meeting.as_ref(), vendor)?;
            let asked = candidates::asked(url, request, body_is_signed)?;
            let minted = call
                .mint_with_candidates(&requests, dialect, &asked)
                .await?;
            answer_tokens(request, dialect, &minted)
        }
    }
}

/// One call of a token URL that is known.
struct TokenUrlCall<'a> {
    keys: &'a Keys,
    requests: &'a Requests,
    token_urls: &'a TokenUrls,
    request: &'a Request,
    token: &'a UrlToken,
    url: UrlId,
    /// Whether the URL gives access tokens, which the team must allow.
    gives_access: bool,
    context: Context<'a>,
}

impl TokenUrlCall<'_> {
    /// Mints with the URL's credential.
    async fn mint(&self, token_request: TokenRequest) -> Result<MintedToken, ApiError> {
        let Context {
            grants,
            team,
            terms,
            ..
        } = self.context;
        let read = grants
            .credentials()
            .get(team, self.token.partition().credential());
        let read = time_limit::until(terms.answer_by, read.map_err(Error::from));
        let (use_taken, stored) = tokio::join!(self.take_use(), read);
        use_taken?;
        self.or_return_use(async {
            // The caller does not learn whether the URL, its use or its credential is missing.
            let stored = stored?.ok_or(Missing::TokenUrl)?;
            let prepare = PreparedMint::read(grants, team, &stored, token_request, terms);
            let (settings, prepared) = self.count(prepare.map_err(ApiError::from)).await?;
            let prepared = prepared.with_max_lifetime(settings.max_token_ttl);
            let prepared = prepared.map_err(ApiError::TokenLifetime)?;
            let minted = mint(self.context, stored, prepared).await;
            if let Err(Error::NotFound(Missing::Credential)) = minted {
                // The credential was deleted during the mint.
                return Err(Error::NotFound(Missing::TokenUrl).into());
            }
            Ok(minted?)
        })
        .await
    }

    /// Mints with the credentials that the call chooses. Returns the tokens of each type.
    async fn mint_with_candidates(
        &self,
        requests: &[(UrlTokenType, TokenRequest)],
        dialect: Dialect,
        asked: &candidates::Asked<'_>,
    ) -> Result<Vec<(UrlTokenType, Tokens)>, ApiError> {
        let Context {
            grants,
            team,
            terms,
            ..
        } = self.context;
        let (_, first) = requests.first().ok_or(Missing::TokenUrl)?;
        let find = async {
            let Candidates { usable, deleted } = asked.find(grants.credentials(), team).await?;
            if usable.is_empty() {
                return Err(Error::NotFound(Missing::Credential).into());
            }
            let candidates = join_all(usable.into_iter().map(async |stored| {
                let request = first.clone();
                let prepared = PreparedMint::read(grants, team, &stored, request, terms).await;
                Candidate { stored, prepared }
            }));
            Ok((candidates.await, deleted))
        };
        // Counted before the use is taken: a call that names nobody takes no use from another, and is no free search.
        let (settings, (candidates, deleted)) = self.count(find).await?;
        self.take_use().await?;
        self.or_return_use(async {
            let wanted = requests.iter().map(|(token_type, request)| Wanted {
                request: request.clone(),
                of_all: dialect.takes_all(*token_type),
            });
            let order = Order {
                wanted: wanted.collect(),
                max_lifetime: settings.max_token_ttl,
            };
            let tokens = mint_with(self.context, candidates, &deleted, &order).await?;
            Ok(requests.iter().map(|(it, _)| *it).zip(tokens).collect())
        })
        .await
    }

    /// Takes one use of the URL. Fails if none is left.
    async fn take_use(&self) -> Result<(), Error> {
        let take_use = self.token_urls.take_use(self.token).map_err(Error::from);
        if time_limit::until(self.context.terms.answer_by, take_use).await? {
            Ok(())
        } else {
            Err(Error::NotFound(Missing::TokenUrl))
        }
    }

    /// Does the work that a use was taken for. If the work fails, gives the use back.
    async fn or_return_use<T>(
        &self,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        // Boxed: the future is large, and each layer would copy it on the stack.
        let done = Box::pin(work).await;
        if done.is_err() {
            // Best effort: if the use is not given back, the URL gives one token less.
            let given_back = self.token_urls.return_use(self.token);
            Recorder(self.context)
                .best_effort("a use of a token URL is not given back", given_back)
                .await;
        }
        done
    }

    /// Counts the call against the team's rate while `work` runs. Fails if the team may not give access tokens away:
    /// then the caller learns nothing of the work.
    async fn count<T>(
        &self,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<(Team, T), ApiError> {
        let Context { team, terms, .. } = self.context;
        let (keys, requests, request) = (self.keys, self.requests, self.request);
        let work = work.map(Ok);
        let admitted = access::admit_token_url(keys, requests, team, self.url, request, work);
        let (settings, done) = time_limit::until(terms.answer_by, admitted).await?;
        if self.gives_access && !settings.access_token_urls {
            return Err(Missing::TokenUrl.into());
        }
        Ok((settings, done?))
    }
}

/// Answers the tokens, and notes the first credential that gave one.
#[expect(clippy::disallowed_methods, reason = "the caller asked for the tokens")]
fn answer_tokens(request: &Request, dialect: Dialect, minted: &[(UrlTokenType, Tokens)]) -> Reply {
    let mut ids = minted.iter().flat_map(|(_, tokens)| tokens);
    let (id, _) = ids.next().ok_or(Missing::Credential)?;
    request.note_credential(*id);
    let tokens = minted.iter().map(|(token_type, tokens)| {
        let texts = tokens
            .iter()
            .map(|(_, minted)| minted.token.expose_secret());
        (*token_type, texts.collect())
    });
    dialect.answer_all(&tokens.collect::<Vec<_>>())
}

/// The meeting of the tokens. The URL's own meeting counts before the meeting that the caller named.
fn meeting(
    own: Option<&MeetingId>,
    named: Option<NamedMeeting>,
) -> Result<Option<NamedMeeting>, ApiError> {
    match (own, named) {
        (Some(own), Some(named)) if *own != named.id => Err(ApiError::AnotherMeeting),
        // A call with the URL's own number may say that it is a webinar.
        (own, named) => Ok(named.or_else(|| own.cloned().map(Into::into))),
    }
}

/// The tokens to mint. A local recording token is for one meeting. Among other types it is left out if the call names
/// none.
fn token_requests(
    types: &[UrlTokenType],
    meeting: Option<&NamedMeeting>,
    vendor: Option<Vendor>,
) -> Result<Vec<(UrlTokenType, TokenRequest)>, ApiError> {
    let is_alone = types.len() == 1;
    let possible = types
        .iter()
        .filter(|it| is_alone || meeting.is_some() || **it != UrlTokenType::LocalRecording);
    let requests = possible.map(|it| Ok((*it, token_request(*it, meeting.cloned(), vendor)?)));
    requests.collect()
}

/// The token to mint. `vendor` has proved that it made the call.
fn token_request(
    token_type: UrlTokenType,
    named: Option<NamedMeeting>,
    vendor: Option<Vendor>,
) -> Result<TokenRequest, ApiError> {
    let meeting = named.clone().map(|named| named.id);
    Ok(TokenRequest::Zoom(match token_type {
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
        UrlTokenType::AccessToken => {
            // No URL is created without a vendor. A row that was changed by hand gives nothing.
            let vendor = vendor.ok_or(Missing::TokenUrl)?;
            return Ok(TokenRequest::AccessToken(vendor));
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
        (status = 404, description = "The URL is unknown, revoked, expired or used up, its credential is deleted, or its team may not give access tokens away", body = String, content_type = "text/plain"),
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
        (status = 200, description = "The token, under each of its names", body = BotTokens),
        (status = 403, description = "The URL is for another meeting", body = ErrorBody),
        (status = 401, description = "The vendor that the URL verifies did not make the call", body = ErrorBody),
        (status = 404, description = "The URL is unknown, revoked, expired or used up, its credential is deleted, or its team may not give access tokens away", body = ErrorBody),
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
