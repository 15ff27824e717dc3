//! The stack, the browser and the team's site that the tests use.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use axum::Router;
use axum::http::HeaderMap;
use axum::response::Html;
use headless_chrome::browser::default_executable;
use headless_chrome::{Browser, LaunchOptions};
use local::stack::{ExternalEndpoints, Options, Stack};
use local::zoom::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_WEBHOOK_SECRET};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::api_key::KeyTerms;
use shared::config::{Aws, optional};
use shared::credential::CredentialId;
use shared::stores::{TeamAdmin, TeamSettingsChange};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::visitor::Visitor;

/// The team that the stack creates at its first start.
const TEAM: &str = "local";

/// A stack, a browser, and the team's site.
pub(crate) struct World {
    browser: Browser,
    /// The base URL of the API.
    pub(crate) api: String,
    /// The base URL of the Zoom sandbox.
    zoom: String,
    api_key: String,
    /// The base URL of the team's site.
    pub(crate) site: String,
    dynamodb: aws_sdk_dynamodb::Client,
    runtime: Runtime,
    _data: tempfile::TempDir,
    /// Only one browser runs at a time, because each consists of a dozen processes.
    _browser_turn: MutexGuard<'static, ()>,
}

/// A connect session.
pub(crate) struct Session {
    id: String,
    pub(crate) link: String,
}

impl World {
    /// Starts everything. Returns `None` if there is no working browser, and none is required.
    pub(crate) fn new() -> Option<Self> {
        static BROWSER_TURN: Mutex<()> = Mutex::new(());

        let Ok(chromium) = default_executable() else {
            assert!(optional("CHROMIUM_REQUIRED").is_none(), "no Chromium");
            eprintln!("skipped: Chromium is not installed (Debian: apt-get install chromium)");
            return None;
        };
        let turn = BROWSER_TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = Runtime::new().unwrap();
        let data = tempfile::tempdir().unwrap();
        let (api, zoom, site, dynamodb) = runtime.block_on(start(data.path()));
        let browser = Browser::new(LaunchOptions {
            path: Some(chromium),
            // Chromium's sandbox needs privileges that a container may not have. The pages are trusted.
            sandbox: false,
            window_size: Some((1000, 760)),
            args: vec![OsStr::new("--lang=en"), OsStr::new("--hide-scrollbars")],
            idle_browser_timeout: Duration::from_mins(10),
            ..LaunchOptions::default()
        });
        let browser = match browser {
            Ok(browser) => browser,
            Err(error) if optional("CHROMIUM_REQUIRED").is_none() => {
                eprintln!("skipped: Chromium does not start: {error}");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        Some(Self {
            browser,
            api,
            zoom,
            api_key: std::fs::read_to_string(data.path().join("api-key")).unwrap(),
            site,
            dynamodb,
            runtime,
            _data: data,
            _browser_turn: turn,
        })
    }

    /// Creates a connect session through the API. `more` is added to the fields of the request.
    pub(crate) fn create_session(&self, more: Value) -> Session {
        let mut body = json!({
            "name": "Ada's meetings", "client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET,
        });
        let Value::Object(more) = more else {
            panic!("`more` must be an object")
        };
        body.as_object_mut().unwrap().extend(more);
        let url = format!("{}/v2/zoom-connect-sessions", self.api);
        let created = self.send(reqwest::Client::new().post(url).json(&body));
        let text = |name: &str| created[name].as_str().unwrap().to_owned();
        Session {
            id: text("session_id"),
            link: text("connect_url"),
        }
    }

    /// The status and the error of a session, as the API shows them.
    pub(crate) fn status_and_error(&self, session: &Session) -> (String, Value) {
        let session = self.session(session);
        let status = session["status"].as_str().unwrap().to_owned();
        (status, session["error"].clone())
    }

    /// A session, as the API shows it.
    pub(crate) fn session(&self, session: &Session) -> Value {
        let url = format!("{}/v2/zoom-connect-sessions/{}", self.api, session.id);
        self.send(reqwest::Client::new().get(url))
    }

    /// The team's API key, which may do everything.
    pub(crate) fn api_key(&self) -> &str {
        self.api_key.trim()
    }

    /// Creates another key of the team.
    pub(crate) fn create_key(&self, terms: KeyTerms) -> String {
        let operator = TeamAdmin::new(self.dynamodb.clone(), "keys".to_owned());
        let team = TEAM.parse().unwrap();
        let created = self.runtime.block_on(operator.create_key(&team, terms));
        #[expect(clippy::disallowed_methods, reason = "the browser enters the key")]
        let key = created.unwrap().0.into_text().expose_secret().to_owned();
        key
    }

    /// Sets how the team presents itself on the connect page.
    pub(crate) fn set_brand(&self, name: &str, logo: &str, support: &str) {
        let operator = TeamAdmin::new(self.dynamodb.clone(), "keys".to_owned());
        let settings = TeamSettingsChange {
            display_name: Some(Some(name.to_owned().try_into().unwrap())),
            logo: Some(Some(logo.parse().unwrap())),
            support_contact: Some(Some(support.parse().unwrap())),
            ..TeamSettingsChange::default()
        };
        let team = TEAM.parse().unwrap();
        self.runtime
            .block_on(operator.set(&team, settings))
            .unwrap();
    }

    /// `GET` of a path of the API.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.send(reqwest::Client::new().get(format!("{}{path}", self.api)))
    }

    /// `POST` to a path of the API.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.api);
        self.send(reqwest::Client::new().post(url).json(body))
    }

