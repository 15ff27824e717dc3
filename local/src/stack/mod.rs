//! The whole system, started in one process and stopped as one.

mod api_key;
mod environment;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::future::Future;
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sdk_dynamodb::config::Credentials as AwsCredentials;
use aws_sdk_kms::operation::describe_key::DescribeKeyError;
use shared::cause::chain;
use shared::config::{self, Aws};
use shared::stores::{self, Keys, Operator};
use shared::zoom::{ApiUrl, Zoom};
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use self::environment::{DYNAMODB, Environment, KMS, Own, ZOOM_OAUTH};
use crate::gateway::{Gateway, Services};
use crate::{engine, kms, tables, zoom};

/// The envelope key's alias where KMS is not built in.
const KEY_ALIAS: &str = "alias/zoom-credential-vault";

/// What to start, and where.
#[derive(Debug)]
pub struct Options {
    /// Where data, keys and the API key are kept. Created where it is missing.
    pub data_dir: PathBuf,
    /// The API's port; 0 for any that is free.
    pub port: u16,
    /// The Zoom sandbox's port; 0 for any that is free.
    pub zoom_port: u16,
    /// Parts that run elsewhere: those built in are then not started.
    pub elsewhere: Elsewhere,
    /// The id, ARN or alias of the KMS key that seals, where it is not the one that the stack would choose.
    pub envelope_key: Option<String>,
}

/// Endpoints that replace built-in parts.
#[derive(Debug, Default)]
pub struct Elsewhere {
    /// A DynamoDB endpoint.
    pub dynamodb: Option<String>,
    /// A KMS endpoint.
    pub kms: Option<String>,
    /// Zoom's OAuth base URL.
    pub zoom_oauth: Option<Url>,
    /// Zoom's REST base URL.
    pub zoom_api: Option<Url>,
}

