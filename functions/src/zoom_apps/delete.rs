//! `DELETE /v2/zoom-apps/{client_id}`

use serde::Serialize;
use shared::error::Missing;
use shared::event::{Change, EventKind, Target};
use shared::stores::{Events, Keys, Requests, Secrets};
use utoipa::ToSchema;

use crate::http::access;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{ClientIdInPath, MissingAppError, ReadErrors, WriteErrors};

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "DELETE /v2/zoom-apps/{client_id}";

/// The answer to a deletion.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedZoomApp {
    /// The result for people.
    #[schema(example = "Zoom app deleted successfully")]
    message: &'static str,
}

/// Deletes a Zoom app
///
/// The vault destroys the app's secret token at once, and refuses the app's webhooks for this team. The app's
/// credentials stay.
#[utoipa::path(
    delete,
    path = "/v2/zoom-apps/{client_id}",
    operation_id = "deleteZoomApp",
    tag = "Zoom apps",
    params(
        ("client_id" = inline(ClientIdInPath), Path, description = "The app's client id"),
    ),
    responses(
        (status = 200, description = "It is forgotten", body = Success<DeletedZoomApp>),
        ReadErrors,
        MissingAppError,
        WriteErrors,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    secrets: &Secrets,
    events: &Events,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let caller = access::verify(keys, &key, request).await?;
    let team = caller.team;
    let input = caller.may_act_for_team().and_then(|()| request.client_id());
    let client_id =
        access::admit_change(keys, requests, &caller, request, input, async |id| Ok(id)).await?;

    if !secrets.delete_zoom_app(team, &client_id).await? {
        return Err(Missing::ZoomApp.into());
    }
    let target = Target::ZoomApp(client_id);
    let change = Change::of(target, EventKind::AppDeleted, Vec::new());
    request.record_change(events, team, change).await?;

    reply::ok(DeletedZoomApp {
        message: "Zoom app deleted successfully",
    })
}
