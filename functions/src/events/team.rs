//! `GET /v2/events`: the audit trail of a team.

use shared::event::{ActorKind, EventId, EventKind, EventRecord};
use shared::stores::{EventFilter, Events, Keys, Requests};

use crate::http::access;
use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::ReadErrors;

/// The number of events on a page if the request has no `limit`.
const DEFAULT_LIMIT: u16 = 100;

/// Which events, how many, and where to go on.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TeamEventsQuery {
    /// The size of the page. A page with a filter may be shorter and still have a next page.
    #[param(value_type = Option<query::Limit>, inline)]
    limit: u16,
    /// Where the page before ended: the value of that page's header `x-next-cursor`.
    #[param(value_type = Option<query::TeamEventsCursor>, inline)]
    cursor: Option<EventId>,
    /// The kind of actor, or the kind and the id: `key`, or `key:0123456789ab`.
    #[param(
        value_type = Option<String>,
        pattern = "^((key|token_url|connect_session|webhook|schedule|operator)(:.*)?)?$"
    )]
    actor: Option<(ActorKind, Option<String>)>,
    /// The kind of event.
    #[param(
        value_type = Option<String>,
        pattern = "^(mint|access_token_released|refresh|revoke|state_change|created|updated|deleted|restored|purged|url_created|url_revoked|session_created|session_revoked|app_registered|app_deleted|secret_rotated|vendor_set|key_created|key_revoked|team_changed)?$"
    )]
    kind: Option<EventKind>,
}

impl TeamEventsQuery {
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        Ok(Self {
            limit: query::limit(request)?.unwrap_or(DEFAULT_LIMIT),
            cursor: query::cursor(request, List::TeamEvents)?.map(EventId::from_bytes),
            actor: query::parsed(request, "actor", "querystring/actor", ActorKind::with_id)?,
            kind: query::parsed(request, "kind", "querystring/kind", str::parse)?,
        })
    }

    fn filter(&self) -> EventFilter {
        let (actor, actor_id) = self.actor.clone().unzip();
        EventFilter {
            kind: self.kind,
            actor,
            actor_id: actor_id.flatten(),
        }
    }
}

/// Lists the events of the team
///
/// Newest first: who changed what, which token went to whom, and what went wrong. The operator's changes are here too.
/// An event may appear here a second after the change. Events are kept for 90 days, unless the operator chose another
/// time.
#[utoipa::path(
    get,
    path = "/v2/events",
    operation_id = "listEvents",
    tag = "Events",
    params(
        TeamEventsQuery,
    ),
    responses(
        (status = 200, description = "The events", body = Success<Vec<EventRecord>>),
        ReadErrors,
    )
)]
pub async fn handle(keys: &Keys, requests: &Requests, events: &Events, request: &Request) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let query = TeamEventsQuery::of(request);
    let query = caller.may_act_for_team().and(query);
    let query = access::admit_read(requests, &caller, request, query).await?;

    let filter = query.filter();
    let page = events.page_of_team(caller.team, &filter, query.cursor, query.limit);
    let page = page.await?;

    reply::page(
        page.events,
        page.next.map(|id| List::TeamEvents.after(id.as_bytes())),
    )
}
