//! A connection to Zoom that is open before its only request is sent.
//!
//! A refresh takes a lease, and a lease that its holder cannot release blocks the grant. So the slow part of sending,
//! which is DNS, TCP and TLS, comes before the lease.

use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::{Body, Response, Url};
use rustls::ClientConfig;
use tokio::time::timeout;
use tower_service::Service as _;

use super::error::{Error, Fault, Source};

/// The time-out for making a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The header `user-agent` of every request.
pub(super) const USER_AGENT_TEXT: &str =
    concat!("zoom-credential-vault/", env!("CARGO_PKG_VERSION"));

/// Opens connections.
#[derive(Clone, Debug)]
pub(super) struct Connector(HttpsConnector<HttpConnector>);

/// An open connection for one request.
#[derive(Debug)]
pub struct Connection(SendRequest<Body>);

impl Connector {
    pub(super) fn new(tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1();
        Self(https.wrap_connector(tcp))
    }

    /// Connects to the host of `url`. Every error is [`Error::Unreachable`].
    pub(super) async fn connect(&self, url: &Url) -> Result<Connection, Error> {
        let connect = async {
            let uri: Uri = url.as_str().parse()?;
            let stream = self.0.clone().call(uri).await?;
            let (sender, connection) = http1::handshake(stream).await?;
            // The task ends when the sender is dropped, or when the connection breaks.
            tokio::spawn(async move { connection.await.ok() });
            Ok::<_, Source>(Connection(sender))
        };
        timeout(CONNECT_TIMEOUT, connect)
            .await
            .unwrap_or_else(|elapsed| Err(elapsed.into()))
            .map_err(Error::Unreachable)
    }
}

impl Connection {
    /// Sends the request and waits for the head of the answer.
    pub(super) async fn send(mut self, request: reqwest::Request) -> Result<Response, Error> {
        let request = in_origin_form(request).map_err(Error::Unreachable)?;
        let mut error = match self.0.try_send_request(request).await {
            Ok(answer) => return Ok(answer.map(Body::wrap).into()),
            Err(error) => error,
        };
        let is_unsent = error.take_message().is_some();
        let source = error.into_error().into();
        Err(if is_unsent {
            Error::Unreachable(source)
        } else {
            Error::Failed {
                source: Fault::ConnectionBroken(source),
                tracking_id: None,
            }
        })
    }
}

/// The request as it goes over the wire: only the path and query in the first line, and the host in a header.
fn in_origin_form(request: reqwest::Request) -> Result<Request<Body>, Source> {
    let url = request.url();
    let host = url.host_str().unwrap_or_default();
    let host = match url.port() {
        Some(port) => HeaderValue::try_from(format!("{host}:{port}"))?,
        None => HeaderValue::try_from(host)?,
    };
    let mut request: Request<Body> = request.try_into()?;
    if let Some(path) = request.uri().path_and_query() {
        *request.uri_mut() = path.clone().into();
    }
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_TEXT));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    Ok(request)
}
