//! The environment, and the AWS clients it describes. Nothing else reads it.
//!
//! Read once, at start: region and credentials come from variables alone, so no file is opened and no
//! metadata service asked. A missing variable is named.

use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, HttpClient, Region, RuntimeComponents, SharedCredentialsProvider,
    SharedHttpClient, SharedInterceptor,
};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
pub use reqwest::Url;

use crate::meter::{Counting, Service};
use crate::stores;
use crate::zoom::{self, ApiUrl, ConsentPage, Zoom, webhook};

/// After how long without use a grant is refreshed, unless it was set. Zoom ends one that idles for about 90 days.
pub const KEEP_ALIVE_AFTER: Duration = Duration::from_hours(20 * 24);

/// How long a deleted credential can be restored, unless it was set.
pub const RESTORABLE: Duration = Duration::from_hours(30 * 24);

/// What is wrong with the environment.
#[derive(thiserror::Error)]
pub enum Error {
    /// A variable that has no default is not set, or is empty.
    #[error("environment variable {0} is not set")]
    Missing(&'static str),
    /// A variable's value cannot be used.
    #[error("environment variable {0} {1}")]
    Invalid(&'static str, &'static str),
    /// A client could not be built.
    #[error("cannot build the HTTP client")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a `main` that ends with this error prints: the sentence.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A variable that must be set.
pub fn required(name: &'static str) -> Result<String, Error> {
    optional(name).ok_or(Error::Missing(name))
}

/// A variable that may be missing; an empty one is as good as missing.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is where the environment is read"
)]
pub fn optional(name: &'static str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn url(name: &'static str, default: &str) -> Result<Url, Error> {
    let text = optional(name).unwrap_or_else(|| default.to_owned());
    let url = Url::parse(&text).map_err(|_| Error::Invalid(name, "is not a URL"))?;
    if matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err(Error::Invalid(name, "is not an HTTP URL"))
    }
}

/// How long Zoom's answers are waited for: `ZOOM_TIMEOUT_MS`, or [`zoom::PATIENCE`].
pub fn zoom_patience() -> Result<Duration, Error> {
    milliseconds("ZOOM_TIMEOUT_MS", zoom::PATIENCE)
}

/// Whether a pair of tokens that cannot be stored is logged, sealed: unless `RECOVERY_CAPSULES` is `off`.
pub fn recovery_capsules() -> bool {
    optional("RECOVERY_CAPSULES").is_none_or(|text| text != "off")
}

fn milliseconds(name: &'static str, default: Duration) -> Result<Duration, Error> {
    let Some(text) = optional(name) else {
        return Ok(default);
    };
    match text.parse() {
        Ok(0) | Err(_) => Err(Error::Invalid(name, "is not a number of milliseconds")),
        Ok(millis) => Ok(Duration::from_millis(millis)),
    }
}

/// How long events are kept: `EVENTS_RETENTION_DAYS`, or [`stores::RETENTION`].
pub fn events_retention() -> Result<Duration, Error> {
    days("EVENTS_RETENTION_DAYS", stores::RETENTION)
}

/// After how long without use a grant is refreshed: `KEEP_ALIVE_AFTER_DAYS`, or [`KEEP_ALIVE_AFTER`].
pub fn keep_alive_after() -> Result<Duration, Error> {
    days("KEEP_ALIVE_AFTER_DAYS", KEEP_ALIVE_AFTER)
}

/// How far from now a webhook may have been signed: `WEBHOOK_WINDOW_SECONDS`, or [`webhook::WINDOW`].
pub fn webhook_window() -> Result<Duration, Error> {
    const NAME: &str = "WEBHOOK_WINDOW_SECONDS";
    let Some(text) = optional(NAME) else {
        return Ok(webhook::WINDOW);
    };
    match text.parse::<u16>() {
        Ok(0) | Err(_) => Err(Error::Invalid(NAME, "is not a number of seconds")),
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
    }
}

/// How long a deleted credential can be restored: `RESTORABLE_DAYS`, or [`RESTORABLE`].
pub fn restorable() -> Result<Duration, Error> {
    days("RESTORABLE_DAYS", RESTORABLE)
}

fn days(name: &'static str, default: Duration) -> Result<Duration, Error> {
    let Some(text) = optional(name) else {
        return Ok(default);
    };
    match text.parse::<u16>() {
        Ok(0) | Err(_) => Err(Error::Invalid(name, "is not a number of days")),
        Ok(days) => Ok(Duration::from_hours(24 * u64::from(days))),
    }
}

