//! The services behind the Lambdas: DynamoDB, KMS and Zoom emulators. Tests read and change their state directly.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use aws_sdk_dynamodb::config::Credentials as AwsCredentials;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use local::engine::Database;
use local::gateway::{Gateway, Notifications, Services};
use local::sqs::Queue;
pub(crate) use local::zoom::RefreshBehaviour as ZoomBehaviour;
use local::zoom::{App, Consent, Sandbox, User};
use local::{engine, kms, tables};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::api_key::{ApiKey, KeyTerms, Permission};
use shared::config::Aws;
use shared::credential::{CredentialId, GrantId, TeamId};
use shared::envelope::{Binding, Envelope, Sealed, SecretId};
use shared::grants::capsule::Capsule;
use shared::notification::AddressRule;
use shared::secret::TokenPair;
use shared::stores::{
    Credentials, Events, Keys, Pairs, RETENTION, Requests, Secrets,
    StoredCredential as CredentialRow, StoredGrant, TeamAdmin, TokenUrls,
};
use shared::timestamp::Timestamp;
use shared::zoom::{ApiUrl, Zoom};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use uuid::Uuid;

use crate::capsules::{self, CapsuleCollector};
use crate::lambda::Lambda;
use crate::wire::{self, Service, UpstreamClient, Wire, next_tick};

/// The Zoom app of every credential.
pub(crate) const CLIENT_ID: &str = "test-app";
pub(crate) const CLIENT_SECRET: &str = "test-app-secret";
pub(crate) const REDIRECT_URI: &str = "https://example.test/callback";

/// How long a Lambda waits for the answer to a refresh. This is longer than a mint waits for another mint's lease, so a
/// held answer outlasts the waiting mints.
const REFRESH_TIME_OUT: Duration = Duration::from_secs(20);
/// How long a Lambda waits for other answers from Zoom. A time-out there loses nothing.
const ZOOM_TIME_OUT: Duration = Duration::from_secs(3);
/// How often a request of the set-up is repeated.
const MAX_REPETITIONS: usize = 3;
/// How many credentials are created at the same time.
const MAX_CONCURRENT_CREATIONS: usize = 8;
/// How long the set-up of a schedule waits for Zoom. Faults do not reach the set-up, and a busy machine is slow.
const SETUP_TIME_OUT: Duration = Duration::from_mins(1);

/// The services, with one behaviour of Zoom.
pub(crate) struct Backend {
    pub(crate) behaviour: ZoomBehaviour,
    pub(crate) zoom: Sandbox,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) database: Database,
    pub(crate) pairs: Pairs,
    pub(crate) secrets: Secrets,
    pub(crate) credentials: Credentials,
    envelope: Envelope,
    pub(crate) operator: TeamAdmin,
    gateway: Gateway,
    /// The base URLs of DynamoDB, KMS and Zoom.
    urls: [String; 3],
    client: UpstreamClient,
    key_id: String,
    idle_lambdas: Mutex<Vec<Lambda>>,
    /// Limits the credentials that are created at the same time. Without a limit, the set-ups of all schedules start
    /// together, and some time out on a busy machine.
    creation_permits: Semaphore,
}

/// A team with an API key and a Zoom user. Each schedule has its own team.
#[derive(Clone)]
pub(crate) struct Team {
    pub(crate) id: TeamId,
    pub(crate) user: String,
    pub(crate) key: String,
}

