//! What functions are given: the clients and settings that a handler has as parameters.
//!
//! A function holds the powers in its row of [`crate::endpoints`] and no others, and its role in `template.yaml` allows
//! no more. Each power is built here, in one place, from an [`Environment`].

use std::future::Future;
use std::time::Duration;

use shared::config::{self, Aws, DynamoDbClient, Url};
use shared::delivery::Delivery;
use shared::envelope::Envelope;
use shared::grants::Grants;
use shared::notification::AddressRule;
use shared::queue::NotificationQueue;
use shared::stores::{Credentials, Events, Keys, Pairs, Requests, Secrets, TokenUrls};
use shared::zoom::{ConsentPage, Zoom};

use crate::background::notify_enqueue::SentRefusals;
use crate::token_urls::verify::VendorMemory;
use crate::zoom_apps::webhook;

/// A DynamoDB table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// What may be shown of credentials.
    Credentials,
    /// The credentials and grants of each Zoom app and user.
    Pairs,
    /// Sealed secrets.
    Secrets,
    /// Teams and the hashes of their API keys.
    Keys,
    /// Rate limits, idempotency keys and connect sessions.
    Requests,
    /// Token URLs.
    TokenUrls,
    /// The events of each credential.
    Events,
}

impl Table {
    /// The environment variable that holds the table's name.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Credentials => "CREDENTIALS_TABLE",
            Self::Pairs => "PAIRS_TABLE",
            Self::Secrets => "SECRETS_TABLE",
            Self::Keys => "KEYS_TABLE",
            Self::Requests => "REQUESTS_TABLE",
            Self::TokenUrls => "TOKEN_URLS_TABLE",
            Self::Events => "EVENTS_TABLE",
        }
    }
}

/// What one function's powers are built from. A Lambda has [`ProcessEnvironment`]. The local gateway and the tests have
/// an explicit configuration.
///
/// A setting is read when a power needs it. So a function starts without the settings of powers that it does not hold.
pub trait Environment {
    /// Why a power cannot be built.
    type Error;

    /// AWS, as this function's clients call it.
    fn aws(&self) -> &Aws;
    /// The DynamoDB client that all of the function's stores share.
    fn dynamodb(&self) -> DynamoDbClient;
    /// The name of a table.
    fn table(&self, table: Table) -> Result<String, Self::Error>;
    /// The id of the KMS key that wraps data keys.
    fn envelope_key(&self) -> Result<String, Self::Error>;
    /// How long events are kept.
    fn events_retention(&self) -> Result<Duration, Self::Error>;
    /// Whether tokens that cannot be stored are logged as a recovery capsule.
    fn recovery_capsules(&self) -> Result<bool, Self::Error>;
    /// Zoom.
    fn zoom(&self) -> Result<Zoom, Self::Error>;
    /// The page where Zoom asks its users for consent.
    fn consent_page(&self) -> Result<ConsentPage, Self::Error>;
    /// The API's own base URL, where the operator has set one.
    fn public_url(&self) -> Result<Option<Url>, Self::Error>;
    /// Where a user goes who added the app in Zoom's Marketplace, where the operator has set a page.
    fn landing_url(&self) -> Result<Option<Url>, Self::Error>;
    /// How long a deleted credential can be restored.
    fn restorable(&self) -> Result<Duration, Self::Error>;
    /// After how long without use a grant is refreshed.
    fn refresh_after(&self) -> Result<Duration, Self::Error>;
    /// How long after its last deletion a pair's grants may be revoked.
    fn revoke_after(&self) -> Result<Duration, Self::Error>;
    /// How far a webhook's timestamp may be from now.
    fn webhook_window(&self) -> Result<Duration, Self::Error>;
    /// The URL of the queue of notifications.
    fn notification_queue_url(&self) -> Result<String, Self::Error>;
    /// Which addresses notifications may go to.
    fn notification_addresses(&self) -> Result<AddressRule, Self::Error>;
    /// Calls the endpoints of teams.
    fn delivery(&self) -> Result<Delivery, Self::Error>;

    /// Teams and API keys.
    fn keys(&self) -> Result<Keys, Self::Error> {
        Ok(Keys::new(self.dynamodb(), self.table(Table::Keys)?))
    }

    /// Rate limits, idempotency keys and connect sessions.
    fn requests(&self) -> Result<Requests, Self::Error> {
        Ok(Requests::new(self.dynamodb(), self.table(Table::Requests)?))
    }

    /// Credentials.
    fn credentials(&self) -> Result<Credentials, Self::Error> {
        let table = self.table(Table::Credentials)?;
        Ok(Credentials::new(self.dynamodb(), table))
    }

    /// The credentials and grants of each Zoom app and user.
    fn pairs(&self) -> Result<Pairs, Self::Error> {
        Ok(Pairs::new(self.dynamodb(), self.table(Table::Pairs)?))
    }

    /// Sealed secrets.
    fn secrets(&self) -> Result<Secrets, Self::Error> {
        Ok(Secrets::new(self.dynamodb(), self.table(Table::Secrets)?))
    }

