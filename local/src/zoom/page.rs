//! HTML pages: one look, one strict policy.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{Html, IntoResponse, Response};
use url::Url;

/// Renders a page. It may load the sandbox's style sheet and nothing else.
///
/// `leads_to`: where a form of the page leads besides the sandbox. Browsers apply `form-action` to redirects too, and
/// where the app leads on to from there is its own affair: so any site, or any address of the app's own scheme.
pub(super) fn html(status: StatusCode, page: &impl Template, leads_to: Option<&Url>) -> Response {
    let Ok(text) = page.render() else {
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            "The page could not be rendered.",
        )
            .into_response();
    };
    let leads_to = leads_to.map(source).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; form-action 'self'{leads_to}; base-uri 'none'; frame-ancestors 'none'"
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

/// One more source of a content security policy.
fn source(url: &Url) -> String {
    if url.origin().is_tuple() {
        " http: https:".to_owned()
    } else {
        format!(" {}:", url.scheme())
    }
}
