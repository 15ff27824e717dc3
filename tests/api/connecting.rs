//! Connecting a Zoom user by the vault's own page: a browser's way to Zoom and back, and everyone who must not walk it.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use local::zoom::{App, User};
use proptest::prelude::*;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::api_key::Permission;
use shared::connect::{BrowserKey, LinkToken, ReturnOrigin, ReturnUrl, SessionId, State};
use shared::stores::Settings;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

use crate::proxy::{Fault, Rule, Service};
use crate::world::{
    Answer, CLIENT_ID, CLIENT_SECRET, Caller, Item, REDIRECT_URI, World, ada, an_app, attribute,
    id_of, send, test_app, with,
};

const SESSIONS: &str = "/v2/zoom-connect-sessions";
const COOKIE: &str = "__Host-zoom-connect";
const ORIGIN: &str = "https://app.example.com";

/// A world whose Zoom app may come back to the vault, and whose team may send users to its own site.
async fn world() -> World {
    let world = World::new().await;
    world.zoom.register_app(App {
        redirect_uris: vec![REDIRECT_URI.to_owned(), callback(&world)],
        ..test_app()
    });
    let origins = [ORIGIN, "http://localhost:8080"].map(|origin| origin.parse().unwrap());
    let acme = world.team("acme");
    let set = world
        .operator
        .set(
            &acme,
            Settings {
                return_origins: Some(origins.into()),
                ..Settings::default()
            },
        )
        .await;
    set.unwrap();
    world
}

fn callback(world: &World) -> String {
    world.acme.address("/connect/callback")
}

/// The body that begins a session for a new credential.
fn body() -> Value {
    json!({ "name": "Ada's bot", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET })
}

async fn post(caller: &Caller, body: &Value) -> Answer {
    send(caller.request(Method::POST, SESSIONS).json(body)).await
}

/// A session, as whoever made it knows it.
#[derive(Clone, Debug)]
struct Session {
    id: String,
    link: String,
}

async fn begin(world: &World, body: &Value) -> Session {
    let made = post(&world.acme, body).await.expect(201);
    Session {
        id: made["session_id"].as_str().unwrap().to_owned(),
        link: made["connect_url"].as_str().unwrap().to_owned(),
    }
}

async fn look(world: &World, session: &Session) -> Value {
    let path = format!("{SESSIONS}/{}", session.id);
    send(world.acme.request(Method::GET, &path))
        .await
        .expect(200)
}

/// What the session says: status, error, and whether there is a credential.
async fn standing(world: &World, session: &Session) -> (String, Value, bool) {
    let shown = look(world, session).await;
    let status = shown["status"].as_str().unwrap().to_owned();
    (
        status,
        shown["error"].clone(),
        !shown["credential_id"].is_null(),
    )
}

/// What a browser was answered.
#[derive(Debug)]
struct Page {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Page {
    async fn of(request: reqwest::RequestBuilder) -> Self {
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

    /// Its main heading.
    fn heading(&self) -> &str {
        let (_, rest) = self.text.split_once("<h1>").unwrap();
        rest.split_once("</h1>").unwrap().0
    }

    #[track_caller]
    fn expect(&self, status: u16, heading: &str) {
        assert_eq!((self.status, self.heading()), (status, heading));
        // Every page, whatever it says.
        assert_eq!(self.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.header("referrer-policy"), "no-referrer");
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        assert_eq!(self.header("x-frame-options"), "DENY");
        let policy = self.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{policy}"
        );
        assert!(
            policy.ends_with("'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"),
            "{policy}"
        );
        for forbidden in ["<script", "<img", "<link", "javascript:"] {
            assert!(!self.text.contains(forbidden), "{forbidden}");
        }
    }

    /// Where it sends the browser.
    #[track_caller]
    fn location(&self) -> Url {
        assert_eq!(self.status, 303, "{}", self.text);
        assert_eq!(self.header("referrer-policy"), "no-referrer");
        self.header("location").parse().unwrap()
    }

    /// Zoom's address on the page that leads there.
    fn zoom(&self) -> Url {
        let (_, rest) = self.text.split_once("href=\"").unwrap();
        let address = rest.split_once('"').unwrap().0.replace("&#38;", "&");
        assert_eq!(self.text.matches(&address.replace('&', "&#38;")).count(), 2);
        address.parse().unwrap()
    }
}

/// A browser: what it keeps is one cookie.
#[derive(Clone, Debug)]
struct Browser {
    http: reqwest::Client,
    cookie: Option<String>,
}

impl Browser {
    fn new(world: &World) -> Self {
        Self {
            http: world.acme.http().clone(),
            cookie: None,
        }
    }

    fn request(&self, method: Method, url: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, url);
        match &self.cookie {
            Some(cookie) => request.header("cookie", format!("theme=dark; {COOKIE}={cookie}")),
            None => request,
        }
    }

    async fn open(&self, url: &str) -> Page {
        Page::of(self.request(Method::GET, url)).await
    }

    /// Presses the button on the page of a session.
    async fn press(&mut self, session: &Session) -> Page {
        let request = self.request(Method::POST, &session.link);
        let page = Page::of(request.header("sec-fetch-site", "same-origin")).await;
        if let Some(cookie) = page.headers.get("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once("; ").unwrap();
            assert_eq!(
                attributes,
                "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=3600"
            );
            let (name, value) = pair.split_once('=').unwrap();
            assert_eq!((name, value.len()), (COOKIE, 43));
            self.cookie = Some(value.to_owned());
        }
        page
    }

    /// Goes on to Zoom, where a user decides. Where Zoom sends the browser then.
    async fn decide(&self, zoom: &Url, user: Option<&str>) -> String {
        assert_eq!(
            self.http.get(zoom.clone()).send().await.unwrap().status(),
            200
        );
        let mut form: Vec<(String, String)> = zoom.query_pairs().into_owned().collect();
        form.push(("user_id".to_owned(), user.unwrap_or("ada").to_owned()));
        let decision = if user.is_some() { "allow" } else { "deny" };
        form.push(("decision".to_owned(), decision.to_owned()));
        let decided = self
            .http
            .post(zoom.clone())
            .form(&form)
            .send()
            .await
            .unwrap();
        decided.headers()["location"].to_str().unwrap().to_owned()
    }

    /// All the way to Zoom and its answer, without coming back. Where Zoom sends the browser.
    async fn walk(&mut self, session: &Session, user: Option<&str>) -> String {
        let zoom = self.press(session).await.zoom();
        self.decide(&zoom, user).await
    }

    /// All the way and back.
    async fn connect(&mut self, session: &Session, user: &str) -> Page {
        let back = self.walk(session, Some(user)).await;
        self.open(&back).await
    }
}

/// The `state` in a callback's address.
fn state_in(back: &str) -> String {
    let back: Url = back.parse().unwrap();
    let mut pairs = back.query_pairs();
    pairs
        .find(|(name, _)| name == "state")
        .unwrap()
        .1
        .into_owned()
}

async fn session_row(world: &World, session: &Session) -> Item {
    let id = format!("connect#{}", session.id);
    let rows = world.items("requests").await;
    let mut rows = rows
        .into_iter()
        .filter(|row| attribute(row, "request_id") == id);
    rows.next().unwrap()
}

/// Changes the row of a session, as time does.
async fn alter(world: &World, session: &Session, name: &str, value: AttributeValue) {
    let mut row = session_row(world, session).await;
    row.insert(name.to_owned(), value);
    world.put("requests", row).await;
}

async fn expire(world: &World, session: &Session) {
    let past = AttributeValue::S("2026-01-01T00:00:00.000Z".to_owned());
    alter(world, session, "ends_at", past).await;
}

/// Whoever took the session has had its time.
async fn outlast(world: &World, session: &Session) {
    let row = session_row(world, session).await;
    if row.contains_key("taken_until") {
        alter(
            world,
            session,
            "taken_until",
            AttributeValue::N("1".to_owned()),
        )
        .await;
    }
    world.outlast_the_running().await;
}

/// How many rows of sessions' secrets there are.
async fn sealed_sessions(world: &World) -> usize {
    let rows = world.items("secrets").await;
    let sessions = rows
        .iter()
        .filter(|row| attribute(row, "secret_id").starts_with("session#"));
    sessions.count()
}

