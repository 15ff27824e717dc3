//! The connect page in Chromium, against the stack that `cargo run` starts: what a user sees, on a desk and on a phone,
//! by day and by night, with a mouse and with a keyboard.
//!
//! `SCREENSHOTS=docs/screenshots cargo test -p browser` takes the pictures anew. Where there is no Chromium (or what
//! `CHROME` names), or it cannot start, the tests say so and do nothing, unless `CHROMIUM_REQUIRED` is set: everything else is tested without.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "test harness: a broken assumption is a failed test"
)]

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::http::HeaderMap;
use axum::response::Html;
use headless_chrome::browser::default_executable;
use headless_chrome::protocol::cdp::types::Event;
use headless_chrome::protocol::cdp::{Emulation, Network, Page};
use headless_chrome::{Browser, LaunchOptions, Tab};
use local::stack::{Elsewhere, Options, Stack};
use local::zoom::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::config::{Aws, optional};
use shared::stores::{Operator, Settings};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use url::Url;

/// How long the slowest page may take, on a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(30);
/// The team that the stack makes.
const TEAM: &str = "local";

/// A stack, a browser, and a site of the team's own.
struct World {
    browser: Browser,
    api: String,
    key: String,
    site: String,
    dynamodb: aws_sdk_dynamodb::Client,
    runtime: Runtime,
    _data: tempfile::TempDir,
    /// One browser at a time: each is a dozen processes.
    _turn: MutexGuard<'static, ()>,
}

/// A session, as the team knows it.
struct Session {
    id: String,
    link: String,
}

/// What the team's site shows: how it was come by.
async fn site(headers: HeaderMap) -> Html<String> {
    let referer = headers.get("referer").map_or("no referer", |_| "a referer");
    Html(format!(
        "<title>The team's site</title><h1>Welcome back</h1><p>{referer}</p>"
    ))
}

