//! A vault with everything it calls, real and its own: one per test.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use aws_sdk_dynamodb::config::Credentials as AwsCredentials;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use axum::Router;
use local::engine::Database;
use local::gateway::{Gateway, Services};
use local::zoom::{App, Consent, GrantType, Sandbox, User};
use local::{engine, kms, tables};
use reqwest::Method;
use reqwest::header::HeaderMap;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::api_key::ApiKey;
use shared::config::{Aws, KEEP_ALIVE_AFTER};
use shared::keep_alive::Report;
use shared::stores::TeamAdmin;
use shared::timestamp::Timestamp;
use shared::zoom::{ApiUrl, Zoom};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::contract;
use crate::proxy::{self, Service, Wire};
use crate::vault::Vault;

/// The Zoom app that the sandbox knows.
pub(crate) const CLIENT_ID: &str = "test-app";
/// Its secret.
pub(crate) const CLIENT_SECRET: &str = "test-app-secret";
/// Its redirect URI.
pub(crate) const REDIRECT_URI: &str = "https://example.test/callback";
/// Everything the app may ask for.
pub(crate) const SCOPES: [&str; 4] = [
    "user:read:user",
    "user:read:token",
    "user:read:zak",
    "meeting:read:local_recording_token",
];

/// A vault and its surroundings: what it calls, seen and touched from behind.
pub(crate) struct World {
    /// The vault.
    pub(crate) vault: Vault,
    /// What the functions call, on the wire.
    pub(crate) wire: Arc<Wire>,
    /// KMS.
    pub(crate) kms: kms::Emulator,
    /// Zoom.
    pub(crate) zoom: Sandbox,
    /// DynamoDB, not through the wire.
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    /// The gateway, to invoke functions without HTTP.
    pub(crate) gateway: Gateway,
    /// What the gateway builds each function's clients from. They call through the wire.
    pub(crate) services: Services,
    /// The functions' own Zoom client.
    pub(crate) zoom_client: Zoom,
    database: Database,
    stream: Mutex<engine::Stream>,
}

/// What can be done with any vault can be done with this one.
impl Deref for World {
    type Target = Vault;

    fn deref(&self) -> &Vault {
        &self.vault
    }
}

/// Somebody who calls the API.
#[derive(Clone)]
pub(crate) struct Caller {
    url: String,
    key: String,
    http: reqwest::Client,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

pub(crate) fn http_client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Fails where one is installed already, which then is as good.
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

/// When the clock, which counts in milliseconds, has gone on.
pub(crate) async fn next_millisecond() {
    let before = Timestamp::now().as_millis();
    while Timestamp::now().as_millis() == before {
        tokio::task::yield_now().await;
    }
}

impl World {
    /// A world of its own: empty tables, a fresh KMS key, a sandbox with one app and the user `ada`.
    pub(crate) async fn new() -> Self {
        Self::with_patience(shared::zoom::ANSWER_TIMEOUT).await
    }

    /// A world that waits this long for Zoom's answers.
    pub(crate) async fn with_patience(patience: Duration) -> Self {
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
        let zoom_proxy = proxy::start(wire.clone(), Service::Zoom, zoom_url.clone()).await;
        zoom.set_origin(zoom_proxy.parse().unwrap());
        let api = ApiUrl::configured(zoom_proxy.parse().unwrap());
        let client = Zoom::new(zoom_proxy.parse().unwrap(), api).unwrap();
        let client = client.with_answer_timeout(patience);
        let zoom_client = client.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let public = url.parse().unwrap();
        let key = kms.default_key();
        let services = Services::new(&wired, &names, &key, client, public);
        let gateway = Gateway::new(services.clone());
        tokio::spawn(
            gateway
                .clone()
                .serve(listener, Router::new(), std::future::pending()),
        );

        let vault = Vault::at(url, zoom_url, operator, String::new()).await;
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
            stream: Mutex::new(engine::Stream::open(database.clone(), &names.credentials).unwrap()),
            database,
        }
    }

