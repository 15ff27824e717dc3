//! Where the vault is: in a stack that was deployed, whose outputs name its parts, or where options and variables say.

use aws_config::SdkConfig;
use clap::Args;
use clap::error::ErrorKind;

use crate::error::Error;
use crate::stack::{self, Outputs};

/// What a command works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The table of teams and API keys.
    Keys,
    /// The table of sealed secrets.
    Secrets,
    /// The table of credentials.
    Credentials,
    /// The table of token URLs.
    TokenUrls,
    /// The table of events.
    Events,
    /// The table of rate windows, idempotency and connect sessions.
    Requests,
    /// The KMS key that seals.
    EnvelopeKey,
    /// Where the API answers.
    Api,
}

impl Part {
    /// The stack's output that names it.
    pub(crate) fn output(self) -> &'static str {
        match self {
            Self::Keys => "KeysTable",
            Self::Secrets => "SecretsTable",
            Self::Credentials => "CredentialsTable",
            Self::TokenUrls => "TokenUrlsTable",
            Self::Events => "EventsTable",
            Self::Requests => "RequestsTable",
            Self::Api => "ApiUrl",
            Self::EnvelopeKey => "EnvelopeKeyId",
        }
    }

    /// The option that names it.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Keys => "--keys-table",
            Self::Secrets => "--secrets-table",
            Self::Credentials => "--credentials-table",
            Self::TokenUrls => "--token-urls-table",
            Self::Events => "--events-table",
            Self::Requests => "--requests-table",
            Self::Api => "--api-url",
            Self::EnvelopeKey => "--envelope-key",
        }
    }

    /// The variable that names it.
    fn variable(self) -> &'static str {
        match self {
            Self::Keys => "KEYS_TABLE",
            Self::Secrets => "SECRETS_TABLE",
            Self::Credentials => "CREDENTIALS_TABLE",
            Self::TokenUrls => "TOKEN_URLS_TABLE",
            Self::Events => "EVENTS_TABLE",
            Self::Requests => "REQUESTS_TABLE",
            Self::Api => "API_URL",
            Self::EnvelopeKey => "ENVELOPE_KEY_ID",
        }
    }
}

/// A stack, or parts one by one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where the vault is")]
pub(crate) struct Named {
    /// The CloudFormation stack of the vault; its outputs name its tables and its key
    #[arg(long, global = true, env = "STACK", value_name = "NAME")]
    stack: Option<String>,

    /// Instead of a stack: the DynamoDB table of teams and API keys
    #[arg(long, global = true, env = "KEYS_TABLE", value_name = "NAME")]
    keys_table: Option<String>,

    /// Instead of a stack: the DynamoDB table of sealed secrets
    #[arg(long, global = true, env = "SECRETS_TABLE", value_name = "NAME")]
    secrets_table: Option<String>,

    /// Instead of a stack: the DynamoDB table of credentials
    #[arg(long, global = true, env = "CREDENTIALS_TABLE", value_name = "NAME")]
    credentials_table: Option<String>,

    /// Instead of a stack: the DynamoDB table of token URLs
    #[arg(long, global = true, env = "TOKEN_URLS_TABLE", value_name = "NAME")]
    token_urls_table: Option<String>,

    /// Instead of a stack: the DynamoDB table of events
    #[arg(long, global = true, env = "EVENTS_TABLE", value_name = "NAME")]
    events_table: Option<String>,

    /// Instead of a stack: the DynamoDB table of rate windows, idempotency and connect sessions
    #[arg(long, global = true, env = "REQUESTS_TABLE", value_name = "NAME")]
    requests_table: Option<String>,

    /// Instead of a stack: the id, ARN or alias of the KMS key that seals
    #[arg(long, global = true, env = "ENVELOPE_KEY_ID", value_name = "KEY")]
    envelope_key: Option<String>,

    /// Instead of a stack: where the API answers
    #[arg(long, global = true, env = "API_URL", value_name = "URL")]
    api_url: Option<String>,
}

impl Named {
    /// Refuses a command line that names no place of these parts, or two. Of global arguments clap cannot require one,
    /// nor see that they exclude each other where they stand on either side of a subcommand.
    pub(crate) fn check(&self, parts: &[Part]) -> Result<(), (ErrorKind, String)> {
        let missing = parts.iter().find(|part| self.part(**part).is_none());
        let named = parts.iter().find(|part| self.part(**part).is_some());
        match (self.stack(), missing, named) {
            (Some(_), _, Some(part)) => Err((ErrorKind::ArgumentConflict, two_places(*part))),
            (None, Some(part), _) => Err((ErrorKind::MissingRequiredArgument, no_place(*part))),
            (Some(_), _, None) | (None, None, _) => Ok(()),
        }
    }

    /// The place. Where it is a stack, its outputs are read.
    pub(crate) async fn find(self, config: &SdkConfig, region: &str) -> Result<Place, Error> {
        match self.stack() {
            Some(name) => stack::outputs(config, name, region).await.map(Place::Stack),
            None => Ok(Place::Parts(Box::new(self))),
        }
    }

    fn stack(&self) -> Option<&str> {
        self.stack.as_deref().filter(|name| !name.is_empty())
    }

    fn part(&self, part: Part) -> Option<&str> {
        let name = match part {
            Part::Keys => &self.keys_table,
            Part::Secrets => &self.secrets_table,
            Part::Credentials => &self.credentials_table,
            Part::TokenUrls => &self.token_urls_table,
            Part::Events => &self.events_table,
            Part::Requests => &self.requests_table,
            Part::EnvelopeKey => &self.envelope_key,
            Part::Api => &self.api_url,
        };
        name.as_deref().filter(|name| !name.is_empty())
    }
}

/// Where the parts are.
#[derive(Debug)]
pub(crate) enum Place {
    /// As a stack says.
    Stack(Outputs),
    /// As they were named.
    Parts(Box<Named>),
}

impl Place {
    /// Whether AWS runs it.
    pub(crate) fn is_deployed(&self) -> bool {
        matches!(self, Self::Stack(_))
    }

    /// What a part is called.
    pub(crate) fn name(&self, part: Part) -> Result<String, Error> {
        match self {
            Self::Stack(outputs) => outputs.get(part.output()),
            Self::Parts(named) => Ok(named.part(part).unwrap_or_default().to_owned()),
        }
    }
}

fn no_place(part: Part) -> String {
    let (option, variable) = (part.option(), part.variable());
    format!(
        "neither a stack nor {what} is named: pass --stack NAME (or set STACK) for a stack in AWS, or {option} (or
{variable}). For the local stack, `set -a; . .local/env` sets what is needed.",
        what = what(part)
    )
}

fn two_places(part: Part) -> String {
    let (option, variable) = (part.option(), part.variable());
    format!(
        "a stack and {what} are named, and only one can be meant: of --stack (or STACK) and {option} (or {variable}),
which .local/env sets, leave one out.",
        what = what(part)
    )
}

fn what(part: Part) -> &'static str {
    match part {
        Part::EnvelopeKey => "a key",
        Part::Api => "an API",
        Part::Keys
        | Part::Secrets
        | Part::Credentials
        | Part::TokenUrls
        | Part::Events
        | Part::Requests => "a table",
    }
}
