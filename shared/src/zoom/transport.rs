//! Sends a request to Zoom and reads the answer.

use std::sync::Arc;

use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use super::answer::{self, ErrorAnswer};
use super::error::{Error, Fault};
use crate::meter::{self, Service};

/// Longest tracking id that is kept.
const MAX_TRACKING_ID_BYTES: usize = 128;

/// What Zoom answered to a request.
pub(super) enum Answer<T> {
    /// Status 200, with the parsed body.
    Success(T),
    /// Any other status except a redirect.
    Refusal(Box<ErrorAnswer>),
}

/// Sends a request and reads the answer. An `Err` is a fault that says nothing about the request itself.
pub(super) async fn call<T: DeserializeOwned>(request: RequestBuilder) -> Result<Answer<T>, Error> {
    meter::count(Service::Zoom);
    let response = request.send().await.map_err(without_answer)?;
    let status = response.status();
    let tracking_id = tracking_id(&response);
    let failed = |source| Error::Failed {
        source,
        tracking_id: tracking_id.clone(),
    };
    if status.is_redirection() {
        return Err(failed(Fault::Status {
            status: status.as_u16(),
            code: None,
        }));
    }
    let refusal = ErrorAnswer::from_head(&response, tracking_id.clone());
    let body = match answer::body(response).await {
        Ok(body) => body,
        Err(answer::ReadError::TooLong) => return Err(failed(Fault::AnswerTooLong)),
        Err(answer::ReadError::Connection(error)) if error.is_timeout() => {
            return Err(Error::Timeout);
        }
        Err(answer::ReadError::Connection(error)) => {
            return Err(failed(Fault::ConnectionBroken(error.without_url())));
        }
    };
    if status == StatusCode::OK {
        // The parser's error is dropped, because it may quote a token from the answer.
        serde_json::from_slice(&body)
            .map(Answer::Success)
            .map_err(|_| failed(Fault::MalformedAnswer))
    } else {
        Ok(Answer::Refusal(Box::new(refusal.with_body(&body))))
    }
}

/// The error of a request that received no answer.
fn without_answer(error: reqwest::Error) -> Error {
    let error = error.without_url();
    if error.is_connect() {
        Error::Unreachable(error)
    } else if error.is_timeout() {
        Error::Timeout
    } else {
        Error::Failed {
            source: Fault::ConnectionBroken(error),
            tracking_id: None,
        }
    }
}

/// Zoom's id of the call, for Zoom's support.
fn tracking_id(response: &Response) -> Option<String> {
    let id = response.headers().get("x-zm-trackingid")?.to_str().ok()?;
    let is_printable =
        id.len() <= MAX_TRACKING_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic());
    is_printable.then(|| id.to_owned())
}

/// `path` below the base URL, which may have a path of its own.
pub(super) fn join_path(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let prefix = base.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{prefix}{path}"));
    url
}

/// A TLS configuration with the public root certificates that are compiled in. A start reads and parses no files.
pub(super) fn tls_config() -> rustls::ClientConfig {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    // The provider supports the default protocol versions, so the fallback is never used.
    builder
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|_| rustls::ClientConfig::builder())
        .with_root_certificates(roots)
        .with_no_client_auth()
}