    /// The Zoom user `ada` clicks Allow; the code.
    pub(crate) fn code(&self) -> String {
        self.code_of("ada", None)
    }

    /// A Zoom user clicks Allow, for all of the app's scopes or for some.
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

    /// Every row of a table, as DynamoDB's JSON, unordered.
    pub(crate) async fn rows(&self, table: &str) -> Vec<String> {
        let mut items = self
            .dynamodb
            .scan()
            .table_name(table)
            .into_paginator()
            .items()
            .send();
        let mut rows = Vec::new();
        while let Some(item) = items.next().await {
            rows.push(format!("{:?}", item.unwrap()));
        }
        rows
    }

    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &str) -> usize {
        self.rows(table).await.len()
    }
}

/// The app that the sandbox knows.
pub(crate) fn test_app() -> App {
    App {
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        redirect_uris: vec![REDIRECT_URI.to_owned()],
        scopes: SCOPES.iter().map(ToString::to_string).collect(),
    }
}

/// A Zoom user with everything a profile has.
pub(crate) fn ada() -> User {
    User {
        id: "ada".to_owned(),
        account_id: Some("analytical".to_owned()),
        email: Some("ada@example.test".to_owned()),
        display_name: Some("Ada Lovelace".to_owned()),
        first_name: Some("Ada".to_owned()),
        last_name: Some("Lovelace".to_owned()),
    }
}

/// The body that creates a user credential.
pub(crate) fn user_body(name: &str, code: &str) -> Value {
    json!({
        "name": name,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "authorization_code": code,
        "redirect_uri": REDIRECT_URI,
    })
}

/// The text of a key, as its owner holds it.
#[expect(clippy::disallowed_methods, reason = "a caller sends its key")]
pub(crate) fn text_of(key: ApiKey) -> String {
    key.into_text().expose_secret().to_owned()
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

impl Caller {
    /// Whoever sends this key to this address.
    pub(crate) fn new(url: String, key: String, http: reqwest::Client) -> Self {
        Self { url, key, http }
    }

    /// A path, at the address that this caller calls.
    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The client that this caller sends with.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The key this caller sends.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// A request with this caller's key; add to it what it needs.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        request
            .header("x-meeting-baas-api-key", &self.key)
            .timeout(Duration::from_mins(1))
    }

    /// `POST /v2/zoom-credentials`
    pub(crate) async fn create(&self, body: Value) -> Answer {
        send(
            self.request(Method::POST, "/v2/zoom-credentials")
                .json(&body),
        )
        .await
    }

    /// `GET /v2/zoom-credentials` and a query, `?` included.
    pub(crate) async fn list(&self, query: &str) -> Answer {
        send(self.request(Method::GET, &format!("/v2/zoom-credentials{query}"))).await
    }

    /// `GET /v2/zoom-credentials/{id}`
    pub(crate) async fn get(&self, id: &str) -> Answer {
        send(self.request(Method::GET, &format!("/v2/zoom-credentials/{id}"))).await
    }

    /// `GET /v2/zoom-credentials/{id}/events` and a query, `?` included.
    pub(crate) async fn events(&self, id: &str, query: &str) -> Answer {
        let path = format!("/v2/zoom-credentials/{id}/events{query}");
        send(self.request(Method::GET, &path)).await
    }

    /// `POST /v2/zoom-credentials/{id}/check`
    pub(crate) async fn check(&self, id: &str) -> Answer {
        let path = format!("/v2/zoom-credentials/{id}/check");
        send(self.request(Method::POST, &path)).await
    }

    /// As [`Self::check`], with a body.
    pub(crate) async fn check_with(&self, id: &str, body: Value) -> Answer {
        let path = format!("/v2/zoom-credentials/{id}/check");
        send(self.request(Method::POST, &path).json(&body)).await
    }

    /// `PATCH /v2/zoom-credentials/{id}`
    pub(crate) async fn update(&self, id: &str, body: Value) -> Answer {
        send(
            self.request(Method::PATCH, &format!("/v2/zoom-credentials/{id}"))
                .json(&body),
        )
        .await
    }

    /// `POST /v2/zoom-credentials/{id}/restore`
    pub(crate) async fn restore(&self, id: &str) -> Answer {
        let path = format!("/v2/zoom-credentials/{id}/restore");
        send(self.request(Method::POST, &path)).await
    }

    /// `DELETE /v2/zoom-credentials/{id}`
    pub(crate) async fn delete(&self, id: &str) -> Answer {
        send(self.request(Method::DELETE, &format!("/v2/zoom-credentials/{id}"))).await
    }
}