    /// `PUT` to a path of the API.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.api);
        self.send(reqwest::Client::new().put(url).json(body))
    }

    /// The status of `GET` of a URL.
    pub(crate) fn status_of(&self, url: &str) -> u16 {
        let answer = reqwest::Client::new().get(url).send();
        self.runtime.block_on(answer).unwrap().status().as_u16()
    }

    /// How many bytes a browser loads from a URL.
    pub(crate) fn compressed_size(&self, url: &str) -> usize {
        let request = reqwest::Client::new().get(url);
        let request = request.header("accept-encoding", "gzip, deflate, br");
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let is_compressed = answer.headers().contains_key("content-encoding");
            let size = answer.bytes().await.unwrap().len();
            assert!(is_compressed || size < 1024, "{url} is not compressed");
            size
        })
    }

    /// A user removes the demo app at Zoom, and Zoom tells the vault.
    pub(crate) fn remove_app_of(&self, user: &str) {
        let app = json!({
            "name": "Meeting bots",
            "client_secret": DEMO_CLIENT_SECRET,
            "webhook_secret_token": DEMO_WEBHOOK_SECRET,
        });
        self.put(&format!("/v2/zoom-apps/{DEMO_CLIENT_ID}"), &app);
        let body = json!({ "client_id": DEMO_CLIENT_ID, "user_id": user });
        let url = format!("{}/sandbox/deauthorizations", self.zoom);
        let answer = reqwest::Client::new().post(url).json(&body).send();
        let answer = self.runtime.block_on(answer).unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Writes copies of an app credential into the table, until there are so many.
    pub(crate) fn seed_credentials(&self, count: usize) {
        let body = json!({ "name": "bot", "client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET });
        self.post("/v2/zoom-credentials", &body);
        self.runtime.block_on(async {
            let scan = self.dynamodb.scan().table_name("credentials").send();
            let row = scan.await.unwrap().items.unwrap().remove(0);
            for chunk in (1..count).collect::<Vec<_>>().chunks(25) {
                let copies = chunk.iter().map(|number| {
                    let mut copy = row.clone();
                    let id = CredentialId::generate().to_string();
                    copy.insert("credential_id".to_owned(), AttributeValue::S(id));
                    let name = format!("bot {number}");
                    copy.insert("name".to_owned(), AttributeValue::S(name));
                    let put = PutRequest::builder().set_item(Some(copy)).build().unwrap();
                    WriteRequest::builder().put_request(put).build()
                });
                let write = self.dynamodb.batch_write_item();
                let write = write.request_items("credentials", copies.collect());
                write.send().await.unwrap();
            }
        });
    }

    /// Sends a request with the team's API key. Returns the `data` of the answer.
    fn send(&self, request: reqwest::RequestBuilder) -> Value {
        let request = request.header("x-meeting-baas-api-key", self.api_key.trim());
        let answer = self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            answer.json::<Value>().await.unwrap()
        });
        answer["data"].clone()
    }

    /// Moves the end of a session to the past.
    pub(crate) fn expire_session(&self, session: &Session) {
        let past = AttributeValue::S("2026-01-01T00:00:00.000Z".to_owned());
        let id = AttributeValue::S(format!("connect#{}", session.id));
        let update = self
            .dynamodb
            .update_item()
            .table_name("requests")
            .key("request_id", id)
            .update_expression("SET ends_at = :past")
            .expression_attribute_values(":past", past);
        self.runtime.block_on(update.send()).unwrap();
    }

    /// A visitor with a new browser profile.
    pub(crate) fn new_visitor(&self) -> Visitor {
        Visitor::new(&self.browser)
    }
}

