//! `DELETE /v2/zoom-apps/{client_id}`

use serde::Serialize;
use shared::error::{Error, Missing};
use shared::stores::{Keys, Requests, Secrets};
use utoipa::ToSchema;

use crate::http::access;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{ClientIdInPath, MissingAppError, ReadErrors, WriteErrors};

/// What the logs call it.
pub const ROUTE: &str = "DELETE /v2/zoom-apps/{client_id}";

/// What became of the app.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Forgotten {
    /// For people.
    #[schema(example = "Zoom app deleted successfully")]
    message: &'static str,
}

/// Forgets a Zoom app
///
/// Its secret token is gone at once, and its webhooks are refused, as far as this team goes. Its credentials stay.
#[utoipa::path(
    delete,
    path = "/v2/zoom-apps/{client_id}",
    operation_id = "deleteZoomApp",
    tag = "Zoom apps",
    params(
        ("client_id" = inline(ClientIdInPath), Path, description = "The app's client id"),
    ),
    responses(
        (status = 200, description = "It is forgotten", body = Success<Forgotten>),
        ReadErrors,
        MissingAppError,
        WriteErrors,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    secrets: &Secrets,
    request: &Request,
) -> Reply {
    let key = access::api_key(request)?;
    let permission = access::verify(keys, &key, request).await?;
    let team = key.team();
    let client_id = access::admitted(keys, requests, team, request, permission, async {
        request.client_id()
    })
    .await?;

    if !secrets.delete_zoom_app(team, &client_id).await? {
        return Err(Error::NotFound(Missing::ZoomApp).into());
    }

    reply::ok(Forgotten {
        message: "Zoom app deleted successfully",
    })
}