/// Sends a request. Whatever comes back must keep the published contract.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    let (http, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (
        request.method().to_string(),
        request.url().path().to_owned(),
    );
    let response = http.execute(request).await.unwrap();
    let answer = Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    };
    contract::check(&method, &path, &answer);
    answer
}

impl Answer {
    /// The body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The data of a success with this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        let body = self.json();
        assert_eq!(body["success"], true);
        body["data"].clone()
    }

    /// A failure with this status, code and message, and nothing else in it.
    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, code: &str, message: &str) {
        let body = self.json();
        assert_eq!(
            (self.status, body["code"].as_str().unwrap()),
            (status, code),
            "{}",
            self.text
        );
        assert_eq!(body["message"], message);
    }

    /// A failure with this status and code, whatever it says.
    #[track_caller]
    pub(crate) fn expect_code(&self, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!(
            (self.status, body["code"].as_str().unwrap()),
            (status, code),
            "{}",
            self.text
        );
        body["message"].as_str().unwrap().to_owned()
    }
}

/// A row, as DynamoDB has it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// A row's attribute as text, of a string or a number.
pub(crate) fn attribute<'a>(item: &'a Item, name: &str) -> &'a str {
    let value = &item[name];
    let text = value.as_s().or_else(|_| value.as_n());
    text.unwrap()
}

impl World {
    /// A function of `acme`'s, invoked as a task that can be aborted: a crash. What it answers is its status.
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

    /// The row of a credential, whoever's it is.
    pub(crate) async fn row(&self, id: &str) -> Item {
        let mut rows = self.items("credentials").await.into_iter();
        rows.find(|row| attribute(row, "credential_id") == id)
            .unwrap()
    }

    /// Writes a row as it is, past every condition.
    pub(crate) async fn put(&self, table: &str, item: Item) {
        let put = self
            .dynamodb
            .put_item()
            .table_name(table)
            .set_item(Some(item));
        put.send().await.unwrap();
    }

    /// Whether a request is remembered as running.
    pub(crate) async fn is_running(&self) -> bool {
        let rows = self.items("requests").await;
        rows.iter().any(|row| row.contains_key("in_progress_until"))
    }

    /// Time passes: whatever is remembered as running has had its time.
    pub(crate) async fn outlast_the_running(&self) {
        for mut row in self.items("requests").await {
            if row.contains_key("in_progress_until") {
                let past = AttributeValue::N("1".to_owned());
                row.insert("in_progress_until".to_owned(), past);
                self.put("requests", row).await;
            }
        }
    }

    /// Time passes: every access token there is has ended.
    pub(crate) async fn expire_access(&self) {
        self.zoom.advance(Duration::from_hours(1));
        for mut row in self.items("secrets").await {
            if row.contains_key("access_expires_at") {
                let past = AttributeValue::N("1".to_owned());
                row.insert("access_expires_at".to_owned(), past);
                self.put("secrets", row).await;
            }
        }
    }

    /// Time passes, for Zoom and for the grants, and nobody uses one.
    pub(crate) async fn idle(&self, time: Duration) {
        self.zoom.advance(time);
        let millis = i64::try_from(time.as_millis()).unwrap();
        for mut row in self.items("secrets").await {
            let Some(refreshed_at) = row.get("refreshed_at") else {
                continue;
            };
            let refreshed_at = Timestamp::try_from(refreshed_at.as_s().unwrap().clone());
            let refreshed_at = refreshed_at.unwrap().minus(time).to_string();
            row.insert("refreshed_at".to_owned(), AttributeValue::S(refreshed_at));
            let expires_at: i64 = attribute(&row, "access_expires_at").parse().unwrap();
            let expires_at = AttributeValue::N((expires_at - millis).to_string());
            row.insert("access_expires_at".to_owned(), expires_at);
            self.put("secrets", row).await;
        }
    }

