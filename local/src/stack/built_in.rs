//! The built-in services: the database engine, the KMS emulator, the queue and the Zoom sandbox.

use std::future::Future;
use std::path::Path;

use shared::config;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use super::environment::{AddressHistory, DYNAMODB, KMS, SQS, ZOOM_OAUTH};
use super::files::create_private;
use super::guard::Guard;
use super::listen::{address, listen, listen_again, without_slash};
use super::{Error, ExternalEndpoints};
use crate::sqs::Queue;
use crate::{engine, kms, zoom};

const DATABASE_FILE: &str = "dynamodb.sqlite";
const KEY_FILE: &str = "kms-keys.json";
const ZOOM_STATE_FILE: &str = "zoom-sandbox.json";

/// The running built-in services, each in its own task.
#[derive(Debug)]
pub(super) struct BuiltInServices {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// The endpoints that the functions call, and what the built-in services add.
pub(super) struct Endpoints {
    pub(super) dynamodb: String,
    pub(super) kms: String,
    pub(super) sqs: String,
    /// The queue of notifications, which is always built in.
    pub(super) queue: Queue,
    /// The default key of the built-in KMS.
    pub(super) built_in_key: Option<String>,
    pub(super) zoom_oauth: Url,
    pub(super) zoom_api: Url,
    /// The consent page of the built-in sandbox.
    pub(super) consent_url: Option<Url>,
    /// The built-in database.
    pub(super) database: Option<engine::Database>,
    /// The addresses of the built-in services, by the name of their environment variable.
    pub(super) built_in: Vec<(&'static str, String)>,
}

/// What the built-in services need to start.
pub(super) struct ServiceOptions<'a> {
    pub(super) external: &'a ExternalEndpoints,
    pub(super) history: &'a AddressHistory,
    pub(super) zoom_port: u16,
    pub(super) data_dir: &'a Path,
    pub(super) api: &'a Url,
    pub(super) guard: &'a Guard,
    /// The access key id that DynamoDB and KMS require.
    pub(super) access_key_id: &'a str,
}

impl ServiceOptions<'_> {
    /// The guard of an AWS service.
    fn aws_guard(&self) -> Guard {
        self.guard.with_access_key(self.access_key_id)
    }
}

impl BuiltInServices {
    /// Starts each service that has no external endpoint.
    pub(super) async fn start(options: &ServiceOptions<'_>) -> Result<(Self, Endpoints), Error> {
        refuse_lost_keys(options)?;
        let mut services = Self {
            tasks: JoinSet::new(),
            stop: watch::Sender::new(false),
        };
        let mut built_in = Vec::new();
        let (dynamodb, database) = if let Some(endpoint) = &options.external.dynamodb {
            (endpoint.clone(), None)
        } else {
            let (url, database) = services.start_dynamodb(options).await?;
            built_in.push((DYNAMODB, url.clone()));
            (url, Some(database))
        };
        let (kms, built_in_key) = if let Some(endpoint) = &options.external.kms {
            (endpoint.clone(), None)
        } else {
            let (url, key) = services.start_kms(options).await?;
            built_in.push((KMS, url.clone()));
            (url, Some(key))
        };
        let queue = Queue::default();
        let sqs = services.start_sqs(options, &queue).await?;
        built_in.push((SQS, sqs.clone()));
        let external = options.external;
        let (zoom_oauth, zoom_api, consent_url) = match (&external.zoom_oauth, &external.zoom_api) {
            (Some(oauth), Some(api)) => (oauth.clone(), api.clone(), None),
            (None, None) => {
                let (url, consent_url) = services.start_zoom(options).await?;
                built_in.push((ZOOM_OAUTH, without_slash(&url).to_owned()));
                (url.clone(), url, consent_url)
            }
            _ => return Err(Error::HalfOfZoom),
        };
        let endpoints = Endpoints {
            dynamodb,
            kms,
            sqs,
            queue,
            built_in_key,
            zoom_oauth,
            zoom_api,
            consent_url,
            database,
            built_in,
        };
        Ok((services, endpoints))
    }

