//! `GET /v2/zoom-apps/{client_id}`

use crate::http::error::ApiError;
use shared::config::Url;
use shared::error::Missing;
use shared::stores::{Keys, Secrets};

use crate::http::access::{self, Needs};
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{ClientIdInPath, MissingAppError, ReadErrors};
use crate::zoom_apps::app::{ROUTES, Shown};

/// What the logs call it.
pub const ROUTE: &str = "GET /v2/zoom-apps/{client_id}";

/// Gets a Zoom app
///
/// As it was registered a moment ago; without its secrets, which nothing shows.
#[utoipa::path(
    get,
    path = "/v2/zoom-apps/{client_id}",
    operation_id = "getZoomApp",
    tag = "Zoom apps",
    params(
        ("client_id" = inline(ClientIdInPath), Path, description = "The app's client id"),
    ),
    responses(
        (status = 200, description = "The app", body = Success<Shown>),
        ReadErrors,
        MissingAppError,
    )
)]
pub async fn handle(
    keys: &Keys,
    secrets: &Secrets,
    public: Option<&Url>,
    request: &Request,
) -> Reply {
    // The team is part of the key, so key and row are read together; nothing is answered before the key is good.
    let key = access::api_key(request)?;
    let client_id = request.client_id();

    let (verified, app) = tokio::join!(access::verify(keys, &key, request), async {
        Ok::<_, ApiError>(secrets.zoom_app(key.team(), &client_id?).await?)
    });
    Needs::Read.met_by(verified?)?;
    let app = app?.ok_or(Missing::ZoomApp)?;

    reply::ok(Shown::new(app, &request.base(public, ROUTES)?))
}