    /// Events of credentials.
    fn events(&self) -> Result<Events, Self::Error> {
        let table = self.table(Table::Events)?;
        Ok(Events::new(
            self.dynamodb(),
            table,
            self.events_retention()?,
        ))
    }

    /// Token URLs.
    fn token_urls(&self) -> Result<TokenUrls, Self::Error> {
        let table = self.table(Table::TokenUrls)?;
        Ok(TokenUrls::new(self.dynamodb(), table))
    }

    /// Seals and opens secrets.
    fn envelope(&self) -> Result<Envelope, Self::Error> {
        let key = self.envelope_key()?;
        Ok(Envelope::new(self.aws().kms(), key, Secrets::NAME))
    }

    /// Uses, refreshes and stores users' grants.
    fn grants(&self) -> Result<Grants, Self::Error> {
        Ok(Grants::new(
            self.credentials()?,
            self.pairs()?,
            self.secrets()?,
            self.events()?,
            self.envelope()?,
            self.zoom()?,
            self.recovery_capsules()?,
        ))
    }

    /// The queue of notifications.
    fn notification_queue(&self) -> Result<NotificationQueue, Self::Error> {
        let url = self.notification_queue_url()?;
        Ok(NotificationQueue::new(self.aws().sqs(), url))
    }

    /// Memory for the refusals of apps that a function has put into the queue.
    fn sent_refusals(&self) -> Result<SentRefusals, Self::Error> {
        Ok(SentRefusals::default())
    }

    /// Memory for the webhook secrets that a function has opened.
    fn opened_secrets(&self) -> Result<webhook::OpenedSecrets, Self::Error> {
        Ok(webhook::OpenedSecrets::default())
    }

    /// Memory for the secrets of vendors that a function has opened.
    fn vendor_memory(&self) -> Result<VendorMemory, Self::Error> {
        Ok(VendorMemory::default())
    }
}

/// The environment of a Lambda: the variables of its process.
#[derive(Debug)]
pub struct ProcessEnvironment {
    aws: Aws,
    dynamodb: DynamoDbClient,
}

impl ProcessEnvironment {
    /// Fails where AWS's own variables are missing.
    pub fn new() -> Result<Self, config::Error> {
        let aws = Aws::from_env()?;
        let dynamodb = aws.dynamodb();
        Ok(Self { aws, dynamodb })
    }
}

impl Environment for ProcessEnvironment {
    type Error = config::Error;

    fn aws(&self) -> &Aws {
        &self.aws
    }

    fn dynamodb(&self) -> DynamoDbClient {
        self.dynamodb.clone()
    }

    fn table(&self, table: Table) -> Result<String, config::Error> {
        config::required(table.variable())
    }

    fn envelope_key(&self) -> Result<String, config::Error> {
        config::required("ENVELOPE_KEY_ID")
    }

    fn events_retention(&self) -> Result<Duration, config::Error> {
        config::events_retention()
    }

    fn recovery_capsules(&self) -> Result<bool, config::Error> {
        Ok(config::recovery_capsules_enabled())
    }

    fn zoom(&self) -> Result<Zoom, config::Error> {
        config::zoom()
    }

    fn consent_page(&self) -> Result<ConsentPage, config::Error> {
        config::consent_page()
    }

    fn public_url(&self) -> Result<Option<Url>, config::Error> {
        config::public_base_url()
    }

    fn landing_url(&self) -> Result<Option<Url>, config::Error> {
        config::landing_url()
    }

    fn restorable(&self) -> Result<Duration, config::Error> {
        config::restore_window()
    }

    fn refresh_after(&self) -> Result<Duration, config::Error> {
        config::keep_alive_after()
    }

    fn revoke_after(&self) -> Result<Duration, config::Error> {
        config::revoke_after()
    }

    fn webhook_window(&self) -> Result<Duration, config::Error> {
        config::webhook_window()
    }

    fn notification_queue_url(&self) -> Result<String, config::Error> {
        config::required("NOTIFICATION_QUEUE_URL")
    }

    fn notification_addresses(&self) -> Result<AddressRule, config::Error> {
        Ok(config::notification_addresses())
    }

    fn delivery(&self) -> Result<Delivery, config::Error> {
        config::delivery()
    }
}

/// A power that a function can open connections for before its first event.
pub(crate) trait Warm {
    /// Opens so many connections. A failure is left to the first request.
    fn warm(&self, connections: usize) -> impl Future<Output = ()> + Send;
}

macro_rules! warm {
    ($($power:ident)*) => {
        $(impl Warm for $power {
            fn warm(&self, connections: usize) -> impl Future<Output = ()> + Send {
                Self::warm(self, connections)
            }
        })*
    };
}

warm! { Keys Requests Envelope Zoom }

/// So many connections to KMS, and one to Zoom.
impl Warm for Grants {
    async fn warm(&self, connections: usize) {
        tokio::join!(self.envelope.warm(connections), self.zoom.warm(1));
    }
}
