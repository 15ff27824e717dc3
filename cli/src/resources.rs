//! Finds the vault's tables, KMS key and API: by the outputs of a stack, or by options and environment variables.

use std::time::Duration;

use aws_config::SdkConfig;
use clap::Args;
use clap::error::ErrorKind;

use shared::config;
use shared::stores::{self, RETENTION, TableInspector};
use tokio::task::JoinSet;

use crate::error::Error;
use crate::stack::StackOutputs;

/// The stack's output that says for how many days events are kept.
const EVENTS_RETENTION_DAYS: &str = "EventsRetentionDays";

/// A table, the KMS key, the API or a queue of the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// The table of teams and API keys.
    Keys,
    /// The table of sealed secrets.
    Secrets,
    /// The table of credentials.
    Credentials,
    /// The table that counts the credentials of each Zoom app and user.
    Pairs,
    /// The table of token URLs.
    TokenUrls,
    /// The table of events.
    Events,
    /// The table of rate windows, idempotency keys and connect sessions.
    Requests,
    /// The KMS key that wraps data keys.
    EnvelopeKey,
    /// The base URL of the API.
    Api,
    /// The dead-letter queue of notifications.
    LostNotifications,
}

impl Resource {
    const TABLES: [Self; 7] = [
        Self::Credentials,
        Self::Secrets,
        Self::Pairs,
        Self::Keys,
        Self::Requests,
        Self::TokenUrls,
        Self::Events,
    ];

    pub(crate) const ALL: [Self; 9] = {
        let [a, b, c, d, e, f, g] = Self::TABLES;
        [a, b, c, d, e, f, g, Self::EnvelopeKey, Self::Api]
    };

    pub(crate) fn is_table(self) -> bool {
        Self::TABLES.contains(&self)
    }

    /// The attributes that are the key of a row of the table.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Keys => &["team_id", "record"],
            Self::Secrets => &["secret_id"],
            Self::Credentials => &["team_id", "credential_id"],
            Self::Pairs => &["pair_id"],
            Self::TokenUrls => &["credential_id", "url_id"],
            Self::Events => &["credential_id", "event_id"],
            Self::Requests => &["request_id"],
            Self::EnvelopeKey | Self::Api | Self::LostNotifications => &[],
        }
    }

    /// Says that a table with these keys is another table. `None` if the table has the right keys.
    pub(crate) fn other_keys(self, keys: &[String]) -> Option<String> {
        let expected = self.keys();
        (keys != expected).then(|| {
            format!(
                "is another table: the key of its rows is {}, but should be {}",
                keys.join(" and "),
                expected.join(" and ")
            )
        })
    }

    /// The stack output that names the resource.
    pub(crate) fn output(self) -> &'static str {
        match self {
            Self::Keys => "KeysTable",
            Self::Secrets => "SecretsTable",
            Self::Credentials => "CredentialsTable",
            Self::Pairs => "PairsTable",
            Self::TokenUrls => "TokenUrlsTable",
            Self::Events => "EventsTable",
            Self::Requests => "RequestsTable",
            Self::Api => "ApiUrl",
            Self::EnvelopeKey => "EnvelopeKeyId",
            Self::LostNotifications => "LostNotifications",
        }
    }

    /// The command-line option that names the resource.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Keys => "--keys-table",
            Self::Secrets => "--secrets-table",
            Self::Credentials => "--credentials-table",
            Self::Pairs => "--pairs-table",
            Self::TokenUrls => "--token-urls-table",
            Self::Events => "--events-table",
            Self::Requests => "--requests-table",
            Self::Api => "--api-url",
            Self::EnvelopeKey => "--envelope-key",
            Self::LostNotifications => "--lost-notifications",
        }
    }

    /// The environment variable that names the resource.
    fn variable(self) -> &'static str {
        match self {
            Self::Keys => "KEYS_TABLE",
            Self::Secrets => "SECRETS_TABLE",
            Self::Credentials => "CREDENTIALS_TABLE",
            Self::Pairs => "PAIRS_TABLE",
            Self::TokenUrls => "TOKEN_URLS_TABLE",
            Self::Events => "EVENTS_TABLE",
            Self::Requests => "REQUESTS_TABLE",
            Self::Api => "API_URL",
            Self::EnvelopeKey => "ENVELOPE_KEY_ID",
            Self::LostNotifications => "LOST_NOTIFICATIONS_ARN",
        }
    }

    /// The kind of resource, for error messages.
    fn kind(self) -> &'static str {
        match self {
            Self::EnvelopeKey => "a key",
            Self::Api => "an API",
            Self::LostNotifications => "a queue",
            Self::Keys
            | Self::Secrets
            | Self::Credentials
            | Self::Pairs
            | Self::TokenUrls
            | Self::Events
            | Self::Requests => "a table",
        }
    }
}

