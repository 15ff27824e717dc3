//! Pages about the API, under its own address.

use axum::Router;

/// The reference page and the OpenAPI document.
pub fn router() -> Router {
    Router::new()
}
