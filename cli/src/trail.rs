//! Who runs this program, for the audit trail.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use shared::config;
use shared::event::Actor;
use shared::stores::{Events, RETENTION, Trail};
use url::Url;
use uuid::Uuid;

use crate::error::{Error, chain};

/// The trail of this run of the program, with the operator's identity.
pub(crate) async fn of_operator(
    config: &SdkConfig,
    client: &Client,
    events_table: String,
) -> Result<Trail, Error> {
    Ok(Trail {
        events: Events::new(client.clone(), events_table, RETENTION),
        actor: Actor::Operator(identity(config).await?),
        request_id: format!("cli-{}", Uuid::new_v4()),
    })
}

/// The operator's identity in AWS: the ARN of their user or of their assumed role. `local` on the local stack.
async fn identity(config: &SdkConfig) -> Result<String, Error> {
    if is_local() {
        return Ok("local".to_owned());
    }
    let caller = aws_sdk_sts::Client::new(config)
        .get_caller_identity()
        .send();
    let caller = caller
        .await
        .map_err(|error| Error::UnknownOperator(chain(&error)))?;
    caller
        .arn
        .ok_or_else(|| Error::UnknownOperator("AWS names no ARN".to_owned()))
}

/// Whether DynamoDB is an engine on this machine.
fn is_local() -> bool {
    let endpoint = config::optional("AWS_ENDPOINT_URL_DYNAMODB");
    let url = endpoint.and_then(|text| text.parse::<Url>().ok());
    url.is_some_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    })
}
