//! Connect sessions: a team creates a link, a user opens it in a browser, authorizes at Zoom, and comes back.

mod added;
mod brand;
mod concurrency;
mod connect;
mod crash;
mod failures;
mod links;
mod page_text;
mod parsers;
mod return_urls;
mod secrets;
mod sessions;
mod states;
mod user_changed;

use aws_lc_rs::digest::{SHA256, digest};
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local::zoom::App;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use shared::stores::TeamSettingsChange;
use url::Url;

use crate::minting::mint;
use crate::proxy::Service;
use crate::world::{
    Answer, CLIENT_ID, CLIENT_SECRET, Caller, Item, REDIRECT_URI, World, attribute, send, test_app,
};

pub(crate) use crash::nothing_after_the_commit;

const SESSIONS_PATH: &str = "/v2/zoom-connect-sessions";
const COOKIE_NAME: &str = "__Host-zoom-connect";
const LINK_COOKIE: &str = "__Host-zoom-connect-link";
/// The origin of the team's own site.
const RETURN_ORIGIN: &str = "https://app.example.com";

/// A world whose Zoom app accepts the vault's callback as redirect URI, and whose team has allowed two return origins.
async fn world() -> World {
    let world = World::new().await;
    world.zoom.register_app(App {
        redirect_uris: vec![REDIRECT_URI.to_owned(), callback_url(&world)],
        ..test_app()
    });
    let origins = [RETURN_ORIGIN, "http://localhost:8080"].map(|origin| origin.parse().unwrap());
    let settings = TeamSettingsChange {
        return_origins: Some(origins.into()),
        ..TeamSettingsChange::default()
    };
    let acme = world.team("acme");
    world.operator.set(&acme, settings).await.unwrap();
    world
}

/// The redirect URI of every connect session.
fn callback_url(world: &World) -> String {
    world.acme.address("/connect/callback")
}

/// The body that creates a session for a new credential.
fn new_credential_body() -> Value {
    json!({ "name": "Ada's bot", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET })
}

async fn create_session(caller: &Caller, body: &Value) -> Answer {
    send(caller.request(Method::POST, SESSIONS_PATH).json(body)).await
}

/// A session, as the team that created it knows it.
#[derive(Clone, Debug)]
struct Session {
    id: String,
    link: String,
}

async fn given_session(world: &World, body: &Value) -> Session {
    let created = create_session(&world.acme, body).await.expect(201);
    Session {
        id: created["session_id"].as_str().unwrap().to_owned(),
        link: created["connect_url"].as_str().unwrap().to_owned(),
    }
}

/// `GET /v2/zoom-connect-sessions/{id}`
async fn read_session(world: &World, session: &Session) -> Value {
    let path = format!("{SESSIONS_PATH}/{}", session.id);
    send(world.acme.request(Method::GET, &path))
        .await
        .expect(200)
}

/// A session's status and error, and whether it has a credential.
async fn session_outcome(world: &World, session: &Session) -> (String, Value, bool) {
    let session = read_session(world, session).await;
    let status = session["status"].as_str().unwrap().to_owned();
    (
        status,
        session["error"].clone(),
        !session["credential_id"].is_null(),
    )
}

async fn expect_connected(world: &World, session: &Session) {
    let expected = ("connected".to_owned(), Value::Null, true);
    assert_eq!(session_outcome(world, session).await, expected);
}

async fn expect_failed(world: &World, session: &Session, error: &str) {
    let expected = ("failed".to_owned(), json!(error), false);
    assert_eq!(session_outcome(world, session).await, expected);
}

/// The id of the credential that a session connected.
async fn credential_of(world: &World, session: &Session) -> String {
    let session = read_session(world, session).await;
    session["credential_id"].as_str().unwrap().to_owned()
}

async fn mint_zak(world: &World, id: &str) {
    let body = json!({ "credential_id": id, "type": "zak" });
    mint(&world.acme, body).await.expect(200);
}

/// How many calls KMS and Zoom have received since the last reset of the wire.
fn kms_and_zoom_calls(world: &World) -> (usize, usize) {
    (
        world.wire.count(Service::Kms),
        world.wire.count(Service::Zoom),
    )
}

