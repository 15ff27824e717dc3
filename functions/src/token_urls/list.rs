//! `GET /v2/zoom-credentials/{id}/token-urls` and `GET /v2/token-urls`: two routes of one function.

use shared::choosing_url::AnyUrl;
use shared::credential::CredentialId;
use shared::stores::{Credentials, Keys, Requests, TokenUrls};
use shared::token_url::{TokenUrl, UrlId};

use crate::http::access;
use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingError, ReadErrors};
use crate::token_urls::choosing;

/// The method and path of a credential's URLs. They also name the function in the log.
pub const ROUTE: &str = "GET /v2/zoom-credentials/{id}/token-urls";
/// The method and path of a team's URLs.
pub const TEAM_ROUTE: &str = "GET /v2/token-urls";

/// The number of URLs on a page if the request has no `limit`.
const DEFAULT_LIMIT: u16 = 100;

/// Which page of the token URLs.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TokenUrlsQuery {
    /// The size of the page; 100 if the parameter is missing or empty.
    #[param(value_type = Option<query::Limit>, inline)]
    pub(super) limit: u16,
    /// Where the page before ended: the value of that page's header `x-next-cursor`.
    #[param(value_type = Option<query::TokenUrlsCursor>, inline)]
    pub(super) cursor: Option<UrlId>,
}

impl TokenUrlsQuery {
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        Ok(Self {
            limit: query::limit(request)?.unwrap_or(DEFAULT_LIMIT),
            cursor: query::cursor(request, List::TokenUrls)?.map(UrlId::from_bytes),
        })
    }
}

/// Lists the token URLs of the credential in the path, or of the team.
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    token_urls: &TokenUrls,
    request: &Request,
) -> Reply {
    if request.names_credential() {
        of_credential(keys, requests, credentials, token_urls, request).await
    } else {
        choosing::list::of_team(keys, requests, token_urls, request).await
    }
}

/// Lists a credential's token URLs
///
/// Newest first, without the revoked URLs, but with the expired and used-up ones. The list does not show the URLs
/// themselves. If there are more token URLs, the header `x-next-cursor` has the cursor of the next page, also after a
/// short page.
#[utoipa::path(
    get,
    path = "/v2/zoom-credentials/{id}/token-urls",
    operation_id = "listTokenUrls",
    tag = "Token URLs",
    params(
        ("id" = inline(CredentialId), Path, description = "The credential's id"),
        TokenUrlsQuery,
    ),
    responses(
        (status = 200, description = "The URLs", body = Success<Vec<TokenUrl>>),
        ReadErrors,
        MissingError,
    )
)]
async fn of_credential(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    token_urls: &TokenUrls,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let team = key.team();

    let id = request.credential_id();
    let (caller, stored) = access::verify_and_get(keys, credentials, &key, request, id).await?;
    let read = stored.and_then(|stored| Ok((TokenUrlsQuery::of(request)?, stored)));
    let (query, stored) = access::admit_read(requests, &caller, request, read).await?;
    let id = caller.visible(stored)?.credential.credential_id;
    // URLs are read only after the credential is found in the team, because another team may own the id.
    let page = token_urls.page(team, id.into(), query.cursor, query.limit);
    let page = page.await?;

    let urls = page.urls.into_iter().filter_map(|url| match url {
        AnyUrl::OfCredential(url) => Some(url),
        AnyUrl::Choosing(_) => None,
    });
    reply::page(
        urls.collect::<Vec<_>>(),
        page.next.map(|id| List::TokenUrls.after(id.as_bytes())),
    )
}