    /// What Lambda reads of the stream next.
    pub(crate) fn next_batch(&self) -> Option<Value> {
        self.stream.lock().unwrap().batch().unwrap()
    }

    /// Lambda reads the stream up to its end: whether all of it was seen to.
    pub(crate) async fn follow_stream(&self) -> bool {
        loop {
            let Some(batch) = self.next_batch() else {
                return true;
            };
            if !self.gateway.purge(batch).await.unwrap() {
                return false;
            }
            self.stream.lock().unwrap().advance();
        }
    }

    /// Time passes: what was deleted is past its TTL, and DynamoDB takes it.
    pub(crate) async fn outlive_the_deleted(&self) {
        for mut row in self.items("credentials").await {
            if row.contains_key("purge_at") {
                row.insert("purge_at".to_owned(), AttributeValue::N("1".to_owned()));
                self.put("credentials", row).await;
            }
        }
        self.database.sweep_ttl().unwrap();
    }

    /// What the schedule invokes, with five minutes of time.
    pub(crate) async fn keep_alive(&self) -> Report {
        let time_out = Duration::from_mins(5);
        self.gateway
            .keep_alive(KEEP_ALIVE_AFTER, time_out)
            .await
            .unwrap()
    }

    /// How many refresh tokens were sent to Zoom, for better or worse.
    pub(crate) fn refreshes(&self) -> usize {
        let ledger = self.zoom.ledger();
        let refreshes = ledger
            .iter()
            .filter(|call| call.grant_type == Some(GrantType::RefreshToken));
        refreshes.count()
    }

    /// A user credential of `acme` for another Zoom user, who is registered with everything a profile has; its id.
    pub(crate) async fn given_user_of(&self, user: &str) -> String {
        self.zoom.register_user(User {
            id: user.to_owned(),
            ..ada()
        });
        let body = user_body(user, &self.code_of(user, None));
        id_of(&self.acme.create(body).await.expect(201))
    }

    /// Time passes: whoever held a lease has had its time.
    pub(crate) async fn end_leases(&self) {
        for mut row in self.items("secrets").await {
            if row.contains_key("lease_until") {
                let past = AttributeValue::N("1".to_owned());
                row.insert("lease_until".to_owned(), past);
                self.put("secrets", row).await;
            }
        }
    }

    /// Time passes: a credential's user authorized 10 s earlier than they did.
    pub(crate) async fn age_grant(&self, id: &str) {
        let mut row = self.row(id).await;
        let at: i64 = attribute(&row, "grant_authorized_at").parse().unwrap();
        let earlier = AttributeValue::N((at - 10_000).to_string());
        row.insert("grant_authorized_at".to_owned(), earlier);
        self.put("credentials", row).await;
    }

    /// How many codes were sent to Zoom, for better or worse.
    pub(crate) fn exchanges(&self) -> usize {
        let ledger = self.zoom.ledger();
        let exchanges = ledger
            .iter()
            .filter(|call| call.grant_type == Some(GrantType::AuthorizationCode));
        exchanges.count()
    }
}

impl Caller {
    /// `POST /v2/zoom-credentials` with an `Idempotency-Key`.
    pub(crate) async fn create_as(&self, key: &str, body: Value) -> Answer {
        let request = self.request(Method::POST, "/v2/zoom-credentials");
        send(request.header("idempotency-key", key).json(&body)).await
    }
}

/// The body that creates an app credential.
pub(crate) fn app_body(name: &str) -> Value {
    json!({ "name": name, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET })
}

