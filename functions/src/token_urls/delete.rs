//! `DELETE /v2/zoom-credentials/{id}/token-urls/{url_id}`

use serde::Serialize;
use shared::credential::CredentialId;
use shared::stores::{Keys, Requests, TokenUrls};
use shared::token_url::UrlId;
use utoipa::ToSchema;

use crate::http::access;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingTokenUrlError, ReadErrors, WriteErrors};
use shared::error::{Error, Missing};

/// What the logs call it.
pub const ROUTE: &str = "DELETE /v2/zoom-credentials/{id}/token-urls/{url_id}";

/// What became of the URL.
#[derive(Debug, Serialize, ToSchema)]
pub struct Revoked {
    /// For people.
    #[schema(example = "Token URL revoked successfully")]
    message: &'static str,
}

/// Revokes a token URL
///
/// It gives no token from this answer on, and is gone from the list: a second time it is not found. A URL can be
/// revoked after its credential was deleted.
#[utoipa::path(
    delete,
    path = "/v2/zoom-credentials/{id}/token-urls/{url_id}",
    operation_id = "deleteTokenUrl",
    tag = "Token URLs",
    params(
        ("id" = inline(CredentialId), Path, description = "The credential's id"),
        ("url_id" = inline(UrlId), Path, description = "The URL's id"),
    ),
    responses(
        (status = 200, description = "It gives no more tokens", body = Success<Revoked>),
        ReadErrors,
        MissingTokenUrlError,
        WriteErrors,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    token_urls: &TokenUrls,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let permission = access::verify(keys, &key, request).await?;
    let team = key.team();
    let (id, url) = access::admitted(keys, requests, team, request, permission, async {
        Ok((request.credential_id()?, request.url_id()?))
    })
    .await?;

    if !token_urls.revoke(team, id, url).await? {
        return Err(Error::NotFound(Missing::TokenUrl).into());
    }

    reply::ok(Revoked {
        message: "Token URL revoked successfully",
    })
}
