//! `DELETE /v2/zoom-credentials/{id}/token-urls/{url_id}`

use serde::Serialize;
use shared::credential::CredentialId;
use shared::error::Missing;
use shared::event::{Change, EventKind, Target};
use shared::stores::{
    Credentials, Events, Keys, Requests, StoredCredential, TRANSACTION_TIMEOUT, TokenUrls,
};
use shared::timestamp::Timestamp;
use shared::token_url::UrlId;
use utoipa::ToSchema;

use crate::http::access;
use crate::http::error::ApiError;
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
    credentials: &Credentials,
    token_urls: &TokenUrls,
    events: &Events,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let (id, url) = (request.credential_id(), request.url_id());
    let (verified, stored) = tokio::join!(access::verify(keys, &key, request), async {
        let (id, url) = (id?, url?);
        // A URL of a deleted credential can be revoked too.
        let stored = credentials.get_including_deleted(key.team(), id).await?;
        Ok::<_, ApiError>((id, url, stored))
    });
    let caller = verified?;
    let team = caller.team;
    let input = stored.and_then(|(id, url, stored)| {
        let is_seen = |stored: StoredCredential| caller.sees(&stored.credential);
        if caller.sees_all() || stored.is_some_and(is_seen) {
            Ok((id, url))
        } else {
            Err(Missing::TokenUrl.into())
        }
    });
    let (id, url) =
        access::admit_change(keys, requests, &caller, request, input, async |ids| Ok(ids)).await?;

    let change = Change::of(Target::TokenUrl(url), EventKind::UrlRevoked, Vec::new());
    let event = request.change(events, team, Some(id), change)?;
    let revoked = token_urls
        .begin(token_urls.revoke(team, id, url)?)
        .and(event)
        .commit(Timestamp::now().plus(TRANSACTION_TIMEOUT));
    if !revoked.await?.is_committed() {
        return Err(Missing::TokenUrl.into());
    }

    reply::ok(RevokedTokenUrl {
        message: "Token URL revoked successfully",
    })
}
