//! The routes, and what happens to each call before and after its endpoint: ledger, faults and tracking ids.
//!
//! A call to Zoom runs in its own task. As on Zoom's servers, the call goes on when the client closes the connection.

mod broken;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use uuid::Uuid;

use self::broken::CallOutcome;
use super::fault::{CalledEndpoint, Fault, FaultKind, Reply};
use super::form::Form;
use super::ledger::{Arrival, GrantType};
use super::{Sandbox, authorize, control, lock, oauth, rest};

const TRACKING_ID: HeaderName = HeaderName::from_static("x-zm-trackingid");
/// Larger than any valid request.
const MAX_REQUEST_BYTES: usize = 64 * 1024;

pub(super) fn router(sandbox: Sandbox) -> Router {
    let zoom = Router::new()
        .route(
            "/oauth/authorize",
            get(authorize::consent_page).post(authorize::decide),
        )
        .route("/oauth/token", post(oauth::token))
        .route("/oauth/revoke", post(oauth::revoke))
        .route("/v2/users/{user_id}", get(rest::profile))
        .route("/v2/users/{user_id}/token", get(rest::mint))
        .route("/v2/users/{user_id}/zak", get(rest::own_zak))
        .route("/v2/meetings/{meeting_id}", get(rest::meeting))
        .route("/v2/webinars/{webinar_id}", get(rest::webinar))
        .route(
            "/v2/meetings/{meeting_id}/jointoken/local_recording",
            get(rest::local_recording),
        )
        .route(
            "/v2/webinars/{webinar_id}/jointoken/local_recording",
            get(rest::webinar_recording),
        )
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(sandbox.clone(), receive));
    control::router()
        .method_not_allowed_fallback(method_not_allowed)
        .merge(zoom)
        .layer(map_response(with_tracking_id))
        .with_state(sandbox)
}

/// Records the call in the ledger, and applies the first matching fault.
async fn receive(State(sandbox): State<Sandbox>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let (method, path) = (head.method.as_str(), head.uri.path());
    let body = to_bytes(body, MAX_REQUEST_BYTES).await;
    let grant_type = match &body {
        Ok(body) if path == "/oauth/token" => GrantType::of(&Form::parse(body).unwrap_or_default()),
        Ok(_) | Err(_) => None,
    };
    let tracking_id = tracking_id();
    let call_id = lock(&sandbox.shared.ledger).begin(Arrival {
        method,
        path,
        query: head.uri.query().unwrap_or_default(),
        grant_type,
        tracking_id: tracking_id.clone(),
    });
    let target = CalledEndpoint::of(method, path, grant_type);
    let fault = target.and_then(|target| lock(&sandbox.shared.faults).take(target));

    let task = tokio::spawn(async move {
        let faulted = fault.is_some();
        let outcome = match (body, fault) {
            (Err(_), _) => CallOutcome::Answered(too_large()),
            (Ok(body), None) => {
                CallOutcome::Answered(next.run(Request::from_parts(head, body.into())).await)
            }
            (Ok(body), Some(fault)) => {
                apply_fault(fault, Request::from_parts(head, body.into()), next).await
            }
        };
        lock(&sandbox.shared.ledger).end(call_id, outcome.status(), faulted);
        let mut response = outcome.into_response();
        if let Ok(tracking_id) = HeaderValue::try_from(tracking_id) {
            response.headers_mut().insert(TRACKING_ID, tracking_id);
        }
        response
    });
    task.await
        .unwrap_or_else(|_| zoom_error(StatusCode::INTERNAL_SERVER_ERROR, "The sandbox failed."))
}

async fn apply_fault(fault: Fault, request: Request, next: Next) -> CallOutcome {
    tokio::time::sleep(fault.delay).await;
    match fault.kind {
        FaultKind::DropBefore => return CallOutcome::Dropped,
        FaultKind::ReplyBefore(reply) => return CallOutcome::Answered(injected_reply(reply)),
        FaultKind::Redirect(to) => {
            return CallOutcome::Answered(
                (StatusCode::FOUND, [(LOCATION, String::from(to))]).into_response(),
            );
        }
        FaultKind::Delay
        | FaultKind::DelayAnswer(_)
        | FaultKind::DropAfter
        | FaultKind::Truncate
        | FaultKind::ReplyAfter(_)
        | FaultKind::Garbage
        | FaultKind::Huge { .. }
        | FaultKind::Nested { .. }
        | FaultKind::Override { .. } => {}
    }
    let answer = next.run(request).await;
    match fault.kind {
        FaultKind::DelayAnswer(delay) => {
            tokio::time::sleep(delay).await;
            CallOutcome::Answered(answer)
        }
        FaultKind::DropAfter => CallOutcome::Dropped,
        FaultKind::Truncate => broken::truncated(answer).await,
        FaultKind::ReplyAfter(reply) => CallOutcome::Answered(injected_reply(reply)),
        FaultKind::Garbage => {
            CallOutcome::Answered("<html>Zoom will be back in a moment".into_response())
        }
        FaultKind::Huge { megabytes } => broken::huge(answer, megabytes).await,
        FaultKind::Nested { depth } => broken::nested(answer, depth).await,
        FaultKind::Override { set, remove } => broken::overridden(answer, set, &remove).await,
        FaultKind::Delay
        | FaultKind::DropBefore
        | FaultKind::ReplyBefore(_)
        | FaultKind::Redirect(_) => CallOutcome::Answered(answer),
    }
}

fn injected_reply(reply: Reply) -> Response {
    let mut response = match reply.body {
        Some(body) => (reply.status, [(CONTENT_TYPE, "application/json")], body).into_response(),
        None => zoom_error(reply.status, "An injected fault."),
    };
    if let Some(retry_after) = reply
        .retry_after
        .and_then(|text| HeaderValue::try_from(text).ok())
    {
        response.headers_mut().insert(RETRY_AFTER, retry_after);
    }
    response
}

async fn with_tracking_id(mut response: Response) -> Response {
    if let Ok(id) = HeaderValue::try_from(tracking_id()) {
        response.headers_mut().entry(TRACKING_ID).or_insert(id);
    }
    response
}

fn tracking_id() -> String {
    format!("v=2.0;clid=sandbox;rid=WEB_{}", Uuid::new_v4().simple())
}

fn too_large() -> Response {
    zoom_error(
        StatusCode::PAYLOAD_TOO_LARGE,
        "The request is too large or incomplete.",
    )
}

async fn not_found() -> Response {
    zoom_error(
        StatusCode::NOT_FOUND,
        "There is no such endpoint in the sandbox.",
    )
}

async fn method_not_allowed() -> Response {
    zoom_error(
        StatusCode::METHOD_NOT_ALLOWED,
        "The method is not allowed here.",
    )
}

fn zoom_error(status: StatusCode, message: &str) -> Response {
    (
        status,
        Json(json!({ "code": status.as_u16(), "message": message })),
    )
        .into_response()
}

/// Whether the header `Content-Type` has this media type, with or without parameters.
pub(super) fn has_media_type(headers: &HeaderMap, expected: &str) -> bool {
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    given
        .split(';')
        .next()
        .is_some_and(|given| given.trim().eq_ignore_ascii_case(expected))
}