/// Where callers reach the API, if `PUBLIC_BASE_URL` says so: a domain of one's own that the gateway does not know of.
pub fn public_base_url() -> Result<Option<Url>, Error> {
    const NAME: &str = "PUBLIC_BASE_URL";
    optional(NAME).map(|_| url(NAME, "")).transpose()
}

/// Zoom where `ZOOM_OAUTH_BASE_URL` and `ZOOM_API_BASE_URL` say; Zoom's own hosts by default.
pub fn zoom() -> Result<Zoom, Error> {
    let oauth = url("ZOOM_OAUTH_BASE_URL", zoom::OAUTH_BASE_URL)?;
    let api = url("ZOOM_API_BASE_URL", zoom::API_BASE_URL)?;
    let zoom = Zoom::new(oauth, ApiUrl::configured(api));
    let zoom = zoom.map_err(|error| Error::Client(error.into()))?;
    Ok(zoom.with_patience(zoom_patience()?))
}

/// Where Zoom's users are asked for their consent: under `ZOOM_OAUTH_BASE_URL`, or Zoom's own host.
pub fn consent_page() -> Result<ConsentPage, Error> {
    url("ZOOM_OAUTH_BASE_URL", zoom::OAUTH_BASE_URL).map(ConsentPage::new)
}

/// Where AWS is and who we are to it. Both SDK clients share one HTTP client.
#[derive(Clone, Debug)]
pub struct Aws {
    region: String,
    credentials: Credentials,
    http: SharedHttpClient,
    dynamodb_endpoint: Option<String>,
    kms_endpoint: Option<String>,
}

impl Aws {
    /// From `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
    /// `AWS_ENDPOINT_URL_DYNAMODB` and `AWS_ENDPOINT_URL_KMS`, as Lambda and `.local/env` set them.
    pub fn from_env() -> Result<Self, Error> {
        let credentials = Credentials::new(
            required("AWS_ACCESS_KEY_ID")?,
            required("AWS_SECRET_ACCESS_KEY")?,
            optional("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        let endpoints = (
            optional("AWS_ENDPOINT_URL_DYNAMODB"),
            optional("AWS_ENDPOINT_URL_KMS"),
        );
        Self::new(
            required("AWS_REGION")?,
            credentials,
            endpoints.0,
            endpoints.1,
        )
    }

    /// With everything given; an endpoint left out is AWS's own.
    pub fn new(
        region: String,
        credentials: Credentials,
        dynamodb_endpoint: Option<String>,
        kms_endpoint: Option<String>,
    ) -> Result<Self, Error> {
        Ok(Self {
            region,
            credentials,
            http: http_client()?,
            dynamodb_endpoint,
            kms_endpoint,
        })
    }

    /// A DynamoDB client.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(self.credentials.clone()))
            .http_client(self.http.clone())
            .retry_config(retries())
            .timeout_config(timeouts())
            .interceptor(SharedInterceptor::new(Counting(Service::DynamoDb)));
        let config = match &self.dynamodb_endpoint {
            Some(endpoint) => config.endpoint_url(endpoint),
            None => config,
        };
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// A KMS client.
    pub fn kms(&self) -> aws_sdk_kms::Client {
        let config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(self.credentials.clone()))
            .http_client(self.http.clone())
            .retry_config(retries())
            .timeout_config(timeouts())
            .interceptor(SharedInterceptor::new(Counting(Service::Kms)));
        let config = match &self.kms_endpoint {
            Some(endpoint) => config.endpoint_url(endpoint),
            None => config,
        };
        aws_sdk_kms::Client::from_conf(config.build())
    }
}

/// Three tries, quickly: a caller waits, and past that a 503 with a hint is worth more than patience.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff(Duration::from_millis(500))
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(8))
        .build()
}

/// One client for both services, trusting the roots that AWS's certificates chain to and no others: the
/// system's store costs more CPU to parse than all the rest of a start. `AWS_TRUST_NATIVE_ROOTS=1` goes back to it.
fn http_client() -> Result<SharedHttpClient, Error> {
    let trust = if optional("AWS_TRUST_NATIVE_ROOTS").is_some() {
        TrustStore::default()
    } else {
        TrustStore::empty().with_pem_certificate(include_bytes!("amazon_roots.pem").as_slice())
    };
    let tls = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|error| Error::Client(error.into()))?;
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls)
        .build_https();
    Ok(SharedHttpClient::new(Untried(client)))
}

/// A client whose connector is made once, when it is first used. Otherwise each SDK client that is built makes
/// one too, parses the roots for it and throws it away: to fail early, as the first use here does anyway.
#[derive(Debug)]
struct Untried(SharedHttpClient);

impl HttpClient for Untried {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.0.http_connector(settings, components)
    }
}