/// The vault's answer to a browser.
#[derive(Debug)]
struct Page {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Page {
    async fn fetch(request: reqwest::RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        Self {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            text: answer.text().await.unwrap(),
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// The text of the page's `h1`.
    fn heading(&self) -> &str {
        let (_, rest) = self.text.split_once("<h1>").unwrap();
        rest.split_once("</h1>").unwrap().0
    }

    /// Checks status and heading, and the headers and the markup that every page must have.
    #[track_caller]
    fn expect(&self, status: u16, heading: &str) {
        assert_eq!((self.status, self.heading()), (status, heading));
        assert_eq!(self.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.header("referrer-policy"), "no-referrer");
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        assert_eq!(self.header("strict-transport-security"), "max-age=63072000");
        assert_eq!(self.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(self.header("x-frame-options"), "DENY");
        let policy = self.header("content-security-policy");
        let (style, rest) = policy
            .strip_prefix("default-src 'none'; style-src ")
            .and_then(|rest| rest.split_once("; script-src "))
            .unwrap();
        assert_eq!(style, format!("'{}'", self.hash_of("style")));
        let script = format!("'{}'; ", self.hash_of("script"));
        let images = rest.strip_prefix(&script).unwrap();
        let images = images
            .strip_suffix("form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
            .unwrap();
        match images {
            "" => assert!(!self.text.contains("<img")),
            images => assert!(images.starts_with("img-src "), "{policy}"),
        }
        for forbidden in ["<link", "javascript:", "<iframe"] {
            assert!(!self.text.contains(forbidden), "{forbidden}");
        }
    }

    /// The hash of the page's only element of this name, as a content security policy writes the hash.
    fn hash_of(&self, element: &str) -> String {
        let parts: Vec<&str> = self.text.split(&format!("<{element}>")).collect();
        let [_, content] = parts.as_slice() else {
            panic!("one <{element}>: {}", self.text)
        };
        let (content, _) = content.split_once(&format!("</{element}>")).unwrap();
        assert_eq!(self.text.matches(&format!("<{element}")).count(), 1);
        let hash = digest(&SHA256, content.as_bytes());
        format!("sha256-{}", STANDARD.encode(hash))
    }

    /// The URL that the answer redirects the browser to.
    #[track_caller]
    fn location(&self) -> Url {
        assert_eq!(self.status, 303, "{}", self.text);
        assert_eq!(self.header("referrer-policy"), "no-referrer");
        self.header("location").parse().unwrap()
    }

    /// The authorization URL at Zoom, on the page that redirects to Zoom. The page must contain the URL twice.
    fn zoom_url(&self) -> Url {
        let (_, rest) = self.text.split_once("href=\"").unwrap();
        let address = rest.split_once('"').unwrap().0.replace("&#38;", "&");
        assert_eq!(self.text.matches(&address.replace('&', "&#38;")).count(), 2);
        address.parse().unwrap()
    }
}

/// A browser. Its only state is the vault's cookies.
#[derive(Clone, Debug)]
struct Browser {
    http: reqwest::Client,
    /// The browser key.
    cookie: Option<String>,
    /// The token of the link that was started last.
    link: Option<String>,
}

impl Browser {
    fn new(world: &World) -> Self {
        Self {
            http: world.acme.http().clone(),
            cookie: None,
            link: None,
        }
    }

    fn request(&self, method: Method, url: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, url);
        let cookies = [(COOKIE_NAME, &self.cookie), (LINK_COOKIE, &self.link)];
        let cookies = cookies
            .into_iter()
            .filter_map(|(name, value)| Some(format!("; {name}={}", value.as_ref()?)));
        let cookies: String = cookies.collect();
        if cookies.is_empty() {
            request
        } else {
            request.header("cookie", format!("theme=dark{cookies}"))
        }
    }

    async fn open(&self, url: &str) -> Page {
        Page::fetch(self.request(Method::GET, url)).await
    }

    /// Presses the button "Try again" of a page.
    async fn try_again(&mut self, session: &Session, page: &Page) -> Page {
        let (_, rest) = page
            .text
            .split_once("<form method=\"post\" action=\"")
            .unwrap();
        let (action, rest) = rest.split_once('"').unwrap();
        assert!(rest.contains("<button>Try again</button>"));
        let link: Url = session.link.parse().unwrap();
        assert_eq!(link.join(action).unwrap().as_str(), session.link);
        self.press_button(session).await
    }

    /// Presses the button on a session's page, and keeps the cookie.
    async fn press_button(&mut self, session: &Session) -> Page {
        let request = self.request(Method::POST, &session.link);
        let page = Page::fetch(request.header("sec-fetch-site", "same-origin")).await;
        for cookie in page.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once("; ").unwrap();
            assert_eq!(
                attributes,
                "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=3600"
            );
            let (name, value) = pair.split_once('=').unwrap();
            match (name, value.len()) {
                (COOKIE_NAME, 43) => self.cookie = Some(value.to_owned()),
                (LINK_COOKIE, 74) => self.link = Some(value.to_owned()),
                other => panic!("{other:?}"),
            }
        }
        page
    }

    /// Opens Zoom's page, and allows the app as this user, or denies it if there is no user. Answers the URL that Zoom
    /// redirects to.
    async fn decide_at_zoom(&self, zoom_url: &Url, user: Option<&str>) -> String {
        let consent = self.http.get(zoom_url.clone()).send().await.unwrap();
        assert_eq!(consent.status(), 200);
        let mut form: Vec<(String, String)> = zoom_url.query_pairs().into_owned().collect();
        form.push(("user_id".to_owned(), user.unwrap_or("ada").to_owned()));
        let decision = if user.is_some() { "allow" } else { "deny" };
        form.push(("decision".to_owned(), decision.to_owned()));
        let decided = self.http.post(zoom_url.clone()).form(&form).send().await;
        decided.unwrap().headers()["location"]
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// Presses the button and decides at Zoom, but does not open the callback. Answers the callback's URL.
    async fn authorize(&mut self, session: &Session, user: Option<&str>) -> String {
        let zoom_url = self.press_button(session).await.zoom_url();
        self.decide_at_zoom(&zoom_url, user).await
    }

    /// Presses the button, allows the app at Zoom, and opens the callback.
    async fn connect(&mut self, session: &Session, user: &str) -> Page {
        let callback = self.authorize(session, Some(user)).await;
        self.open(&callback).await
    }
}

/// The `state` in a callback's URL.
fn state_of(callback: &str) -> String {
    let callback: Url = callback.parse().unwrap();
    let mut pairs = callback.query_pairs();
    let state = pairs.find(|(name, _)| name == "state");
    state.unwrap().1.into_owned()
}

async fn session_row(world: &World, session: &Session) -> Item {
    let id = format!("connect#{}", session.id);
    let mut rows = world.items("requests").await.into_iter();
    rows.find(|row| attribute(row, "request_id") == id).unwrap()
}

async fn set_attribute(world: &World, session: &Session, name: &str, value: AttributeValue) {
    let mut row = session_row(world, session).await;
    row.insert(name.to_owned(), value);
    world.put("requests", row).await;
}

/// Moves the end of a session into the past.
async fn expire_session(world: &World, session: &Session) {
    let past = AttributeValue::S("2026-01-01T00:00:00.000Z".to_owned());
    set_attribute(world, session, "ends_at", past).await;
}

/// Ends the lock on a session and the lock on its credential, as time does.
async fn end_locks(world: &World, session: &Session) {
    let row = session_row(world, session).await;
    if row.contains_key("taken_until") {
        let past = AttributeValue::N("1".to_owned());
        set_attribute(world, session, "taken_until", past).await;
    }
    world.expire_claims().await;
}

/// How many sessions have a row in the table of secrets.
async fn count_session_secrets(world: &World) -> usize {
    let rows = world.items("secrets").await;
    let sessions = rows
        .iter()
        .filter(|row| attribute(row, "secret_id").starts_with("session#"));
    sessions.count()
}

/// The plain text of a token that a browser sends.
#[expect(
    clippy::disallowed_methods,
    reason = "a browser sends the text of the tokens that it holds"
)]
fn text_of(secret: &secrecy::SecretString) -> String {
    use secrecy::ExposeSecret;
    secret.expose_secret().to_owned()
}
