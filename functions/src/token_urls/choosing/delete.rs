//! `DELETE /v2/token-urls/{url_id}`

use shared::stores::{Events, Keys, Requests, TokenUrls};
use shared::token_url::UrlId;

use crate::http::access;
use crate::http::reply::{Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingTokenUrlError, ReadErrors, WriteErrors};
use crate::token_urls::delete::{RevokedTokenUrl, revoke};

/// Revokes a token URL of the team
///
/// After this answer, the URL gives no more tokens and is not in the list any more. A second revocation answers 404.
#[utoipa::path(
    delete,
    path = "/v2/token-urls/{url_id}",
    operation_id = "deleteChoosingUrl",
    tag = "Token URLs",
    params(
        ("url_id" = inline(UrlId), Path, description = "The URL's id"),
    ),
    responses(
        (status = 200, description = "It gives no more tokens", body = Success<RevokedTokenUrl>),
        ReadErrors,
        MissingTokenUrlError,
        WriteErrors,
    )
)]
pub(crate) async fn of_team(
    keys: &Keys,
    requests: &Requests,
    token_urls: &TokenUrls,
    events: &Events,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let input = caller.may_act_for_team().and_then(|()| request.url_id());
    let url = access::admit_change(keys, requests, &caller, request, input, async |url| Ok(url));
    let url = url.await?;
    revoke(token_urls, events, request, caller.team, None, url).await
}
