//! Binds the ports of the stack.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;
use url::Url;

use super::Error;

/// Listens on a port. `flag` is the command-line flag that sets the port.
pub(super) async fn listen(port: u16, flag: &'static str) -> Result<TcpListener, Error> {
    // Loopback only: other machines must not reach the services. The guard keeps web pages on this machine away.
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|source| {
            if source.kind() == ErrorKind::AddrInUse {
                Error::PortTaken { port, flag }
            } else {
                Error::Listen { port, source }
            }
        })
}

/// Listens on the port of the last run, or on any port if that one is in use.
pub(super) async fn listen_again(port: Option<u16>) -> Result<TcpListener, Error> {
    match listen(port.unwrap_or(0), "").await {
        Err(Error::PortTaken { .. }) => listen(0, "").await,
        listener => listener,
    }
}

pub(super) fn address(listener: &TcpListener) -> Result<Url, Error> {
    let unusable = |source| Error::Listen { port: 0, source };
    let address: SocketAddr = listener.local_addr().map_err(unusable)?;
    Url::parse(&format!("http://{address}")).map_err(|error| unusable(std::io::Error::other(error)))
}

/// A base URL without its final slash: callers append a path.
pub(super) fn without_slash(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}
