//! The environment variables, and the AWS and Zoom clients that they describe. No other module reads the environment.
//!
//! The environment is read once, at start. Region and credentials come from variables alone: the AWS SDK opens no
//! profile file and calls no metadata service. An error names the variable that is missing or wrong.

use std::fmt;
use std::time::Duration;

pub use aws_sdk_dynamodb::Client as DynamoDbClient;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    AppName, BehaviorVersion, Credentials, HttpClient, Region, RuntimeComponents,
    SharedCredentialsProvider, SharedHttpClient, SharedInterceptor,
};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
use url::Host;
pub use url::Url;

use crate::delivery::Delivery;
use crate::meter::{CallCounter, Service};
use crate::notification::AddressRule;
use crate::stores;
use crate::zoom::{self, ApiUrl, ConsentPage, Zoom, webhook};

/// The default time without use after which a grant is refreshed. Zoom ends a grant after about 90 days without use.
pub const KEEP_ALIVE_AFTER: Duration = Duration::from_hours(20 * 24);

/// The default time in which a deleted credential can be restored.
pub const RESTORE_WINDOW: Duration = Duration::from_hours(30 * 24);

/// The default time after its last deletion after which a pair's grants may be revoked at Zoom.
pub const REVOKE_AFTER: Duration = Duration::from_hours(24);

