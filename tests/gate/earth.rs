//! What the Lambdas share, in one mood of Zoom: DynamoDB, KMS and Zoom themselves, seen and touched from behind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::config::Credentials as AwsCredentials;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use local::gateway::{Gateway, Services};
use local::zoom::{App, Consent, Mood, Sandbox, User};
use local::{engine, kms, tables};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::api_key::{ApiKey, Permission};
use shared::config::Aws;
use shared::credential::{CredentialId, TeamId};
use shared::envelope::{Binding, Envelope, Sealed, SecretId};
use shared::grants::capsule::Capsule;
use shared::secret::TokenPair;
use shared::stores::{
    Credentials, Events, Keys, Operator, RETENTION, Requests, Secrets, StoredGrant,
};
use shared::timestamp::Timestamp;
use shared::zoom::{ApiUrl, Zoom};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use uuid::Uuid;

use crate::lambda::Lambda;
use crate::wire::{self, Service, Upstream, Wire};

/// The Zoom app of every credential.
pub(crate) const CLIENT_ID: &str = "test-app";
const CLIENT_SECRET: &str = "test-app-secret";
const REDIRECT_URI: &str = "https://example.test/callback";

/// Longer than another's refresh is waited for, so that an answer may be held meanwhile.
const REFRESH_PATIENCE: Duration = Duration::from_secs(20);
/// For all else at Zoom: nothing is lost by giving up.
const PATIENCE: Duration = Duration::from_secs(3);

/// One mood's world.
pub(crate) struct Earth {
    pub(crate) mood: Mood,
    pub(crate) zoom: Sandbox,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) secrets: Secrets,
    pub(crate) credentials: Credentials,
    envelope: Envelope,
    operator: Operator,
    gateway: Gateway,
    urls: [String; 3],
    upstream: Upstream,
    key_id: String,
    idle: Mutex<Vec<Lambda>>,
}

/// A team of its own, with a Zoom user of its own.
#[derive(Clone)]
pub(crate) struct Team {
    pub(crate) id: TeamId,
    pub(crate) user: String,
    pub(crate) key: String,
}

/// What is stored of a credential and its grant.
pub(crate) struct Seen {
    /// What the credential says: `active` or `invalid`.
    pub(crate) state: String,
    /// The grant's row, and whether it says that the user has to authorize again.
    pub(crate) grant: StoredGrant,
    /// The refresh tokens on it: the current one and the stashed.
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

fn zoom_at(url: &str) -> Zoom {
    let api = ApiUrl::configured(url.parse().unwrap());
    let zoom = Zoom::new(url.parse().unwrap(), api).unwrap();
    zoom.with_patience(PATIENCE)
        .with_refresh_patience(REFRESH_PATIENCE)
}

impl Earth {
    pub(crate) async fn new(mood: Mood) -> Arc<Self> {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // Each Lambda has sockets of its own; where no more can be had, the limit that is there may do.
            rlimit::increase_nofile_limit(u64::MAX).ok();
            // Fails where one is installed already, which then is as good.
            rustls::crypto::aws_lc_rs::default_provider()
                .install_default()
                .ok();
            tracing_subscriber::registry().with(Capsules).init();
        });
        let database = engine::open(None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dynamodb_url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(engine::serve(listener, database, std::future::pending()));
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
        zoom.set_mood(mood);

        let direct = aws(&dynamodb_url, &kms_url);
        let (dynamodb, names) = (direct.dynamodb(), tables::Names::default());
        tables::create_missing(&dynamodb, &names).await.unwrap();
        let key_id = kms.default_key();
        let services = Services::new(
            &direct,
            &names,
            &key_id,
            zoom_at(&zoom_url),
            "http://vault.test".parse().unwrap(),
        );
        Arc::new(Self {
            mood,
            zoom,
            secrets: Secrets::new(dynamodb.clone(), names.secrets),
            credentials: Credentials::new(dynamodb.clone(), names.credentials),
            envelope: Envelope::new(direct.kms(), key_id.clone(), Secrets::NAME),
            operator: Operator::new(dynamodb.clone(), names.keys),
            gateway: Gateway::new(services),
            urls: [dynamodb_url, kms_url, zoom_url],
            upstream: wire::upstream(),
            key_id,
            dynamodb,
            idle: Mutex::default(),
        })
    }

