//! A test environment: a vault and the services that it calls. Each test has its own.

use std::ops::Deref;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use aws_sdk_dynamodb::config::Credentials as AwsCredentials;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use axum::Router;
use local::engine::Database;
use local::gateway::{Gateway, Notifications, Services};
use local::sqs::Queue;
use local::zoom::{App, Consent, GrantType, Sandbox, User};
use local::{engine, kms, tables};
use reqwest::Method;
use serde_json::Value;
use shared::config::{Aws, KEEP_ALIVE_AFTER, REVOKE_AFTER};
use shared::keep_alive::Report;
use shared::notification::AddressRule;
use shared::pair::Pair;
use shared::stores::{Requests, TeamAdmin};
use shared::timestamp::Timestamp;
use shared::zoom::{ApiUrl, Zoom};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::proxy::{self, Service, Wire};
use crate::vault::Vault;

mod aging;
mod answer;
mod caller;
mod rows;
mod seed;

pub(crate) use answer::{Answer, CODE_SPENT, code_refused, retry_after};
pub(crate) use caller::{Caller, send};
pub(crate) use rows::{Item, attribute, is_count, sorted_text};
pub(crate) use seed::{
    CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SCOPES, ada, app_body, grace, id_of, test_app, text_of,
    user_body, with,
};

/// A vault and the services that it calls. A test can watch and change the services directly.
pub(crate) struct World {
    /// The vault.
    pub(crate) vault: Vault,
    /// The network calls that the functions make.
    pub(crate) wire: Arc<Wire>,
    /// KMS.
    pub(crate) kms: kms::Emulator,
    /// Zoom.
    pub(crate) zoom: Sandbox,
    /// A DynamoDB client that does not go through the wire.
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    /// The gateway, to invoke functions without HTTP.
    pub(crate) gateway: Gateway,
    /// Builds each function's clients, which call through the wire.
    pub(crate) services: Services,
    /// The Zoom client of the functions.
    pub(crate) zoom_client: Zoom,
    /// The queue of notifications.
    pub(crate) queue: Queue,
    database: Database,
    stream: Mutex<engine::Stream>,
    event_stream: Mutex<engine::Stream>,
}

impl Deref for World {
    type Target = Vault;

    fn deref(&self) -> &Vault {
        &self.vault
    }
}

impl World {
    /// Empty tables, a new KMS key, and a Zoom sandbox with one app and the user `ada`.
    pub(crate) async fn new() -> Self {
        Self::with_zoom_time_out(shared::zoom::ANSWER_TIMEOUT).await
    }

    /// A world whose functions wait this long for Zoom's answers.
    pub(crate) async fn with_zoom_time_out(time_out: Duration) -> Self {
        Self::with(time_out, AddressRule::PublicOrLoopback).await
    }

    /// A world whose functions send notifications to these addresses.
    pub(crate) async fn with_addresses(rule: AddressRule) -> Self {
        Self::with(shared::zoom::ANSWER_TIMEOUT, rule).await
    }