    /// Stops all services, and waits for their running requests.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }

    async fn start_dynamodb(
        &mut self,
        options: &ServiceOptions<'_>,
    ) -> Result<(String, engine::Database), Error> {
        let file = options.data_dir.join(DATABASE_FILE);
        // The engine would create a file that everybody can read.
        create_private(&file)?;
        let database = engine::open(Some(&file))?;
        let listener = listen_again(options.history.port(DYNAMODB)).await?;
        let url = without_slash(&address(&listener)?).to_owned();
        let (swept, stopped) = (database.clone(), self.stopped());
        self.tasks.spawn(async move {
            tokio::select! {
                () = engine::sweep_expired(swept) => {}
                () = stopped => {}
            }
        });
        let router = options
            .aws_guard()
            .protect(engine::router(database.clone()));
        self.serve(listener, router);
        Ok((url, database))
    }

    async fn start_kms(&mut self, options: &ServiceOptions<'_>) -> Result<(String, String), Error> {
        let emulator = kms::Emulator::open(Some(options.data_dir.join(KEY_FILE)))?;
        let listener = listen_again(options.history.port(KMS)).await?;
        let url = without_slash(&address(&listener)?).to_owned();
        let key = emulator.default_key();
        self.serve(listener, options.aws_guard().protect(emulator.router()));
        Ok((url, key))
    }

    async fn start_sqs(
        &mut self,
        options: &ServiceOptions<'_>,
        queue: &Queue,
    ) -> Result<String, Error> {
        let listener = listen_again(options.history.port(SQS)).await?;
        let url = without_slash(&address(&listener)?).to_owned();
        self.serve(listener, options.aws_guard().protect(queue.router()));
        Ok(url)
    }

    async fn start_zoom(
        &mut self,
        options: &ServiceOptions<'_>,
    ) -> Result<(Url, Option<Url>), Error> {
        let ServiceOptions { data_dir, api, .. } = *options;
        let listener = match (options.zoom_port, options.history.port(ZOOM_OAUTH)) {
            (0, Some(port)) => listen_again(Some(port)).await?,
            (port, _) => listen(port, "--zoom-port").await?,
        };
        let sandbox = zoom::Sandbox::open(Some(data_dir.join(ZOOM_STATE_FILE)))?;
        let url = address(&listener)?;
        sandbox.set_origin(url.clone());
        // The sandbox shows a command that works in any directory.
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        let public = config::public_base_url()?.unwrap_or_else(|| api.clone());
        sandbox.set_vault(api.clone(), &public, data_dir.join("api-key"));
        self.serve(listener, options.guard.clone().protect(sandbox.router()));
        Ok((url, sandbox.demo_authorize_url()))
    }

    fn serve(&mut self, listener: TcpListener, router: axum::Router) {
        let stopped = self.stopped();
        self.tasks.spawn(async move {
            if let Err(error) = axum::serve(listener, router)
                .with_graceful_shutdown(stopped)
                .await
            {
                tracing::error!(%error, "a built-in service stopped");
            }
        });
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move {
            // An error means that the stack was dropped, so the service stops too.
            stop.wait_for(|stopped| *stopped).await.ok();
        }
    }
}

/// Refuses a database whose key file is missing: new keys could not decrypt the secrets in it.
fn refuse_lost_keys(options: &ServiceOptions<'_>) -> Result<(), Error> {
    let database = options.data_dir.join(DATABASE_FILE);
    let key_file = options.data_dir.join(KEY_FILE);
    let has_data = database.metadata().is_ok_and(|file| file.len() > 0);
    let external = options.external;
    let both_built_in = external.dynamodb.is_none() && external.kms.is_none();
    if both_built_in && has_data && !key_file.exists() {
        return Err(Error::KeysMissing(key_file));
    }
    Ok(())
}
