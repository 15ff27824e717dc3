//! `GET /v2/zoom-credentials/{id}/events`: the events of one credential.

use shared::credential::CredentialId;
use shared::event::{EventId, EventRecord};
use shared::stores::{Credentials, Events, Keys, Requests};

use crate::http::access;
use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingError, ReadErrors};

/// The number of events on a page if the request has no `limit`.
const DEFAULT_LIMIT: u16 = 100;

/// Which page of the events.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// The size of the page; 100 if the parameter is missing or empty.
    #[param(value_type = Option<query::Limit>, inline)]
    limit: u16,
    /// Where the page before ended: the value of that page's header `x-next-cursor`.
    #[param(value_type = Option<query::EventsCursor>, inline)]
    cursor: Option<EventId>,
}

impl EventsQuery {
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        Ok(Self {
            limit: query::limit(request)?.unwrap_or(DEFAULT_LIMIT),
            cursor: query::cursor(request, List::Events)?.map(EventId::from_bytes),
        })
    }
}

/// Lists a credential's events
///
/// Mints, refreshes and changes of state, newest first. Old events expire. The vault records a mint before it releases
/// the token, so every token has an event. If there are more events, the header `x-next-cursor` has the cursor of the
/// next page.
#[utoipa::path(
    get,
    path = "/v2/zoom-credentials/{id}/events",
    operation_id = "listZoomCredentialEvents",
    tag = "Events",
    params(
        ("id" = inline(CredentialId), Path, description = "The credential's id"),
        EventsQuery,
    ),
    responses(
        (status = 200, description = "The events", body = Success<Vec<EventRecord>>),
        ReadErrors,
        MissingError,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    credentials: &Credentials,
    events: &Events,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let team = key.team();

    let id = request.credential_id();
    let (caller, stored) = access::verify_and_get(keys, credentials, &key, request, id).await?;
    let read = stored.and_then(|stored| Ok((EventsQuery::of(request)?, stored)));
    let (query, stored) = access::admit_read(requests, &caller, request, read).await?;
    let id = caller.visible(stored)?.credential.credential_id;
    // Events are read only after the credential is found in the team, because another team may own the id.
    let page = events.page(team, id, query.cursor, query.limit).await?;

    reply::page(
        page.events,
        page.next.map(|id| List::Events.after(id.as_bytes())),
    )
}
