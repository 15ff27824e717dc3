//! The OpenAPI document and its reference page. The binary contains Swagger UI, so the page needs no network.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa_swagger_ui::{Config, serve};

const DOCUMENT_PATH: &str = "/v2/openapi.json";

/// Serves `/v2/openapi.json`, and the reference page at `/docs`.
pub fn router() -> Router {
    let config = Config::from(DOCUMENT_PATH)
        .try_it_out_enabled(true)
        .doc_expansion("list");
    Router::new()
        .route(DOCUMENT_PATH, get(document))
        .route("/", get(|| async { Redirect::temporary("/docs/") }))
        .route("/docs", get(|| async { Redirect::permanent("/docs/") }))
        .route("/docs/", get(|State(config)| async { file("", config) }))
        .route(
            "/docs/{*path}",
            get(|Path(path): Path<String>, State(config)| async move { file(&path, config) }),
        )
        .with_state(Arc::new(config))
}

/// The same bytes as the file `docs/openapi.json`.
async fn document() -> Result<impl IntoResponse, StatusCode> {
    let json = functions::openapi::document().to_pretty_json();
    let json = json.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json + "\n"))
}

fn file(path: &str, config: Arc<Config<'static>>) -> Response {
    match serve(path, config) {
        Ok(Some(file)) => (
            [(header::CONTENT_TYPE, file.content_type)],
            file.bytes.into_owned(),
        )
            .into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(error, "cannot serve the reference page");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
