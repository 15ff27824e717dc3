//! `GET /v2/zoom-apps/{client_id}`

use shared::config::Url;
use shared::error::Missing;
use shared::stores::{Keys, Requests, Secrets};

use crate::http::access;
use crate::http::error::ApiError;
use crate::http::reply::{self, Reply, Success};
use crate::http::request::Request;
use crate::http::schema::{ClientIdInPath, MissingAppError, ReadErrors};
use crate::zoom_apps::app::{PATH_PREFIX, ZoomAppView};

/// The method and path, which also name the endpoint in the log.
pub const ROUTE: &str = "GET /v2/zoom-apps/{client_id}";

/// Gets a Zoom app
///
/// The answer does not show the app's secrets.
#[utoipa::path(
    get,
    path = "/v2/zoom-apps/{client_id}",
    operation_id = "getZoomApp",
    tag = "Zoom apps",
    params(
        ("client_id" = inline(ClientIdInPath), Path, description = "The app's client id"),
    ),
    responses(
        (status = 200, description = "The app", body = Success<ZoomAppView>),
        ReadErrors,
        MissingAppError,
    )
)]
pub async fn handle(
    keys: &Keys,
    requests: &Requests,
    secrets: &Secrets,
    public: Option<&Url>,
    request: &Request,
) -> Reply {
    // The API key names the team, so key and app are read at the same time. Nothing is answered before
    // the key is verified.
    let key = access::api_key(request)?;
    let client_id = request.client_id();

    let (verified, app) = tokio::join!(access::verify(keys, &key, request), async {
        Ok::<_, ApiError>(secrets.zoom_app(key.team(), &client_id?).await?)
    });
    let caller = verified?;
    let app = caller.may_act_for_team().and(app);
    let app = access::admit_read(requests, &caller, request, app).await?;
    let app = app.ok_or(Missing::ZoomApp)?;

    let base = request.base(public, PATH_PREFIX)?;
    reply::ok(ZoomAppView::new(app, &base))
}
