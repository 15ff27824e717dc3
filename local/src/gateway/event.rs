//! From HTTP to the event of a REST API's proxy integration, and back.

use std::collections::HashMap;
use std::io::Write;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use functions::http::error::ApiError;
use functions::http::reply;
use futures_util::StreamExt;
use lambda_http::aws_lambda_events::apigw::ApiGatewayProxyResponse;
use serde_json::{Value, json};
use url::form_urlencoded;

/// The longest body that API Gateway accepts.
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
/// How much of a body the functions get. They refuse more than 256 KB without a look at the rest, so the gateway does
/// not keep the rest: many long bodies at once would take much memory.
const MAX_KEPT_BYTES: usize = 512 * 1024;
/// The shortest answer that is compressed.
const MIN_COMPRESSED_BYTES: usize = 1024;

/// Reads the whole body, and keeps the first [`MAX_KEPT_BYTES`]. A body that is too long is read to its end too, or the
/// client would not read the answer.
pub(super) async fn read(body: Body) -> Result<Vec<u8>, ApiError> {
    let mut kept = Vec::new();
    let mut length = 0_usize;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| ApiError::validation("body", "must arrive whole"))?;
        length = length.saturating_add(chunk.len());
        let room = MAX_KEPT_BYTES.saturating_sub(kept.len());
        kept.extend(chunk.iter().take(room));
    }
    if length <= MAX_BODY_BYTES {
        Ok(kept)
    } else {
        Err(ApiError::BodyTooLarge)
    }
}

/// The event for a request. `resource` is the route's path, with names in place of its parameters.
pub(super) fn event(
    parts: &Parts,
    resource: &str,
    parameters: &HashMap<String, String>,
    body: &[u8],
    request_id: &str,
) -> Value {
    let (method, path, query) = (parts.method.as_str(), parts.uri.path(), parts.uri.query());
    let mut single_headers = HashMap::new();
    let mut multi_headers: HashMap<&str, Vec<String>> = HashMap::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        single_headers.insert(name.as_str(), value.clone());
        multi_headers.entry(name.as_str()).or_default().push(value);
    }
    let mut single_query = HashMap::new();
    let mut multi_query: HashMap<String, Vec<String>> = HashMap::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned() {
        single_query.insert(name.clone(), value.clone());
        multi_query.entry(name).or_default().push(value);
    }
    let text = str::from_utf8(body);
    json!({
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": single_headers,
        "multiValueHeaders": multi_headers,
        "queryStringParameters": query.map(|_| single_query),
        "multiValueQueryStringParameters": query.map(|_| multi_query),
        "pathParameters": (!parameters.is_empty()).then_some(parameters),
        "stageVariables": null,
        "requestContext": {
            "requestId": request_id,
            "resourcePath": resource,
            "httpMethod": method,
            "stage": "local",
            "identity": { "sourceIp": "127.0.0.1" },
        },
        "body": (!body.is_empty()).then(|| text.map_or_else(|_| STANDARD.encode(body), str::to_owned)),
        "isBase64Encoded": text.is_err(),
    })
}

/// Whether the client can read gzip.
pub(super) fn accepts_gzip(parts: &Parts) -> bool {
    let accepted = parts.headers.get_all(header::ACCEPT_ENCODING).into_iter();
    let mut codings = accepted.filter_map(|line| line.to_str().ok());
    codings.any(|line| line.split([',', ';']).any(|coding| coding.trim() == "gzip"))
}

/// A function's answer, as HTTP. API Gateway compresses long answers: see `MinimumCompressionSize` in `template.yaml`.
pub(super) fn response(answer: ApiGatewayProxyResponse, accepts_gzip: bool) -> Response<Body> {
    let body = answer.body.map_or_else(Vec::new, |body| body.to_vec());
    if accepts_gzip
        && body.len() >= MIN_COMPRESSED_BYTES
        && let Ok(compressed) = compress(&body)
    {
        let mut response = with_headers(compressed, answer.status_code, answer.multi_value_headers);
        let gzip = HeaderValue::from_static("gzip");
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, gzip);
        return response;
    }
    with_headers(body, answer.status_code, answer.multi_value_headers)
}

fn compress(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body)?;
    encoder.finish()
}

fn with_headers(body: Vec<u8>, status: i64, headers: HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    let status = u16::try_from(status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok());
    *response.status_mut() = status.unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = headers;
    response
}

/// The gateway's own answer where no function answers, in the functions' envelope.
pub(super) fn own_answer(error: &ApiError, request_id: &str) -> Response<Body> {
    tracing::info!(
        request_id,
        status = error.status().as_u16(),
        code = error.code(),
        "the gateway's own answer"
    );
    let mut response = reply::error(error).map(Body::from);
    response.headers_mut().extend(reply::security_headers());
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("x-request-id"), id);
    }
    response
}