    async fn with(time_out: Duration, rule: AddressRule) -> Self {
        let wire = Arc::new(Wire::default());

        let database = engine::open(None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dynamodb_url = format!("http://{}", listener.local_addr().unwrap());
        let served = database.clone();
        tokio::spawn(engine::serve(listener, served, std::future::pending()));

        let kms = kms::Emulator::open(None).unwrap();
        let kms_url = serve(kms.router()).await;

        let zoom = Sandbox::open(None).unwrap();
        let zoom_url = serve(zoom.router()).await;
        zoom.register_app(test_app());
        zoom.register_user(ada());

        let direct = aws(&dynamodb_url, &kms_url).dynamodb();
        let names = tables::Names::default();
        tables::create_missing(&direct, &names).await.unwrap();
        let operator = TeamAdmin::new(direct.clone(), names.keys.clone());

        let wired = aws(
            &proxy::start(wire.clone(), Service::DynamoDb, dynamodb_url).await,
            &proxy::start(wire.clone(), Service::Kms, kms_url).await,
        );
        let queue = Queue::default();
        let wired = wired.with_sqs_endpoint(Some(serve(queue.router()).await));
        let zoom_proxy = proxy::start(wire.clone(), Service::Zoom, zoom_url.clone()).await;
        zoom.set_origin(zoom_proxy.parse().unwrap());
        let api = ApiUrl::configured(zoom_proxy.parse().unwrap());
        let client = Zoom::new(zoom_proxy.parse().unwrap(), api).unwrap();
        let client = client.with_answer_timeout(time_out);
        let zoom_client = client.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let public = url.parse().unwrap();
        let key = kms.default_key();
        let notifications = Notifications::new(queue.clone(), rule).unwrap();
        let services = Services::new(&wired, &names, &key, client, public, notifications);
        let gateway = Gateway::new(services.clone());
        tokio::spawn(
            gateway
                .clone()
                .serve(listener, gateway.router(), std::future::pending()),
        );

        let requests = Requests::new(direct.clone(), names.requests.clone());
        let vault = Vault::at(url, zoom_url, operator, Some(requests), String::new()).await;
        wire.reset();
        Self {
            vault,
            wire,
            kms,
            zoom,
            dynamodb: direct,
            gateway,
            services,
            zoom_client,
            queue,
            stream: Mutex::new(engine::Stream::open(database.clone(), &names.credentials).unwrap()),
            event_stream: Mutex::new(
                engine::Stream::open(database.clone(), &names.events).unwrap(),
            ),
            database,
        }
    }

    /// A KMS client that does not go through the wire.
    pub(crate) async fn kms_client(&self) -> aws_sdk_kms::Client {
        let kms = serve(self.kms.router()).await;
        aws("http://127.0.0.1:1", &kms).kms()
    }

    /// A KMS client that goes through the wire.
    pub(crate) async fn wired_kms_client(&self) -> aws_sdk_kms::Client {
        let kms = serve(self.kms.router()).await;
        let kms = proxy::start(self.wire.clone(), Service::Kms, kms).await;
        aws("http://127.0.0.1:1", &kms).kms()
    }

    /// The Zoom user `ada` allows the app everything. Returns the code.
    pub(crate) fn code(&self) -> String {
        self.code_of("ada", None)
    }

    /// A Zoom user allows the app all of its scopes, or only these. Returns the code.
    pub(crate) fn code_of(&self, user: &str, scopes: Option<&[&str]>) -> String {
        self.zoom
            .authorize(Consent {
                client_id: CLIENT_ID.to_owned(),
                redirect_uri: REDIRECT_URI.to_owned(),
                user_id: user.to_owned(),
                scopes: scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect()),
                code_challenge: None,
            })
            .unwrap()
    }

    /// Registers the Zoom user `grace`, who has an email address only.
    pub(crate) fn register_grace(&self) {
        self.zoom.register_user(grace());
    }

    /// Registers another app at Zoom, with the scopes and the redirect URI of the first app.
    pub(crate) fn register_app(&self, client_id: &str, client_secret: &str) {
        self.zoom.register_app(App {
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            redirect_uris: vec![REDIRECT_URI.to_owned()],
            scopes: SCOPES.iter().map(ToString::to_string).collect(),
        });
    }

    /// Registers a Zoom user with a complete profile, and creates a user credential of `acme` for this user. Returns
    /// the credential's id.
    pub(crate) async fn add_credential_for_user(&self, user: &str) -> String {
        self.zoom.register_user(User {
            id: user.to_owned(),
            ..ada()
        });
        let body = user_body(user, &self.code_of(user, None));
        id_of(&self.acme.create(body).await.expect(201))
    }

    /// Invokes a function for `acme` in a task, which returns the status. Aborting the task is a crash of the function.
    pub(crate) fn invoke(&self, method: Method, path: &str, body: &Value) -> JoinHandle<u16> {
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("x-meeting-baas-api-key", self.acme.key())
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        let (parts, ()) = request.into_parts();
        let (gateway, body) = (self.gateway.clone(), body.to_string().into_bytes());
        tokio::spawn(async move { gateway.answer(parts, body).await.status().as_u16() })
    }