/// Options that name a stack, or each resource on its own.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where the vault is")]
pub(crate) struct ResourceOptions {
    /// The vault's CloudFormation stack. Its outputs name its tables, its KMS key and its API
    #[arg(long, global = true, env = "STACK", value_name = "NAME")]
    stack: Option<String>,

    /// Without a stack: the DynamoDB table of teams and API keys
    #[arg(long, global = true, env = "KEYS_TABLE", value_name = "NAME")]
    keys_table: Option<String>,

    /// Without a stack: the DynamoDB table of sealed secrets
    #[arg(long, global = true, env = "SECRETS_TABLE", value_name = "NAME")]
    secrets_table: Option<String>,

    /// Without a stack: the DynamoDB table of credentials
    #[arg(long, global = true, env = "CREDENTIALS_TABLE", value_name = "NAME")]
    credentials_table: Option<String>,

    /// Without a stack: the DynamoDB table that counts the credentials of each Zoom app and user
    #[arg(long, global = true, env = "PAIRS_TABLE", value_name = "NAME")]
    pairs_table: Option<String>,

    /// Without a stack: the DynamoDB table of token URLs
    #[arg(long, global = true, env = "TOKEN_URLS_TABLE", value_name = "NAME")]
    token_urls_table: Option<String>,

    /// Without a stack: the DynamoDB table of events
    #[arg(long, global = true, env = "EVENTS_TABLE", value_name = "NAME")]
    events_table: Option<String>,

    /// Without a stack: the DynamoDB table of rate windows, idempotency keys and connect sessions
    #[arg(long, global = true, env = "REQUESTS_TABLE", value_name = "NAME")]
    requests_table: Option<String>,

    /// Without a stack: the id, ARN or alias of the KMS key that wraps data keys
    #[arg(long, global = true, env = "ENVELOPE_KEY_ID", value_name = "KEY")]
    envelope_key: Option<String>,

    /// Without a stack: the base URL of the API
    #[arg(long, global = true, env = "API_URL", value_name = "URL")]
    api_url: Option<String>,

    /// Without a stack: the ARN of the dead-letter queue of notifications
    #[arg(
        long,
        global = true,
        env = "LOST_NOTIFICATIONS_ARN",
        value_name = "ARN"
    )]
    lost_notifications: Option<String>,
}

impl ResourceOptions {
    /// Refuses a command line that names these resources not at all, or twice. clap cannot check this: it can neither
    /// require a global argument nor detect a conflict between arguments before and after the subcommand.
    pub(crate) fn check(&self, resources: &[Resource]) -> Result<(), (ErrorKind, String)> {
        let missing = resources.iter().find(|it| self.value(**it).is_none());
        let named = resources.iter().find(|it| self.value(**it).is_some());
        match (self.stack(), missing, named) {
            (Some(_), _, Some(resource)) => {
                Err((ErrorKind::ArgumentConflict, named_twice(*resource)))
            }
            (None, Some(resource), _) => {
                Err((ErrorKind::MissingRequiredArgument, not_named(*resource)))
            }
            (Some(_), _, None) | (None, None, _) => Ok(()),
        }
    }

    /// Reads the stack's outputs if a stack is named.
    pub(crate) async fn resolve(
        self,
        config: &SdkConfig,
        region: &str,
    ) -> Result<Resources, Error> {
        match self.stack() {
            Some(name) => StackOutputs::read(config, name, region)
                .await
                .map(Resources::FromStack),
            None => Ok(Resources::FromOptions(Box::new(self))),
        }
    }

