//! The HTTP client for the endpoints of teams.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};

use super::resolver::{NoPublicAddress, Resolver};
use crate::notification::{AddressRule, EndpointUrl, MessageId};
use crate::tls::tls_config;

/// How long an endpoint has for its whole answer.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const USER_AGENT: &str = concat!("zoom-credential-vault/", env!("CARGO_PKG_VERSION"));

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The host has no public address. Nothing was sent.
    #[error("the host of the endpoint has no public address")]
    AddressNotPublic,
    /// No connection, no valid certificate, or a connection that broke.
    #[error("the endpoint cannot be reached")]
    Unreachable,
    /// The answer did not come in time.
    #[error("the endpoint did not answer in time")]
    Timeout,
    /// The endpoint redirects. The vault follows no redirects.
    #[error("the endpoint redirects")]
    Redirect,
    /// The endpoint answered another status than 2xx.
    #[error("the endpoint answered with the status {0}")]
    Status(u16),
}

impl Failure {
    /// The word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::AddressNotPublic => "ADDRESS_NOT_PUBLIC",
            Self::Unreachable => "UNREACHABLE",
            Self::Timeout => "TIMEOUT",
            Self::Redirect => "REDIRECT",
            Self::Status(_) => "STATUS",
        }
    }
}

/// A signed call.
#[derive(Debug)]
pub struct Call<'a> {
    /// The header `webhook-id`.
    pub id: &'a MessageId,
    /// The header `webhook-timestamp`, in seconds.
    pub at: i64,
    /// The header `webhook-signature`.
    pub signatures: &'a str,
    /// The JSON body.
    pub body: String,
}

/// Calls the endpoints of teams.
#[derive(Clone, Debug)]
pub struct Delivery {
    client: reqwest::Client,
    rule: AddressRule,
}

impl Delivery {
    /// A client that calls the addresses that `rule` permits.
    pub fn new(rule: AddressRule) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls_config())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Resolver(rule)))
            // A connection that was open while the Lambda was frozen may be broken, so each call makes its own.
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ATTEMPT_TIMEOUT)
            .user_agent(USER_AGENT)
            .build()?;
        Ok(Self { client, rule })
    }

    /// Makes a call. Every status of 2xx is a success. The body of the answer is not read.
    pub async fn post(&self, url: &EndpointUrl, call: Call<'_>) -> Result<(), Failure> {
        // An address in the URL is not resolved, so the resolver does not see it.
        self.rule
            .check(url)
            .map_err(|_| Failure::AddressNotPublic)?;
        let sent = self
            .client
            .post(url.as_url().clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("webhook-id", call.id.as_str())
            .header("webhook-timestamp", call.at)
            .header("webhook-signature", call.signatures)
            .body(call.body)
            .send()
            .await;
        let status = sent.map_err(|error| failure(&error))?.status();
        if status.is_success() {
            Ok(())
        } else if status.is_redirection() {
            Err(Failure::Redirect)
        } else {
            Err(Failure::Status(status.as_u16()))
        }
    }
}

/// The failure of a call without an answer.
fn failure(error: &reqwest::Error) -> Failure {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<NoPublicAddress>() {
            return Failure::AddressNotPublic;
        }
        source = cause.source();
    }
    if error.is_timeout() {
        Failure::Timeout
    } else {
        Failure::Unreachable
    }
}
