//! HTML pages with a strict content security policy.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{Html, IntoResponse, Response};
use url::Url;

/// Renders a page that loads nothing but the sandbox's style sheet.
///
/// `redirect_uri` is where a form of the page leads. Browsers apply `form-action` to redirects too, and the app may
/// redirect further. The policy therefore allows any site, or any address with the app's own scheme.
pub(super) fn html(
    status: StatusCode,
    page: &impl Template,
    redirect_uri: Option<&Url>,
) -> Response {
    let Ok(text) = page.render() else {
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            "The page could not be rendered.",
        )
            .into_response();
    };
    let form_targets = redirect_uri.map(form_targets).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; form-action 'self'{form_targets}; base-uri 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (CONTENT_SECURITY_POLICY, policy.as_str()),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, Html(text)).into_response()
}

pub(super) async fn style() -> Response {
    let css = include_str!("../../templates/zoom/style.css");
    (
        [
            (CONTENT_TYPE, "text/css; charset=utf-8"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        css,
    )
        .into_response()
}

/// The additional sources of `form-action`, with a leading space.
fn form_targets(url: &Url) -> String {
    if url.origin().is_tuple() {
        " http: https:".to_owned()
    } else {
        format!(" {}:", url.scheme())
    }
}