    fn stack(&self) -> Option<&str> {
        self.stack.as_deref().filter(|name| !name.is_empty())
    }

    fn value(&self, resource: Resource) -> Option<&str> {
        let name = match resource {
            Resource::Keys => &self.keys_table,
            Resource::Secrets => &self.secrets_table,
            Resource::Credentials => &self.credentials_table,
            Resource::Pairs => &self.pairs_table,
            Resource::TokenUrls => &self.token_urls_table,
            Resource::Events => &self.events_table,
            Resource::Requests => &self.requests_table,
            Resource::EnvelopeKey => &self.envelope_key,
            Resource::Api => &self.api_url,
            Resource::LostNotifications => &self.lost_notifications,
        };
        name.as_deref().filter(|name| !name.is_empty())
    }
}

/// Knows the names of the vault's resources.
#[derive(Debug)]
pub(crate) enum Resources {
    FromStack(StackOutputs),
    FromOptions(Box<ResourceOptions>),
}

impl Resources {
    /// Whether the vault runs in AWS. The local stack has no backups and no deletion protection.
    pub(crate) fn is_deployed(&self) -> bool {
        matches!(self, Self::FromStack(_))
    }

    /// The name of a table, the id of the key, the URL of the API or the ARN of the queue.
    pub(crate) fn name(&self, resource: Resource) -> Result<String, Error> {
        match self {
            Self::FromStack(outputs) => outputs.get(resource.output()),
            Self::FromOptions(options) => {
                Ok(options.value(resource).unwrap_or_default().to_owned())
            }
        }
    }

    /// How long events are kept: what the stack says, or the environment, as for the functions.
    pub(crate) fn events_retention(&self) -> Result<Duration, Error> {
        let days = match self {
            Self::FromStack(outputs) => outputs.find(EVENTS_RETENTION_DAYS),
            Self::FromOptions(_) => return Ok(config::events_retention()?),
        };
        let days = days.and_then(|days| days.parse::<u16>().ok());
        Ok(days.map_or(RETENTION, |days| Duration::from_hours(24 * u64::from(days))))
    }

    /// Fails if a table does not exist, or is another table. A command that reads the wrong table could otherwise
    /// report that nothing is there. The check needs the right to describe the table: without the right, there is no
    /// check.
    pub(crate) async fn expect_tables(
        &self,
        inspector: &TableInspector,
        used: &[Resource],
        region: &str,
    ) -> Result<(), Error> {
        let mut checks = JoinSet::new();
        for table in used.iter().copied().filter(|it| it.is_table()) {
            let (inspector, name) = (inspector.clone(), self.name(table)?);
            checks.spawn(async move { (table, inspector.keys_of(&name).await, name) });
        }
        while let Some(checked) = checks.join_next().await {
            let (table, keys, name) = checked.map_err(std::io::Error::from)?;
            match keys {
                Ok(keys) => {
                    if let Some(problem) = table.other_keys(&keys) {
                        let option = table.option();
                        return Err(Error::WrongTable {
                            name,
                            problem,
                            option,
                        });
                    }
                }
                Err(stores::Error::Denied { .. }) => {}
                Err(stores::Error::NoTable { .. }) => {
                    let region = region.to_owned();
                    return Err(Error::NoTable { name, region });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// All tables with their names.
    pub(crate) fn tables(&self) -> Result<Vec<(Resource, String)>, Error> {
        let tables = Resource::TABLES.into_iter();
        tables.map(|table| Ok((table, self.name(table)?))).collect()
    }
}

fn not_named(resource: Resource) -> String {
    let (option, variable, kind) = (resource.option(), resource.variable(), resource.kind());
    format!(
        "neither a stack nor {kind} is named. For a stack in AWS, pass --stack NAME (or set STACK). Otherwise pass {option}
(or set {variable}). For the local stack, `set -a; . .local/env` sets the variables."
    )
}

fn named_twice(resource: Resource) -> String {
    let (option, variable, kind) = (resource.option(), resource.variable(), resource.kind());
    format!(
        "both a stack and {kind} are named, but only one is allowed. Leave out --stack (or unset STACK), or leave out
{option} (or unset {variable}, which .local/env sets)."
    )
}
