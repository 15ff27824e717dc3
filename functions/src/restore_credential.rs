//! `POST /v2/zoom-credentials/{id}/restore`

use shared::cause::chain;
use shared::credential::{CredentialId, Reconnect, State, TeamId};
use shared::event::{Event, Happened};
use shared::stores::{
    self, Credentials, Events, GrantState, Keys, PATIENCE, Part, Requests, Secrets, Stored,
};
use shared::timestamp::Timestamp;

use crate::access;
use crate::grants::message;
use crate::openapi::{MissingError, OneCredential, ReadErrors, WriteErrors};
use crate::reply::{self, Reply};
use crate::request::Request;

/// What the logs call it.
pub const ROUTE: &str = "POST /v2/zoom-credentials/{id}/restore";

/// How often it starts over because the grant moved under it.
const ROUNDS: usize = 3;

/// Restores a deleted credential
///
/// For 30 days after its deletion, unless the operator has set another time, and with all that it had, token URLs
/// included. It mints at once. Where its grant was revoked or lost meanwhile it comes back `invalid`, and its
/// `last_error_message` begins with the reason: then the user has to authorize again.
#[utoipa::path(
    post,
    path = "/v2/zoom-credentials/{id}/restore",
    operation_id = "restoreZoomCredential",
    tag = "Zoom credentials",
    params(
        ("id" = String, Path, format = "uuid", description = "The credential's id"),
    ),
    responses(
        (status = 200, description = "The credential, as it is now", body = OneCredential),
        ReadErrors,
        MissingError,
        WriteErrors,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    secrets: &Secrets,
    events: &Events,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let permission = access::verify(keys, &key, request).await?;
    let id = access::admitted(keys, requests, key.team(), request, permission, async {
        request.credential_id()
    })
    .await?;

    let restored = restore(credentials, secrets, events, key.team(), id).await?;

    reply::ok(restored.credential)
}

/// Brings a deleted credential back, and its grant into what is kept alive, in one transaction: the credential says of
/// its grant what is so at that moment. `NotFound` where it is not deleted, or was too long ago; `Conflict` where its
/// grant is moving.
pub async fn restore(
    credentials: &Credentials,
    secrets: &Secrets,
    events: &Events,
    team: &TeamId,
    id: CredentialId,
) -> Result<Stored, stores::Error> {
    for _ in 0..ROUNDS {
        let seen = credentials.deleted(team, id).await?;
        let (news, guard) = match seen.grant {
            None => (None, None),
            Some(grant) => match secrets.grant(grant.id).await {
                Ok(row) => match row.state {
                    GrantState::Active => (None, Some(secrets.resume(grant.id, &row)?)),
                    GrantState::Reconnect(reason) => {
                        (Some(reason), Some(secrets.still(grant.id, false)?))
                    }
                },
                Err(stores::Error::NotFound) => (Some(Reconnect::Revoked), None),
                Err(error) => return Err(error),
            },
        };
        // What it says already may be more than the reason.
        let news = news.filter(|_| seen.credential.state == State::Active);
        let said = news.map(|reason| message(reason, None));
        let restored = credentials.restore(team, &seen, said.as_deref())?;
        let until = Timestamp::now().plus(PATIENCE);
        match restored.and_maybe(guard).commit(until).await? {
            Ok(()) => {
                if let Some(reason) = news {
                    note(events, team, id, reason).await;
                }
                return credentials.get(team, id).await;
            }
            // Restored by somebody else, or too late.
            Err(Part::Credential) => return Err(stores::Error::NotFound),
            // Refreshed or given up at this very moment.
            Err(_) => {}
        }
    }
    Err(stores::Error::Conflict)
}

/// Writes down that the credential came back without a grant that works.
async fn note(events: &Events, team: &TeamId, id: CredentialId, reason: Reconnect) {
    let event = Event::new(Happened::StateChange {
        reason: Some(reason),
    });
    if let Err(error) = events.record(team, id, &event).await {
        let cause = chain(&error);
        tracing::warn!(cause, "a change of state is missing among the events");
    }
}