/// The environment is incomplete or wrong.
#[derive(thiserror::Error)]
pub enum Error {
    /// A variable without a default is not set or empty.
    #[error("environment variable {0} is not set")]
    Missing(&'static str),
    /// A variable has an unusable value. The second field says why.
    #[error("environment variable {0} {1}")]
    Invalid(&'static str, &'static str),
    /// The TLS set-up of an HTTP client failed.
    #[error("cannot build the HTTP client")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Prints the message, because Rust prints the `Debug` form of an error that `main` returns.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads a variable that must be set.
pub fn required(name: &'static str) -> Result<String, Error> {
    optional(name).ok_or(Error::Missing(name))
}

/// Reads a variable that may be missing. An empty variable counts as missing.
#[expect(
    clippy::disallowed_methods,
    reason = "this module reads the environment"
)]
pub fn optional(name: &'static str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn url(name: &'static str, default: &str) -> Result<Url, Error> {
    let text = optional(name).unwrap_or_else(|| default.to_owned());
    let url = Url::parse(&text).map_err(|_| Error::Invalid(name, "is not a URL"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_this_machine(&url) => Ok(url),
        "http" => Err(Error::Invalid(
            name,
            "is plain http to another machine: use https",
        )),
        _ => Err(Error::Invalid(name, "is not an HTTP URL")),
    }
}

/// Whether a URL stays on this machine, so that nobody on the network reads the secrets in a call. A container of
/// Docker calls its own machine `host.docker.internal`.
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => matches!(name, "localhost" | "host.docker.internal"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// An endpoint of AWS that replaces the default one. The value stays as it is: the SDK joins paths to it.
fn aws_endpoint(name: &'static str) -> Result<Option<String>, Error> {
    let text = optional(name);
    if text.is_some() {
        url(name, "")?;
    }
    Ok(text)
}

/// The time-out for answers of Zoom: `ZOOM_TIMEOUT_MS`, or [`zoom::ANSWER_TIMEOUT`].
pub fn zoom_answer_timeout() -> Result<Duration, Error> {
    milliseconds("ZOOM_TIMEOUT_MS", zoom::ANSWER_TIMEOUT)
}

/// Whether a token pair that cannot be stored is logged in sealed form, as a recovery capsule.
///
/// `RECOVERY_CAPSULES=off` turns the capsules off.
pub fn recovery_capsules_enabled() -> bool {
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

/// The time for which events are kept: `EVENTS_RETENTION_DAYS`, or [`stores::RETENTION`].
pub fn events_retention() -> Result<Duration, Error> {
    days("EVENTS_RETENTION_DAYS", stores::RETENTION)
}

/// The time without use after which a grant is refreshed: `KEEP_ALIVE_AFTER_DAYS`, or [`KEEP_ALIVE_AFTER`].
pub fn keep_alive_after() -> Result<Duration, Error> {
    days("KEEP_ALIVE_AFTER_DAYS", KEEP_ALIVE_AFTER)
}

/// The time after its last deletion after which a pair's grants may be revoked at Zoom: `REVOKE_AFTER_HOURS`, or
/// [`REVOKE_AFTER`].
pub fn revoke_after() -> Result<Duration, Error> {
    const NAME: &str = "REVOKE_AFTER_HOURS";
    let Some(text) = optional(NAME) else {
        return Ok(REVOKE_AFTER);
    };
    match text.parse::<u16>() {
        Ok(hours) => Ok(Duration::from_hours(hours.into())),
        Err(_) => Err(Error::Invalid(NAME, "is not a number of hours")),
    }
}

/// The largest accepted difference between the clock and the time of a webhook's signature:
/// `WEBHOOK_WINDOW_SECONDS`, or [`webhook::SIGNATURE_WINDOW`].
pub fn webhook_window() -> Result<Duration, Error> {
    const NAME: &str = "WEBHOOK_WINDOW_SECONDS";
    let Some(text) = optional(NAME) else {
        return Ok(webhook::SIGNATURE_WINDOW);
    };
    match text.parse::<u16>() {
        Ok(0) | Err(_) => Err(Error::Invalid(NAME, "is not a number of seconds")),
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
    }
}

/// The time in which a deleted credential can be restored: `RESTORABLE_DAYS`, or [`RESTORE_WINDOW`].
pub fn restore_window() -> Result<Duration, Error> {
    days("RESTORABLE_DAYS", RESTORE_WINDOW)
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

/// Which addresses notifications may go to: the public ones, and with `NOTIFY_LOOPBACK=on` also this machine.
///
/// The variable is for the local stack.
pub fn notification_addresses() -> AddressRule {
    match optional("NOTIFY_LOOPBACK").as_deref() {
        Some("on") => AddressRule::PublicOrLoopback,
        Some(_) | None => AddressRule::Public,
    }
}

/// The client for the endpoints of teams, under [`notification_addresses`].
pub fn delivery() -> Result<Delivery, Error> {
    delivery_to(notification_addresses())
}

/// The client for the endpoints of teams, under another rule.
pub fn delivery_to(rule: AddressRule) -> Result<Delivery, Error> {
    Delivery::new(rule).map_err(|error| Error::Client(error.into()))
}

/// Where a user goes who added the app in Zoom's Marketplace: `LANDING_URL`, or `None` if the page only explains what
/// to do.
pub fn landing_url() -> Result<Option<Url>, Error> {
    const NAME: &str = "LANDING_URL";
    let url = optional(NAME).map(|_| url(NAME, "")).transpose()?;
    match url {
        Some(url) if url.scheme() != "https" => Err(Error::Invalid(NAME, "is not an https URL")),
        url => Ok(url),
    }
}

/// The base URL of the API for callers: `PUBLIC_BASE_URL`, or `None` to use the address of the gateway.
///
/// The variable is for a custom domain that the gateway does not know.
pub fn public_base_url() -> Result<Option<Url>, Error> {
    const NAME: &str = "PUBLIC_BASE_URL";
    optional(NAME).map(|_| url(NAME, "")).transpose()
}

/// The Zoom client for `ZOOM_OAUTH_BASE_URL` and `ZOOM_API_BASE_URL`. The defaults are Zoom's own hosts.
pub fn zoom() -> Result<Zoom, Error> {
    let oauth = url("ZOOM_OAUTH_BASE_URL", zoom::OAUTH_BASE_URL)?;
    let api = url("ZOOM_API_BASE_URL", zoom::API_BASE_URL)?;
    let zoom = Zoom::new(oauth, ApiUrl::configured(api));
    let zoom = zoom.map_err(|error| Error::Client(error.into()))?;
    Ok(zoom.with_answer_timeout(zoom_answer_timeout()?))
}

/// Zoom's consent page under `ZOOM_OAUTH_BASE_URL`. The default is Zoom's own host.
pub fn consent_page() -> Result<ConsentPage, Error> {
    url("ZOOM_OAUTH_BASE_URL", zoom::OAUTH_BASE_URL).map(ConsentPage::new)
}

/// Region, credentials and endpoints of AWS. All SDK clients share one HTTP client.
#[derive(Clone, Debug)]
pub struct Aws {
    region: String,
    credentials: Credentials,
    http: SharedHttpClient,
    dynamodb_endpoint: Option<String>,
    kms_endpoint: Option<String>,
    sqs_endpoint: Option<String>,
    app_name: Option<AppName>,
}

impl Aws {
    /// Reads `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
    /// `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL_KMS` and `AWS_ENDPOINT_URL_SQS`. Lambda and `.local/env` set
    /// them.
    pub fn from_env() -> Result<Self, Error> {
        let credentials = Credentials::new(
            required("AWS_ACCESS_KEY_ID")?,
            required("AWS_SECRET_ACCESS_KEY")?,
            optional("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        let aws = Self::new(
            required("AWS_REGION")?,
            credentials,
            aws_endpoint("AWS_ENDPOINT_URL_DYNAMODB")?,
            aws_endpoint("AWS_ENDPOINT_URL_KMS")?,
        )?;
        Ok(aws.with_sqs_endpoint(aws_endpoint("AWS_ENDPOINT_URL_SQS")?))
    }

    /// Replaces AWS's own endpoint of SQS, unless `endpoint` is `None`.
    #[must_use]
    pub fn with_sqs_endpoint(self, endpoint: Option<String>) -> Self {
        Self {
            sqs_endpoint: endpoint,
            ..self
        }
    }

    /// Uses the given values. `None` as an endpoint stands for AWS's own endpoint.
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
            sqs_endpoint: None,
            app_name: None,
        })
    }

    /// The same AWS for clients that send `app/<name>` in their User-Agent. CloudTrail and the tests tell by it which
    /// function made a call. A name with characters other than letters, digits and `-` is left out.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self {
            app_name: AppName::new(name.to_owned()).ok(),
            ..self.clone()
        }
    }

    /// Makes a DynamoDB client.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(self.credentials.clone()))
            .http_client(self.http.clone())
            .retry_config(retry_config())
            .timeout_config(timeout_config())
            .interceptor(SharedInterceptor::new(CallCounter(Service::DynamoDb)));
        config.set_app_name(self.app_name.clone());
        let config = match &self.dynamodb_endpoint {
            Some(endpoint) => config.endpoint_url(endpoint),
            None => config,
        };
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// Makes a KMS client.
    pub fn kms(&self) -> aws_sdk_kms::Client {
        let mut config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(self.credentials.clone()))
            .http_client(self.http.clone())
            .retry_config(retry_config())
            .timeout_config(timeout_config())
            .interceptor(SharedInterceptor::new(CallCounter(Service::Kms)));
        config.set_app_name(self.app_name.clone());
        let config = match &self.kms_endpoint {
            Some(endpoint) => config.endpoint_url(endpoint),
            None => config,
        };
        aws_sdk_kms::Client::from_conf(config.build())
    }

    /// Makes an SQS client.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        let mut config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(self.credentials.clone()))
            .http_client(self.http.clone())
            .retry_config(retry_config())
            .timeout_config(timeout_config());
        config.set_app_name(self.app_name.clone());
        let config = match &self.sqs_endpoint {
            Some(endpoint) => config.endpoint_url(endpoint),
            None => config,
        };
        aws_sdk_sqs::Client::from_conf(config.build())
    }
}

/// Three attempts with short pauses, because a caller waits. After that, the caller gets a 503 with a retry hint.
fn retry_config() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff(Duration::from_millis(500))
}

fn timeout_config() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(8))
        .build()
}

/// One HTTP client for all services. It trusts only the root certificates of AWS.
///
/// Parsing the system's certificate store would take more CPU time than the rest of a start.
/// `AWS_TRUST_NATIVE_ROOTS=1` uses the system's store instead.
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
    Ok(SharedHttpClient::new(NoValidation(client)))
}

/// An HTTP client without the validation that the SDK runs whenever it builds a service client.
///
/// The validation makes a connector only to see errors early, and parses the root certificates for it. Without the
/// validation, the first call makes the connector, and an error appears there.
#[derive(Debug)]
struct NoValidation(SharedHttpClient);

impl HttpClient for NoValidation {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.0.http_connector(settings, components)
    }
}