// ---- what works

#[tokio::test]
async fn a_user_connects_and_the_team_has_a_credential_that_mints() {
    let world = world().await;
    let asked = with(body(), json!({ "extra": { "tenant": "acme" } }));
    let made = post(&world.acme, &asked).await.expect(201);
    assert_eq!(made["redirect_uri"], callback(&world));
    let link = made["connect_url"].as_str().unwrap();
    assert!(link.starts_with(&world.acme.address("/connect/zcl_")));
    assert_eq!(link.rsplit('/').next().unwrap().len(), 4 + 64 + 6);
    let session = Session {
        id: made["session_id"].as_str().unwrap().to_owned(),
        link: link.to_owned(),
    };
    let pending = look(&world, &session).await;
    let expected = json!({
        "session_id": session.id, "status": "pending", "credential_id": null, "user_changed": null, "error": null,
        "created_at": pending["created_at"], "expires_at": made["expires_at"], "finished_at": null,
    });
    assert_eq!(pending, expected);

    let mut browser = Browser::new(&world);
    let page = browser.open(&session.link).await;
    page.expect(200, "Connect your Zoom account");
    assert!(page.text.contains("<html lang=\"en\">"));
    let asks = "The team <strong>acme</strong> asks you to connect a Zoom account for <strong>Ada&#39;s bot</strong>.";
    assert!(page.text.contains(asks), "{}", page.text);
    let app = format!("The Zoom app's client ID: {CLIENT_ID}");
    assert!(page.text.contains(&app));
    let going = browser.press(&session).await;
    going.expect(200, "Going to Zoom");
    let zoom = going.zoom();
    let asked: BTreeMap<String, String> = zoom.query_pairs().into_owned().collect();
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["client_id"], CLIENT_ID);
    assert_eq!(asked["redirect_uri"], callback(&world));
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["code_challenge"].len(), 43);
    assert_eq!(look(&world, &session).await["status"], "pending");
    let back = browser.decide(&zoom, Some("ada")).await;
    let page = browser.open(&back).await;
    page.expect(200, "Zoom is connected");
    assert!(
        page.text.contains(
            "<strong>Ada Lovelace</strong> is connected for <strong>Ada&#39;s bot</strong> of the team <strong>acme</strong>."
        )
    );
    assert!(!page.text.contains("One thing is missing"));

    let ended = look(&world, &session).await;
    assert_eq!(
        (&ended["status"], &ended["error"]),
        (&json!("connected"), &Value::Null)
    );
    assert!(ended["finished_at"].is_string());
    let id = ended["credential_id"].as_str().unwrap();
    let credential = world.acme.get(id).await.expect(200);
    assert_eq!(credential["name"], "Ada's bot");
    assert_eq!(credential["credential_type"], "user");
    assert_eq!(credential["zoom_user_id"], "ada");
    assert_eq!(credential["extra"], json!({ "tenant": "acme" }));
    let minted = world.acme.request(Method::POST, "/v2/zoom-tokens");
    send(minted.json(&json!({ "credential_id": id, "type": "zak" })))
        .await
        .expect(200);
    assert_eq!(
        sealed_sessions(&world).await,
        0,
        "the session's secrets are gone"
    );
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn the_app_of_a_credential_is_used_without_its_secret_being_told_again() {
    let world = world().await;
    let app = world.given_app("the app").await;
    let session = begin(&world, &json!({ "name": "Ada", "app_credential_id": app })).await;
    let page = Browser::new(&world).connect(&session, "ada").await;
    page.expect(200, "Zoom is connected");

    let id = look(&world, &session).await["credential_id"].clone();
    assert_ne!(id, app.as_str());
    let id = id.as_str().unwrap();
    assert_eq!(
        world.acme.get(&app).await.expect(200)["credential_type"],
        "app"
    );
    // It stands by itself: the app's credential can go.
    world.acme.delete(&app).await.expect(200);
    world.expire_access().await;
    world.acme.check(id).await.expect(200);
    let minted = world.acme.request(Method::POST, "/v2/zoom-tokens");
    send(minted.json(&json!({ "credential_id": id, "type": "zak" })))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_credential_is_connected_again_in_place() {
    let world = world().await;
    let id = world.given_user("bot").await;
    let before = world.acme.get(&id).await.expect(200);
    world.zoom.remove_app(CLIENT_ID, "ada");
    world.expire_access().await;
    world.acme.check(&id).await;
    assert_eq!(world.acme.get(&id).await.expect(200)["state"], "invalid");

    let session = begin(&world, &json!({ "credential_id": id })).await;
    let page = Browser::new(&world).open(&session.link).await;
    assert!(page.text.contains(
        "The team <strong>acme</strong> asks you to connect <strong>bot</strong> to Zoom again."
    ));
    let page = Browser::new(&world).connect(&session, "ada").await;
    page.expect(200, "Zoom is connected");

    let after = world.acme.get(&id).await.expect(200);
    let expected = with(before, json!({ "updated_at": after["updated_at"] }));
    assert_eq!(after, expected);
    assert_eq!(look(&world, &session).await["credential_id"], id.as_str());
    assert_eq!(world.count("credentials").await, 1);
    assert!(!world.is_running().await, "the lock is let go");
    let minted = world.acme.request(Method::POST, "/v2/zoom-tokens");
    send(minted.json(&json!({ "credential_id": id, "type": "zak" })))
        .await
        .expect(200);
}

#[tokio::test]
async fn an_app_credential_becomes_a_users_with_a_new_name_extra_and_app() {
    let world = world().await;
    let body = with(
        an_app("old"),
        json!({ "client_id": "another", "extra": { "a": 1 } }),
    );
    let id = id_of(&world.acme.create(body).await.expect(201));
    let asked = json!({
        "credential_id": id, "name": "new", "extra": null, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
    });
    let session = begin(&world, &asked).await;
    Browser::new(&world)
        .connect(&session, "ada")
        .await
        .expect(200, "Zoom is connected");

    let after = world.acme.get(&id).await.expect(200);
    assert_eq!(
        (&after["name"], &after["extra"]),
        (&json!("new"), &Value::Null)
    );
    assert_eq!(after["credential_type"], "user");
    world.expire_access().await;
    assert_eq!(
        world.acme.check(&id).await.expect(200)["credential_id"],
        id.as_str()
    );
}

#[tokio::test]
async fn older_credentials_of_the_same_user_share_the_new_grant() {
    let world = world().await;
    let older = world.given_user("older").await;
    world.age_grant(&older).await;
    let session = begin(&world, &body()).await;
    Browser::new(&world)
        .connect(&session, "ada")
        .await
        .expect(200, "Zoom is connected");
    let newer = look(&world, &session).await["credential_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (older, newer) = (world.row(&older).await, world.row(&newer).await);
    assert_eq!(attribute(&older, "grant_id"), attribute(&newer, "grant_id"));
}

#[tokio::test]
async fn the_browser_returns_to_the_teams_site_with_the_outcome() {
    let world = world().await;
    let url = format!("{ORIGIN}:443/done?step=2");
    let session = begin(&world, &with(body(), json!({ "return_url": url }))).await;
    let mut browser = Browser::new(&world);
    let page = browser.open(&session.link).await;
    assert!(
        page.text
            .contains("You are taken back to <strong>app.example.com</strong>.")
    );
    let location = browser.connect(&session, "ada").await.location();
    let id = look(&world, &session).await["credential_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let expected = format!(
        "{ORIGIN}/done?step=2&session_id={}&credential_id={id}",
        session.id
    );
    assert_eq!(location.as_str(), expected);

    let session = begin(
        &world,
        &with(body(), json!({ "return_url": "http://localhost:8080/" })),
    )
    .await;
    let back = browser.walk(&session, None).await;
    let location = browser.open(&back).await.location();
    let expected = format!(
        "http://localhost:8080/?session_id={}&error=access_denied",
        session.id
    );
    assert_eq!(location.as_str(), expected);
    // And again, for whoever reloads.
    assert_eq!(browser.open(&back).await.location().as_str(), expected);
}

#[tokio::test]
async fn a_user_who_said_no_may_open_the_link_again() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let mut browser = Browser::new(&world);
    let back = browser.walk(&session, None).await;
    let page = browser.open(&back).await;
    page.expect(400, "Nothing was connected");
    assert!(page.text.contains("The link works until "));
    assert_eq!(
        standing(&world, &session).await,
        ("failed".to_owned(), json!("access_denied"), false)
    );
    assert_eq!(world.exchanges(), 0);

    browser
        .open(&session.link)
        .await
        .expect(200, "Connect your Zoom account");
    browser
        .connect(&session, "ada")
        .await
        .expect(200, "Zoom is connected");
    assert_eq!(
        standing(&world, &session).await,
        ("connected".to_owned(), Value::Null, true)
    );
    browser
        .open(&session.link)
        .await
        .expect(410, "Already connected");
    browser
        .press(&session)
        .await
        .expect(410, "Already connected");
    browser
        .open(&back)
        .await
        .expect(403, "This cannot be finished here");
}

#[tokio::test]
async fn zooms_own_errors_end_the_session_until_it_is_started_again() {
    let world = world().await;
    for (said, failure, heading) in [
        (
            "invalid_scope",
            "missing_scope",
            "The Zoom app lacks a permission",
        ),
        ("server_error", "zoom_refused", "Zoom did not go ahead"),
        ("<script>", "zoom_refused", "Zoom did not go ahead"),
    ] {
        let session = begin(&world, &body()).await;
        let mut browser = Browser::new(&world);
        let state = state_in(browser.press(&session).await.zoom().as_str());
        let mut back: Url = callback(&world).parse().unwrap();
        back.query_pairs_mut()
            .append_pair("error", said)
            .append_pair("state", &state);
        browser.open(back.as_str()).await.expect(400, heading);
        assert_eq!(
            standing(&world, &session).await,
            ("failed".to_owned(), json!(failure), false)
        );
    }
    assert_eq!(world.exchanges(), 0);
}

#[tokio::test]
async fn one_browser_walks_two_sessions_at_once() {
    let world = world().await;
    let (first, second) = (begin(&world, &body()).await, begin(&world, &body()).await);
    let mut browser = Browser::new(&world);
    let first_back = browser.walk(&first, Some("ada")).await;
    let cookie = browser.cookie.clone();
    let second_back = browser.walk(&second, Some("ada")).await;
    assert_eq!(browser.cookie, cookie);
    browser
        .open(&first_back)
        .await
        .expect(200, "Zoom is connected");
    browser
        .open(&second_back)
        .await
        .expect(200, "Zoom is connected");
    let hash = |row: &Item| attribute(row, "browser_hash").to_owned();
    let rows = (
        session_row(&world, &first).await,
        session_row(&world, &second).await,
    );
    assert_ne!(
        hash(&rows.0),
        hash(&rows.1),
        "no row says that it was one browser"
    );
}

#[tokio::test]
async fn whoever_reloads_the_end_sees_it_again_and_nothing_is_sent_twice() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let mut browser = Browser::new(&world);
    let back = browser.walk(&session, Some("ada")).await;
    for _ in 0..3 {
        browser.open(&back).await.expect(200, "Zoom is connected");
    }
    let id = look(&world, &session).await["credential_id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.acme.delete(&id).await.expect(200);
    browser.open(&back).await.expect(200, "Zoom is connected");
    assert_eq!(
        (world.exchanges(), world.count("credentials").await),
        (1, 1)
    );
}

#[tokio::test]
async fn a_missing_scope_is_said_on_the_page_and_the_grant_is_kept() {
    let world = world().await;
    world.zoom.register_app(App {
        redirect_uris: vec![callback(&world)],
        scopes: vec!["user:read:zak".to_owned()],
        ..test_app()
    });
    let session = begin(&world, &body()).await;
    let page = Browser::new(&world).connect(&session, "ada").await;
    page.expect(200, "Zoom is connected");
    assert!(page.text.contains("One thing is missing"));
    assert!(page.text.contains("missing scope user:read:user"));
    assert_eq!(
        standing(&world, &session).await,
        ("connected".to_owned(), Value::Null, true)
    );
}

// ---- who came

/// Whether a session says that another user came than the one whom the credential had.
async fn user_changed(world: &World, session: &Session) -> Value {
    look(world, session).await["user_changed"].clone()
}

const ANOTHER: &str = "This is another Zoom account than before";

#[tokio::test]
async fn another_user_who_connects_in_place_of_the_first_is_told_of() {
    let world = world().await;
    world.register_grace();
    let id = world.given_user("bot").await;
    for (user, is_another) in [("ada", false), ("grace", true), ("ada", true)] {
        let session = begin(&world, &json!({ "credential_id": id })).await;
        assert_eq!(user_changed(&world, &session).await, Value::Null);
        let mut browser = Browser::new(&world);
        let back = browser.walk(&session, Some(user)).await;
        // And again, for whoever reloads.
        for _ in 0..2 {
            let page = browser.open(&back).await;
            page.expect(200, "Zoom is connected");
            assert_eq!(page.text.contains(ANOTHER), is_another, "{user}");
            let named = ["Ada Lovelace", "grace@example.test"].map(|it| page.text.contains(it));
            assert_eq!(named, [user == "ada", user == "grace"]);
        }
        assert_eq!(user_changed(&world, &session).await, json!(is_another));
        let credential = world.acme.get(&id).await.expect(200);
        assert_eq!(credential["zoom_user_id"], user);
    }
}

#[tokio::test]
async fn the_teams_site_is_told_that_another_user_came() {
    let world = world().await;
    world.register_grace();
    let id = world.given_user("bot").await;
    let asked = json!({ "credential_id": id, "return_url": format!("{ORIGIN}/") });
    for (user, told) in [("ada", ""), ("grace", "&user_changed=true")] {
        let session = begin(&world, &asked).await;
        let mut browser = Browser::new(&world);
        let location = browser.connect(&session, user).await.location();
        let expected = format!(
            "{ORIGIN}/?session_id={}&credential_id={id}{told}",
            session.id
        );
        assert_eq!(location.as_str(), expected);
    }
}

#[tokio::test]
async fn whether_the_user_is_another_is_null_as_long_as_one_of_the_two_is_unknown() {
    let world = world().await;
    world.register_grace();
    let user = world.given_user("bot").await;
    let session = begin(&world, &json!({ "credential_id": user })).await;
    let down = Fault::Answer(StatusCode::BAD_GATEWAY, "{}".to_owned());
    world
        .wire
        .inject_once(Service::Zoom, "/v2/users/me", down.clone());
    let page = Browser::new(&world).connect(&session, "grace").await;
    page.expect(200, "Zoom is connected");
    assert!(!page.text.contains(ANOTHER));
    assert_eq!(user_changed(&world, &session).await, Value::Null);
    // A session that is made now has nothing to compare with, then or later.
    let later = begin(&world, &json!({ "credential_id": user })).await;
    world.acme.check(&user).await.expect(200);
    assert_eq!(user_changed(&world, &session).await, json!(true));
    Browser::new(&world)
        .connect(&later, "ada")
        .await
        .expect(200, "Zoom is connected");
    assert_eq!(user_changed(&world, &later).await, Value::Null);
    world.acme.delete(&user).await.expect(200);
    assert_eq!(user_changed(&world, &session).await, Value::Null);

    // Nobody was there before.
    let app = world.given_app("app").await;
    for asked in [body(), json!({ "credential_id": app })] {
        let session = begin(&world, &asked).await;
        Browser::new(&world)
            .connect(&session, "ada")
            .await
            .expect(200, "Zoom is connected");
        assert_eq!(user_changed(&world, &session).await, Value::Null);
    }
}

#[tokio::test]
async fn the_tokens_of_a_user_in_whose_place_another_connected_are_destroyed() {
    let world = world().await;
    world.register_grace();
    let id = world.given_user("bot").await;
    let grant = async || format!("grant#{}", attribute(&world.row(&id).await, "grant_id"));
    let adas = grant().await;
    let session = begin(&world, &json!({ "credential_id": id })).await;
    let page = Browser::new(&world).connect(&session, "grace").await;
    page.expect(200, "Zoom is connected");
    let graces = grant().await;
    let sealed = world.sealed().await;
    assert!(sealed.contains(&adas), "until the stream is read");
    assert!(world.follow_stream().await);
    assert_eq!(world.sealed().await, [format!("app#{id}"), graces]);
    // What Ada allowed lives on at Zoom, where it is hers to end.
    assert!(world.zoom.grants().iter().all(|grant| grant.alive));

    let shown = look(&world, &session).await;
    let outcome = ["status", "credential_id", "user_changed", "error"].map(|it| shown[it].clone());
    assert_eq!(
        outcome,
        [json!("connected"), json!(id), json!(true), Value::Null]
    );
    let credential = world.acme.get(&id).await.expect(200);
    assert_eq!(
        (&credential["state"], &credential["zoom_user_id"]),
        (&json!("active"), &json!("grace"))
    );
    world.expire_access().await;
    let minted = world.acme.request(Method::POST, "/v2/zoom-tokens");
    send(minted.json(&json!({ "credential_id": id, "type": "zak" })))
        .await
        .expect(200);
}

#[tokio::test]
async fn the_row_of_a_session_does_not_name_the_user_whom_it_expects() {
    let world = world().await;
    world.zoom.register_user(User {
        id: "a-zoom-user-id".to_owned(),
        ..ada()
    });
    let id = world.given_user_of("a-zoom-user-id").await;
    let session = begin(&world, &json!({ "credential_id": id, "name": "bot" })).await;
    let row = session_row(&world, &session).await;
    assert_eq!(attribute(&row, "known_user").len(), 64);
    assert!(!format!("{row:?}").contains("a-zoom-user-id"));
}

// ---- what is looked at changes nothing

#[tokio::test]
async fn what_previews_a_link_starts_nothing() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let before = session_row(&world, &session).await;
    world.wire.reset();
    for method in [Method::GET, Method::HEAD, Method::GET] {
        let request = Browser::new(&world).request(method, &session.link);
        let page = Page::of(request).await;
        assert_eq!(page.status, 200);
        assert!(!page.headers.contains_key("set-cookie"));
    }
    for method in [Method::PUT, Method::DELETE, Method::OPTIONS] {
        let page = Page::of(Browser::new(&world).request(method, &session.link)).await;
        assert_eq!(page.status, 405);
    }
    assert_eq!(session_row(&world, &session).await, before);
    let calls = world.wire.operations(Service::DynamoDb);
    assert_eq!(calls, ["GetItem", "GetItem", "GetItem"]);
    assert_eq!(
        (
            world.wire.count(Service::Kms),
            world.wire.count(Service::Zoom)
        ),
        (0, 0)
    );
}

