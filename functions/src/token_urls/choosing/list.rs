//! `GET /v2/token-urls`

use shared::choosing_url::{AnyUrl, ChoosingUrl};
use shared::stores::{Keys, Requests, TokenUrls};
use shared::token_url::UrlPartition;

use crate::http::access;
use crate::http::cursor::List;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::ReadErrors;
use crate::token_urls::list::TokenUrlsQuery;

/// Lists the team's token URLs
///
/// The URLs that choose, newest first, without the revoked URLs, but with the expired and used-up ones. The list does
/// not show the URLs themselves, and not the URLs of single credentials. If there are more token URLs, the header
/// `x-next-cursor` has the cursor of the next page, also after a short page.
#[utoipa::path(
    get,
    path = "/v2/token-urls",
    operation_id = "listChoosingUrls",
    tag = "Token URLs",
    params(TokenUrlsQuery),
    responses(
        (status = 200, description = "The URLs", body = Success<Vec<ChoosingUrl>>),
        ReadErrors,
    )
)]
pub(crate) async fn of_team(
    keys: &Keys,
    requests: &Requests,
    token_urls: &TokenUrls,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let team = caller.team;
    let query = caller
        .may_act_for_team()
        .and_then(|()| TokenUrlsQuery::of(request));
    let query = access::admit_read(requests, &caller, request, query).await?;
    let partition = UrlPartition::of_team(team);
    let page = token_urls.page(team, partition, query.cursor, query.limit);
    let page = page.await?;

    let urls = page.urls.into_iter().filter_map(|url| match url {
        AnyUrl::Choosing(url) => Some(url),
        AnyUrl::OfCredential(_) => None,
    });
    reply::page(
        urls.collect::<Vec<_>>(),
        page.next.map(|id| List::TokenUrls.after(id.as_bytes())),
    )
}
