//! Answers in the API's JSON envelope, and the few answers without it.

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::error::{ApiError, only};

/// A handler's answer.
pub type Reply = Result<Response<String>, ApiError>;

/// The envelope of every success.
#[derive(Serialize, ToSchema)]
pub(crate) struct Success<T> {
    #[schema(schema_with = always_true)]
    success: bool,
    data: T,
}

fn always_true() -> utoipa::openapi::Object {
    only(true)
}

/// 200 with `data` in the envelope.
pub(crate) fn ok(data: impl Serialize) -> Reply {
    json(
        StatusCode::OK,
        &Success {
            success: true,
            data,
        },
    )
}

/// 200 with a JSON object outside the envelope, for callers that expect their own format.
pub(crate) fn bare(body: &impl Serialize) -> Reply {
    json(StatusCode::OK, body)
}

/// 204 without a body.
pub(crate) fn empty() -> Response<String> {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// 200 with a page of a list. `next` is the cursor of the next page.
pub(crate) fn page(items: impl Serialize, next: Option<String>) -> Reply {
    let mut response = ok(items)?;
    if let Some(next) = next {
        let next = HeaderValue::try_from(next).map_err(ApiError::internal)?;
        response.headers_mut().insert("x-next-cursor", next);
    }
    Ok(response)
}

/// 201 with `data` in the envelope.
pub(crate) fn created(data: impl Serialize) -> Reply {
    json(
        StatusCode::CREATED,
        &Success {
            success: true,
            data,
        },
    )
}

/// 200 with plain text.
pub(crate) fn text(text: String) -> Response<String> {
    let mut response = Response::new(text);
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// An error in the envelope.
pub fn error(error: &ApiError) -> Response<String> {
    // The body holds strings and numbers only, so it always serializes.
    let response = json(error.status(), &error.body()).unwrap_or_default();
    with_error_headers(response, error)
}

/// An error's message as plain text.
pub(crate) fn plain_error(error: &ApiError) -> Response<String> {
    let mut response = text(error.to_string());
    *response.status_mut() = error.status();
    with_error_headers(response, error)
}

/// Adds the headers `retry-after` and `allow`, if they apply to the error.
pub(crate) fn with_error_headers(
    mut response: Response<String>,
    error: &ApiError,
) -> Response<String> {
    let headers = response.headers_mut();
    if let Some(seconds) = error.retry_after() {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if let ApiError::MethodNotAllowed { allow } = error {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    response
}

/// The headers of every answer, also of the answers that the gateway makes itself.
///
/// `strict-transport-security` lasts two years. It leaves out `includeSubDomains`, because the hosts below the API's
/// host belong to the operator, who may serve other sites there. No other host can set our cookie: see its prefix
/// `__Host-`. Browsers ignore the header over HTTP, so the local gateway sends it too.
pub fn security_headers() -> [(HeaderName, HeaderValue); 4] {
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=63072000"),
        ),
    ]
}

fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    let body = serde_json::to_string(body).map_err(ApiError::internal)?;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}