#[tokio::test]
async fn another_site_cannot_press_the_button() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let before = session_row(&world, &session).await;
    for site in ["cross-site", "same-site", "none"] {
        let request = Browser::new(&world).request(Method::POST, &session.link);
        let page = Page::of(request.header("sec-fetch-site", site)).await;
        page.expect(403, "Open the link yourself");
        assert!(!page.headers.contains_key("set-cookie"));
    }
    assert_eq!(session_row(&world, &session).await, before);
}

#[tokio::test]
async fn an_unknown_link_is_read_at_most_once_and_costs_no_key() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let other = LinkToken::generate(session.id.parse().unwrap()).unwrap();
    let nobodys = LinkToken::generate(SessionId::generate()).unwrap();
    let token = session.link.rsplit('/').next().unwrap().to_owned();
    let flipped = token.replace("zcl_", "zcs_");
    let (cut, _) = token.split_at(token.len() - 1);
    let cases = [
        (text_of(&other.into_text()), 1),
        (text_of(&nobodys.into_text()), 1),
        (flipped, 0),
        (cut.to_owned(), 0),
        ("callback2".to_owned(), 0),
        ("%F0%9F%92%A9".to_owned(), 0),
    ];
    for (token, reads) in cases {
        for method in [Method::GET, Method::POST] {
            world.wire.reset();
            let url = world.acme.address(&format!("/connect/{token}"));
            let page = Page::of(Browser::new(&world).request(method, &url)).await;
            page.expect(404, "This link does not work");
            assert_eq!(world.wire.calls().len(), reads, "{token}");
        }
    }
}

