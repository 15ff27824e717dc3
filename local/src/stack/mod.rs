//! Starts the whole system in one process, and stops it.

mod api_key;
mod built_in;
mod credentials;
mod envelope_key;
mod environment;
mod error;
mod files;
mod guard;
mod listen;

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::config::{self, Aws};
use shared::notification::AddressRule;
use shared::stores::{Keys, TeamAdmin};
use shared::zoom::{ApiUrl, Zoom};
use tokio::net::TcpListener;
use url::Url;

use self::built_in::{BuiltInServices, Endpoints, ServiceOptions};
use self::credentials::AwsAccess;
use self::environment::{AddressHistory, Environment};
pub use self::error::Error;
use self::files::{lock, write_private};
use self::guard::Guard;
use self::listen::{address, listen, without_slash};
use crate::gateway::{Gateway, Notifications, Services};
use crate::{engine, tables};

const DEFAULT_REGION: &str = "us-east-1";

/// What to start, and where.
#[derive(Debug)]
pub struct Options {
    /// The directory for the database, the KMS keys and the API key. Created if it is missing.
    pub data_dir: PathBuf,
    /// The API's port; 0 for any free port.
    pub port: u16,
    /// The Zoom sandbox's port; 0 for any free port.
    pub zoom_port: u16,
    /// Services that run elsewhere. Their built-in counterparts are not started.
    pub external: ExternalEndpoints,
    /// The id, ARN or alias of the KMS key that wraps data keys, instead of the default key.
    pub envelope_key: Option<String>,
    /// Names of this machine besides those of the loopback, to which the ports answer.
    pub allowed_hosts: Vec<String>,
}

/// Endpoints that replace built-in services.
#[derive(Debug, Default)]
pub struct ExternalEndpoints {
    /// A DynamoDB endpoint.
    pub dynamodb: Option<String>,
    /// A KMS endpoint.
    pub kms: Option<String>,
    /// Zoom's OAuth base URL.
    pub zoom_oauth: Option<Url>,
    /// Zoom's REST base URL.
    pub zoom_api: Option<Url>,
}

/// The system, ready to serve: its files are written and its ports are bound.
#[derive(Debug)]
pub struct Stack {
    api: Url,
    zoom: Url,
    consent_url: Option<Url>,
    external: Vec<(&'static str, String)>,
    data_dir: PathBuf,
    gateway: Gateway,
    stream: Option<engine::Stream>,
    event_stream: Option<engine::Stream>,
    keep_alive_after: Duration,
    revoke_after: Duration,
    guard: Guard,
    listener: TcpListener,
    services: BuiltInServices,
    /// Keeps the data directory locked.
    _lock: File,
}

impl Stack {
    /// Binds the ports, starts the built-in services, and writes `api-key` and `env` into the data directory.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let listener = listen(options.port, "--port").await?;
        let api = address(&listener)?;
        let data_dir = options.data_dir;
        let lock = lock(&data_dir)?;
        let history = AddressHistory::read(&data_dir);
        let external = options.external.without(&history);
        let access = AwsAccess::of(&external, &data_dir)?;
        let guard = Guard::new(options.allowed_hosts, config::public_base_url()?);
        let service_options = ServiceOptions {
            external: &external,
            history: &history,
            zoom_port: options.zoom_port,
            data_dir: &data_dir,
            api: &api,
            guard: &guard,
            access_key_id: access.credentials.access_key_id(),
        };
        let (services, endpoints) = BuiltInServices::start(&service_options).await?;

        let tables = tables::Names::from_env();
        let region = config::optional("AWS_REGION").unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let aws = Aws::new(
            region.clone(),
            access.credentials.clone(),
            Some(endpoints.dynamodb.clone()),
            Some(endpoints.kms.clone()),
        )?
        .with_sqs_endpoint(Some(endpoints.sqs.clone()));
        create_tables(&aws, &tables, &endpoints, &data_dir).await?;
        let envelope_key = envelope_key(&aws, options.envelope_key, &endpoints).await?;
        let keys = Keys::new(aws.dynamodb(), tables.keys.clone());
        let operator = TeamAdmin::new(aws.dynamodb(), tables.keys.clone());
        api_key::ensure(&keys, &operator, &data_dir.join("api-key")).await?;
        let environment = Environment {
            history: history.with(&endpoints.built_in),
            access: &access,
            region: &region,
            endpoints: &endpoints,
            envelope_key: &envelope_key,
            tables: &tables,
            api: &api,
        };
        write_private(&data_dir.join("env"), &environment.to_string())?;

        Ok(Self {
            gateway: gateway(&aws, &tables, &envelope_key, &endpoints, &api)?,
            event_stream: open_event_stream(endpoints.database.clone(), &tables.events),
            stream: open_stream(endpoints.database, &tables.credentials),
            keep_alive_after: config::keep_alive_after()?,
            revoke_after: config::revoke_after()?,
            api,
            zoom: endpoints.zoom_oauth,
            consent_url: endpoints.consent_url,
            external: external.aws_services(),
            data_dir,
            guard,
            listener,
            services,
            _lock: lock,
        })
    }

    /// The address of the API.
    pub fn api(&self) -> &Url {
        &self.api
    }