    /// A Lambda that does nothing now, with a wire of its own.
    pub(crate) async fn lambda(&self) -> Lambda {
        let idle = self.idle.lock().unwrap().pop();
        match idle {
            Some(lambda) => lambda,
            None => self.new_lambda().await,
        }
    }

    /// Takes back a Lambda that has done its work.
    pub(crate) fn give_back(&self, lambda: Lambda) {
        self.idle.lock().unwrap().push(lambda);
    }

    async fn new_lambda(&self) -> Lambda {
        let wire = Arc::new(Wire::new());
        let services = [Service::DynamoDb, Service::Kms, Service::Zoom];
        let mut urls = Vec::new();
        let mut proxies = JoinSet::new();
        for (service, url) in services.into_iter().zip(&self.urls) {
            let (wire, upstream) = (wire.clone(), self.upstream.clone());
            urls.push(wire::start(&mut proxies, wire, service, upstream, url.clone()).await);
        }
        let aws = aws(&urls[0], &urls[1]);
        let (dynamodb, names) = (aws.dynamodb(), tables::Names::default());
        let credentials = Credentials::new(dynamodb.clone(), names.credentials);
        let secrets = Secrets::new(dynamodb.clone(), names.secrets);
        let envelope = Envelope::new(aws.kms(), self.key_id.clone(), Secrets::NAME);
        let zoom = zoom_at(&urls[2]);
        let events = Events::new(dynamodb.clone(), names.events, RETENTION);
        Lambda {
            wire,
            keys: Keys::new(dynamodb.clone(), names.keys),
            requests: Requests::new(dynamodb.clone(), names.requests),
            events,
            dynamodb,
            credentials,
            secrets,
            envelope,
            zoom,
            _proxies: proxies,
        }
    }

    /// A new team and a new Zoom user.
    #[expect(clippy::disallowed_methods, reason = "a caller sends its key")]
    pub(crate) async fn team(&self) -> Team {
        let name = Uuid::new_v4().simple().to_string();
        let id: TeamId = name.parse().unwrap();
        self.zoom.register_user(User {
            id: name.clone(),
            account_id: None,
            email: None,
            display_name: None,
            first_name: None,
            last_name: None,
        });
        let team = self.operator.create_team(&id, 1_000_000, 1_000_000).await;
        team.unwrap();
        let (key, _) = self
            .operator
            .create_key(&id, Permission::Full)
            .await
            .unwrap();
        let key = ApiKey::into_text(key).expose_secret().to_owned();
        Team {
            id,
            user: name,
            key,
        }
    }

    /// The team's user clicks Allow; the code.
    fn code(&self, team: &Team) -> String {
        let consent = Consent {
            client_id: CLIENT_ID.to_owned(),
            redirect_uri: REDIRECT_URI.to_owned(),
            user_id: team.user.clone(),
            scopes: None,
            code_challenge: None,
        };
        self.zoom.authorize(consent).unwrap()
    }

    /// A new credential of the team's user.
    pub(crate) async fn create(&self, team: &Team) -> CredentialId {
        let body = json!({
            "name": "bot",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "authorization_code": self.code(team),
            "redirect_uri": REDIRECT_URI,
        });
        let (status, body) = self.send(team, "POST", "", &body).await;
        assert_eq!(status, 201, "{body}");
        let id = body["data"]["credential_id"].as_str().unwrap();
        id.parse().unwrap()
    }