// ---- states that are refused

/// Panics unless the visit is refused without a word to Zoom or KMS, and without a trace.
async fn expect_refused(world: &World, session: &Session, browser: &Browser, url: &str, why: &str) {
    let before = session_row(world, session).await;
    world.wire.reset();
    let page = browser.open(url).await;
    page.expect(403, "This cannot be finished here");
    assert!(!page.headers.contains_key("set-cookie"), "{why}");
    let called = (
        world.wire.count(Service::Kms),
        world.wire.count(Service::Zoom),
    );
    assert_eq!(called, (0, 0), "{why}");
    assert!(world.wire.count(Service::DynamoDb) <= 1, "{why}");
    assert_eq!(session_row(world, session).await, before, "{why}");
    assert_eq!(world.count("credentials").await, 0, "{why}");
}

#[tokio::test]
async fn a_state_that_is_missing_malformed_anothers_or_in_another_browser_is_refused_before_any_token_call()
 {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let mut browser = Browser::new(&world);
    let back = browser.walk(&session, Some("ada")).await;
    let other_session = begin(&world, &body()).await;
    let mut other_browser = Browser::new(&world);
    let other_back = other_browser.walk(&other_session, Some("ada")).await;
    let same_browser_session = begin(&world, &body()).await;
    let sibling = state_in(
        browser
            .clone()
            .press(&same_browser_session)
            .await
            .zoom()
            .as_str(),
    );

    let state = state_in(&back);
    let guess = State::generate(session.id.parse().unwrap()).unwrap();
    let swap = |to: &str| back.replace(&state, to);
    let cases = [
        ("no state", back.replace(&format!("&state={state}"), "")),
        ("an empty state", swap("")),
        ("a cut state", swap(state.split_at(70).0)),
        (
            "a guessed state of the right session",
            swap(&text_of(&guess.into_text())),
        ),
        (
            "another session's, of another browser",
            swap(&state_in(&other_back)),
        ),
        (
            "a link for a state",
            swap(session.link.rsplit('/').next().unwrap()),
        ),
        (
            "no code and no error",
            back.split('?').next().unwrap().to_owned() + "?state=" + &state,
        ),
    ];
    for (why, url) in &cases {
        expect_refused(&world, &session, &browser, url, why).await;
    }
    // The other session of the same browser is another session all the same: its state does not fit this code's verifier.
    let url = swap(&sibling);
    let page = browser.open(&url).await;
    page.expect(400, "Zoom did not accept the answer");
    assert_eq!(standing(&world, &session).await.0, "pending");

    let none = Browser::new(&world);
    expect_refused(&world, &session, &none, &back, "no cookie").await;
    expect_refused(
        &world,
        &session,
        &other_browser,
        &back,
        "another browser's cookie",
    )
    .await;
    for cookie in ["", "x", &"A".repeat(43), &"A".repeat(44), "%00"] {
        let forged = Browser {
            cookie: Some(cookie.to_owned()),
            ..none.clone()
        };
        expect_refused(&world, &session, &forged, &back, cookie).await;
    }
    let cookie = browser.cookie.clone().unwrap();
    let twice = Browser {
        cookie: Some(format!("{cookie}; {COOKIE}={}", "A".repeat(43))),
        ..none
    };
    expect_refused(&world, &session, &twice, &back, "two cookies").await;

    browser.open(&back).await.expect(200, "Zoom is connected");
}

#[tokio::test]
async fn a_state_works_once() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let mut browser = Browser::new(&world);
    let back = browser.walk(&session, Some("ada")).await;
    browser.open(&back).await.expect(200, "Zoom is connected");
    let state = state_in(&back);
    let more = world.code();
    let replayed = format!("{}?code={more}&state={state}", callback(&world));
    browser
        .open(&replayed)
        .await
        .expect(200, "Zoom is connected");
    assert_eq!(
        (world.exchanges(), world.count("credentials").await),
        (1, 1)
    );
}