    /// The address of Zoom, or of the sandbox.
    pub fn zoom(&self) -> &Url {
        &self.zoom
    }

    /// The consent page of the demo app, if the sandbox is built in.
    pub fn consent_url(&self) -> Option<&Url> {
        self.consent_url.as_ref()
    }

    /// The external AWS services, by name, and their addresses.
    pub fn external_endpoints(&self) -> &[(&'static str, String)] {
        &self.external
    }

    /// The directory for the database, the KMS keys and the API key.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Serves until `shutdown`. Running invocations finish before the services that they need stop.
    pub async fn serve(mut self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let gateway = self.gateway.clone();
        let schedule = gateway.schedule(self.keep_alive_after, self.revoke_after);
        let schedule = tokio::spawn(schedule);
        let stream = self.stream.take();
        let follow = stream.map(|stream| tokio::spawn(self.gateway.clone().follow(stream)));
        let stream = self.event_stream.take();
        let notify = stream.map(|stream| tokio::spawn(self.gateway.clone().follow_events(stream)));
        let deliver = tokio::spawn(self.gateway.clone().deliver_notifications());
        let router = self.gateway.router().merge(crate::docs::router());
        let router = self.guard.protect(router);
        self.gateway.serve(self.listener, router, shutdown).await;
        schedule.abort();
        deliver.abort();
        for follow in [follow, notify].into_iter().flatten() {
            follow.abort();
        }
        self.services.stop().await;
    }
}

impl ExternalEndpoints {
    /// Removes the addresses of our own built-in services. A shell that sourced `env` still names them.
    fn without(self, history: &AddressHistory) -> Self {
        Self {
            dynamodb: self.dynamodb.filter(|url| !history.contains(url)),
            kms: self.kms.filter(|url| !history.contains(url)),
            zoom_oauth: self
                .zoom_oauth
                .filter(|url| !history.contains(without_slash(url))),
            zoom_api: self
                .zoom_api
                .filter(|url| !history.contains(without_slash(url))),
        }
    }

    fn aws_services(self) -> Vec<(&'static str, String)> {
        [("DynamoDB", self.dynamodb), ("KMS", self.kms)]
            .into_iter()
            .filter_map(|(name, url)| Some((name, url?)))
            .collect()
    }
}

async fn create_tables(
    aws: &Aws,
    tables: &tables::Names,
    endpoints: &Endpoints,
    data_dir: &Path,
) -> Result<(), Error> {
    let created = tables::create_missing(&aws.dynamodb(), tables).await;
    created.map_err(|source| match source {
        tables::Error::EarlierVersion(_) if endpoints.database.is_some() => {
            Error::EarlierVersion(data_dir.to_owned())
        }
        source @ (tables::Error::EarlierVersion(_) | tables::Error::Create { .. }) => {
            Error::Tables {
                endpoint: endpoints.dynamodb.clone(),
                source,
            }
        }
    })
}

/// The requested key, or the default key of the built-in KMS, or our key at an external KMS.
async fn envelope_key(
    aws: &Aws,
    requested: Option<String>,
    endpoints: &Endpoints,
) -> Result<String, Error> {
    let kms = aws.kms();
    if let Some(key) = requested {
        return envelope_key::existing(&kms, key).await;
    }
    // With a built-in KMS, ENVELOPE_KEY_ID can come from a former `env` file, so it is ignored.
    if let Some(key) = &endpoints.built_in_key {
        return Ok(key.clone());
    }
    match config::optional("ENVELOPE_KEY_ID") {
        Some(key) => envelope_key::existing(&kms, key).await,
        None => envelope_key::by_alias(&kms).await,
    }
}

fn gateway(
    aws: &Aws,
    tables: &tables::Names,
    envelope_key: &str,
    endpoints: &Endpoints,
    api: &Url,
) -> Result<Gateway, Error> {
    let api_url = ApiUrl::configured(endpoints.zoom_api.clone());
    let zoom = Zoom::new(endpoints.zoom_oauth.clone(), api_url)
        .map_err(|error| config::Error::Client(error.into()))?
        .with_answer_timeout(config::zoom_answer_timeout()?);
    let public = config::public_base_url()?.unwrap_or_else(|| api.clone());
    let notifications = Notifications::new(endpoints.queue.clone(), AddressRule::PublicOrLoopback)?;
    let services = Services::new(aws, tables, envelope_key, zoom, public, notifications);
    Ok(Gateway::new(services))
}

/// Opens the stream of a table in the built-in database. An external database feeds the functions deployed there.
fn open_stream(database: Option<engine::Database>, table: &str) -> Option<engine::Stream> {
    engine::Stream::open(database?, table)
        .inspect_err(|error| {
            // A former version of the stack created the tables without a stream.
            tracing::warn!(%error, "secrets of deleted credentials stay in the database");
        })
        .ok()
}

/// As [`open_stream`], for the table of events. The events of former runs notify nobody again.
fn open_event_stream(database: Option<engine::Database>, table: &str) -> Option<engine::Stream> {
    engine::Stream::open_at_end(database?, table)
        .inspect_err(|error| {
            // A former version of the stack created the tables without a stream.
            tracing::warn!(%error, "no notifications are sent");
        })
        .ok()
}