    /// The user clicks Allow again, and the credential is given the code.
    pub(crate) async fn reauthorize(&self, team: &Team, id: CredentialId) {
        let body = json!({ "authorization_code": self.code(team), "redirect_uri": REDIRECT_URI });
        let (status, body) = self.send(team, "PATCH", &format!("/{id}"), &body).await;
        assert_eq!(status, 200, "{body}");
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

    /// What is stored of a credential and its grant.
    pub(crate) async fn see(&self, team: &Team, id: CredentialId) -> Seen {
        let stored = self.credentials.get(&team.id, id).await.unwrap();
        let secret = SecretId::Grant(stored.grant.unwrap().id);
        let grant = self.secrets.grant(stored.grant.unwrap().id).await.unwrap();
        let state = serde_json::to_value(stored.credential.state).unwrap();
        let mut refresh_tokens = Vec::new();
        for sealed in grant.sealed.iter().chain(&grant.stash) {
            refresh_tokens.push(self.opened(team, secret.clone(), sealed).await);
        }
        Seen {
            state: state.as_str().unwrap().to_owned(),
            grant,
            refresh_tokens,
        }
    }

    /// The refresh token that is sealed here.
    #[expect(clippy::disallowed_methods, reason = "it is compared with Zoom's")]
    pub(crate) async fn opened(&self, team: &Team, secret: SecretId, sealed: &Sealed) -> String {
        let binding = Binding {
            team: team.id.clone(),
            secret,
        };
        let opened = self.envelope.open(&binding, sealed).await.unwrap();
        let pair: TokenPair = opened.try_into().unwrap();
        pair.refresh.expose_secret().to_owned()
    }

    /// Time passes: attributes of a credential's grant row that hold an instant are in the past.
    async fn outdate(&self, team: &Team, id: CredentialId, names: &[&str]) {
        let stored = self.credentials.get(&team.id, id).await.unwrap();
        let secret = SecretId::Grant(stored.grant.unwrap().id).to_string();
        for name in names {
            let update = self.dynamodb.update_item().table_name(Secrets::NAME);
            let update = update
                .key("secret_id", AttributeValue::S(secret.clone()))
                .update_expression("SET #name = :past")
                .condition_expression("attribute_exists(#name)")
                .expression_attribute_names("#name", *name)
                .expression_attribute_values(":past", AttributeValue::N("1".to_owned()));
            // Refused where the row has none.
            update.send().await.ok();
        }
    }

    /// Time passes: the access token has ended, as far as the vault knows.
    pub(crate) async fn expire(&self, team: &Team, id: CredentialId) {
        self.outdate(team, id, &["access_expires_at"]).await;
    }

    /// Time passes: every invocation has ended, and with it what it held.
    pub(crate) async fn outlast(&self, team: &Team, id: CredentialId) {
        self.outdate(team, id, &["lease_until", "lock_until"]).await;
    }

    /// Writes the capsules of a team's grants where they belong, as the CLI does. How many there were.
    pub(crate) async fn replay(&self, team: &Team) -> usize {
        let capsules = taken(&team.id);
        for capsule in &capsules {
            let replayed = capsule.replay(&self.secrets, Timestamp::now());
            replayed.await.unwrap();
        }
        capsules.len()
    }
}

/// Capsules that were logged, by team.
static LOGGED: Mutex<Option<HashMap<String, Vec<Capsule>>>> = Mutex::new(None);

fn taken(team: &TeamId) -> Vec<Capsule> {
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    let logged = logged.get_or_insert_default();
    logged.remove(team.as_str()).unwrap_or_default()
}

/// Picks the recovery capsules out of the log.
struct Capsules;

impl<S: Subscriber> Layer<S> for Capsules {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.fields().field("capsule").is_some() {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Text(Option<String>);
        impl Visit for Text {
            fn record_str(&mut self, field: &Field, value: &str) {
                if field.name() == "capsule" {
                    self.0 = Some(value.to_owned());
                }
            }
            fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
        }
        let mut text = Text(None);
        event.record(&mut text);
        let Some(text) = text.0 else { return };
        let capsule: Capsule = text.parse().unwrap();
        let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
        let logged = logged.get_or_insert_default();
        let team = capsule.team.as_str().to_owned();
        logged.entry(team).or_default().push(capsule);
    }
}