/// What is said of a code that Zoom refused for this reason.
pub(crate) fn refused_code(reason: &str) -> String {
    format!(
        "Zoom refused the authorization code: {reason}. Check client_id, client_secret and redirect_uri. A code works \
         once, for 5 minutes, with the app and the redirect URI it was issued for: if it was used before, send the \
         user through the authorization again."
    )
}

/// Zoom's reason for refusing a code that was used or is too old.
pub(crate) const SPENT: &str = "invalid_grant: Code is expired (4733)";

/// `retry-after`, in seconds.
#[track_caller]
pub(crate) fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").unwrap().parse().unwrap()
}

impl World {
    /// A client of this world's KMS, not through the wire.
    pub(crate) async fn kms_client(&self) -> aws_sdk_kms::Client {
        let kms = serve(self.kms.router()).await;
        aws("http://127.0.0.1:1", &kms).kms()
    }
}

/// A row, as DynamoDB has it.
pub(crate) type Row = HashMap<String, AttributeValue>;

impl Caller {
    /// A request with this text for its JSON body, well-formed or not.
    pub(crate) async fn send_text(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let request = self.request(method, path);
        let request = request.header("content-type", "application/json");
        send(request.body(body)).await
    }
}

impl World {
    /// The row of a credential of `acme`, deleted or not.
    pub(crate) async fn stored_row(&self, id: &str) -> Row {
        let asked = self
            .dynamodb
            .get_item()
            .table_name("credentials")
            .key("team_id", AttributeValue::S("acme".to_owned()))
            .key("credential_id", AttributeValue::S(id.to_owned()));
        asked.send().await.unwrap().item.unwrap()
    }

    /// Puts rows into `credentials`, as no handler would.
    pub(crate) async fn put_rows(&self, rows: Vec<Row>) {
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
            let written = written.send().await.unwrap();
            assert!(written.unprocessed_items.unwrap_or_default().is_empty());
        }
    }

    /// Changes what the row of a credential of `acme` says.
    pub(crate) async fn alter(&self, id: &str, texts: &[(&str, &str)]) {
        let mut row = self.stored_row(id).await;
        for (name, text) in texts {
            row.insert((*name).to_owned(), AttributeValue::S((*text).to_owned()));
        }
        self.put_rows(vec![row]).await;
    }

    /// Everything in a table, in an order of its own: two tables are equal where this is.
    pub(crate) async fn contents(&self, table: &str) -> Vec<String> {
        let scanned = self.dynamodb.scan().table_name(table).send().await;
        let rows = scanned.unwrap().items.unwrap().into_iter();
        let mut rows: Vec<String> = rows
            .map(|row| format!("{:?}", row.into_iter().collect::<BTreeMap<_, _>>()))
            .collect();
        rows.sort();
        rows
    }

    /// Panics where any credential, secret or idempotency row is stored, or Zoom or KMS was called.
    pub(crate) async fn expect_untouched(&self, by: &str) {
        for table in ["credentials", "secrets"] {
            assert_eq!(
                self.rows(table).await,
                [""; 0],
                "{by} left a row in {table}"
            );
        }
        let remembered = self.rows("requests").await;
        let claimed = remembered.iter().find(|row| !row.contains("rate#"));
        assert_eq!(claimed, None, "{by}");
        let called = (
            self.wire.count(Service::Kms),
            self.wire.count(Service::Zoom),
        );
        assert_eq!(called, (0, 0), "{by} called KMS or Zoom");
    }
}

/// The id in a credential.
pub(crate) fn id_of(credential: &Value) -> String {
    credential["credential_id"].as_str().unwrap().to_owned()
}

/// The body that creates an app credential.
pub(crate) fn an_app(name: &str) -> Value {
    json!({ "name": name, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET })
}

/// `body`, and in it the fields of `changes`; what is null there is taken away.
pub(crate) fn with(mut body: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else {
        panic!("changes are an object")
    };
    for (name, value) in changes {
        if value.is_null() {
            body.as_object_mut().unwrap().remove(&name);
        } else {
            body[name] = value;
        }
    }
    body
}