#[tokio::test]
async fn a_state_that_comes_late_is_refused_and_the_site_is_told() {
    let world = world().await;
    for return_url in [None, Some(format!("{ORIGIN}/"))] {
        let session = begin(&world, &with(body(), json!({ "return_url": return_url }))).await;
        let mut browser = Browser::new(&world);
        let back = browser.walk(&session, Some("ada")).await;
        expire(&world, &session).await;
        world.wire.reset();
        let page = browser.open(&back).await;
        match return_url {
            None => page.expect(410, "The link has expired"),
            Some(url) => {
                let expected = format!("{url}?session_id={}&error=expired", session.id);
                assert_eq!(page.location().as_str(), expected);
            }
        }
        assert_eq!(world.wire.operations(Service::DynamoDb), ["GetItem"]);
        assert_eq!(
            (
                world.wire.count(Service::Kms),
                world.wire.count(Service::Zoom)
            ),
            (0, 0)
        );
        assert_eq!(
            standing(&world, &session).await,
            ("expired".to_owned(), json!("expired"), false)
        );
        browser
            .open(&session.link)
            .await
            .expect(410, "The link has expired");
        browser
            .press(&session)
            .await
            .expect(410, "The link has expired");
    }
    assert_eq!(world.count("credentials").await, 0);
}

#[tokio::test]
async fn whoever_starts_last_takes_over() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let (mut first, mut second) = (Browser::new(&world), Browser::new(&world));
    let first_back = first.walk(&session, Some("ada")).await;
    let second_back = second.walk(&session, Some("ada")).await;
    expect_refused(&world, &session, &first, &first_back, "taken over").await;
    expect_refused(&world, &session, &first, &second_back, "another browser's").await;
    second
        .open(&second_back)
        .await
        .expect(200, "Zoom is connected");
    first
        .open(&first_back)
        .await
        .expect(403, "This cannot be finished here");
}

#[tokio::test]
async fn a_button_that_is_pressed_often_starts_once() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let mut browser = Browser::new(&world);
    browser.press(&session).await;
    let mut presses = JoinSet::new();
    for _ in 0..6 {
        let (mut browser, session) = (browser.clone(), session.clone());
        presses.spawn(async move { browser.press(&session).await.zoom() });
    }
    let mut connected = 0;
    for zoom in presses.join_all().await {
        let back = browser.decide(&zoom, Some("ada")).await;
        let page = browser.open(&back).await;
        connected += usize::from(page.status == 200);
        assert!(matches!(page.status, 200 | 403), "{page:?}");
    }
    assert_eq!((connected, world.exchanges()), (1, 1));
}

#[tokio::test]
async fn of_callbacks_in_parallel_one_exchanges_the_code() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let mut browser = Browser::new(&world);
    let back = browser.walk(&session, Some("ada")).await;
    let mut visits = JoinSet::new();
    for _ in 0..12 {
        let (browser, back) = (browser.clone(), back.clone());
        visits.spawn(async move { browser.open(&back).await });
    }
    let pages = visits.join_all().await;
    for page in &pages {
        match page.status {
            200 => page.expect(200, "Zoom is connected"),
            409 => {
                page.expect(409, "One moment");
                assert!(
                    page.text
                        .contains("<meta http-equiv=\"refresh\" content=\"3\">")
                );
            }
            _ => panic!("{page:?}"),
        }
    }
    assert!(pages.iter().any(|page| page.status == 200));
    assert_eq!(
        (world.exchanges(), world.count("credentials").await),
        (1, 1)
    );
    browser.open(&back).await.expect(200, "Zoom is connected");
}

#[tokio::test]
async fn while_the_code_is_exchanged_nobody_starts_again() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let mut browser = Browser::new(&world);
    let back = browser.walk(&session, Some("ada")).await;
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let going = tokio::spawn({
        let (browser, back) = (browser.clone(), back.clone());
        async move { browser.open(&back).await }
    });
    world.wire.stalled().await;
    let mut other = Browser::new(&world);
    other.press(&session).await.expect(409, "One moment");
    other.open(&session.link).await.expect(409, "One moment");
    browser.open(&back).await.expect(409, "One moment");
    assert_eq!(look(&world, &session).await["status"], "pending");
    bell.notify_one();
    going.await.unwrap().expect(200, "Zoom is connected");
}

#[tokio::test]
async fn reconnecting_waits_for_another_authorization_of_the_same_credential() {
    let world = world().await;
    let id = world.given_user("bot").await;
    let sessions = [
        begin(&world, &json!({ "credential_id": id })).await,
        begin(&world, &json!({ "credential_id": id })).await,
    ];
    let (mut first, mut second) = (Browser::new(&world), Browser::new(&world));
    let first_back = first.walk(&sessions[0], Some("ada")).await;
    let second_back = second.walk(&sessions[1], Some("ada")).await;
    let bell = world.wire.hold(Service::Zoom, "/oauth/token");
    let going = tokio::spawn(async move { first.open(&first_back).await });
    world.wire.stalled().await;
    second.open(&second_back).await.expect(409, "One moment");
    bell.notify_one();
    going.await.unwrap().expect(200, "Zoom is connected");
    second
        .open(&second_back)
        .await
        .expect(200, "Zoom is connected");
    assert!(!world.is_running().await);
}

// ---- what goes wrong, and what is said

#[tokio::test]
async fn wrong_app_settings_are_the_teams_to_mend() {
    let world = world().await;
    let session = begin(
        &world,
        &with(
            body(),
            json!({ "client_secret": "wrong", "return_url": format!("{ORIGIN}/") }),
        ),
    )
    .await;
    let mut browser = Browser::new(&world);
    let location = browser.connect(&session, "ada").await.location();
    assert!(
        location.as_str().ends_with("&error=app_misconfigured"),
        "{location}"
    );
    let session = begin(&world, &with(body(), json!({ "client_secret": "wrong" }))).await;
    browser
        .connect(&session, "ada")
        .await
        .expect(400, "The Zoom app is not set up correctly");
    assert_eq!(
        standing(&world, &session).await,
        ("failed".to_owned(), json!("app_misconfigured"), false)
    );
    assert_eq!(world.count("credentials").await, 0);
}

#[tokio::test]
async fn a_code_that_is_too_old_ends_the_try_and_not_the_session() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let mut browser = Browser::new(&world);
    let back = browser.walk(&session, Some("ada")).await;
    world.zoom.advance(std::time::Duration::from_mins(6));
    browser
        .open(&back)
        .await
        .expect(400, "Zoom did not accept the answer");
    assert_eq!(
        standing(&world, &session).await,
        ("failed".to_owned(), json!("code_refused"), false)
    );
    browser
        .connect(&session, "ada")
        .await
        .expect(200, "Zoom is connected");
}

#[tokio::test]
async fn where_zoom_fails_the_link_is_opened_again() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let mut browser = Browser::new(&world);
    for (status, shown) in [
        (StatusCode::BAD_GATEWAY, 502),
        (StatusCode::TOO_MANY_REQUESTS, 503),
    ] {
        let back = browser.walk(&session, Some("ada")).await;
        world.wire.inject_once(
            Service::Zoom,
            "/oauth/token",
            Fault::Answer(status, "{}".to_owned()),
        );
        browser
            .open(&back)
            .await
            .expect(shown, "Zoom did not answer");
        assert_eq!(
            standing(&world, &session).await,
            ("failed".to_owned(), json!("zoom_unavailable"), false)
        );
        world.wire.heal();
    }
    browser
        .connect(&session, "ada")
        .await
        .expect(200, "Zoom is connected");
}

#[tokio::test]
async fn while_kms_is_down_nothing_is_consumed_and_a_reload_ends_well() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let mut browser = Browser::new(&world);
    let back = browser.walk(&session, Some("ada")).await;
    let before = session_row(&world, &session).await;
    world.wire.break_service(
        Service::Kms,
        Fault::Answer(
            StatusCode::BAD_REQUEST,
            json!({ "__type": "DisabledException" }).to_string(),
        ),
    );
    browser
        .open(&back)
        .await
        .expect(503, "Not possible at this moment");
    assert_eq!(post(&world.acme, &body()).await.status, 503);
    assert_eq!(session_row(&world, &session).await, before);
    world.wire.heal();
    browser.open(&back).await.expect(200, "Zoom is connected");
}

