//! Who runs this program, for the audit trail.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::ProvideCredentials;
use shared::config;
use shared::event::Actor;
use shared::stores::{Events, Trail};
use url::Url;
use uuid::Uuid;

use crate::error::{Error, chain};
use crate::resources::{Resource, Resources};

/// The trail of this run of the program, with the operator's identity.
pub(crate) async fn open(
    config: &SdkConfig,
    client: &Client,
    resources: &Resources,
) -> Result<Trail, Error> {
    let table = resources.name(Resource::Events)?;
    Ok(Trail {
        events: Events::new(client.clone(), table, resources.events_retention()?),
        actor: Actor::Operator(identity(config).await?),
        request_id: format!("cli-{}", Uuid::new_v4()),
    })
}

/// The start of an access key id that a local stack has made. AWS makes no such id.
const LOCAL_STACK_KEY: &str = "LOCAL";

/// The operator's identity in AWS: the ARN of their user or of their assumed role.
///
/// `local` with the credentials of a local stack, which no AWS account knows. Also if AWS does not answer with an
/// identity and DynamoDB is an engine on this machine. The address of DynamoDB alone says little: it may be a tunnel to
/// AWS.
async fn identity(config: &SdkConfig) -> Result<String, Error> {
    let local = || Ok("local".to_owned());
    if has_local_credentials(config).await {
        return local();
    }
    let caller = aws_sdk_sts::Client::new(config)
        .get_caller_identity()
        .send();
    let reason = match caller.await {
        Ok(caller) => match caller.arn {
            Some(arn) => return Ok(arn),
            None => "AWS names no ARN".to_owned(),
        },
        Err(error) => chain(&error),
    };
    if is_local() {
        local()
    } else {
        Err(Error::UnknownOperator(reason))
    }
}

async fn has_local_credentials(config: &SdkConfig) -> bool {
    let Some(provider) = config.credentials_provider() else {
        return false;
    };
    let credentials = provider.provide_credentials().await;
    credentials.is_ok_and(|own| own.access_key_id().starts_with(LOCAL_STACK_KEY))
}

/// Whether the address of DynamoDB is on this machine.
fn is_local() -> bool {
    let endpoint = config::optional("AWS_ENDPOINT_URL_DYNAMODB");
    let url = endpoint.and_then(|text| text.parse::<Url>().ok());
    url.is_some_and(|url| is_this_machine(&url))
}

/// Whether a URL stays on this machine.
pub(crate) fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