/// Starts the stack and the team's site. Returns the base URLs of the API, of the Zoom sandbox and of the site, and a
/// client for the stack's tables.
async fn start(data: &Path) -> (String, String, String, aws_sdk_dynamodb::Client) {
    // Fails if a provider is installed already. That provider works, too.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let stack = Stack::start(Options {
        data_dir: data.to_owned(),
        port: 0,
        zoom_port: 0,
        external: ExternalEndpoints::default(),
        envelope_key: None,
        allowed_hosts: Vec::new(),
    });
    let stack = stack.await.unwrap();
    let [api, zoom] =
        [stack.api(), stack.zoom()].map(|url| url.as_str().trim_end_matches('/').to_owned());
    tokio::spawn(stack.serve(std::future::pending()));
    let site = start_site().await;

    let dynamodb = stack_tables(data);
    let operator = TeamAdmin::new(dynamodb.clone(), "keys".to_owned());
    let settings = TeamSettingsChange {
        return_origins: Some(vec![site.parse().unwrap()]),
        ..TeamSettingsChange::default()
    };
    operator
        .set(&TEAM.parse().unwrap(), settings)
        .await
        .unwrap();
    (api, zoom, site, dynamodb)
}

/// A client for the tables of the stack with this data folder.
fn stack_tables(data: &Path) -> aws_sdk_dynamodb::Client {
    let env = std::fs::read_to_string(data.join("env")).unwrap();
    let variable = |name: &str| {
        let mut pairs = env.lines().filter_map(|line| line.split_once('='));
        pairs.find(|(it, _)| *it == name).unwrap().1.to_owned()
    };
    let endpoint = Some(variable("AWS_ENDPOINT_URL_DYNAMODB"));
    let (id, secret) = (
        variable("AWS_ACCESS_KEY_ID"),
        variable("AWS_SECRET_ACCESS_KEY"),
    );
    let credentials = Credentials::new(id, secret, None, None, "test");
    let aws = Aws::new("us-east-1".to_owned(), credentials, endpoint, None).unwrap();
    aws.dynamodb()
}

/// Starts the team's site, to which users return. Returns its base URL.
async fn start_site() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(site_page)).await });
    url
}

/// The page of the team's site. It shows whether the request had a `referer` header.
async fn site_page(headers: HeaderMap) -> Html<String> {
    let referer = headers.get("referer").map_or("no referer", |_| "a referer");
    Html(format!(
        "<title>The team's site</title><h1>Welcome back</h1><p>{referer}</p>"
    ))
}