#[tokio::test]
async fn what_was_deleted_or_changed_meanwhile_is_not_connected() {
    let world = world().await;
    let mut browser = Browser::new(&world);
    let gone = world.given_app("gone").await;
    let moved = world.given_app("moved").await;
    for (id, asked) in [
        (&gone, json!({ "name": "Ada", "app_credential_id": gone })),
        (&moved, json!({ "credential_id": moved })),
    ] {
        let session = begin(&world, &asked).await;
        let back = browser.walk(&session, Some("ada")).await;
        if id == &gone {
            world.acme.delete(id).await.expect(200);
        } else {
            let other = json!({ "client_id": "another", "client_secret": "another" });
            world.acme.update(id, other).await.expect(200);
        }
        browser
            .open(&back)
            .await
            .expect(400, "The connection has changed");
        assert_eq!(
            standing(&world, &session).await,
            ("failed".to_owned(), json!("credential_changed"), false)
        );
    }
    assert_eq!(world.exchanges(), 0);
}

/// Once a commit is held back: Zoom tells no profile any more, and no table can be read. Then lets the commit be heard.
pub(crate) async fn nothing_after_the_commit(world: &World, bell: &Notify) {
    world.wire.stalled().await;
    let down = |status| Fault::Answer(status, "{}".to_owned());
    for (service, operation, status) in [
        (Service::Zoom, "/v2/users/me", StatusCode::BAD_GATEWAY),
        (
            Service::DynamoDb,
            "GetItem",
            StatusCode::INTERNAL_SERVER_ERROR,
        ),
    ] {
        world.wire.inject(Rule {
            service: Some(service),
            operation: Some(operation),
            nth: None,
            fault: down(status),
        });
    }
    bell.notify_one();
}