/// Why the stack did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something else listens there.
    #[error(
        "port {port} is taken: stop what listens there, or choose another with {flag} (0 picks a free one)"
    )]
    PortTaken {
        /// Which port.
        port: u16,
        /// The flag that chooses it.
        flag: &'static str,
    },
    /// The port cannot be listened on.
    #[error("cannot listen on port {port}")]
    Listen {
        /// Which port.
        port: u16,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Another stack uses the directory.
    #[error("{} is in use by another local stack: stop it, or choose another directory with --data-dir", .0.display())]
    DirectoryInUse(PathBuf),
    /// A file or directory cannot be used.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Half of Zoom was replaced.
    #[error("set ZOOM_OAUTH_BASE_URL and ZOOM_API_BASE_URL both, or neither")]
    HalfOfZoom,
    /// The database outlived the keys that its secrets are sealed under.
    #[error(
        "{} is missing, but the database beside it holds secrets that were sealed with it: restore it, or delete \
         the directory to start afresh", .0.display()
    )]
    KeysMissing(PathBuf),
    /// The API key in the data directory is none.
    #[error("{} holds no API key: delete it to have a new one made", .0.display())]
    MalformedKey(PathBuf),
    /// The database engine.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The KMS emulator.
    #[error(transparent)]
    Kms(#[from] kms::Error),
    /// The Zoom sandbox.
    #[error(transparent)]
    Zoom(#[from] zoom::Error),
    /// The tables.
    #[error("no tables at {endpoint} (--dynamodb, AWS_ENDPOINT_URL_DYNAMODB)")]
    Tables {
        /// Where they should be.
        endpoint: String,
        /// What went wrong.
        source: tables::Error,
    },
    /// Reading or writing teams and keys.
    #[error("cannot make the API key: {}", chain(.0))]
    Keys(#[from] stores::Error),
    /// A key at a KMS endpoint.
    #[error(
        "no envelope key at the KMS that --kms or AWS_ENDPOINT_URL_KMS names, or the built-in one, under what \
         --envelope-key or ENVELOPE_KEY_ID says: {0}"
    )]
    EnvelopeKey(String),
    /// The clients.
    #[error(transparent)]
    Config(#[from] config::Error),
}

/// The system, ready to serve: its files are written and its ports are bound.
#[derive(Debug)]
pub struct Stack {
    api: Url,
    zoom: Url,
    consent: Option<Url>,
    elsewhere: Vec<(&'static str, String)>,
    data_dir: PathBuf,
    gateway: Gateway,
    stream: Option<engine::Stream>,
    keep_alive_after: Duration,
    listener: TcpListener,
    parts: JoinSet<()>,
    stop: watch::Sender<bool>,
    /// Held for as long as the stack lives.
    _lock: File,
}

impl Stack {
    /// Binds the ports, starts the parts, and writes `api-key` and `env` into the data directory.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let listener = listen(options.port, "--port").await?;
        let api = address(&listener)?;
        let data_dir = options.data_dir;
        let lock = lock(&data_dir)?;
        let own = Own::read(&data_dir);
        let elsewhere = options.elsewhere.without(&own);
        let mut parts = Parts {
            tasks: JoinSet::new(),
            stop: watch::Sender::new(false),
            database: None,
        };
        let Endpoints {
            dynamodb,
            kms,
            emulated_key,
            zoom_oauth,
            zoom_api,
            consent,
            built_in,
        } = Endpoints::bring_up(
            &mut parts,
            &elsewhere,
            &own,
            options.zoom_port,
            &data_dir,
            &api,
        )
        .await?;

        let tables = tables::Names::from_env();
        let region = config::optional("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned());
        let credentials = elsewhere.credentials();
        let aws = Aws::new(
            region.clone(),
            credentials,
            Some(dynamodb.clone()),
            Some(kms.clone()),
        )?;
        let client = aws.dynamodb();
        tables::create_missing(&client, &tables)
            .await
            .map_err(|source| Error::Tables {
                endpoint: dynamodb.clone(),
                source,
            })?;
        let envelope_key = match (options.envelope_key, emulated_key) {
            (Some(wanted), _) => envelope_key(&aws.kms(), Some(wanted)).await?,
            (None, Some(key)) => key,
            // Beside a built-in KMS the variable is left over from an earlier `env`.
            (None, None) => envelope_key(&aws.kms(), config::optional("ENVELOPE_KEY_ID")).await?,
        };
        let keys = Keys::new(client.clone(), tables.keys.clone());
        api_key::ensure(
            &keys,
            &Operator::new(client, tables.keys.clone()),
            &data_dir.join("api-key"),
        )
        .await?;

        let env = Environment {
            all_built_in: built_in.len() == 3,
            own: own.now(built_in),
            region: &region,
            dynamodb: &dynamodb,
            kms: &kms,
            envelope_key: &envelope_key,
            zoom_oauth: &zoom_oauth,
            zoom_api: &zoom_api,
            tables: &tables,
            api: &api,
        };
        write_private(&data_dir.join("env"), &env.to_string())?;
        let zoom = Zoom::new(zoom_oauth.clone(), ApiUrl::configured(zoom_api))
            .map_err(|error| config::Error::Client(error.into()))?
            .with_patience(config::zoom_patience()?);
        let public = config::public_base_url()?.unwrap_or_else(|| api.clone());
        let services = Services::new(&aws, &tables, &envelope_key, zoom, public);
        let gateway = Gateway::new(services);
        let stream = parts.stream(&tables.credentials);
        let Parts { tasks, stop, .. } = parts;
        let outside = [("DynamoDB", elsewhere.dynamodb), ("KMS", elsewhere.kms)];
        let outside = outside
            .into_iter()
            .filter_map(|(part, url)| Some((part, url?)));
        Ok(Self {
            api,
            zoom: zoom_oauth,
            consent,
            elsewhere: outside.collect(),
            data_dir,
            gateway,
            stream,
            keep_alive_after: config::keep_alive_after()?,
            listener,
            parts: tasks,
            stop,
            _lock: lock,
        })
    }

    /// Where the API answers.
    pub fn api(&self) -> &Url {
        &self.api
    }

    /// Where Zoom, or what plays it, answers.
    pub fn zoom(&self) -> &Url {
        &self.zoom
    }

    /// The sandbox's consent page for its demo app, where the sandbox is built in.
    pub fn consent(&self) -> Option<&Url> {
        self.consent.as_ref()
    }

    /// The parts that are not built in, and where they are.
    pub fn elsewhere(&self) -> &[(&'static str, String)] {
        &self.elsewhere
    }

    /// Where everything is kept.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Serves until `shutdown`. Invocations under way are finished before the parts they need are stopped.
    pub async fn serve(
        mut self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        let port = self.api.port().unwrap_or_default();
        let schedule = tokio::spawn(self.gateway.clone().schedule(self.keep_alive_after));
        let stream = self.stream.take();
        let follow = stream.map(|stream| tokio::spawn(self.gateway.clone().follow(stream)));
        let served = self
            .gateway
            .serve(self.listener, crate::docs::router(), shutdown)
            .await;
        schedule.abort();
        if let Some(follow) = follow {
            follow.abort();
        }
        self.stop.send_replace(true);
        while self.parts.join_next().await.is_some() {}
        served.map_err(|source| Error::Listen { port, source })
    }
}

/// Where everything is that the functions call, built in or not.
struct Endpoints {
    dynamodb: String,
    kms: String,
    emulated_key: Option<String>,
    zoom_oauth: Url,
    zoom_api: Url,
    consent: Option<Url>,
    /// The addresses of the built-in ones, by variable.
    built_in: Vec<(&'static str, String)>,
}

impl Endpoints {
    /// Starts the parts that do not run elsewhere.
    async fn bring_up(
        parts: &mut Parts,
        elsewhere: &Elsewhere,
        own: &Own,
        zoom_port: u16,
        data_dir: &Path,
        api: &Url,
    ) -> Result<Self, Error> {
        let mut built_in = Vec::new();
        let (database, key_file) = (
            data_dir.join("dynamodb.sqlite"),
            data_dir.join("kms-keys.json"),
        );
        let holds_secrets = database.metadata().is_ok_and(|file| file.len() > 0);
        let both_built_in = elsewhere.dynamodb.is_none() && elsewhere.kms.is_none();
        if both_built_in && holds_secrets && !key_file.exists() {
            return Err(Error::KeysMissing(key_file));
        }

        let dynamodb = match &elsewhere.dynamodb {
            Some(endpoint) => endpoint.clone(),
            None => parts.dynamodb(own.port(DYNAMODB), &database).await?,
        };
        if elsewhere.dynamodb.is_none() {
            built_in.push((DYNAMODB, dynamodb.clone()));
        }
        let (kms, emulated_key) = match &elsewhere.kms {
            Some(endpoint) => (endpoint.clone(), None),
            None => parts.kms(own.port(KMS), key_file).await?,
        };
        if elsewhere.kms.is_none() {
            built_in.push((KMS, kms.clone()));
        }
        let (zoom_oauth, zoom_api, consent) = match (&elsewhere.zoom_oauth, &elsewhere.zoom_api) {
            (Some(oauth), Some(api)) => (oauth.clone(), api.clone(), None),
            (None, None) => {
                let port = own.port(ZOOM_OAUTH).filter(|_| zoom_port == 0);
                let listener = match port {
                    Some(port) => listen_again(Some(port)).await?,
                    None => listen(zoom_port, "--zoom-port").await?,
                };
                let (url, consent) = parts.zoom(listener, data_dir, api)?;
                (url.clone(), url, consent)
            }
            _ => return Err(Error::HalfOfZoom),
        };
        if elsewhere.zoom_oauth.is_none() {
            built_in.push((ZOOM_OAUTH, bare(&zoom_oauth).to_owned()));
        }
        Ok(Self {
            dynamodb,
            kms,
            emulated_key,
            zoom_oauth,
            zoom_api,
            consent,
            built_in,
        })
    }
}

/// The built-in parts, each in a task of its own.
struct Parts {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    /// The built-in one.
    database: Option<engine::Database>,
}

impl Parts {
    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move {
            // An error means that the stack is gone, which is as good a reason.
            stop.wait_for(|stopped| *stopped).await.ok();
        }
    }

    async fn dynamodb(&mut self, port: Option<u16>, file: &Path) -> Result<String, Error> {
        // Made before the engine makes it, so that nobody else can read it.
        let mut private = OpenOptions::new();
        private.append(true).create(true).mode(0o600);
        private.open(file).map_err(|source| Error::File {
            what: "open",
            path: file.to_owned(),
            source,
        })?;
        let database = engine::open(Some(file))?;
        self.database = Some(database.clone());
        let listener = listen_again(port).await?;
        let url = bare(&address(&listener)?).to_owned();
        let stopped = self.stopped();
        self.tasks.spawn(async move {
            if let Err(error) = engine::serve(listener, database, stopped).await {
                tracing::error!(%error, "the database engine ended");
            }
        });
        Ok(url)
    }

    /// The stream of a table of the built-in database. That of one elsewhere is for the functions that are deployed there.
    fn stream(&self, table: &str) -> Option<engine::Stream> {
        let opened = engine::Stream::open(self.database.clone()?, table);
        opened
            .inspect_err(|error| {
                // Made by a version whose tables had none.
                tracing::warn!(%error, "what deleted credentials leave is not purged");
            })
            .ok()
    }

    async fn kms(
        &mut self,
        port: Option<u16>,
        key_file: PathBuf,
    ) -> Result<(String, Option<String>), Error> {
        let emulator = kms::Emulator::open(Some(key_file))?;
        let listener = listen_again(port).await?;
        let url = bare(&address(&listener)?).to_owned();
        let key = emulator.default_key();
        self.serve(listener, emulator.router());
        Ok((url, Some(key)))
    }

    fn zoom(
        &mut self,
        listener: TcpListener,
        data_dir: &Path,
        api: &Url,
    ) -> Result<(Url, Option<Url>), Error> {
        let sandbox = zoom::Sandbox::open(Some(data_dir.join("zoom-sandbox.json")))?;
        let url = address(&listener)?;
        sandbox.set_origin(url.clone());
        let api_key = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        let public = config::public_base_url()?.unwrap_or_else(|| api.clone());
        sandbox.set_vault(api.clone(), &public, api_key.join("api-key"));
        self.serve(listener, sandbox.router());
        Ok((url, sandbox.demo_authorize_url()))
    }

    fn serve(&mut self, listener: TcpListener, router: axum::Router) {
        let stopped = self.stopped();
        self.tasks.spawn(async move {
            if let Err(error) = axum::serve(listener, router)
                .with_graceful_shutdown(stopped)
                .await
            {
                tracing::error!(%error, "a part of the local stack ended");
            }
        });
    }
}

impl Elsewhere {
    /// Without the addresses of our own built-in parts, which a shell that sourced `env` still names.
    fn without(self, own: &Own) -> Self {
        Self {
            dynamodb: self.dynamodb.filter(|url| !own.has(url)),
            kms: self.kms.filter(|url| !own.has(url)),
            zoom_oauth: self.zoom_oauth.filter(|url| !own.has(bare(url))),
            zoom_api: self.zoom_api.filter(|url| !own.has(bare(url))),
        }
    }

    /// The environment's credentials for endpoints that are not ours; built-in parts get none that are real.
    fn credentials(&self) -> AwsCredentials {
        let from_env = || {
            let id = config::optional("AWS_ACCESS_KEY_ID")?;
            let secret = config::optional("AWS_SECRET_ACCESS_KEY")?;
            Some(AwsCredentials::new(
                id,
                secret,
                config::optional("AWS_SESSION_TOKEN"),
                None,
                "environment",
            ))
        };
        let real = (self.dynamodb.is_some() || self.kms.is_some())
            .then(from_env)
            .flatten();
        real.unwrap_or_else(|| AwsCredentials::new("local", "local", None, None, "local"))
    }
}

async fn listen(port: u16, flag: &'static str) -> Result<TcpListener, Error> {
    // Loopback only: the parts trust whoever reaches them.
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|source| {
            if source.kind() == ErrorKind::AddrInUse {
                Error::PortTaken { port, flag }
            } else {
                Error::Listen { port, source }
            }
        })
}

/// On the port of the last run where it is free, on any other where it is not.
async fn listen_again(port: Option<u16>) -> Result<TcpListener, Error> {
    match listen(port.unwrap_or(0), "").await {
        Err(Error::PortTaken { .. }) => listen(0, "").await,
        listener => listener,
    }
}

fn address(listener: &TcpListener) -> Result<Url, Error> {
    let unusable = |source| Error::Listen { port: 0, source };
    let address: SocketAddr = listener.local_addr().map_err(unusable)?;
    Url::parse(&format!("http://{address}")).map_err(|error| unusable(std::io::Error::other(error)))
}

/// A base URL as people append paths to it.
fn bare(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// Makes the directory, and keeps a second stack out of it.
fn lock(data_dir: &Path) -> Result<File, Error> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { what, path, source }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(failed("create", data_dir))?;
    let path = data_dir.join("lock");
    let file = File::create(&path).map_err(failed("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::DirectoryInUse(data_dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
    }
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let written = || {
        let mut beside = NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        beside.write_all(text.as_bytes())?;
        beside.as_file().sync_all()?;
        beside.persist(path)?;
        Ok(())
    };
    written().map_err(|source| Error::File {
        what: "write",
        path: path.to_owned(),
        source,
    })
}

/// The key that is `wanted`, or the one behind our alias, made where missing.
async fn envelope_key(kms: &aws_sdk_kms::Client, wanted: Option<String>) -> Result<String, Error> {
    if let Some(key) = wanted {
        let known = kms.describe_key().key_id(&key).send().await;
        return known.map(|_| key).map_err(no_key);
    }
    let key = match kms.describe_key().key_id(KEY_ALIAS).send().await {
        Ok(answer) => answer.key_metadata.and_then(|key| key.arn),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(DescribeKeyError::is_not_found_exception) =>
        {
            let made = kms.create_key().send().await.map_err(no_key)?;
            let key = made.key_metadata.and_then(|key| key.arn);
            let alias = kms
                .create_alias()
                .alias_name(KEY_ALIAS)
                .set_target_key_id(key.clone());
            alias.send().await.map_err(no_key)?;
            key
        }
        Err(error) => return Err(no_key(error)),
    };
    key.ok_or_else(|| Error::EnvelopeKey("KMS named no key".to_owned()))
}

fn no_key(error: impl std::error::Error + 'static) -> Error {
    Error::EnvelopeKey(chain(&error))
}