impl World {
    /// None where there is no browser.
    fn new() -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());

        let Ok(chromium) = default_executable() else {
            assert!(optional("CHROMIUM_REQUIRED").is_none(), "no Chromium");
            eprintln!("skipped: no Chromium here (Debian: apt-get install chromium)");
            return None;
        };
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = Runtime::new().unwrap();
        let data = tempfile::tempdir().unwrap();
        let (api, site, dynamodb) = runtime.block_on(start(data.path()));
        let browser = Browser::new(LaunchOptions {
            path: Some(chromium),
            // Its own sandbox takes privileges that a container may not have; the pages are ours.
            sandbox: false,
            window_size: Some((1000, 760)),
            args: vec![OsStr::new("--lang=en"), OsStr::new("--hide-scrollbars")],
            idle_browser_timeout: Duration::from_mins(2),
            ..LaunchOptions::default()
        });
        let browser = match browser {
            Ok(browser) => browser,
            Err(error) if optional("CHROMIUM_REQUIRED").is_none() => {
                eprintln!("skipped: Chromium does not start here: {error}");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        Some(Self {
            browser,
            api,
            key: std::fs::read_to_string(data.path().join("api-key")).unwrap(),
            site,
            dynamodb,
            runtime,
            _data: data,
            _turn: turn,
        })
    }

    fn begin(&self, more: Value) -> Session {
        let mut body = json!({
            "name": "Ada's meetings", "client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET,
        });
        let Value::Object(more) = more else {
            panic!("fields are an object")
        };
        body.as_object_mut().unwrap().extend(more);
        let made = self.runtime.block_on(async {
            let url = format!("{}/v2/zoom-connect-sessions", self.api);
            let request = reqwest::Client::new().post(url).json(&body);
            let answer = request
                .header("x-meeting-baas-api-key", self.key.trim())
                .send();
            answer.await.unwrap().json::<Value>().await.unwrap()
        });
        let text = |name: &str| made["data"][name].as_str().unwrap().to_owned();
        Session {
            id: text("session_id"),
            link: text("connect_url"),
        }
    }

    /// Status and error of a session, as the team is told.
    fn standing(&self, session: &Session) -> (String, Value) {
        let shown = self.look(session);
        let status = shown["status"].as_str().unwrap().to_owned();
        (status, shown["error"].clone())
    }

    /// A session, as the team is told of it.
    fn look(&self, session: &Session) -> Value {
        let shown = self.runtime.block_on(async {
            let url = format!("{}/v2/zoom-connect-sessions/{}", self.api, session.id);
            let request = reqwest::Client::new().get(url);
            let answer = request
                .header("x-meeting-baas-api-key", self.key.trim())
                .send();
            answer.await.unwrap().json::<Value>().await.unwrap()
        });
        shown["data"].clone()
    }

    /// Time passes: the session is over.
    fn expire(&self, session: &Session) {
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

    /// A browser of its own: with no cookies yet.
    fn visitor(&self) -> Visitor {
        let tab = self.browser.new_context().unwrap().new_tab().unwrap();
        tab.set_default_timeout(PATIENCE);
        let complaints: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = complaints.clone();
        tab.enable_log().unwrap();
        tab.enable_runtime().unwrap();
        let listener = move |event: &Event| {
            if let Event::LogEntryAdded(event) = event {
                let entry = &event.params.entry;
                heard
                    .lock()
                    .unwrap()
                    .push(format!("{}: {:?}", entry.text, entry.url));
            }
        };
        let weak = tab.add_event_listener(Arc::new(listener)).unwrap();
        drop(weak);
        Visitor { tab, complaints }
    }
}

/// Starts a stack and a site: where they are, and the stack's tables.
async fn start(data: &Path) -> (String, String, aws_sdk_dynamodb::Client) {
    // Fails where one is installed already, which then is as good.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let stack = Stack::start(Options {
        data_dir: data.to_owned(),
        port: 0,
        zoom_port: 0,
        elsewhere: Elsewhere::default(),
        envelope_key: None,
    });
    let stack = stack.await.unwrap();
    let api = stack.api().as_str().trim_end_matches('/').to_owned();
    tokio::spawn(stack.serve(std::future::pending()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site_address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(site)).await });

    let env = std::fs::read_to_string(data.join("env")).unwrap();
    let endpoint = env
        .lines()
        .find_map(|line| line.strip_prefix("AWS_ENDPOINT_URL_DYNAMODB="));
    let credentials = Credentials::new("local", "local", None, None, "test");
    let endpoint = endpoint.map(str::to_owned);
    let aws = Aws::new("us-east-1".to_owned(), credentials, endpoint, None).unwrap();
    let dynamodb = aws.dynamodb();
    let operator = Operator::new(dynamodb.clone(), "keys".to_owned());
    let origin = site_address.parse().unwrap();
    let team = TEAM.parse().unwrap();
    let settings = Settings {
        return_origins: Some(vec![origin]),
        ..Settings::default()
    };
    operator.set(&team, settings).await.unwrap();
    (api, site_address, dynamodb)
}

/// What is looked at on every page: each call to the browser takes a while, so all at once.
const LOOK: &str = "(() => {
  const paper = getComputedStyle(document.body).backgroundColor;
  const colors = [...document.querySelectorAll('h1, h2, p, li, strong, button, a')].map(it => {
    const own = getComputedStyle(it);
    const clear = own.backgroundColor === 'rgba(0, 0, 0, 0)';
    return [it.tagName, own.color, clear ? paper : own.backgroundColor];
  });
  return JSON.stringify({
    title: document.title,
    language: document.documentElement.lang,
    headings: document.querySelectorAll('h1').length,
    mains: document.querySelectorAll('main').length,
    foreign: document.querySelectorAll('script, link, img, iframe').length,
    referrer: document.referrer,
    fits: document.documentElement.scrollWidth <= window.innerWidth,
    colors,
  });
})()";