#[tokio::test]
async fn what_was_committed_is_said_though_nothing_can_be_read_after_it() {
    let world = world().await;
    let id = world.given_user("bot").await;
    for return_url in [None, Some(format!("{ORIGIN}/"))] {
        let asked = with(
            json!({ "credential_id": id }),
            json!({ "return_url": return_url }),
        );
        let session = begin(&world, &asked).await;
        let mut browser = Browser::new(&world);
        let back = browser.walk(&session, Some("ada")).await;
        let bell = world.wire.hold(Service::DynamoDb, "TransactWriteItems");
        let (page, ()) = tokio::join!(browser.open(&back), nothing_after_the_commit(&world, &bell));
        world.wire.heal();
        match return_url {
            None => page.expect(200, "Zoom is connected"),
            Some(url) => assert_eq!(
                page.location().as_str(),
                format!("{url}?session_id={}&credential_id={id}", session.id)
            ),
        }
        assert_eq!(
            standing(&world, &session).await,
            ("connected".to_owned(), Value::Null, true)
        );
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_for_good_is_said_all_the_same() {
    for reconnects in [false, true] {
        let world = world().await;
        let asked = if reconnects {
            json!({ "credential_id": world.given_user("bot").await })
        } else {
            body()
        };
        let asked = with(asked, json!({ "return_url": format!("{ORIGIN}/") }));
        let session = begin(&world, &asked).await;
        let mut browser = Browser::new(&world);
        let back = browser.walk(&session, Some("ada")).await;
        let denied = json!({ "__type": "AccessDeniedException" }).to_string();
        let denied = Fault::Answer(StatusCode::BAD_REQUEST, denied);
        // The lock of the credential, if there is one │ the commit, and its repeat.
        let commit = if reconnects { 2 } else { 1 };
        for (nth, fault) in [(commit, Fault::DropAfter), (commit + 1, denied)] {
            world.wire.inject(Rule {
                service: Some(Service::DynamoDb),
                operation: Some("TransactWriteItems"),
                nth: Some(nth),
                fault,
            });
        }
        let location = browser.open(&back).await.location();
        world.wire.heal();
        let id = look(&world, &session).await["credential_id"].clone();
        let expected = format!(
            "{ORIGIN}/?session_id={}&credential_id={}",
            session.id,
            id.as_str().unwrap()
        );
        assert_eq!(location.as_str(), expected);
        assert_eq!(sealed_sessions(&world).await, 0);
        assert!(!world.is_running().await);
    }
}

// ---- crashes

/// A callback as a function that can be killed. What it answers is its status.
fn invoke(world: &World, browser: &Browser, url: &str) -> JoinHandle<u16> {
    let url: Url = url.parse().unwrap();
    let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
    let cookie = browser.cookie.as_ref().unwrap();
    let request = axum::http::Request::builder()
        .uri(path)
        .header("cookie", format!("{COOKIE}={cookie}"))
        .body(())
        .unwrap();
    let (parts, ()) = request.into_parts();
    let gateway = world.gateway.clone();
    tokio::spawn(async move { gateway.answer(parts, Vec::new()).await.status().as_u16() })
}

/// What a session says after a crash, once its time is over, and whether the code was sent.
type After = (String, Value, bool);

/// Kills the callback after each of its calls in turn; what the session says of it, call by call. Then the same link is
/// opened again, and must end well.
async fn crash_everywhere(reconnects: bool) -> Vec<After> {
    let mut said = Vec::new();
    for n in 1.. {
        let world = world().await;
        let asked = if reconnects {
            let id = world.given_user("bot").await;
            world.age_grant(&id).await;
            json!({ "credential_id": id })
        } else {
            body()
        };
        let session = begin(&world, &asked).await;
        let mut browser = Browser::new(&world);
        let back = browser.walk(&session, Some("ada")).await;
        let before = world.exchanges();
        world.wire.reset();
        world.wire.inject_nth(n, Fault::Stall);
        let mut invocation = invoke(&world, &browser, &back);
        let crashed = tokio::select! {
            () = world.wire.stalled() => true,
            status = &mut invocation => {
                assert_eq!(status.unwrap(), 200);
                false
            }
        };
        invocation.abort();
        world.wire.heal();
        if !crashed {
            return said;
        }
        let sent = world.exchanges() - before == 1;
        let credentials = world.count("credentials").await;
        outlast(&world, &session).await;
        let (status, error, connected) = standing(&world, &session).await;
        assert_eq!(credentials, usize::from(reconnects || connected), "{n}");

        match status.as_str() {
            // Done, and the page says so; or untouched, and a reload does it.
            "connected" | "pending" => browser.open(&back).await.expect(200, "Zoom is connected"),
            "failed" => {
                browser.open(&back).await.expect(400, "It was not finished");
                browser
                    .connect(&session, "ada")
                    .await
                    .expect(200, "Zoom is connected");
            }
            other => panic!("{other}"),
        }
        let shown = look(&world, &session).await;
        assert_eq!(shown["status"], "connected");
        let id = shown["credential_id"].as_str().unwrap();
        assert_eq!(world.count("credentials").await, 1, "{n}");
        assert_eq!(sealed_sessions(&world).await, 0, "{n}");
        assert!(!world.is_running().await, "{n}");
        let minted = world.acme.request(Method::POST, "/v2/zoom-tokens");
        send(minted.json(&json!({ "credential_id": id, "type": "zak" })))
            .await
            .expect(200);
        said.push((status, error, sent));
    }
    said
}

fn after(status: &str, error: Value, sent: bool) -> After {
    (status.to_owned(), error, sent)
}

#[tokio::test]
async fn a_crash_anywhere_in_the_callback_leaves_a_link_that_still_ends_well() {
    let untouched = after("pending", Value::Null, false);
    let done = after("connected", Value::Null, true);
    // Session │ its secrets │ opened │ two data keys │ taken │ code │ commit │ profile │ update, siblings │ its secrets.
    let expected = [
        vec![untouched.clone(); 5],
        vec![after("failed", json!("interrupted"), false)],
        vec![after("failed", json!("interrupted"), true)],
        vec![done; 5],
    ];
    assert_eq!(crash_everywhere(false).await, expected.concat());
}

#[tokio::test]
async fn a_crash_anywhere_in_reconnecting_leaves_a_link_that_still_ends_well() {
    let untouched = after("pending", Value::Null, false);
    let done = after("connected", Value::Null, true);
    // Session │ credential ‖ its secrets │ opened │ app row ‖ data key │ opened │ lock │ taken │ code │ commit │ profile │
    // update, siblings │ the session's secrets.
    let expected = [
        vec![untouched.clone(); 8],
        vec![after("failed", json!("interrupted"), false)],
        vec![after("failed", json!("interrupted"), true)],
        vec![done; 5],
    ];
    assert_eq!(crash_everywhere(true).await, expected.concat());
}

#[tokio::test]
async fn a_connection_that_breaks_anywhere_in_the_callback_costs_at_most_one_try() {
    for fault in [Fault::DropBefore, Fault::DropAfter] {
        for n in 1.. {
            let world = world().await;
            let session = begin(&world, &body()).await;
            let mut browser = Browser::new(&world);
            let back = browser.walk(&session, Some("ada")).await;
            world.wire.reset();
            world.wire.inject_nth(n, fault.clone());
            let page = browser.open(&back).await;
            let calls = world.wire.calls();
            let Some(broken) = usize::try_from(n).ok().and_then(|n| calls.get(n - 1)) else {
                page.expect(200, "Zoom is connected");
                break;
            };
            let broken = broken.operation.clone();
            if broken == "/oauth/token" {
                page.expect(502, "Zoom did not answer");
                browser
                    .connect(&session, "ada")
                    .await
                    .expect(200, "Zoom is connected");
            } else {
                page.expect(200, "Zoom is connected");
            }
            let (status, ..) = standing(&world, &session).await;
            assert_eq!(
                (status.as_str(), world.count("credentials").await),
                ("connected", 1),
                "{fault:?} {broken}"
            );
            assert_eq!(sealed_sessions(&world).await, 0);
        }
    }
}

// ---- who may begin, and with what

#[tokio::test]
async fn a_session_takes_a_full_key_to_make_and_a_reading_one_to_look_at() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let path = format!("{SESSIONS}/{}", session.id);
    for (permission, makes, looks) in [
        (Permission::Full, 201, 200),
        (Permission::Read, 403, 200),
        (Permission::Mint, 403, 403),
    ] {
        let caller = world.caller("acme", permission).await;
        assert_eq!(post(&caller, &body()).await.status, makes);
        assert_eq!(send(caller.request(Method::GET, &path)).await.status, looks);
    }
    let stranger = world.stranger("zcv_acme_nonsense");
    post(&stranger, &body())
        .await
        .expect_code(401, "FST_ERR_UNAUTHORIZED");
    send(stranger.request(Method::GET, &path))
        .await
        .expect_code(401, "FST_ERR_UNAUTHORIZED");
}

#[tokio::test]
async fn another_teams_credential_and_session_are_not_there() {
    let world = world().await;
    let (credential, session) = (world.given_app("bot").await, begin(&world, &body()).await);
    let globex = world.caller("globex", Permission::Full).await;
    let nobodys = SessionId::generate().to_string();
    let not_found = |answer: &Answer| (answer.status, answer.text.clone());
    for field in ["credential_id", "app_credential_id"] {
        let theirs = post(&globex, &json!({ "name": "x", field: credential })).await;
        let none = post(&globex, &json!({ "name": "x", field: nobodys })).await;
        theirs.expect_error(
            404,
            "FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID",
            "Zoom credential not found",
        );
        assert_eq!(not_found(&theirs), not_found(&none));
    }
    let look = |id: &str| send(globex.request(Method::GET, &format!("{SESSIONS}/{id}")));
    let (theirs, none) = (look(&session.id).await, look(&nobodys).await);
    theirs.expect_error(
        404,
        "FST_ERR_ZOOM_CONNECT_SESSION_NOT_FOUND",
        "Connect session not found",
    );
    assert_eq!(not_found(&theirs), not_found(&none));
    look("nonsense").await.expect_error(
        400,
        "FST_ERR_VALIDATION",
        "params/id must match format \"uuid\"",
    );
}

#[tokio::test]
async fn what_a_session_cannot_be_made_of_is_named() {
    let world = world().await;
    let id = world.given_app("bot").await;
    let cases = [
        (json!({ "name": null }), "body/name is required"),
        (
            json!({ "name": "" }),
            "body/name must NOT have fewer than 1 characters",
        ),
        (
            json!({ "name": "x".repeat(101) }),
            "body/name must NOT have more than 100 characters",
        ),
        (
            json!({ "client_id": null }),
            "body/client_id is required with client_secret",
        ),
        (
            json!({ "client_secret": null }),
            "body/client_secret is required with client_id",
        ),
        (
            json!({ "client_id": null, "client_secret": null }),
            "body/client_id is required, unless app_credential_id or credential_id says whose app is used",
        ),
        (
            json!({ "app_credential_id": id }),
            "body/app_credential_id must NOT come with client_id",
        ),
        (
            json!({ "client_id": null, "client_secret": null, "app_credential_id": id, "credential_id": id }),
            "body/app_credential_id must NOT come with credential_id",
        ),
        (
            json!({ "credential_id": "x" }),
            "body/credential_id must match format \"uuid\"",
        ),
        (json!({ "extra": [] }), "body/extra must be object"),
        (json!({ "return_url": 1 }), "body/return_url must be string"),
    ];
    let before = world.contents("requests").await.len();
    for (changes, message) in cases {
        let answer = post(&world.acme, &with(body(), changes)).await;
        answer.expect_error(400, "FST_ERR_VALIDATION", message);
    }
    assert_eq!(sealed_sessions(&world).await, 0);
    let rows = world.items("requests").await;
    assert!(
        !rows
            .iter()
            .any(|row| attribute(row, "request_id").starts_with("connect#")),
        "{before}"
    );
}

#[tokio::test]
async fn users_are_sent_back_to_allowed_origins_and_nowhere_else() {
    const FOREIGN: &str = "body/return_url must be of an origin that the team has allowed: the operator allows it with teams set \
                           --return-origin";
    const UNFIT: &str =
        "body/return_url must be an https URL without user and fragment; http only for localhost";
    const NONE: &str = "body/return_url must match format \"uri\"";
    const OURS: &str = "body/return_url must NOT have session_id, credential_id, user_changed or error in its query";
    let world = world().await;
    let cases = [
        ("https://evil.example", FOREIGN),
        ("https://app.example.com.evil.example/", FOREIGN),
        ("https://evil.example/app.example.com", FOREIGN),
        ("https://evil.example/https://app.example.com", FOREIGN),
        ("https://app.example.com:8443/", FOREIGN),
        ("https://sub.app.example.com/", FOREIGN),
        ("https://app.example.comevil.example/", FOREIGN),
        ("https:evil.example", FOREIGN),
        (r"https:\\evil.example\app.example.com", FOREIGN),
        (r"https://evil.example\@app.example.com/", FOREIGN),
        ("http://localhost:8081/", FOREIGN),
        ("http://127.0.0.1:8080/", FOREIGN),
        ("https://ａpp.example.org/", FOREIGN),
        ("http://app.example.com/", UNFIT),
        ("https://app.example.com@evil.example/", UNFIT),
        ("https://user:password@app.example.com/", UNFIT),
        ("https://app.example.com/#credential_id=1", UNFIT),
        ("javascript:alert(1)", UNFIT),
        ("data:text/html,hello", UNFIT),
        ("file:///etc/passwd", UNFIT),
        ("//app.example.com/", NONE),
        ("/path", NONE),
        ("", NONE),
        ("https://", NONE),
        (" https://app.example.com/", NONE),
        ("https://app.exam\nple.com/", NONE),
        ("https://app.example.com/\r\nset-cookie: x=1", NONE),
        ("https://app.example.com/\tx", NONE),
        ("https://app.example.com/?error=none", OURS),
        ("https://app.example.com/?credential%5Fid=1", OURS),
        ("https://app.example.com/?user_changed=false", OURS),
    ];
    for (url, message) in cases {
        let answer = post(&world.acme, &with(body(), json!({ "return_url": url }))).await;
        assert_eq!(
            (answer.status, answer.json()["message"].as_str().unwrap()),
            (400, message),
            "{url}"
        );
    }
    let long = format!("{ORIGIN}/{}", "x".repeat(2000));
    let answer = post(&world.acme, &with(body(), json!({ "return_url": long }))).await;
    answer.expect_error(
        400,
        "FST_ERR_VALIDATION",
        "body/return_url must NOT have more than 2000 characters",
    );
    for fine in [
        "https://APP.example.com/x",
        "https://app.example.com:443",
        r"https://app.example.com\@evil.example/",
    ] {
        post(&world.acme, &with(body(), json!({ "return_url": fine })))
            .await
            .expect(201);
    }

    // What is odd is read as it was compared: the host stays the team's own.
    let odd = r"https://app.example.com\@evil.example/?a=b%0d%0ac";
    let session = begin(&world, &with(body(), json!({ "return_url": odd }))).await;
    let location = Browser::new(&world)
        .connect(&session, "ada")
        .await
        .location();
    assert_eq!(
        (location.host_str(), location.path()),
        (Some("app.example.com"), "/@evil.example/")
    );

    let globex = world.caller("globex", Permission::Full).await;
    let answer = post(&globex, &with(body(), json!({ "return_url": ORIGIN }))).await;
    answer.expect_error(400, "FST_ERR_VALIDATION", FOREIGN);
}

#[test]
fn an_origin_is_spelled_as_browsers_spell_it() {
    let read = |text: &str| text.parse::<ReturnOrigin>().is_ok();
    for good in [
        "https://app.example.com",
        "https://app.example.com:8443",
        "http://localhost",
        "http://localhost:3000",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
        "https://xn--bcher-kva.example",
    ] {
        assert!(read(good), "{good}");
    }
    for bad in [
        "",
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com/x",
        "https://app.example.com:443",
        "https://APP.example.com",
        "https://u@app.example.com",
        "http://app.example.com",
        "ftp://app.example.com",
        "null",
        "https://bücher.example",
        "https://app.example.com?x",
        "https://app.example.com#x",
    ] {
        assert!(!read(bad), "{bad}");
    }
}

// ---- what others wrote is shown as text

#[tokio::test]
async fn names_are_text_whoever_chose_them() {
    let world = world().await;
    let evil = "</strong><script>alert(1)</script><img src=x onerror=alert(2)>\" '";
    world.zoom.register_user(User {
        display_name: Some(evil.to_owned()),
        ..ada()
    });
    let session = begin(&world, &with(body(), json!({ "name": evil }))).await;
    let mut browser = Browser::new(&world);
    let page = browser.open(&session.link).await;
    page.expect(200, "Connect your Zoom account");
    let done = browser.connect(&session, "ada").await;
    done.expect(200, "Zoom is connected");
    for page in [&page, &done] {
        assert!(
            page.text.contains("&#60;script&#62;alert(1)"),
            "{}",
            page.text
        );
        assert!(!page.text.contains("<img"));
    }
    assert_eq!(done.text.matches("&#60;script&#62;").count(), 2);

    let session = begin(&world, &with(body(), json!({ "client_id": evil }))).await;
    let page = browser.open(&session.link).await;
    page.expect(200, "Connect your Zoom account");
    assert_eq!(page.text.matches("&#60;script&#62;").count(), 1);
}

// ---- secrets

#[tokio::test]
async fn the_tables_hold_hashes_of_what_opens_and_seals_the_rest() {
    let world = world().await;
    let session = begin(&world, &body()).await;
    let mut browser = Browser::new(&world);
    let back = browser.walk(&session, Some("ada")).await;
    let state = state_in(&back);
    let secrets = [
        session.link.rsplit('/').next().unwrap().to_owned(),
        state,
        browser.cookie.clone().unwrap(),
        CLIENT_SECRET.to_owned(),
    ];
    for table in ["requests", "secrets", "credentials", "events"] {
        let rows = world.rows(table).await.concat();
        for secret in &secrets {
            assert!(!rows.contains(secret.as_str()), "{secret} in {table}");
        }
    }
    assert_eq!(sealed_sessions(&world).await, 1);
    let rows = world.items("secrets").await;
    let row = rows
        .iter()
        .find(|row| attribute(row, "secret_id").starts_with("session#"))
        .unwrap();
    let names: Vec<&str> = row
        .keys()
        .map(String::as_str)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    assert_eq!(
        names,
        [
            "dek",
            "generation",
            "kid",
            "purge_at",
            "sealed",
            "secret_id",
            "team_id"
        ]
    );
    let (end, purge): (i64, i64) = {
        let session = session_row(&world, &session).await;
        let end = shared::timestamp::Timestamp::try_from(attribute(&session, "ends_at").to_owned())
            .unwrap();
        (
            end.as_seconds(),
            attribute(row, "purge_at").parse().unwrap(),
        )
    };
    assert_eq!(purge - end, 3600);
    browser.open(&back).await.expect(200, "Zoom is connected");
}

#[tokio::test]
async fn what_only_the_credential_needs_goes_from_the_session_when_it_is_connected() {
    let world = world().await;
    let asked = json!({ "extra": { "tenant": "acme" }, "return_url": format!("{ORIGIN}/") });
    let session = begin(&world, &with(body(), asked)).await;
    let mut browser = Browser::new(&world);
    let has = async || {
        let row = session_row(&world, &session).await;
        ["name", "extra", "label", "return_url"].map(|it| row.contains_key(it))
    };
    // Whoever said no may say yes later.
    let back = browser.walk(&session, None).await;
    browser.open(&back).await.location();
    assert_eq!(has().await, [true; 4]);
    // Whoever reloads is shown and sent where the first visit was.
    let back = browser.walk(&session, Some("ada")).await;
    let location = browser.open(&back).await.location();
    assert_eq!(has().await, [false, false, true, true]);
    assert_eq!(browser.open(&back).await.location(), location);
    let id = look(&world, &session).await["credential_id"].clone();
    let credential = world.acme.get(id.as_str().unwrap()).await.expect(200);
    assert_eq!(
        (&credential["name"], &credential["extra"]),
        (&json!("Ada's bot"), &json!({ "tenant": "acme" }))
    );
}

#[test]
fn what_is_debugged_tells_no_secret() {
    let id = SessionId::generate();
    let (link, state, browser) = (
        LinkToken::generate(id).unwrap(),
        State::generate(id).unwrap(),
        BrowserKey::generate().unwrap(),
    );
    let printed = format!("{link:?} {state:?} {browser:?}");
    for secret in [
        text_of(&link.into_text()),
        text_of(&state.into_text()),
        text_of(browser.text()),
    ] {
        let (_, tail) = secret.split_at(secret.len() / 2);
        assert!(!printed.contains(tail));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a browser shows what it was given"
)]
fn text_of(secret: &secrecy::SecretString) -> String {
    use secrecy::ExposeSecret;
    secret.expose_secret().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_the_parsers_panic(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let lossy = String::from_utf8_lossy(&bytes);
        for text in [text.as_str(), &lossy, &format!("zcs_{text}"), &format!("zcl_{lossy}")] {
            State::parse(text).ok();
            LinkToken::parse(text).ok();
            BrowserKey::parse(text).ok();
            ReturnUrl::try_from(text.to_owned()).ok();
            text.parse::<ReturnOrigin>().ok();
        }
    }

    #[test]
    fn a_state_with_one_character_changed_cut_or_added_is_none(at in 0_usize..74, to in any::<char>()) {
        let state = text_of(&State::generate(SessionId::generate()).unwrap().into_text());
        prop_assert!(State::parse(&state).is_ok());
        prop_assert!(LinkToken::parse(&state).is_err());
        let changed: String = state.chars().enumerate().map(|(n, c)| if n == at { to } else { c }).collect();
        prop_assert!(changed == state || State::parse(&changed).is_err());
        prop_assert!(State::parse(state.split_at(at).0).is_err());
        let mut added = state.clone();
        added.insert(at, to);
        prop_assert!(State::parse(&added).is_err());
    }

    #[test]
    fn a_url_that_is_taken_leads_to_the_host_it_was_compared_by(text in "https?://[a-z@:/\\\\.?#%0-9]{0,40}") {
        if let Ok(url) = ReturnUrl::try_from(text) {
            let sent: Url = url.with(SessionId::generate(), &[("error", "expired")]).parse().unwrap();
            prop_assert_eq!(sent.host_str().unwrap(), url.host());
            prop_assert_eq!(sent.fragment(), None);
            prop_assert!(sent.query_pairs().any(|(name, value)| name == "error" && value == "expired"));
        }
    }
}
