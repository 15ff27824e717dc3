//! `DELETE /v2/zoom-credentials/{id}/token-urls/{url_id}`

use serde::Serialize;
use shared::credential::CredentialId;
use shared::error::{Error, Missing};
use shared::stores::{Keys, Requests, TokenUrls};
use shared::token_url::UrlId;
use utoipa::ToSchema;

use crate::http::access;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingTokenUrlError, ReadErrors, WriteErrors};

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "DELETE /v2/zoom-credentials/{id}/token-urls/{url_id}";

/// The answer to a revocation.
#[derive(Debug, Serialize, ToSchema)]
pub struct RevokedTokenUrl {
    /// The result for people.
    #[schema(example = "Token URL revoked successfully")]
    message: &'static str,
}

/// Revokes a token URL
///
/// After this answer, the URL gives no more tokens and is not in the list any more. A second revocation answers 404. A
/// URL can also be revoked after its credential was deleted.
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
        (status = 200, description = "It gives no more tokens", body = Success<RevokedTokenUrl>),
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
    let (id, url) = access::admit_change(keys, requests, team, request, permission, async {
        Ok((request.credential_id()?, request.url_id()?))
    })
    .await?;

    if !token_urls.revoke(team, id, url).await? {
        return Err(Error::NotFound(Missing::TokenUrl).into());
    }

    reply::ok(RevokedTokenUrl {
        message: "Token URL revoked successfully",
    })
}