/// What the tables hold about a credential and its grant.
pub(crate) struct StoredCredential {
    /// The credential's state: `active` or `invalid`.
    pub(crate) state: String,
    pub(crate) grant: StoredGrant,
    /// The refresh tokens on the grant's row: the current one, then the stashed one if there is one.
    pub(crate) refresh_tokens: Vec<String>,
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn aws(dynamodb: &str, kms: &str) -> Aws {
    let credentials = AwsCredentials::new("test", "test", None, None, "test");
    let endpoints = (Some(dynamodb.to_owned()), Some(kms.to_owned()));
    Aws::new(
        "us-east-1".to_owned(),
        credentials,
        endpoints.0,
        endpoints.1,
    )
    .unwrap()
}

/// A client for the harness. The vault's clients give up after three seconds, but faults do not reach the harness, and
/// a busy machine is slow.
fn patient(client: &aws_sdk_dynamodb::Client) -> aws_sdk_dynamodb::Client {
    let time_outs = TimeoutConfig::builder()
        .operation_attempt_timeout(SETUP_TIME_OUT)
        .build();
    let config = client.config().to_builder().timeout_config(time_outs);
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

fn zoom_at(url: &str, time_out: Duration) -> Zoom {
    let api = ApiUrl::configured(url.parse().unwrap());
    let zoom = Zoom::new(url.parse().unwrap(), api).unwrap();
    zoom.with_answer_timeout(time_out)
        .with_refresh_answer_timeout(REFRESH_TIME_OUT)
}

impl Backend {
    pub(crate) async fn new(behaviour: ZoomBehaviour) -> Arc<Self> {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // Each Lambda has its own sockets. If the limit cannot be raised, the current limit may suffice.
            rlimit::increase_nofile_limit(u64::MAX).ok();
            // Fails if a provider is installed already. That provider works, too.
            rustls::crypto::aws_lc_rs::default_provider()
                .install_default()
                .ok();
            tracing_subscriber::registry().with(CapsuleCollector).init();
        });
        let database = engine::open(None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dynamodb_url = format!("http://{}", listener.local_addr().unwrap());
        let served = database.clone();
        tokio::spawn(engine::serve(listener, served, std::future::pending()));
        let kms = kms::Emulator::open(None).unwrap();
        let kms_url = serve(kms.router()).await;
        let zoom = Sandbox::open(None).unwrap();
        let zoom_url = serve(zoom.router()).await;
        let scopes = ["user:read:user", "user:read:token"];
        zoom.register_app(App {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            redirect_uris: vec![REDIRECT_URI.to_owned()],
            scopes: scopes.map(str::to_owned).to_vec(),
        });
        zoom.set_refresh_behaviour(behaviour);

        let direct = aws(&dynamodb_url, &kms_url);
        let (dynamodb, names) = (patient(&direct.dynamodb()), tables::Names::default());
        repeat!(tables::create_missing(&dynamodb, &names));
        let key_id = kms.default_key();
        let services = Services::new(
            &direct,
            &names,
            &key_id,
            zoom_at(&zoom_url, SETUP_TIME_OUT),
            "http://vault.test".parse().unwrap(),
            Notifications::new(Queue::default(), AddressRule::Public).unwrap(),
        );
        Arc::new(Self {
            behaviour,
            zoom,
            pairs: Pairs::new(dynamodb.clone(), names.pairs),
            secrets: Secrets::new(dynamodb.clone(), names.secrets),
            credentials: Credentials::new(dynamodb.clone(), names.credentials),
            envelope: Envelope::new(direct.kms(), key_id.clone(), Secrets::NAME),
            operator: TeamAdmin::new(dynamodb.clone(), names.keys),
            gateway: Gateway::new(services),
            urls: [dynamodb_url, kms_url, zoom_url],
            client: wire::upstream_client(),
            key_id,
            dynamodb,
            database,
            idle_lambdas: Mutex::default(),
            creation_permits: Semaphore::new(MAX_CONCURRENT_CREATIONS),
        })
    }

    /// An idle Lambda: a used one if there is one, else a new one.
    pub(crate) async fn lambda(&self) -> Lambda {
        let idle = self.idle_lambdas.lock().unwrap().pop();
        match idle {
            Some(lambda) => lambda,
            None => self.new_lambda().await,
        }
    }

    /// Takes back a Lambda, for later use by another schedule.
    pub(crate) fn give_back(&self, lambda: Lambda) {
        self.idle_lambdas.lock().unwrap().push(lambda);
    }

    async fn new_lambda(&self) -> Lambda {
        let wire = Arc::new(Wire::new());
        let services = [Service::DynamoDb, Service::Kms, Service::Zoom];
        let mut urls = Vec::new();
        let mut proxies = JoinSet::new();
        for (service, url) in services.into_iter().zip(&self.urls) {
            let (wire, client) = (wire.clone(), self.client.clone());
            let proxy = wire::start_proxy(&mut proxies, wire, service, client, url.clone());
            urls.push(proxy.await);
        }
        let aws = aws(&urls[0], &urls[1]);
        let (dynamodb, names) = (aws.dynamodb(), tables::Names::default());
        let credentials = Credentials::new(dynamodb.clone(), names.credentials);
        let pairs = Pairs::new(dynamodb.clone(), names.pairs);
        let secrets = Secrets::new(dynamodb.clone(), names.secrets);
        let envelope = Envelope::new(aws.kms(), self.key_id.clone(), Secrets::NAME);
        let zoom = zoom_at(&urls[2], ZOOM_TIME_OUT);
        let services = Services::new(
            &aws,
            &tables::Names::default(),
            &self.key_id,
            zoom.clone(),
            "http://vault.test".parse().unwrap(),
            Notifications::new(Queue::default(), AddressRule::Public).unwrap(),
        );
        let events = Events::new(dynamodb.clone(), names.events, RETENTION);
        Lambda {
            wire,
            services,
            token_urls: TokenUrls::new(dynamodb.clone(), names.token_urls),
            keys: Keys::new(dynamodb.clone(), names.keys),
            requests: Requests::new(dynamodb.clone(), names.requests),
            events,
            dynamodb,
            credentials,
            pairs,
            secrets,
            envelope,
            zoom,
            _proxies: proxies,
        }
    }

    /// Creates a team and its Zoom user.
    #[expect(clippy::disallowed_methods, reason = "requests carry the API key")]
    pub(crate) async fn create_team(&self) -> Team {
        let name = Uuid::new_v4().simple().to_string();
        let id: TeamId = name.parse().unwrap();
        self.register_user(&name);
        let team = self.operator.create_team(&id, 1_000_000, 1_000_000).await;
        team.unwrap();
        let (key, _) = self
            .operator
            .create_key(&id, KeyTerms::of(Permission::Full))
            .await
            .unwrap();
        let key = ApiKey::into_text(key).expose_secret().to_owned();
        Team {
            id,
            user: name,
            key,
        }
    }

    /// Creates a Zoom user.
    pub(crate) fn register_user(&self, id: &str) {
        self.zoom.register_user(User {
            id: id.to_owned(),
            account_id: None,
            email: None,
            display_name: None,
            first_name: None,
            last_name: None,
        });
    }

    /// A Zoom user clicks Allow. Returns the authorization code.
    pub(crate) fn authorization_code(&self, user: &str) -> String {
        let consent = Consent {
            client_id: CLIENT_ID.to_owned(),
            redirect_uri: REDIRECT_URI.to_owned(),
            user_id: user.to_owned(),
            scopes: None,
            code_challenge: None,
        };
        self.zoom.authorize(consent).unwrap()
    }

    /// Creates a credential for the team's user.
    pub(crate) async fn create_credential(&self, team: &Team) -> CredentialId {
        let _permit = self.creation_permits.acquire().await.unwrap();
        let app = json!({ "name": "bot", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET });
        let (status, body) = self.authorize(team, "POST", "", app).await;
        assert_eq!(status, 201, "{body}");
        let id = body["data"]["credential_id"].as_str().unwrap();
        id.parse().unwrap()
    }

    /// The user clicks Allow again, and the credential is updated with the new code.
    pub(crate) async fn reauthorize(&self, team: &Team, id: CredentialId) {
        let path = format!("/{id}");
        let (status, body) = self.authorize(team, "PATCH", &path, json!({})).await;
        assert_eq!(status, 200, "{body}");
    }

    /// Sends a request with a code. On a busy machine, an answer may come too late. Then the user clicks Allow once
    /// more.
    async fn authorize(
        &self,
        team: &Team,
        method: &str,
        path: &str,
        mut body: Value,
    ) -> (u16, Value) {
        body["redirect_uri"] = REDIRECT_URI.into();
        let mut repetitions = 0..MAX_REPETITIONS;
        loop {
            body["authorization_code"] = self.authorization_code(&team.user).into();
            let answer = self.send(team, method, path, &body).await;
            if answer.0 < 500 || repetitions.next().is_none() {
                return answer;
            }
        }
    }

    async fn send(&self, team: &Team, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = axum::http::Request::builder()
            .method(method)
            .uri(format!("/v2/zoom-credentials{path}"))
            .header("x-meeting-baas-api-key", &team.key)
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        let (parts, ()) = request.into_parts();
        let answer = self.gateway.answer(parts, body.to_string().into_bytes());
        let answer = answer.await;
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
        let body = serde_json::from_slice(&body.unwrap()).unwrap();
        (status, body)
    }

    /// Reads a credential and its grant from the tables.
    pub(crate) async fn stored(&self, team: &Team, id: CredentialId) -> StoredCredential {
        let stored = self.credentials.get(&team.id, id).await.unwrap().unwrap();
        let secret = SecretId::Grant(stored.grant.unwrap().id);
        let grant = self
            .secrets
            .grant(&team.id, stored.grant.unwrap().id)
            .await
            .unwrap()
            .unwrap();
        let state = serde_json::to_value(stored.credential.state).unwrap();
        let mut refresh_tokens = Vec::new();
        for sealed in grant.sealed.iter().chain(&grant.stash) {
            refresh_tokens.push(self.open_refresh_token(team, secret.clone(), sealed).await);
        }
        StoredCredential {
            state: state.as_str().unwrap().to_owned(),
            grant,
            refresh_tokens,
        }
    }

    /// Decrypts a sealed token pair. Returns the refresh token.
    #[expect(
        clippy::disallowed_methods,
        reason = "the judge compares refresh tokens with Zoom's"
    )]
    pub(crate) async fn open_refresh_token(
        &self,
        team: &Team,
        secret: SecretId,
        sealed: &Sealed,
    ) -> String {
        let binding = Binding {
            team: team.id.clone(),
            secret,
        };
        let opened = repeat!(self.envelope.open(&binding, sealed));
        let pair: TokenPair = opened.try_into().unwrap();
        pair.refresh.expose_secret().to_owned()
    }

    /// Simulates that time has passed: sets time attributes of a grant's row to the past.
    async fn move_to_past(&self, grant: GrantId, names: &[&str]) {
        let secret = SecretId::Grant(grant).to_string();
        for name in names {
            let update = self.dynamodb.update_item().table_name(Secrets::NAME);
            let update = update
                .key("secret_id", AttributeValue::S(secret.clone()))
                .update_expression("SET #name = :past")
                .condition_expression("attribute_exists(#name)")
                .expression_attribute_names("#name", *name)
                .expression_attribute_values(":past", AttributeValue::N("1".to_owned()));
            // Fails if the row has no such attribute.
            update.send().await.ok();
        }
    }

    async fn stored_credential(&self, team: &Team, id: CredentialId) -> CredentialRow {
        self.credentials.get(&team.id, id).await.unwrap().unwrap()
    }

    /// Makes the access token look expired to the vault.
    pub(crate) async fn expire_access_token(&self, team: &Team, id: CredentialId) {
        let grant = self.stored_credential(team, id).await.grant.unwrap().id;
        self.move_to_past(grant, &["access_expires_at"]).await;
    }

    /// Makes the access token old enough that a mint refreshes it if Zoom refuses it.
    pub(crate) async fn age_access_token(&self, team: &Team, id: CredentialId) {
        let grant = self.stored_credential(team, id).await.grant.unwrap().id;
        self.move_to_past(grant, &["authorized_at", "committed_at"])
            .await;
    }

    /// Makes leases and locks look expired, on all grants of the credential's pair: a mint may search them.
    pub(crate) async fn expire_leases(&self, team: &Team, id: CredentialId) {
        let stored = self.stored_credential(team, id).await;
        let mut grants = BTreeSet::from([stored.grant.unwrap().id]);
        if let Some(pair) = &stored.pair {
            let pair = self.pairs.get(pair).await.unwrap();
            grants.extend(pair.into_iter().flat_map(|pair| pair.grants));
        }
        for grant in grants {
            self.move_to_past(grant, &["lease_until", "lock_until"])
                .await;
        }
    }

    /// Replays the logged capsules of a team, as the CLI does. Returns when, and the refresh token in each.
    pub(crate) async fn replay_capsules(&self, team: &Team) -> Vec<(u64, String)> {
        let mut done = Vec::new();
        for capsule in capsules::take(&team.id) {
            let Self {
                credentials,
                pairs,
                secrets,
                ..
            } = self;
            let replayed = capsule.replay(credentials, pairs, secrets, Timestamp::now());
            replayed.await.unwrap();
            let sealed = match &capsule {
                Capsule::Refresh(capsule) => &capsule.pair.sealed,
                Capsule::Authorization(capsule) => &capsule.row.sealed,
            };
            let secret = SecretId::Grant(capsule.grant());
            let token = self.open_refresh_token(team, secret, sealed).await;
            done.push((next_tick(), token));
        }
        done
    }
}
