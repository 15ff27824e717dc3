//! The operator's AWS configuration, from the SDK's default provider chain.
//!
//! The program resolves region and credentials before the first call, so that an error can name what is missing.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::config::{ProvideCredentials, SharedCredentialsProvider};

use shared::config;
use url::Url;

use crate::error::{Error, chain};

/// The variables with addresses of services. The SDK reports a malformed address at the first call, in its own words.
const ENDPOINTS: [&str; 6] = [
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_CLOUDFORMATION",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_KMS",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL_STS",
];

/// The configuration for all AWS clients, and the name of the region. Each client honours its own
/// `AWS_ENDPOINT_URL_…` variable.
pub(crate) async fn config() -> Result<(SdkConfig, String), Error> {
    for variable in ENDPOINTS {
        let url = config::optional(variable).map(|text| text.parse::<Url>());
        let is_http = |url: Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if url.is_some_and(|url| !url.is_ok_and(is_http)) {
            return Err(Error::MalformedEndpoint(variable));
        }
    }
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(timeouts())
        .load()
        .await;
    let region = config
        .region()
        .map(ToString::to_string)
        .filter(|name| !name.is_empty())
        .ok_or(Error::NoRegion)?;
    let provider = config
        .credentials_provider()
        .ok_or_else(|| Error::NoCredentials("no provider is configured".to_owned()))?;
    let credentials = provider
        .provide_credentials()
        .await
        .map_err(|error| Error::NoCredentials(chain(&error)))?;
    let credentials = SharedCredentialsProvider::new(credentials);
    let config = config.into_builder().credentials_provider(credentials);
    Ok((config.build(), region))
}

/// Short time-outs: a person is waiting and sees no progress during a call.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(30))
        .build()
}
