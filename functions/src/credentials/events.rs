//! `GET /v2/zoom-credentials/{id}/events`

use shared::credential::CredentialId;
use shared::error::Missing;
use shared::event::{EventId, EventRecord};
use shared::stores::{Credentials, Events, Keys};

use crate::http::access::{self, Needs};
use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{MissingError, ReadErrors};

/// What the logs call it.
pub const ROUTE: &str = "GET /v2/zoom-credentials/{id}/events";

/// Events on a page whose size was not asked for.
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
    fn of(request: &Request) -> Result<Self, ApiError> {
        Ok(Self {
            limit: query::limit(request)?.unwrap_or(DEFAULT_LIMIT),
            cursor: query::cursor(request, List::Events)?.map(EventId::from_bytes),
        })
    }
}

/// Lists what happened to a credential
///
/// Mints, refreshes and changes of state, newest first, as far back as events are kept. A mint is recorded before
/// its token is released, so no token is given without an event. A page that is not the last has the cursor of the
/// next in the header `x-next-cursor`.
#[utoipa::path(
    get,
    path = "/v2/zoom-credentials/{id}/events",
    operation_id = "listZoomCredentialEvents",
    tag = "Zoom credentials",
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
    credentials: &Credentials,
    events: &Events,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let team = key.team();

    let (verified, read) = tokio::join!(access::verify(keys, &key, request), async {
        let id = request.credential_id()?;
        let query = EventsQuery::of(request)?;
        let stored = credentials.get(team, id).await?;
        stored.ok_or(Missing::Credential)?;
        Ok::<_, ApiError>((id, query))
    });
    Needs::Read.met_by(verified?)?;
    let (id, query) = read?;
    // Only then: of what the id names, all belongs to whoever has the credential, and that may be another team.
    let page = events.page(team, id, query.cursor, query.limit).await?;

    reply::page(
        page.events,
        page.next.map(|id| List::Events.after(id.as_bytes())),
    )
}
