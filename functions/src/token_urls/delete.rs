//! `DELETE /v2/zoom-credentials/{id}/token-urls/{url_id}` and `DELETE /v2/token-urls/{url_id}`: two routes of one
//! function.

use serde::Serialize;
use shared::credential::{CredentialId, TeamId};
use shared::error::Missing;
use shared::event::{Change, EventKind, Target};
use shared::stores::{
    Credentials, Events, Keys, Requests, StoredCredential, TRANSACTION_TIMEOUT, TokenUrls,
};
use shared::timestamp::Timestamp;
use shared::token_url::{UrlId, UrlPartition};
use utoipa::ToSchema;

use crate::http::access;
use crate::http::error::ApiError;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingTokenUrlError, ReadErrors, WriteErrors};
use crate::token_urls::choosing;

/// The method and path for the URLs of a credential. They also name the function in the log.
pub const ROUTE: &str = "DELETE /v2/zoom-credentials/{id}/token-urls/{url_id}";
/// The method and path for the URLs of a team.
pub const TEAM_ROUTE: &str = "DELETE /v2/token-urls/{url_id}";

/// The answer to a revocation.
#[derive(Debug, Serialize, ToSchema)]
pub struct RevokedTokenUrl {
    /// The result for people.
    #[schema(example = "Token URL revoked successfully")]
    message: &'static str,
}

/// Revokes a token URL of the credential in the path, or of the team.
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    token_urls: &TokenUrls,
    events: &Events,
    request: &Request,
) -> Reply {
    if request.names_credential() {
        of_credential(keys, requests, credentials, token_urls, events, request).await
    } else {
        choosing::delete::of_team(keys, requests, token_urls, events, request).await
    }
}

/// Revokes the URL, and records that in the same transaction.
pub(super) async fn revoke(
    token_urls: &TokenUrls,
    events: &Events,
    request: &Request,
    team: &TeamId,
    credential: Option<CredentialId>,
    url: UrlId,
) -> Reply {
    let of_team = || UrlPartition::of_team(team);
    let partition = credential.map_or_else(of_team, UrlPartition::from);
    let change = Change::of(Target::TokenUrl(url), EventKind::UrlRevoked, Vec::new());
    let event = request.change(events, team, credential, change)?;
    let revoked = token_urls
        .begin(token_urls.revoke(team, partition, url)?)
        .and(event)
        .commit(Timestamp::now().plus(TRANSACTION_TIMEOUT));
    if !revoked.await?.is_committed() {
        return Err(Missing::TokenUrl.into());
    }

    reply::ok(RevokedTokenUrl {
        message: "Token URL revoked successfully",
    })
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
async fn of_credential(
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

    revoke(token_urls, events, request, team, Some(id), url).await
}