    /// Runs the scheduled function, which has five minutes.
    pub(crate) async fn keep_alive(&self) -> Report {
        let time_out = Duration::from_mins(5);
        self.gateway
            .keep_alive(KEEP_ALIVE_AFTER, REVOKE_AFTER, time_out)
            .await
            .unwrap()
    }

    /// The next batch of the stream that Lambda would read.
    pub(crate) fn next_stream_batch(&self) -> Option<Value> {
        self.stream.lock().unwrap().batch().unwrap()
    }

    /// Runs the purge on the stream up to its end. Returns false if the purge failed on a record.
    pub(crate) async fn drain_stream(&self) -> bool {
        loop {
            let Some(batch) = self.next_stream_batch() else {
                return true;
            };
            if !self.gateway.purge(batch).await.unwrap() {
                return false;
            }
            self.stream.lock().unwrap().advance();
        }
    }

    /// Puts the notifications of all new events into the queue. Returns false if that failed for a record.
    pub(crate) async fn enqueue_notifications(&self) -> bool {
        loop {
            let batch = self.event_stream.lock().unwrap().batch().unwrap();
            let Some(batch) = batch else { return true };
            if !self.gateway.notify_enqueue(batch).await.unwrap() {
                return false;
            }
            self.event_stream.lock().unwrap().advance();
        }
    }

    /// Puts the notifications of all new events into the queue, and tries each message that is visible.
    pub(crate) async fn notify(&self) {
        assert!(self.enqueue_notifications().await);
        while self.gateway.notify_deliver().await.unwrap() {}
    }

    /// How many refresh tokens were sent to Zoom, accepted or not.
    pub(crate) fn refresh_calls(&self) -> usize {
        self.token_calls(GrantType::RefreshToken)
    }

    /// How many codes were sent to Zoom, accepted or not.
    pub(crate) fn exchange_calls(&self) -> usize {
        self.token_calls(GrantType::AuthorizationCode)
    }

    fn token_calls(&self, grant_type: GrantType) -> usize {
        let ledger = self.zoom.ledger();
        let calls = ledger
            .iter()
            .filter(|call| call.grant_type == Some(grant_type));
        calls.count()
    }

    /// The events of a credential that changed its state, newest first.
    pub(crate) async fn state_changes(&self, id: &str) -> Vec<String> {
        let events = self.acme.events(id, "").await.expect(200);
        let changes = events.as_array().unwrap().iter();
        let changes = changes.filter(|event| event["kind"] == "state_change");
        let words = changes.map(|event| {
            let (state, reason) = (&event["state"], event["reason"].as_str());
            format!("{} {}", state.as_str().unwrap(), reason.unwrap_or_default())
        });
        words.map(|words| words.trim_end().to_owned()).collect()
    }

    /// Every row of a table.
    pub(crate) async fn items(&self, table: &str) -> Vec<Item> {
        let mut pages = self
            .dynamodb
            .scan()
            .table_name(table)
            .into_paginator()
            .items()
            .send();
        let mut items = Vec::new();
        while let Some(item) = pages.next().await {
            items.push(item.unwrap());
        }
        items
    }

    /// Every row of a table as text, in no order.
    pub(crate) async fn rows(&self, table: &str) -> Vec<String> {
        let items = self.items(table).await.into_iter();
        items.map(|item| format!("{item:?}")).collect()
    }

