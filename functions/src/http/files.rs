//! The files of the console. A strict policy allows only files of this host, and no code in the page itself.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::http::request::Request;

/// No code and no style in the page itself, nothing from other hosts, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How long a browser may use its copy of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lifetime {
    /// For ever, because a new content gets a new name.
    Forever,
    /// Only after it has asked whether the file changed.
    AskFirst,
}

/// A file, as it is served.
#[derive(Debug)]
pub(crate) struct File {
    content: String,
    kind: &'static str,
    lifetime: Lifetime,
    /// The hash of the content. It is weak, because the gateway may compress the content.
    etag: String,
}

impl File {
    /// `kind` is the value of the header `content-type`.
    pub(crate) fn new(content: String, kind: &'static str, lifetime: Lifetime) -> Self {
        let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, content.as_bytes()));
        Self {
            etag: format!("W/\"{hash}\""),
            content,
            kind,
            lifetime,
        }
    }
}

/// 200 with the file, or 304 if the browser has it.
pub(crate) fn answer(file: &File, request: &Request) -> Response<String> {
    let known = request.header("if-none-match").unwrap_or_default();
    let is_known = known.split(',').any(|tag| tag.trim() == file.etag);
    let mut response = if is_known {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let mut response = Response::new(file.content.clone());
        let kind = HeaderValue::from_static(file.kind);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    };
    add_headers(response.headers_mut(), file);
    response
}

fn add_headers(headers: &mut HeaderMap, file: &File) {
    // A hash in base64 is ASCII, so it is always a valid header value.
    if let Ok(etag) = HeaderValue::from_str(&file.etag) {
        headers.insert(header::ETAG, etag);
    }
    let lifetime = match file.lifetime {
        Lifetime::Forever => "public, max-age=31536000, immutable",
        Lifetime::AskFirst => "no-cache",
    };
    for (name, value) in [
        (header::CACHE_CONTROL, lifetime),
        (header::VARY, "accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        // The site that opened the page in a window must not watch the window, or send it elsewhere.
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