/// What [`LOOK`] saw.
#[derive(Deserialize)]
struct Seen {
    title: String,
    language: String,
    headings: u32,
    mains: u32,
    foreign: u32,
    referrer: String,
    fits: bool,
    /// An element, its ink and the paper below it.
    colors: Vec<(String, String, String)>,
}

/// Somebody with a browser.
struct Visitor {
    tab: Arc<Tab>,
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Visitor {
    fn on_a_phone(&self) {
        let phone = Emulation::SetDeviceMetricsOverride {
            width: 390,
            height: 844,
            device_scale_factor: 1.0,
            mobile: true,
            scale: None,
            screen_width: None,
            screen_height: None,
            position_x: None,
            position_y: None,
            dont_set_visible_size: None,
            screen_orientation: None,
            viewport: None,
            display_feature: None,
            device_posture: None,
        };
        self.tab.call_method(phone).unwrap();
    }

    fn at_night(&self) {
        let dark = Emulation::MediaFeature {
            name: "prefers-color-scheme".to_owned(),
            value: "dark".to_owned(),
        };
        let media = Emulation::SetEmulatedMedia {
            media: None,
            features: Some(vec![dark]),
        };
        self.tab.call_method(media).unwrap();
    }

    fn open(&self, url: &str) {
        self.tab.navigate_to(url).unwrap();
    }

    /// Waits for the page with this heading, and looks at what every page of ours must be.
    #[track_caller]
    fn sees(&self, heading: &str) {
        self.waits_for(heading);
        let page: Seen = serde_json::from_str(self.eval(LOOK).as_str().unwrap()).unwrap();
        assert_eq!(page.title, heading);
        assert_eq!(page.language, "en");
        assert_eq!((page.headings, page.mains, page.foreign), (1, 1, 0));
        assert_eq!(page.referrer, "");
        assert!(page.fits, "{heading} is wider than the screen");
        for (element, ink, paper) in &page.colors {
            // WCAG asks for 4.5.
            let (ink, paper) = (luminance(ink), luminance(paper));
            let contrast = (ink.max(paper) + 0.05) / (ink.min(paper) + 0.05);
            assert!(contrast >= 4.5, "{element} of {heading}: {contrast}");
        }
    }

    #[track_caller]
    fn waits_for(&self, heading: &str) {
        let found = self
            .tab
            .wait_for_xpath(&format!("//h1[normalize-space()='{heading}']"));
        if let Err(error) = found {
            panic!("no {heading}: {error}\n{}", self.tab.get_content().unwrap());
        }
    }

    fn eval(&self, script: &str) -> Value {
        let result = self.tab.evaluate(script, false).unwrap();
        result.value.unwrap_or_default()
    }

    fn clicks(&self, selector: &str) {
        self.tab
            .wait_for_element(selector)
            .unwrap()
            .click()
            .unwrap();
    }

    /// On Zoom's page: picks Ada and decides.
    fn decides(&self, decision: &str) {
        self.decides_as("ada-sandbox-user", decision);
    }

    /// On Zoom's page: picks a user and decides.
    fn decides_as(&self, user: &str, decision: &str) {
        self.waits_for(&format!("Allow {DEMO_CLIENT_ID} to use your Zoom account?"));
        assert_eq!(self.eval("document.referrer"), "");
        self.clicks(&format!("input[value={user}]"));
        self.clicks(&format!("button[value={decision}]"));
    }

    /// A picture of what is seen, where pictures are wanted.
    fn shows(&self, name: &str) {
        let Some(folder) = optional("SCREENSHOTS") else {
            return;
        };
        // As seen from the root, wherever the test runs.
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(folder);
        let png = Page::CaptureScreenshotFormatOption::Png;
        let picture = self.tab.capture_screenshot(png, None, None, true).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    fn cookies(&self) -> Vec<Network::Cookie> {
        self.tab.get_cookies().unwrap()
    }

    /// Panics where the browser had anything to complain of on the way, a breach of a page's policy for one. That a page
    /// answers with an error is no complaint of ours.
    #[track_caller]
    fn complains_of_nothing(&self) {
        let mut complaints = self.complaints.lock().unwrap().clone();
        complaints.retain(|it| !it.contains("the server responded with a status of 4"));
        assert_eq!(complaints, [""; 0]);
    }
}

/// The relative luminance of `rgb(r, g, b)`.
fn luminance(color: &str) -> f64 {
    let inner = color.trim_start_matches("rgb(").trim_end_matches(')');
    let channels = inner.split(',').map(|channel| {
        let channel = channel.trim().parse::<f64>().unwrap() / 255.0;
        if channel <= 0.04045 {
            channel / 12.92
        } else {
            ((channel + 0.055) / 1.055).powf(2.4)
        }
    });
    let weights = [0.2126, 0.7152, 0.0722];
    channels
        .zip(weights)
        .map(|(channel, weight)| channel * weight)
        .sum()
}

#[test]
fn a_user_connects() {
    let Some(world) = World::new() else { return };
    let session = world.begin(json!({}));
    let visitor = world.visitor();
    visitor.open(&session.link);
    visitor.sees("Connect your Zoom account");
    assert!(visitor.cookies().is_empty(), "to look sets no cookie");
    visitor.shows("connect");
    visitor.clicks("button");
    visitor.decides("allow");
    visitor.sees("Zoom is connected");
    visitor.shows("connect-success");
    assert_eq!(
        world.standing(&session),
        ("connected".to_owned(), Value::Null)
    );

    let cookies = visitor.cookies();
    let [cookie] = cookies.as_slice() else {
        panic!("{cookies:?}")
    };
    assert_eq!(cookie.name, "__Host-zoom-connect");
    assert!(cookie.secure && cookie.http_only && !cookie.session);
    assert_eq!(cookie.same_site, Some(Network::CookieSameSite::Lax));
    assert_eq!(
        (cookie.path.as_str(), cookie.domain.as_str()),
        ("/", "127.0.0.1")
    );
    assert_eq!(visitor.eval("document.cookie"), "");

    // Whoever reloads sees the same, and nothing is sent twice.
    visitor.tab.reload(true, None).unwrap();
    visitor.sees("Zoom is connected");
    visitor.open(&session.link);
    visitor.sees("Already connected");
    visitor.complains_of_nothing();
}

#[test]
fn a_user_says_no_and_then_yes() {
    let Some(world) = World::new() else { return };
    let session = world.begin(json!({}));
    let visitor = world.visitor();
    visitor.open(&session.link);
    visitor.clicks("button");
    visitor.decides("deny");
    visitor.sees("Nothing was connected");
    visitor.shows("connect-denied");
    assert_eq!(
        world.standing(&session),
        ("failed".to_owned(), json!("access_denied"))
    );

    visitor.open(&session.link);
    visitor.sees("Connect your Zoom account");
    visitor.clicks("button");
    visitor.decides("allow");
    visitor.sees("Zoom is connected");
    visitor.complains_of_nothing();
}

#[test]
fn another_user_connects_in_place_of_the_first() {
    let Some(world) = World::new() else { return };
    let visitor = world.visitor();
    let first = world.begin(json!({}));
    visitor.open(&first.link);
    visitor.clicks("button");
    visitor.decides("allow");
    visitor.sees("Zoom is connected");
    let id = world.look(&first)["credential_id"].clone();

    let again = world.begin(json!({ "credential_id": id }));
    visitor.open(&again.link);
    visitor.clicks("button");
    visitor.decides_as("grace-sandbox-user", "allow");
    visitor.sees("Zoom is connected");
    assert_eq!(
        visitor.eval("document.querySelector('h2').textContent"),
        "This is another Zoom account than before"
    );
    visitor.shows("connect-another");
    assert_eq!(world.look(&again)["user_changed"], json!(true));
    visitor.complains_of_nothing();
}

#[test]
fn a_user_comes_too_late() {
    let Some(world) = World::new() else { return };
    let session = world.begin(json!({}));
    let visitor = world.visitor();
    visitor.open(&session.link);
    visitor.clicks("button");
    visitor.waits_for(&format!("Allow {DEMO_CLIENT_ID} to use your Zoom account?"));
    world.expire(&session);
    visitor.decides("allow");
    visitor.sees("The link has expired");
    visitor.shows("connect-expired");
    visitor.open(&session.link);
    visitor.sees("The link has expired");
    assert_eq!(
        world.standing(&session),
        ("expired".to_owned(), json!("expired"))
    );
    visitor.complains_of_nothing();
}

#[test]
fn on_a_phone_at_night_with_a_long_name_and_by_keyboard() {
    let Some(world) = World::new() else { return };
    let visitor = world.visitor();
    visitor.on_a_phone();
    let session = world.begin(json!({}));
    visitor.open(&session.link);
    visitor.sees("Connect your Zoom account");
    visitor.shows("connect-phone");
    visitor.at_night();
    visitor.sees("Connect your Zoom account");
    assert_eq!(
        visitor.eval("getComputedStyle(document.body).backgroundColor"),
        "rgb(20, 23, 26)"
    );
    visitor.shows("connect-phone-dark");

    let session = world.begin(json!({ "name": "W".repeat(100) }));
    visitor.open(&session.link);
    visitor.sees("Connect your Zoom account");
    visitor.tab.press_key("Tab").unwrap();
    assert_eq!(
        visitor.eval("document.activeElement.textContent"),
        "Continue to Zoom"
    );
    assert_eq!(
        visitor.eval("getComputedStyle(document.activeElement).outlineStyle"),
        "solid"
    );
    assert_eq!(
        visitor.eval("document.activeElement.getBoundingClientRect().height >= 44"),
        true
    );
    visitor.tab.press_key("Enter").unwrap();
    visitor.decides("allow");
    visitor.sees("Zoom is connected");
    visitor.complains_of_nothing();
}

#[test]
fn a_user_goes_back_to_the_teams_site() {
    let Some(world) = World::new() else { return };
    for (decision, outcome) in [("allow", "credential_id"), ("deny", "error")] {
        let session = world.begin(json!({ "return_url": format!("{}/done?step=2", world.site) }));
        let visitor = world.visitor();
        visitor.open(&session.link);
        visitor.sees("Connect your Zoom account");
        visitor.clicks("button");
        visitor.decides(decision);
        visitor.waits_for("Welcome back");
        assert_eq!(
            visitor.eval("document.querySelector('p').textContent"),
            "no referer"
        );
        let url: Url = visitor.tab.get_url().parse().unwrap();
        let names: Vec<String> = url
            .query_pairs()
            .map(|(name, _)| name.into_owned())
            .collect();
        assert_eq!(names, ["step", "session_id", outcome]);
        visitor.complains_of_nothing();
    }
}

#[test]
fn another_browser_cannot_finish_what_this_one_began() {
    let Some(world) = World::new() else { return };
    let session = world.begin(json!({}));
    let (visitor, other) = (world.visitor(), world.visitor());
    visitor.open(&session.link);
    visitor.clicks("button");
    visitor.waits_for(&format!("Allow {DEMO_CLIENT_ID} to use your Zoom account?"));
    // The address of Zoom's page, state and all, opened elsewhere.
    other.open(&visitor.tab.get_url());
    other.decides("allow");
    other.sees("This cannot be finished here");
    assert_eq!(
        world.standing(&session),
        ("pending".to_owned(), Value::Null)
    );
    visitor.decides("allow");
    visitor.sees("Zoom is connected");
    visitor.complains_of_nothing();
}