    /// Every row of a table as text, in a stable order. Two tables are equal if these texts are.
    pub(crate) async fn sorted_rows(&self, table: &str) -> Vec<String> {
        let items = self.items(table).await.into_iter();
        let mut rows: Vec<String> = items.map(|item| sorted_text(&item)).collect();
        rows.sort();
        rows
    }

    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &str) -> usize {
        self.items(table).await.len()
    }

    /// The row of a credential, of any team, deleted or not.
    pub(crate) async fn row(&self, id: &str) -> Item {
        let mut rows = self.items("credentials").await.into_iter();
        rows.find(|row| attribute(row, "credential_id") == id)
            .unwrap()
    }

    /// Writes a row without any condition.
    pub(crate) async fn put(&self, table: &str, item: Item) {
        let put = self
            .dynamodb
            .put_item()
            .table_name(table)
            .set_item(Some(item));
        put.send().await.unwrap();
    }

    /// Writes rows of `credentials` without any condition.
    pub(crate) async fn put_rows(&self, rows: Vec<Item>) {
        for some in rows.chunks(25) {
            let puts = some.iter().map(|row| {
                let put = PutRequest::builder().set_item(Some(row.clone()));
                let put = put.build().unwrap();
                WriteRequest::builder().put_request(put).build()
            });
            let written = self
                .dynamodb
                .batch_write_item()
                .request_items("credentials", puts.collect());
            // On a busy machine, an answer may come too late. The same rows can be put again.
            let mut repetitions = 0..5;
            let answer = loop {
                match written.clone().send().await {
                    Err(_) if repetitions.next().is_some() => {}
                    answer => break answer,
                }
            };
            let unprocessed = answer.unwrap().unprocessed_items;
            assert!(unprocessed.unwrap_or_default().is_empty());
        }
    }

    /// Sets text attributes in the row of a credential.
    pub(crate) async fn set_texts(&self, id: &str, texts: &[(&str, &str)]) {
        let mut row = self.row(id).await;
        for (name, text) in texts {
            row.insert((*name).to_owned(), AttributeValue::S((*text).to_owned()));
        }
        self.put("credentials", row).await;
    }

    /// Sets an attribute in the row of a credential's grant.
    pub(crate) async fn set_in_grant(&self, id: &str, name: &str, value: AttributeValue) {
        let grant = format!("grant#{}", attribute(&self.row(id).await, "grant_id"));
        let rows = self.items("secrets").await.into_iter();
        let mut rows = rows.filter(|row| attribute(row, "secret_id") == grant);
        let mut row = rows.next().unwrap();
        row.insert(name.to_owned(), value);
        self.put("secrets", row).await;
    }

    /// Whether any request holds a claim.
    pub(crate) async fn has_running_request(&self) -> bool {
        let rows = self.items("requests").await;
        rows.iter().any(|row| row.contains_key("in_progress_until"))
    }

    /// The row of the pair of a Zoom user and the test app, in the team `acme`.
    pub(crate) async fn pair_of(&self, user: &str) -> Item {
        let id = self.pair_id(user);
        let mut rows = self.items("pairs").await.into_iter();
        rows.find(|row| attribute(row, "pair_id") == id).unwrap()
    }

    /// The id of the pair of a Zoom user and the test app, in the team `acme`.
    pub(crate) fn pair_id(&self, user: &str) -> String {
        let pair = Pair {
            team: self.team("acme"),
            client_id: CLIENT_ID.to_owned().try_into().unwrap(),
            zoom_user_id: user.to_owned(),
        };
        pair.id().to_string()
    }

    /// Panics if a credential, a secret or a claim is stored, or if Zoom or KMS was called. `cause` is named in the
    /// message.
    pub(crate) async fn expect_nothing_done(&self, cause: &str) {
        for table in ["credentials", "secrets"] {
            assert_eq!(
                self.rows(table).await,
                [""; 0],
                "{cause} left a row in {table}"
            );
        }
        let requests = self.rows("requests").await;
        let claimed = requests.iter().find(|row| !is_count(row));
        assert_eq!(claimed, None, "{cause}");
        let called = (
            self.wire.count(Service::Kms),
            self.wire.count(Service::Zoom),
        );
        assert_eq!(called, (0, 0), "{cause} called KMS or Zoom");
    }
}

pub(crate) fn http_client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Fails if another provider is installed already. That one serves as well.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
    });
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

pub(crate) fn aws(dynamodb: &str, kms: &str) -> Aws {
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

/// Waits until the clock, which counts in milliseconds, shows another time.
pub(crate) async fn next_millisecond() {
    let before = Timestamp::now().as_millis();
    while Timestamp::now().as_millis() == before {
        tokio::task::yield_now().await;
    }
}
